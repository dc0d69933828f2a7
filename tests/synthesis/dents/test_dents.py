import numpy as np
import pytest

from napari_hush.synthesis import DENTS, ellipse, random_dent, smooth_field


@pytest.mark.parametrize("kind", DENTS)
@pytest.mark.parametrize("seed", range(4))
def test_transmission_lies_between_0_and_1(kind, seed):
    t = DENTS[kind]((96, 80), 8.0, np.random.default_rng(seed))
    assert t.shape == (96, 80)
    assert t.dtype == np.float32
    assert t.min() >= 0
    assert t.max() <= 1


def test_random_dent_shows_and_repeats():
    dents = [random_dent((96, 96), 8.0, seed) for seed in range(20)]
    assert all(0 <= t.min() and t.max() <= 1 for t in dents)
    assert np.mean([t.min() < 0.85 for t in dents]) > 0.7
    np.testing.assert_array_equal(dents[3], random_dent((96, 96), 8.0, 3))


@pytest.mark.parametrize("depth", [0.2, 0.6, 1.0])
def test_ellipse_has_the_stated_depth_and_width(depth):
    t = ellipse((101, 101), centre=(50, 50), fwhm=(40, 40), depth=depth, edge=3)
    assert t[50, 50] == pytest.approx(1 - depth, abs=1e-4)
    half = np.count_nonzero(t[50] < 1 - depth / 2)
    assert half == pytest.approx(40, abs=1)


def test_ellipse_axes_follow_the_angle():
    t = ellipse((101, 101), centre=(50, 50), fwhm=(60, 20), angle=90, edge=2)
    dark = t < 0.5
    assert dark[:, 50].sum() == pytest.approx(60, abs=2)
    assert dark[50].sum() == pytest.approx(20, abs=2)


@pytest.mark.parametrize("wrong", [{"depth": 1.2}, {"edge": 0.0}, {"fwhm": (0.0, 3.0)}])
def test_impossible_ellipse_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ellipse((8, 8), **{"centre": (4, 4), "fwhm": (3, 3), **wrong})


def test_smooth_field_is_standardised_and_as_smooth_as_stated():
    field = smooth_field((256, 256), 6.0, np.random.default_rng(0)).astype(np.float64)
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, abs=1e-4)
    lag = 6  # white noise smoothed by sigma is correlated by exp(-d^2 / 4 sigma^2)
    assert np.mean(field[:, lag:] * field[:, :-lag]) == pytest.approx(np.exp(-0.25), abs=0.08)


def test_smooth_field_without_length_is_refused():
    with pytest.raises(ValueError, match="length"):
        smooth_field((8, 8), 0.0, np.random.default_rng(0))
