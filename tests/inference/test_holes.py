"""Tests of what takes the place of pixels without a value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

import napari_hush as hush
from napari_hush.inference.holes import DEPTH, fill_holes, read_filled

ROWS, COLUMNS = np.mgrid[:160, :192]
HOLES = {
    "narrow": (COLUMNS == 40) | (COLUMNS == 42) | (ROWS == 90),
    "square": (abs(ROWS - 70) < 20) & (abs(COLUMNS - 90) < 30),
    "outside of a disc": np.hypot(ROWS - 80, COLUMNS - 96) > 75,
    "slanted": (ROWS + COLUMNS) % 90 < 25,
    "border": COLUMNS < 3,
    "a pixel within": (abs(ROWS - 70) < 20) & (abs(COLUMNS - 90) < 30) & ((ROWS != 75) | (COLUMNS != 85)),
    "half": COLUMNS > 70,
}


def noise(hole, mean=200.0):
    image = np.random.default_rng(0).normal(mean, 10, hole.shape)
    image[hole] = np.nan
    return image[None]


@pytest.mark.parametrize("name", HOLES)
def test_a_pixel_is_filled_alike_in_every_part(name):
    image = noise(HOLES[name])
    whole = fill_holes(image, 200.0)
    assert np.isfinite(whole).all()
    known = ~HOLES[name]
    np.testing.assert_array_equal(whole[0][known], image[0][known])
    for y in (slice(0, 37), slice(61, 101), slice(120, 160)):
        for x in (slice(0, 50), slice(64, 110), slice(150, 192)):
            part, holes = read_filled(lambda y, x: image[:, y, x], y, x, image.shape[1:], 200.0)
            np.testing.assert_allclose(part, whole[:, y, x], rtol=1e-12)
            assert (holes is None) == np.isfinite(image[:, y, x]).all()


@pytest.mark.parametrize("name", ["square", "outside of a disc", "slanted", "border"])
def test_a_wide_hole_is_as_noisy_as_the_image(name):
    hole = HOLES[name] & (distance_transform_edt(HOLES[name]) < DEPTH / 2)
    filled = fill_holes(noise(HOLES[name]), 0.0)[0]
    assert 8 < filled[hole].std() < 12
    assert abs(filled[hole].mean() - 200) < 3


def test_a_narrow_hole_is_the_mean_of_what_is_near():
    hole = HOLES["narrow"]
    filled = fill_holes(noise(hole), 0.0)[0]
    values = noise(hole)[0]
    assert filled[50, 40] == pytest.approx(np.nanmean(values[48:53, 38:43]))
    assert filled[hole].std() < 6


def test_what_is_far_from_everything_has_the_default():
    filled = fill_holes(noise(HOLES["half"]), 123.0)[0]
    assert (filled[:, 70 + DEPTH + 1 :] == 123).all() and (filled[:, 71 : 70 + DEPTH] != 123).all()
    assert (fill_holes(np.full((1, 20, 20), np.nan), 7.0) == 7).all()


def test_the_image_beside_a_wide_hole_is_denoised_as_elsewhere():
    random = np.random.default_rng(0)
    texture = gaussian_filter(random.random((320, 320)), 3)
    clean = 205 + 60 * (texture - texture.min()) / np.ptp(texture)
    hole = np.zeros(clean.shape, bool)
    hole[100:164, 100:164] = True
    noisy = np.where(hole, np.nan, 200 + random.poisson(clean - 200)).astype(np.float32)
    error = (hush.denoise(noisy, "general", device="cpu") - clean) ** 2
    away = distance_transform_edt(~hole)
    beside, elsewhere = (np.sqrt(error[part].mean()) for part in ((away > 0) & (away <= 32), away > 40))
    assert beside < 1.3 * elsewhere  # 3.6 times where the hole is even


def test_what_float32_cannot_hold_is_a_hole():
    image = noise(np.zeros((40, 40), bool))
    image[0, 10, 10] = 1e300
    filled = fill_holes(image, 0.0)[0]
    assert filled[10, 10] < 300
