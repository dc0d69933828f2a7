"""Slices for tomography: where bodies lie, what they are made of, how their rims look."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.synthesis.pictures.specimens import specimen, tomography


def outside(shape: tuple[int, int]) -> np.ndarray:
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    return np.hypot(y[:, None], x) > min(shape) / 2 + 1


@pytest.mark.parametrize("seed", range(4))
def test_a_specimen_is_one_body_in_its_circle_of_air(seed: int) -> None:
    image = specimen((96, 128), cracks=0, rng=seed)
    assert image[outside((96, 128))].max() == 0
    body = ndimage.binary_fill_holes(image > 0)
    assert 0.15 < body.mean() < 0.6
    labels, _ = ndimage.label(body)
    assert np.bincount(labels.ravel())[1:].max() > 0.95 * body.sum()


def test_rims_of_a_specimen_are_as_sharp_at_any_size() -> None:
    for side in (64, 160):
        image = specimen((side, side), regions=0, cracks=0, texture=0.0, rng=2)
        rim = (image > 0.05 * image.max()) & (image < 0.95 * image.max())
        inside = image >= 0.95 * image.max()
        length = np.count_nonzero(inside & ~ndimage.binary_erosion(inside))
        assert rim.sum() < 2 * length


def test_cracks_are_thin_and_darken_only() -> None:
    whole, cracked = (specimen((160, 160), regions=0, cracks=n, texture=0.0, rng=7) for n in (0, 4))
    lost = whole - cracked
    assert lost.min() >= 0
    deep = lost > 0.3 * whole.max()
    assert deep.sum() > 40
    assert not ndimage.binary_opening(deep, np.ones((7, 7))).any()


def test_regions_have_densities_of_their_own() -> None:
    image = specimen((128, 128), regions=4, cracks=0, texture=0.0, rng=1)
    values, counts = np.unique(np.round(image[image > 0.05], 3), return_counts=True)
    assert np.count_nonzero(counts > 60) >= 3
    assert np.ptp(values[counts > 60]) > 0.1


@pytest.mark.parametrize("wrong", [{"regions": -1}, {"cracks": -1}, {"texture": -0.1}])
def test_negative_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must not be negative"):
        specimen((64, 64), rng=0, **wrong)  # type: ignore[arg-type]


def test_slices_lie_in_the_circle_and_differ_in_size_and_sharpness() -> None:
    images = [tomography((64, 80), rng=k) for k in range(24)]
    for image in images:
        assert image[outside((64, 80))].max() < 0.05  # what the blur spreads
        assert image.max() > 0.1
    filled = [float((image > 0.05).mean()) for image in images]
    assert min(filled) < 0.15
    assert max(filled) > 0.35
    steepest = [float(np.abs(np.diff(image, axis=1)).max() / image.max()) for image in images]
    assert min(steepest) < 0.6 < max(steepest)
