"""The noise of an image, measured on that image alone or on what was taken away."""

from __future__ import annotations

import numpy as np
import pytest
from cells_picture import picture, with_noise
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.residual.noise import measure_noise, noise_kept
from napari_hush.residual.spikes import find_spikes
from napari_hush.synthesis.noise.registry import (
    Compose,
    DetectorLag,
    Poisson,
    Quantisation,
    Readout,
    RowJitter,
    RowOffsets,
    Speckle,
)
from napari_hush.synthesis.pictures.slices import foam

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


def test_a_camera_whose_noise_is_no_parabola_is_followed():
    rng = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0.05, 1, 256), (256, 1))
    variance = 0.01 * (0.1 + ramp**0.5)
    found = measure_noise([ramp + np.sqrt(variance) * rng.normal(size=ramp.shape)], [ramp])
    np.testing.assert_allclose(found.variance(ramp)[0, 8:], variance[0, 8:], rtol=0.12)


def test_pixels_without_a_count_are_no_end_of_the_range():
    slow = (RowJitter(rms=0, advance=0.38), Poisson(dose=5), DetectorLag(correlation=0.28), Quantisation(levels=255))
    clean = 0.05 + 0.95 * np.asarray(foam((256, 256), rng=0), np.float64)
    image, dark = noisy(Compose(noises=slow), clean=clean), ndimage.maximum_filter(clean, 9) < 0.06
    true = 0.05 / 5 * (1 - 0.28) / (1 + 0.28)
    assert measure_noise([image], [clean]).variance(clean)[dark].mean() == pytest.approx(true, rel=0.2)


def test_spikes_stick_out():
    image = noisy(NOISES["readout"][0])
    at = [(50, 60), (50, 61), (90, 20)]
    for (y, x), height in zip(at, (2, 2, -2), strict=True):
        image[y, x] += height
    found = find_spikes(image, CLEAN, np.full(image.shape, 0.01))
    assert sorted(zip(*np.nonzero(found), strict=True)) == at
    step = np.where(np.arange(192) < 96, 0.0, 3.0) * np.ones((192, 1))
    assert find_spikes(image + step, CLEAN + step, np.full(image.shape, 0.01)).sum() == 3


def test_what_the_denoiser_made_is_no_spike():
    image, made = noisy(NOISES["readout"][0]), CLEAN.copy()
    made[50, 60] += 2
    assert not find_spikes(image, made, np.full(image.shape, 0.01)).any()


def test_pepper_that_does_not_stand_alone_is_found_by_its_value():
    image = noisy(NOISES["readout"][0])
    y, x = np.unravel_index(CLEAN.argmax(), CLEAN.shape)
    image = np.maximum(image, -0.2)
    image[y, x] = image[100, 100] = -0.2
    image[99, 100] = image[101, 100] = CLEAN[100, 100] - 0.3
    assert find_spikes(image, CLEAN, np.full(image.shape, 0.01))[[y, 100], [x, 100]].all()


def test_drawn_noise_is_the_noise_of_the_model():
    rng = np.random.default_rng(0)
    clean = np.tile(np.linspace(5, 60, 256), (256, 1))
    model = measure_noise([rng.poisson(clean).astype(float)], [clean])
    drawn = model.draw(clean, 1)
    assert drawn[:, :40].var() == pytest.approx(clean[:, :40].mean(), rel=0.15)
    assert drawn[:, -40:].var() == pytest.approx(clean[:, -40:].mean(), rel=0.15)
    np.testing.assert_array_equal(drawn, model.draw(clean, 1))
