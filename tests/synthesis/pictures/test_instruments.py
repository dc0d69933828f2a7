"""Pictures behind an instrument's optics, and the noise of its detector."""

import numpy as np
import pytest

from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.synthesis.noise.camera import Clipping, FixedPattern
from napari_hush.synthesis.pictures.general import SORTS, random_picture
from napari_hush.synthesis.pictures.instruments import (
    SEEN,
    particles,
    puncta,
    random_detector_noise,
    random_instrument_picture,
    web,
)


def finest(image):
    """The share of the power in the outer half of the frequencies."""
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1]))
    return power[radius > 0.35].sum() / power.sum()


@pytest.mark.parametrize("draw", [puncta, web, particles])
def test_pictures_repeat_with_their_seed_and_differ_with_another(draw):
    one, again, other = draw((40, 56), 3), draw((40, 56), 3), draw((40, 56), 4)
    assert one.shape == (40, 56)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_optics_leave_no_detail_finer_than_the_point_spread():
    made = [random_instrument_picture((64, 64), rng=seed) for seed in range(60)]
    blurred = [image for image, seen in made if seen.startswith("blurred")]
    assert 20 < len(blurred) < 50
    assert max(map(finest, blurred)) < 0.02
    assert {seen for _, seen in made} <= set(SORTS) | {f"blurred {name}" for name in SEEN}
    assert all(image.min() >= 0 and image.max() <= 1 for image, _ in made)


def test_shares_are_whole():
    assert sum(SEEN.values()) == pytest.approx(1)


def test_noise_of_a_detector_can_have_a_grain():
    kinds = [{type(noise).__name__ for noise in random_detector_noise(seed).noises} for seed in range(200)]
    assert {"Gaussian", "Poisson", "Readout", "FixedPattern", "Clipping", "SaltPepper"} <= set().union(*kinds)
    grains = [n.grain for seed in range(200) for n in random_detector_noise(seed).noises if hasattr(n, "grain")]
    assert max(grains) > 1


def test_wide_world_of_general_is_another_and_the_plain_one_as_it_was():
    plain = Drawer(SynthesisSettings(kind="general", shape=(48, 48)))("train", 0)
    wide = Drawer(SynthesisSettings(kind="general", shape=(48, 48), world="wide"))("train", 0)
    assert not np.array_equal(plain.clean, wide.clean)
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0, 0)))
    np.testing.assert_array_equal(plain.clean, random_picture((48, 48), rng=rng)[0])


def test_fixed_pattern_has_the_columns_of_a_camera():
    flat = np.full((400, 300), 0.5, np.float32)
    seen = FixedPattern(gain=0.02, offset=0.01, columns=0.1)(flat, np.random.default_rng(0))
    columns = seen.mean(axis=0)
    assert columns.std() == pytest.approx(0.1, rel=0.15)
    assert (seen - columns).std() == pytest.approx(np.hypot(0.01, 0.01), rel=0.05)


def test_clipping_keeps_what_lies_between_the_ends():
    image = np.linspace(-1, 2, 30, dtype=np.float32).reshape(5, 6)
    out = Clipping(low=0.0, high=1.0)(image, np.random.default_rng(0))
    np.testing.assert_array_equal(out, np.clip(image, 0, 1))
