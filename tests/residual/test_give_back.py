"""What stands out of the noise comes back, and noise does not."""

from __future__ import annotations

import numpy as np
from cells_picture import picture, with_noise
from scipy import ndimage

from napari_hush.residual.give_back import GiveBack, give_back_margin, measure_give_back
from napari_hush.synthesis.noise.registry import Compose, DetectorLag, Poisson, RowJitter
from napari_hush.synthesis.scenes import random_scene

CLEAN = picture(320)
NOISY = with_noise(Poisson(dose=50), CLEAN, 0)
GIVE = measure_give_back([NOISY], NOISY.size)


def rms(image):
    return float(np.sqrt(np.mean((image - CLEAN) ** 2)))


def test_what_a_smoother_took_comes_back():
    assert isinstance(GIVE, GiveBack)
    away = CLEAN.copy()
    away[100:180, 100:180] = ndimage.gaussian_filter(CLEAN, 12)[100:180, 100:180]
    result, given = GIVE(NOISY, away)
    assert rms(result) < 0.6 * rms(away)
    assert given[120:160, 120:160].any() and not given[:60].any()
    np.testing.assert_allclose(result, away + given, atol=1e-6)


def test_what_was_invented_goes():
    y, x = np.indices(CLEAN.shape)
    spot = np.exp(-((y - 60) ** 2 + (x - 70) ** 2) / 8)
    result, _ = GIVE(NOISY, CLEAN + spot)
    assert (result - CLEAN)[60, 70] < 0.4


def test_a_good_result_stays():
    result, given = GIVE(NOISY, CLEAN)
    assert np.mean(given != 0) < 0.01 and rms(result) < 0.05 * np.std(NOISY - CLEAN)


def test_a_part_gives_the_values_of_the_whole():
    away = ndimage.gaussian_filter(CLEAN, 8)
    whole, _ = GIVE(NOISY, away)
    margin = give_back_margin()
    assert margin == GIVE.margin < 140
    part = (slice(10, 310), slice(20, 300))
    other, _ = GIVE(NOISY[part], away[part])
    inner = (slice(margin, -margin), slice(margin, -margin))
    np.testing.assert_allclose(other[inner], whole[part][inner], atol=1e-6)


def test_a_slow_detector_and_rows_at_wrong_places_are_not_given_back():
    slow = Compose(noises=(RowJitter(rms=0, advance=0.25), Poisson(dose=20), DetectorLag(correlation=0.2)))
    shaken = Compose(noises=(RowJitter(rms=1.0), Poisson(dose=100)))
    for noise in (slow, shaken):
        assert "rows differ from its columns" in str(measure_give_back([with_noise(noise, CLEAN, 0)], CLEAN.size))


def test_the_dark_between_small_columns_has_noise():
    scene = random_scene(np.random.default_rng([17, 0, 0]), shape=(256, 256), period=(6.0, 8.0), lattice_share=1.0)
    clean = np.asarray(scene.clean, np.float64)
    clean = 0.05 + 0.95 * (clean - clean.min()) / (np.percentile(clean, 99.8) - clean.min())
    image = with_noise(Poisson(dose=20), clean, 0)
    give = measure_give_back([image], image.size)
    assert isinstance(give, GiveBack)
    dark = clean < 0.06
    assert give.noise.variance(clean)[dark].mean() > 0.9 * clean[dark].mean() / 20
    assert not give(image, clean)[1].any()


def test_noise_that_is_not_understood_is_not_given_back():
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=CLEAN.shape), 1.5)
    assert "row to row" in str(measure_give_back([CLEAN + grain], CLEAN.size))
