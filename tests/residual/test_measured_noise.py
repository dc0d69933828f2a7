"""The noise of an image, measured on that image alone or on what was taken away."""

from __future__ import annotations

import numpy as np
import pytest
from cells_picture import picture, with_noise
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.residual.noise import find_spikes, measure_noise, noise_kept
from napari_hush.synthesis.noise.registry import (
    Compose,
    DetectorLag,
    Poisson,
    Quantisation,
    Readout,
    RowOffsets,
    Speckle,
)

CLEAN = picture(192)
NOISES = {
    "counts": (Poisson(dose=30), lambda m: m / 30),
    "few counts": (Poisson(dose=2), lambda m: m / 2),
    "readout": (Readout(sigma=0.1), lambda m: 0.01 + 0 * m),
    "speckle": (Speckle(sigma=0.3), lambda m: 0.09 * m**2),
    "both": (Compose(noises=(Poisson(dose=30), Readout(sigma=0.1))), lambda m: 0.01 + m / 30),
    "digitised": (Compose(noises=(Poisson(dose=30), Quantisation(levels=40))), lambda m: m / 30),
}


def noisy(noise, seed=0, clean=CLEAN):
    return with_noise(noise, clean, seed)


@pytest.mark.parametrize("name", NOISES)
def test_variance_by_brightness_is_found_in_what_was_taken_away(name):
    noise, true = NOISES[name]
    found = measure_noise([noisy(noise)], [CLEAN])
    assert found.calibrated, found.reason
    expected = true(CLEAN)
    assert found.variance(CLEAN).mean() == pytest.approx(expected.mean(), rel=0.08)
    dark, bright = CLEAN < np.quantile(CLEAN, 0.3), CLEAN > np.quantile(CLEAN, 0.9)
    for part in (dark, bright):
        assert found.variance(CLEAN)[part].mean() == pytest.approx(expected[part].mean(), rel=0.25)


@pytest.mark.parametrize("name", ["counts", "readout", "both"])
def test_the_noisy_image_alone_says_nearly_the_same(name):
    noise, true = NOISES[name]
    assert measure_noise([noisy(noise)]).variance(CLEAN).mean() == pytest.approx(true(CLEAN).mean(), rel=0.2)


def test_turned_contrast_turns_the_noise():
    image = noisy(NOISES["counts"][0])
    plain, turned = measure_noise([image]), measure_noise([-image])
    assert turned.falling and not plain.falling
    np.testing.assert_allclose(turned.variance(-CLEAN), plain.variance(CLEAN), rtol=1e-4)


def test_a_slow_detector_is_seen_in_the_spectrum():
    lag = Compose(noises=(Readout(sigma=0.1), DetectorLag(correlation=0.4)))
    bands = measure_noise([noisy(lag)], [CLEAN]).bands
    assert bands[0] / bands[-1] > 3
    assert measure_noise([noisy(lag)], [CLEAN]).widened(4.0) == pytest.approx((1 + 0.4) / (1 - 0.4), rel=0.15)


def test_row_levels_are_seen():
    rows = Compose(noises=(Readout(sigma=0.1), RowOffsets(sigma=0.05)))
    assert measure_noise([noisy(rows)], [CLEAN]).row_levels
    assert not measure_noise([noisy(Readout(sigma=0.1))], [CLEAN]).row_levels


def test_grain_clipping_and_a_flat_image_are_not_understood():
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=CLEAN.shape), 1.0)
    assert "row to row" in measure_noise([CLEAN + grain], [CLEAN]).reason
    assert "row to row" in measure_noise([CLEAN + grain]).reason
    clipped = np.clip(noisy(Readout(sigma=0.3)), 0.0, 0.6)
    assert "cut the noise off" in measure_noise([clipped], [CLEAN]).reason
    assert measure_noise([np.ones((64, 64))]).reason == "there is no noise to compare with"
    assert "smaller than 48 px" in measure_noise([CLEAN[:40]]).reason
    with pytest.raises(InputError, match="at least one"):
        measure_noise([])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_kept_noise_is_measured(share):
    for name in ("counts", "readout"):
        image = noisy(NOISES[name][0])
        assert noise_kept(image, CLEAN + share * (image - CLEAN)) == pytest.approx(share, abs=0.04)


def test_spikes_stick_out():
    image = noisy(NOISES["readout"][0])
    image[50, 60] += 2
    image[90, 20] -= 2
    found = find_spikes(image, np.full(image.shape, 0.01))
    assert found[50, 60] and found[90, 20] and found.sum() == 2
