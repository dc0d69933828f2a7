"""Zoom levels, crops of a few atoms, and targets the published way."""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.synthesis import Lattice, render_lattice
from napari_hush.synthesis.lattices.published import published_targets
from napari_hush.synthesis.lattices.unit_crop import average_cell
from napari_hush.synthesis.lattices.zoom import ZOOM_LEVELS, atoms_at, crop_atoms, zoom_crop

if TYPE_CHECKING:
    from napari_hush.synthesis.lattices.unit_cell import UnitCell


@pytest.fixture(scope="module")
def cell() -> UnitCell:
    lattice = Lattice(kind="rectangular", period=12.0, sigma=0.15, sublattice=0.5, background=0.2)
    return average_cell(render_lattice(lattice, (50, 50), 0).image)


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (3, 96, 128))


def test_calibration_is_36_by_38_atoms_at_20_mx() -> None:
    assert ZOOM_LEVELS == (4, 5, 8, 10, 12, 15, 20, 30)
    assert atoms_at(20) == (36, 38)
    assert atoms_at(4) == (180, 190)
    assert all(atoms_at(m)[0] * m == pytest.approx(720) for m in ZOOM_LEVELS)


@pytest.mark.parametrize("magnification", ZOOM_LEVELS)
def test_field_holds_as_many_atoms_as_its_magnification_says(cell: UnitCell, magnification: float) -> None:
    field = zoom_crop(cell, (480, 512), magnification=magnification, rng=1)
    assert field.image.shape == (480, 512)
    assert len(field.positions) == pytest.approx(36 * 38 * (20 / magnification) ** 2, rel=0.05)


def test_number_of_atoms_can_be_chosen(cell: UnitCell) -> None:
    assert len(zoom_crop(cell, (128, 128), atoms=(6, 6), angle=13).positions) == pytest.approx(36, abs=6)


def test_without_rng_the_brightest_column_is_in_the_middle(cell: UnitCell) -> None:
    field = zoom_crop(cell, (65, 81), atoms=(4, 5), angle=33)
    assert np.unravel_index(field.image.argmax(), field.image.shape) == (32, 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either"),
        ({"magnification": 20, "atoms": (5, 5)}, "either"),
        ({"magnification": 0}, "magnification"),
        ({"atoms": (5, -1)}, "atoms"),
        ({"magnification": 4}, "px per period"),
        ({"magnification": 20, "shape": (0, 9)}, "shape"),
    ],
)
def test_impossible_zoom_is_refused(cell: UnitCell, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        zoom_crop(cell, **{"shape": (96, 96), **options})


def test_each_mask_is_added_to_n_crops_of_its_zoom_level(cell: UnitCell, masks: np.ndarray) -> None:
    targets = published_targets(cell, masks, n=4, magnification=[20, 30, 15], rng=3)
    assert isinstance(targets, GeneratorType)
    drawn = list(targets)
    assert [t.mask_index for t in drawn] == [0] * 4 + [1] * 4 + [2] * 4
    assert [t.magnification for t in drawn[::4]] == [20, 30, 15]
    for target in drawn:
        np.testing.assert_array_equal(target.mask, masks[target.mask_index].astype(np.float32))
        np.testing.assert_array_equal(target.image, target.lattice.image + target.mask)
        assert len(target.lattice.positions) == pytest.approx(1368 * (20 / target.magnification) ** 2, rel=0.08)
    assert not np.array_equal(drawn[0].image, drawn[1].image)


def test_twenty_targets_per_mask_by_default_and_the_seed_repeats_them(cell: UnitCell, masks: np.ndarray) -> None:
    one, two = (list(published_targets(cell, masks[:1], rng=5)) for _ in range(2))
    assert len(one) == 20
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


def test_lattice_spans_0_to_255(cell: UnitCell) -> None:
    target = next(published_targets(cell, np.eye(512)[None], magnification=20))
    assert target.lattice.image.min() == pytest.approx(0, abs=3)
    assert target.lattice.image.max() == pytest.approx(255, abs=3)


def test_lattice_is_turned_by_270_degrees(cell: UnitCell) -> None:
    vectors = next(published_targets(cell, np.eye(512)[None])).lattice.vectors
    scale = np.hypot(*vectors[0]) / np.hypot(*cell.vectors[0])
    y, x = cell.vectors[0] * scale
    np.testing.assert_allclose(vectors[0], (-x, y), atol=1e-6)  # from X towards -Y


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must"),
        ({"masks": np.zeros((0, 64, 64))}, "at least one mask"),
        ({"masks": np.zeros((1, 64, 64))}, "mask 0 is constant"),
        ({"magnification": [20, 30]}, "2 magnifications"),
        ({"magnification": 3}, "px per period"),
        ({"mask_weight": np.nan}, "mask_weight"),
    ],
)
def test_impossible_targets_are_refused_at_the_call(
    cell: UnitCell, masks: np.ndarray, options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        published_targets(cell, **{"masks": masks, **options})


def test_crops_side_by_side_hold_the_asked_atoms() -> None:
    image = np.arange(100 * 130, dtype=np.uint16).reshape(100, 130)
    crops = crop_atoms(image, 6.4, atoms=(5, 4))
    assert crops.images.shape == (15, 32, 26)
    assert crops.scale == (1, 1)
    for crop, (y, x) in zip(crops.images, crops.corners, strict=True):
        np.testing.assert_array_equal(crop, image[y : y + 32, x : x + 26])
    assert crops.corners.max(axis=0).tolist() == [68, 104]


def test_random_crops_repeat_and_reach_the_whole_image() -> None:
    image = np.random.default_rng(0).random((64, 80))
    one, two = (crop_atoms(image, 8.0, n=300, rng=4) for _ in range(2))
    np.testing.assert_array_equal(one.images, two.images)
    assert one.corners.min(axis=0).tolist() == [0, 0]
    assert one.corners.max(axis=0).tolist() == [24, 40]


def test_resampled_crop_keeps_places_and_does_not_fold_back() -> None:
    y, x = np.mgrid[:60, :60]
    ramp = crop_atoms(y + 100.0 * x, 6.0, shape=(60, 15)).images[0]
    np.testing.assert_allclose(np.diff(ramp[5:-5, 5:10], axis=0), 0.5, atol=1e-3)
    np.testing.assert_allclose(np.diff(ramp[5:-5, 5:10], axis=1), 200, rtol=1e-3)
    stripes = crop_atoms((x % 2).astype(float), 12.0, shape=(20, 20)).images[0]
    assert np.ptp(stripes[3:-3, 3:-3]) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing": 0.0}, "spacing"),
        ({"spacing": 30.0}, "larger than the image"),
        ({"n": 0}, "n must"),
        ({"shape": (0, 8)}, "shape"),
        ({"atoms": (5, np.nan)}, "atoms"),
    ],
)
def test_impossible_crops_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        crop_atoms(np.eye(64), **{"spacing": 8.0, **options})
