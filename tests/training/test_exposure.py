"""Targets of another exposure or offset are brought to the scale of their inputs, and it is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import ndimage
from training_images import TINY, clean_images, with_noise

import napari_hush as hush
from napari_hush.normalize import NormalizationRule
from napari_hush.training.data.exposure import exposure_between
from napari_hush.training.data.images import ImageSet
from napari_hush.training.data.open import TrainingSource, open_data
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.settings_file import train_settings


@pytest.fixture(scope="module")
def counts():
    """Fields with 0 to 30 electrons per pixel on a pedestal of 100, and their truth."""
    clean = 100 + 30 * clean_images(6, 96)
    return np.random.default_rng(3).poisson(clean - 100).astype(np.float32) + 100, clean


def between(noisy, clean):
    return exposure_between(ImageSet([*noisy]), ImageSet([*clean]), range(len(noisy)))


@pytest.mark.parametrize(("offset", "gain"), [(-3900, 40), (100, 1), (-20, 0.05), (5000, -2)])
def test_the_line_between_both_sides_is_found_through_the_noise(counts, offset, gain):
    noisy, clean = counts
    with pytest.warns(UserWarning, match="targets have another scale than the inputs, target = "):
        found = between(noisy, offset + gain * clean)
    np.testing.assert_allclose(found.to_input(offset + gain * clean), clean, atol=1.0)


def test_hot_pixels_and_gaps_do_not_tilt_the_line(counts):
    noisy, clean = counts[0].copy(), 40 * counts[1]
    noisy[:, 3, 5] = 60_000
    noisy[:, 40:60, 40:60] = np.nan
    with pytest.warns(UserWarning, match="another scale"):
        found = between(noisy, clean)
    np.testing.assert_allclose(found.to_input(clean), counts[1], atol=1.5)


@pytest.mark.parametrize("change", ["none", "blur", "very noisy", "other image"])
def test_the_same_scale_is_left_alone(counts, change):
    noisy, clean = counts
    if change == "blur":
        noisy = ndimage.gaussian_filter(noisy, (0, 1.5, 1.5))
    elif change == "very noisy":
        noisy = noisy + np.random.default_rng(0).normal(0, 300, noisy.shape)
    elif change == "other image":  # no line at all
        noisy = np.random.default_rng(0).poisson(100, noisy.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert between(noisy, clean) is None


def test_single_pairs_of_another_exposure_are_named(counts):
    noisy, clean = counts
    other = 40 * clean
    other[4] = 100 * clean[4]
    with pytest.warns(UserWarning) as caught:
        found = between(noisy, other)
    np.testing.assert_allclose(found.to_input(other[:4]), clean[:4], atol=1.0)
    assert any("1 of 6 pairs that were looked at have another scale" in str(one.message) for one in caught)


@pytest.mark.filterwarnings("ignore:the targets have another scale:UserWarning")
@pytest.mark.parametrize(("method", "two"), [("supervised", True), ("tomogan", True), ("noise2void", False)])
def test_patches_have_one_scale(counts, method, two):
    noisy, clean = counts
    target = 40 * clean - 3000
    source = TrainingSource(data=(noisy, target) if two else noisy, truth=None if two else target)
    settings = train_settings(method, {"patch": 32})
    data = open_data(source, METHODS[method].needs, settings, NormalizationRule())
    for patch in data.held_out("validation"):
        assert abs(patch.clean.mean() - patch.noisy.mean()) < 0.1
        assert 0.3 < patch.clean.std() / patch.noisy.std() < 1


@pytest.mark.slow
def test_the_model_card_tells_the_line():
    clean = clean_images()
    with pytest.warns(UserWarning, match="another scale"):
        model = hush.train("supervised", (with_noise(clean, 0.05), 7 + 40 * clean), TINY)
    offset, gain = model.card.training["targets_were"].removesuffix(" * input").split(" + ")
    assert (float(offset), float(gain)) == (pytest.approx(7, abs=1), pytest.approx(40, rel=0.05))
