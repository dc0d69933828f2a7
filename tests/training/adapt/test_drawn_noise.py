"""Noise that is drawn anew: both versions of an image have independent noise."""

import numpy as np
import pytest
from scipy import ndimage

from napari_hush.residual.noise import NoiseModel, measure_noise
from napari_hush.synthesis.noise.registry import DetectorLag
from napari_hush.training.adapt.noise import DrawnNoise, OwnNoise, skewness_of

SIDE = 256
WHOLE = slice(0, SIDE)


def counts(mean):
    """The noise of counts, one unit per count."""
    return NoiseModel(coefficients=(0.0, 1.0, 0.0), zero=0.0, top=mean + 10.0, floor=1e-9, bands=(1.0,) * 32)


@pytest.mark.parametrize("mean", [0.5, 3.0, 300.0])
def test_noise_of_counts_is_independent_also_of_few(mean):
    rng = np.random.default_rng(1)
    own = rng.poisson(mean, (SIDE, SIDE)) - mean
    first, second = DrawnNoise(counts(mean), np.full((SIDE, SIDE), mean)).pair(rng, 0.6, WHOLE, WHOLE)
    one, other = own + first, own + second
    spread = one.std() * other.std()
    assert first.var() == pytest.approx(0.36 * mean, rel=0.05)
    assert np.mean(one * other) / spread == pytest.approx(0, abs=0.02)
    assert np.mean(one**2 * other) / (one.std() * spread) == pytest.approx(0, abs=0.08)


def test_variance_is_that_at_each_brightness():
    bright = np.linspace(2, 50, SIDE)[:, None].repeat(SIDE, axis=1)
    first, _ = DrawnNoise(counts(50.0), bright).pair(np.random.default_rng(0), 1.0, WHOLE, WHOLE)
    assert np.allclose(first.var(axis=1)[::51] / bright[::51, 0], 1, atol=0.35)
    assert first[-64:].var() > 5 * first[:16].var()


def test_noise_keeps_its_correlation_along_the_rows():
    rng = np.random.default_rng(0)
    flat = np.full((SIDE, SIDE), 10.0, np.float32)
    noisy = DetectorLag(correlation=0.5)(rng.normal(flat, 1).astype(np.float32), rng)
    first, _ = DrawnNoise(measure_noise([noisy]), flat).pair(rng, 1.0, WHOLE, WHOLE)

    def neighbours(image, axis):
        image = image - image.mean()
        return np.mean(image * np.roll(image, 1, axis=axis)) / image.var()

    assert neighbours(first, 1) == pytest.approx(neighbours(noisy, 1), abs=0.05)
    assert neighbours(first, 0) == pytest.approx(0, abs=0.03)


def test_part_is_of_its_size():
    noise = DrawnNoise(counts(9.0), np.full((64, 80), 9.0))
    first, second = noise.pair(np.random.default_rng(0), 0.5, slice(3, 20), slice(70, 80))
    assert first.shape == second.shape == (17, 10)


def test_gain_of_an_electron_multiplier_is_told_from_counts():
    rng = np.random.default_rng(0)
    flat = np.full((SIDE, SIDE), 6.0)
    for values, skewness in ((rng.poisson(flat), 1.0), (rng.gamma(np.maximum(rng.poisson(flat), 1e-9)), 1.5)):
        noise = NoiseModel(
            coefficients=(0.0, float(values.var() / 6), 0.0), zero=0.0, top=20.0, floor=1e-9, bands=(1.0,) * 32
        )
        assert skewness_of(noise, flat, values - flat) == pytest.approx(skewness, rel=0.12)


def test_symmetric_noise_has_no_skewness_to_measure():
    noise = NoiseModel(coefficients=(4.0, 0.0, 0.0), zero=0.0, top=20.0, floor=1e-9, bands=(1.0,) * 32)
    assert skewness_of(noise, np.full((64, 64), 9.0), np.random.default_rng(0).normal(0, 2, (64, 64))) == 1


@pytest.mark.parametrize("moved", [False, True])
def test_own_noise_cannot_be_predicted_whatever_its_distribution(moved):
    rng = np.random.default_rng(0)
    bright = np.linspace(2, 50, SIDE)[:, None].repeat(SIDE, axis=1)
    own = (rng.exponential(1, bright.shape) - 1) * np.sqrt(bright)
    noise = OwnNoise(counts(50.0), bright, own, moved)
    first, second = noise.pair(rng, 1.0, WHOLE, WHOLE)
    one, other = ((own + part) / np.sqrt(bright) for part in (first, second))
    assert first.var(axis=1)[::51] / bright[::51, 0] == pytest.approx(1, abs=0.5)
    for power in (1, 2, 3):
        assert np.corrcoef((one**power).ravel(), other.ravel())[0, 1] == pytest.approx(0, abs=0.04)


def test_noise_that_is_moved_keeps_a_grain():
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 5, (SIDE, SIDE)), 1)
    noise = OwnNoise(counts(9.0), np.full((SIDE, SIDE), 9.0), grain, moved=True)
    first, _ = noise.pair(np.random.default_rng(1), 1.0, WHOLE, WHOLE)
    for axis in (0, 1):
        assert np.mean(first * np.roll(first, 1, axis)) == pytest.approx(
            np.mean(grain * np.roll(grain, 1, axis)), rel=0.02
        )


def test_own_noise_has_one_strength():
    noise = OwnNoise(counts(9.0), np.full((64, 64), 9.0), np.zeros((64, 64)), moved=True)
    with pytest.raises(ValueError, match="strength 1"):
        noise.pair(np.random.default_rng(0), 0.5, slice(0, 64), slice(0, 64))
