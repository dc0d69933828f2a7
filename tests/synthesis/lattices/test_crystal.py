"""Crystals of unit cells whose columns are known: what is drawn against where it must be and how bright."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hush.errors import InputError
from napari_hush.synthesis import Lattice, UnitCell, average_cell, random_lattice, render_cell, render_lattice
from napari_hush.synthesis.lattices.crystal import Flaws, least_period, random_crystal, random_flaws, render_crystal

LATTICES = {
    "square": Lattice(period=12.3, sigma=0.15),
    "hexagonal": Lattice(kind="hexagonal", period=20.0, sigma=0.13),
    "centred": Lattice(period=24.0, sigma=0.11, sublattice=0.4),
    "honeycomb": Lattice(kind="honeycomb", period=24.0, sigma=0.1, sublattice=0.6),
    "dumbbell": Lattice(kind="dumbbell", period=24.0, sigma=0.08, sublattice=0.6),
}


@pytest.fixture(scope="module")
def cells() -> dict[str, UnitCell]:
    return {name: average_cell(render_lattice(lattice, (56, 56), 0).image) for name, lattice in LATTICES.items()}


def maxima(image, sites):
    """Sub-pixel maxima next to the sites: a parabola in y and x through the logarithm of 3 x 3 px."""
    logs = np.log(np.maximum(image.astype(np.float64), 1e-9))
    y, x = (step.ravel() for step in np.mgrid[-1:2, -1:2])
    solve = np.linalg.pinv(np.stack([np.ones(9), y, x, y * y, x * x, x * y], axis=1))
    found = []
    for place in np.rint(sites).astype(int):
        window = logs[place[0] - 1 : place[0] + 2, place[1] - 1 : place[1] + 2]
        _, by, bx, yy, xx, xy = solve @ window.ravel()
        found.append(place - np.linalg.solve([[2 * yy, xy], [xy, 2 * xx]], [by, bx]))
    return np.array(found)


def well_inside(sites, shape, rim):
    return sites[np.all((sites > rim) & (sites < np.array(shape) - 1 - rim), axis=1)]


@pytest.mark.parametrize("name", LATTICES)
def test_columns_are_exactly_where_the_truth_says(cells, name):
    flaws = Flaws(displacement=0.02, intensity_spread=0.1, strain=0.03)
    for period, angle in ((15.0, 20.0), (25.0, 300.0)):
        crystal = render_crystal(cells[name], (160, 180), 1, period=period, angle=angle, flaws=flaws)
        sites = well_inside(crystal.positions, (160, 180), 3)
        assert len(sites) > 20
        assert np.hypot(*(maxima(crystal.image, sites) - sites).T).max() < 0.02


@pytest.mark.parametrize("name", LATTICES)
def test_perfect_crystal_is_the_rendered_cell(cells, name):
    cell = cells[name]
    crystal = render_crystal(cell, (90, 100), 3, period=16.0, angle=33.0)
    scale = 16.0 / np.hypot(*cell.vectors.T).min()
    origin = crystal.positions[crystal.species == 0][0]
    exact = render_cell(cell, (90, 100), angle=33.0, scale=scale, origin=(origin[0], origin[1]))
    assert len(crystal.positions) == len(exact.positions)
    assert cKDTree(exact.positions).query(crystal.positions)[0].max() < 1e-5
    low, high = crystal.image.min(), crystal.image.max()
    image = (exact.image - exact.image.min()) / np.ptp(exact.image) * (high - low) + low
    np.testing.assert_allclose(crystal.image, image, atol=0.01)


@pytest.mark.parametrize("name", LATTICES)
@pytest.mark.parametrize("background", [0.0, 0.3])
def test_minimum_is_the_background_and_the_brightest_column_is_one(cells, name, background):
    for vacancies in (0.0, 0.05):
        flaws = Flaws(background=background, vacancies=vacancies)
        image = render_crystal(cells[name], (120, 120), 0, period=20.0, angle=10.0, flaws=flaws).image
        assert image.dtype == np.float32
        assert image.min() == pytest.approx(background, abs=5e-3)
        assert image.max() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", LATTICES)
@pytest.mark.parametrize("period", [8.0, 22.0])
def test_vacancy_shows_the_background_without_hole_or_ring(cells, name, period):
    shape = (150, 150)
    perfect = render_crystal(cells[name], shape, 4, period=period, angle=15.0)
    holed = render_crystal(cells[name], shape, 4, period=period, angle=15.0, flaws=Flaws(vacancies=0.1))
    assert len(perfect.positions) == len(holed.positions) + len(holed.vacancies)
    gone = well_inside(holed.vacancies, shape, 3)
    assert len(gone) > 2
    assert ndimage.map_coordinates(holed.image, gone.T, order=1).max() < 0.05
    assert holed.image.min() >= 0
    assert np.all(holed.image <= perfect.image + 1e-6)
    # Only what lies nearer to a vacancy than to the columns is gone; the neighbours keep their peaks.
    peaks = [ndimage.map_coordinates(c.image, holed.positions.T, order=1) for c in (holed, perfect)]
    np.testing.assert_allclose(peaks[0], peaks[1], atol=0.02)


def test_missing_gaussian_leaves_what_its_neighbours_give():
    lattice = Lattice(period=16.0, sigma=0.2)
    cell = average_cell(render_lattice(lattice, (60, 60), 0).image)
    crystal = render_crystal(cell, (128, 128), 2, period=16.0, flaws=Flaws(vacancies=0.05))
    gap = well_inside(crystal.vacancies, (128, 128), 20)[0]
    y, x = np.mgrid[-8:9, -8:9] + np.rint(gap).astype(int)[:, None, None]

    left = sum(np.exp(-((y - p) ** 2 + (x - q) ** 2) / (2 * 3.2**2)) for p, q in crystal.positions)
    np.testing.assert_allclose(crystal.image[y, x], left, atol=0.02)


def test_spread_changes_peaks_from_column_to_column(cells):
    crystal = render_crystal(cells["square"], (256, 256), 0, period=10.0, flaws=Flaws(intensity_spread=0.1))
    peaks = ndimage.map_coordinates(crystal.image, well_inside(crystal.positions, (256, 256), 3).T, order=3)
    assert peaks.std() == pytest.approx(0.1, rel=0.15)
    assert peaks.mean() == pytest.approx(1, abs=0.03)


def test_strain_and_displacement_are_as_large_as_stated(cells):
    period, shape = 10.0, (256, 256)
    perfect = render_crystal(cells["square"], shape, 5, period=period)

    def moved(**flaws):
        bent = render_crystal(cells["square"], shape, 5, period=period, flaws=Flaws(**flaws))
        near, index = cKDTree(perfect.positions).query(bent.positions)
        sure = near < 0.45 * period
        return (bent.positions - perfect.positions[index])[sure]

    assert moved(displacement=0.03).std() == pytest.approx(0.3, rel=0.1)
    wave = moved(strain=0.02)
    assert 0.02 * period / 10 < np.abs(wave).max() < 0.02 * 256 / np.pi
    for _ in range(2):
        assert np.array_equal(wave, moved(strain=0.02))


def test_random_crystals_stay_in_their_ranges(cells):
    for seed, cell in enumerate(list(cells.values()) * 2):
        crystal = random_crystal(cell, (64, 80), seed, period=(9.0, 24.0))
        assert crystal.image.shape == (64, 80)
        assert crystal.image.dtype == np.float32
        assert np.isfinite(crystal.image).all()
        assert crystal.image.min() >= 0
        assert crystal.image.max() < 2
        assert 9 <= crystal.period <= 24
        assert crystal.positions.shape == (len(crystal.species), 2)
        assert crystal.species.max() == len(cell.columns) - 1
        again = random_crystal(cell, (64, 80), seed, period=(9.0, 24.0))
        assert all(np.array_equal(a, b) for a, b in zip(crystal, again, strict=True))


def test_flaws_are_drawn_as_for_a_lattice():
    drawn = [random_flaws(seed) for seed in range(300)]
    tops = {name: max(getattr(f, name) for f in drawn) for name in asdict(drawn[0])}
    assert tops == pytest.approx(
        {
            "displacement": 0.03,
            "intensity_spread": 0.12,
            "vacancies": 0.05,
            "background": 0.5,
            "strain": 0.03,
            "thickness": 0.12,
        },
        rel=0.1,
    )
    assert np.mean([f.vacancies > 0 for f in drawn]) == pytest.approx(0.7, abs=0.1)
    assert np.mean([f.strain > 0 for f in drawn]) == pytest.approx(0.1, abs=0.06)
    assert all(getattr(random_lattice(0), name) <= top for name, top in tops.items())


def test_period_never_falls_below_what_the_cell_can_show(cells):
    sharp = average_cell(render_lattice(Lattice(period=24.0, sigma=0.05), (56, 56), 0).image)
    least = least_period(sharp)
    assert 8 < least < 14
    assert random_crystal(sharp, (48, 48), 0, period=(2.0, least)).period == pytest.approx(least)
    for cell in cells.values():
        assert least_period(cell) < 8
    with pytest.raises(InputError, match="stripes"):
        random_crystal(sharp, (48, 48), 0, period=(2.0, 0.9 * least))
    with pytest.raises(InputError, match="stripes"):
        render_crystal(sharp, (48, 48), 0, period=0.9 * least)


@pytest.mark.parametrize("period", [(0.0, 10.0), (12.0, 10.0), (5.0, np.inf), (np.nan, 10.0)])
def test_impossible_periods_are_refused(cells, period):
    with pytest.raises(InputError, match="period"):
        random_crystal(cells["square"], (48, 48), 0, period=period)


@pytest.mark.parametrize("options", [{"shape": (0, 5)}, {"shape": (5,)}, {"angle": np.nan}, {"period": np.nan}])
def test_impossible_options_are_refused(cells, options):
    with pytest.raises(InputError, match=next(iter(options))):
        render_crystal(cells["square"], options.pop("shape", (48, 48)), 0, **{"period": 12.0, **options})


def test_impossible_flaws_are_refused():
    with pytest.raises(InputError, match="vacancies"):
        Flaws(vacancies=1.5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 3)])
def test_tiny_images_are_drawn(cells, shape):
    image = render_crystal(cells["dumbbell"], shape, 0, period=20.0, flaws=random_flaws(1)).image
    assert image.shape == shape
    assert np.isfinite(image).all()
