"""Unit crops of known lattices, drawn from the formula column by column, against what is found and continued."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.synthesis import Lattice
from napari_hush.synthesis.lattices.unit_crop import average_cell, tile_crop
from napari_hush.synthesis.lattices.unit_lattice import measure_lattice

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow  # large lattices are drawn

CASES = {
    "square": (Lattice(period=12.37, angle=11.0, sigma=0.16), 2.1, 270.0, 1.0),
    "rectangular": (Lattice(kind="rectangular", period=9.71, angle=-33.0, sublattice=0.7, sigma=0.16), 3.0, 27.3, 1.2),
    "hexagonal": (Lattice(kind="hexagonal", period=10.59, angle=197.0, sigma=0.15), 2.5, 142.0, 1.0),
    "oblique": (Lattice(kind="oblique", period=8.13, angle=80.0, sigma=0.17), 3.0, -5.0, 1.0),
    "honeycomb": (Lattice(kind="honeycomb", period=17.31, angle=3.0, sigma=0.1, sublattice=0.6), 2.5, 61.0, 0.9),
    "dumbbell": (Lattice(kind="dumbbell", period=24.57, angle=-20.0, sigma=0.07, sublattice=0.6), 2.5, 200.0, 0.8),
}


def draw(lattice: Lattice, shape: tuple[int, int], origin: tuple[float, float]) -> tuple[NDArray, NDArray]:
    """Add one Gaussian per column without a cut-off; also return the columns that lie well inside."""
    sigma = lattice.sigma * lattice.period
    columns, peaks = lattice.basis
    reach = int(2 * max(shape) / lattice.period) + 4
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    cells = np.stack([i.ravel(), j.ravel()], axis=1)
    sites = np.array(origin) + (cells + columns[:, None]).reshape(-1, 2) @ lattice.cell
    heights = np.repeat(peaks, len(cells))
    near = np.all((sites > -9 * sigma) & (sites < np.array(shape) + 9 * sigma), axis=1)
    sites, heights = sites[near], heights[near]
    y, x = (np.exp(-((np.arange(n)[:, None] - s) ** 2) / (2 * sigma**2)) for n, s in zip(shape, sites.T, strict=True))
    inside = np.all((sites > 2 * sigma) & (sites < np.array(shape) - 1 - 2 * sigma), axis=1)
    return (y * heights) @ x.T, sites[inside]


def unit_crop(lattice: Lattice, periods: float) -> NDArray:
    side = int(np.ceil(periods * np.hypot(*lattice.cell.T).max()))
    return draw(lattice, (side, side + 1), (0.37 * side, 0.41 * side))[0]


def refined_maxima(image: NDArray) -> NDArray:
    """Local maxima above 0.3, each refined by a parabola through the logarithm along Y and X."""
    values = image.astype(np.float64)
    found = np.argwhere((values == maximum_filter(values, 3)) & (values > 0.3))
    found = found[np.all((found > 0) & (found < np.array(values.shape) - 1), axis=1)]
    logs, places = np.log(np.maximum(values, 1e-9)), found.astype(float)
    for axis in (0, 1):
        step = np.eye(2, dtype=int)[axis]
        before, here, after = (logs[tuple((found + k * step).T)] for k in (-1, 0, 1))
        places[:, axis] += (before - after) / (2 * (before + after - 2 * here))
    return places


def off_the_lattice(vectors: NDArray, cell: NDArray) -> float:
    """How far measured vectors end from the true lattice, px; infinite if they span another lattice."""
    ratio = vectors @ np.linalg.inv(cell)
    if abs(abs(np.linalg.det(np.rint(ratio))) - 1) > 1e-9:
        return np.inf
    return float(np.abs((ratio - np.rint(ratio)) @ cell).max())


@pytest.mark.parametrize("name", CASES)
def test_vectors_are_found_to_a_few_thousandths_of_a_pixel(name: str) -> None:
    lattice, periods, _, _ = CASES[name]
    found = measure_lattice(unit_crop(lattice, periods))
    assert off_the_lattice(found.vectors, lattice.cell) < 0.003
    assert found.residual < 1e-2
    short, long = found.periods
    assert short <= long + 1e-3
    assert short == pytest.approx(lattice.period, abs=0.003)
    assert 59.9 < (found.angles[1] - found.angles[0]) % 360 < 120.1


@pytest.mark.parametrize("angle", range(0, 180, 15))
def test_vectors_are_found_at_any_angle(angle: float) -> None:
    lattice = Lattice(kind="hexagonal", period=11.43, angle=angle, sigma=0.16)
    assert off_the_lattice(measure_lattice(unit_crop(lattice, 2.3)).vectors, lattice.cell) < 0.003


@pytest.mark.parametrize("sublattice", [0.1, 0.5, 0.9, 0.97])
def test_nearly_equal_columns_are_told_apart(sublattice: float) -> None:
    lattice = Lattice(period=13.3, angle=20.0, sigma=0.14, sublattice=sublattice)
    assert off_the_lattice(measure_lattice(unit_crop(lattice, 3.0)).vectors, lattice.cell) < 0.003


def test_noise_in_a_large_crop_leaves_the_vectors_exact() -> None:
    lattice = Lattice(kind="hexagonal", period=13.59, angle=7.7, sigma=0.15)
    crop = unit_crop(lattice, 12.0)
    noisy = crop + 0.03 * np.random.default_rng(0).standard_normal(crop.shape)
    assert off_the_lattice(measure_lattice(noisy).vectors, lattice.cell) < 0.003


@pytest.mark.parametrize("name", CASES)
def test_forty_periods_stay_on_the_ideal_lattice_without_a_seam(name: str) -> None:
    lattice, periods, angle, scale = CASES[name]
    side = int(40 * lattice.period * scale)
    origin = (0.5 * side + 0.3, 0.5 * side - 0.2)
    tiled = tile_crop(unit_crop(lattice, periods), (side, side), angle=angle, scale=scale, origin=origin)
    turned = replace(lattice, angle=lattice.angle + angle, period=lattice.period * scale)
    ideal, sites = draw(turned, (side, side), origin)
    away = cKDTree(refined_maxima(tiled.image)).query(sites)[0]
    assert len(away) > 1000
    assert np.sqrt(np.mean(away**2)) < 0.01
    rest = tiled.image - ideal
    assert rest.std() < 1e-3
    blocks = rest[: side // 16 * 16, : side // 16 * 16].reshape(side // 16, 16, side // 16, 16).mean(axis=(1, 3))
    assert np.abs(blocks).max() < 2e-4


def test_positions_and_species_are_those_of_the_lattice() -> None:
    lattice, periods, angle, _ = CASES["dumbbell"]
    tiled = tile_crop(unit_crop(lattice, periods), (300, 260), angle=angle, origin=(100.3, 90.1))
    _, sites = draw(replace(lattice, angle=lattice.angle + angle), (300, 260), (100.3, 90.1))
    gap, nearest = cKDTree(tiled.positions).query(sites)
    assert gap.max() < 0.02
    assert len(np.unique(nearest)) == len(sites)
    y, x = np.rint(tiled.positions).astype(int).T
    height = tiled.image[y, x]
    assert height[tiled.species == 0].min() > 0.8
    assert height[tiled.species == 1].max() < 0.65
    assert np.abs(tiled.positions - [100.3, 90.1]).sum(axis=1).min() < 1e-9


@pytest.mark.parametrize("name", CASES)
def test_unturned_image_begins_with_the_crop(name: str) -> None:
    lattice, periods, _, _ = CASES[name]
    crop = unit_crop(lattice, periods)
    np.testing.assert_allclose(tile_crop(crop, crop.shape).image, crop, atol=2e-3)


def test_270_degrees_is_rot90() -> None:
    crop = unit_crop(CASES["oblique"][0], 3.0)
    middle = average_cell(crop).origin
    turned_middle = (crop.shape[1] - 1 - middle[1], middle[0])
    turned = tile_crop(crop, crop.shape[::-1], angle=270, origin=turned_middle)
    np.testing.assert_allclose(turned.image, np.rot90(crop), atol=1e-3)


def test_shrunk_lattice_looks_the_same_wherever_the_pixels_fall() -> None:
    crop = unit_crop(Lattice(period=16.0, sigma=0.08), 3.0)
    spreads = [tile_crop(crop, (240, 240), scale=0.19, origin=(s, 0.3 * s)).image.std() for s in (0.0, 0.4, 0.8)]
    assert spreads == pytest.approx([spreads[0]] * 3, rel=0.01)


def test_known_vectors_are_used_as_given() -> None:
    crop = unit_crop(CASES["square"][0], 3.0)
    given = np.array([(0.0, 12.5), (12.5, 0.0)])
    np.testing.assert_array_equal(tile_crop(crop, (64, 64), vectors=given).vectors, given)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_integer_crops_keep_their_unit(dtype: str) -> None:
    crop = (40 + 200 * unit_crop(CASES["square"][0], 4.0)).astype(dtype)
    tiled = tile_crop(crop, (100, 100))
    assert tiled.image.dtype == np.float32
    assert tiled.image.min() == pytest.approx(40, abs=2)
    assert tiled.image.max() == pytest.approx(239, abs=3)


def test_period_of_a_real_image_is_found(data_dir: Path) -> None:
    image = np.asarray(read_image(data_dir / "stem/Tecnai_Osiris_SrTiO3_r_em.tif").data)
    short, long = measure_lattice(image[100:300, 100:300]).periods
    assert short == pytest.approx(long, rel=0.03)
    assert short == pytest.approx(25.6, rel=0.03)


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        (np.random.default_rng(0).random((40, 40)), "no lattice"),
        (draw(Lattice(period=30.0), (40, 40), (20, 20))[0], "no lattice"),
        (np.tile(np.sin(np.arange(40.0)), (40, 1)), "no lattice"),
        (np.arange(30.0)[None], "no lattice"),
        (np.full((30, 30), 1), "constant"),
        (np.where(np.eye(30) > 0, np.inf, 0), "infinite"),
        (np.zeros((3, 30, 30)), r"\(Y, X\)"),
    ],
    ids=["noise", "one period", "stripes", "row", "constant", "infinite", "stack"],
)
def test_crop_without_a_lattice_is_refused(crop: NDArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_lattice(crop)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "scale"),
        ({"scale": 0.1}, "px per period"),
        ({"angle": np.nan}, "angle"),
        ({"origin": (1.0, np.inf)}, "origin"),
        ({"shape": (0, 5)}, "shape"),
        ({"vectors": [(1.0, 2.0), (2.0, 4.0)]}, "vectors"),
        ({"vectors": [(0.0, 40.0), (40.0, 0.0)]}, "at least two periods"),
    ],
)
def test_impossible_tiling_is_refused(options: dict, message: str) -> None:
    crop = unit_crop(CASES["square"][0], 2.5)
    with pytest.raises(InputError, match=message):
        tile_crop(crop, **{"shape": (64, 64), **options})
