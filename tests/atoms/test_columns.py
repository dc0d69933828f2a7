import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from napari_hush.atoms.columns import find_atoms, fit_atoms, match_atoms
from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.synthesis import Lattice, render_columns, render_lattice
from napari_hush.synthesis.noise.registry import Poisson


def inside(positions, shape, margin):
    return (positions.min(axis=1) > margin) & ((np.array(shape) - 1 - positions).min(axis=1) > margin)


def check(image, truth, spacing, *, radius, error):
    """Every column that is well inside is found, nothing else is, and the positions are right."""
    found = find_atoms(image, spacing)
    matches = match_atoms(truth, found, radius)
    assert not len(matches.extra)
    assert not inside(truth[matches.missed], image.shape, 1.25 * spacing).any()
    assert np.sqrt(np.mean(matches.distances**2)) < error


@pytest.mark.parametrize("period", [5.7, 12.0, 30.0])
@pytest.mark.parametrize(
    ("kind", "sigma", "second"),
    [
        ("square", 0.25, 0.0),
        ("square", 0.16, 0.8),
        ("rectangular", 0.2, 0.7),
        ("hexagonal", 0.13, 0.0),
        ("oblique", 0.22, 0.0),
        ("honeycomb", 0.14, 0.8),
    ],
)
def test_all_columns_of_a_clean_lattice_are_found_where_they_are(kind, sigma, second, period):
    lattice = Lattice(
        kind=kind, period=period, sigma=sigma, sublattice=second, angle=17.0, displacement=0.02, vacancies=0.05,
        background=0.2, thickness=0.0 if second else 0.05, intensity_spread=0.0 if second else 0.1,
    )  # fmt: skip
    image, truth, _, _ = render_lattice(lattice, (160, 170), 3)
    check(image, truth, lattice.nearest, radius=0.25 * period, error=0.01 * period)


def test_dumbbells_are_two_columns_at_the_distance_of_nearest_columns():
    lattice = Lattice(kind="dumbbell", period=14.0, sigma=0.1, sublattice=0.8, angle=31.0, displacement=0.02)
    image, truth, _, _ = render_lattice(lattice, (128, 128), 1)
    check(image, truth, lattice.nearest, radius=0.25 * 14.0, error=0.01 * 14.0)


@pytest.mark.parametrize(("angle", "phase"), [(0, 0.0), (20, 0.0), (45, 0.0), (45, 0.25)])
def test_a_pair_of_two_pixels_is_two_columns(angle, phase):
    step = 2.2 if angle == 45 else 2.0
    ends = np.array([[0.0, 0.0], [np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))]])
    truth = 20 + phase + step * ends
    image = render_columns(truth, np.array([1.0, 0.8]), 0.7, (41, 41))
    assert match_atoms(truth, find_atoms(image, 4.0), 0.5).f1 == 1


def test_a_vacancy_next_to_a_column_does_not_pull_it():
    truth = np.array([(y, x) for y in range(10, 90, 10) for x in range(10, 90, 10) if (y, x) != (50, 50)], dtype=float)
    atoms = fit_atoms(render_columns(truth, np.ones(len(truth)), 2.5, (98, 98)), 10.0)
    matches = match_atoms(truth, atoms.positions, 2.5)
    assert not len(matches.extra)
    assert matches.distances.max() < 0.1
    assert np.hypot(*(atoms.positions - (50, 50)).T).min() > 9


def test_heights_and_widths_are_those_of_the_columns_in_any_unit():
    rng = np.random.default_rng(0)
    truth = np.array([(y, x) for y in range(20, 100, 16) for x in range(20, 100, 16)]) + rng.uniform(-0.5, 0.5, (25, 2))
    heights = rng.uniform(0.5, 1, 25)
    image = 3e4 + 2e4 * render_columns(truth, heights, 2.8, (116, 116)).astype(np.float64)
    atoms = fit_atoms(np.rint(image).astype(np.uint16), 16.0)
    pairs = match_atoms(truth, atoms.positions, 1.0).pairs
    assert len(pairs) == 25
    assert atoms.fitted.all()
    np.testing.assert_allclose(atoms.heights[pairs[:, 1]], 2e4 * heights[pairs[:, 0]], rtol=0.01)
    np.testing.assert_allclose(atoms.sigmas, 2.8, rtol=0.01)


def test_dark_columns_are_found_like_bright_ones():
    image, truth, _, _ = render_lattice(Lattice(period=9.0, displacement=0.02), (80, 80), 0)
    bright, dark = fit_atoms(image, 9.0), fit_atoms(5 - image, 9.0, dark=True)
    np.testing.assert_allclose(dark.positions, bright.positions, atol=1e-4)
    np.testing.assert_allclose(dark.heights, bright.heights, rtol=1e-3)
    assert match_atoms(truth, find_atoms(5 - image, 9.0), 2.25).recall == 0


def test_noise_leaves_positions_near_the_physical_limit():
    lattice = Lattice(period=12.0, sigma=0.18, angle=20.0)
    image, truth, _, _ = render_lattice(lattice, (200, 200), 0)
    matches = match_atoms(truth, find_atoms(Poisson(dose=10)(image, np.random.default_rng(1)), 12.0), 3.0)
    limit = 2.16 / np.sqrt(2 * np.pi * 2.16**2 * 10) * np.sqrt(2)  # sigma / sqrt(counts), both axes
    assert matches.precision == 1
    assert limit < np.sqrt(np.mean(matches.distances**2)) < 1.5 * limit


def test_flips_and_turns_move_the_columns_alike():
    image = render_lattice(Lattice(kind="oblique", period=8.3, displacement=0.03, angle=9.0), (70, 90), 0).image
    found = find_atoms(image, 8.3)
    for turned, back in (
        (image[::-1], lambda p: np.stack([69 - p[:, 0], p[:, 1]], axis=1)),
        (image.T, lambda p: p[:, ::-1]),
    ):
        matches = match_atoms(found, back(find_atoms(turned, 8.3)), 0.5)
        assert matches.f1 == 1
        assert matches.distances.max() < 1e-3


def test_large_images_are_searched_in_strips_without_seams():
    image, truth, _, _ = render_lattice(Lattice(period=7.0, displacement=0.02), (530, 60), 2)
    check(image, truth, 7.0, radius=1.75, error=0.07)


def test_the_border_of_one_spacing_is_left_out():
    found = find_atoms(render_lattice(Lattice(period=10.0), (90, 120), 0).image, 10.0)
    assert len(found) > 50
    assert inside(found, (90, 120), 10.0 - 1e-9).all()


def test_columns_under_a_fifth_of_the_contrast_are_left_out():
    truth = np.array([(y, x) for y in range(20, 200, 20) for x in range(20, 200, 20)], dtype=float)
    for faint, seen in ((0.34, False), (0.42, True)):
        peaks = np.ones(len(truth))
        peaks[40] = faint
        found = find_atoms(render_columns(truth, peaks, 3.0, (221, 221)), 20.0)
        assert (np.hypot(*(found - truth[40]).T).min() < 1) == seen


def test_nothing_is_found_where_nothing_is():
    for image in (
        np.full((64, 64), 60000, dtype=np.uint16),
        np.full((64, 64), 0.1),
        np.linspace(0, 1, 80) * np.ones((80, 1)),
        np.ones((11, 200)),
        np.zeros((1, 1)),
    ):
        atoms = fit_atoms(image, 6.0)
        assert atoms.positions.shape == (0, 2)
        assert atoms.heights.shape == atoms.sigmas.shape == atoms.fitted.shape == (0,)
    single = np.zeros((90, 90))
    single[40, 41] = 1
    np.testing.assert_allclose(find_atoms(single, 9.0), [(40, 41)], atol=1e-3)


def test_pixels_that_are_not_finite_are_filled():
    image, truth, _, _ = render_lattice(Lattice(period=12.0), (100, 100), 0)
    image = image.copy()
    image[50, 50], image[30, 60], image[:, 72] = np.nan, np.inf, np.nan
    found = find_atoms(image, 12.0)
    matches = match_atoms(truth, found, 3.0)
    assert not len(matches.extra)
    assert not inside(truth[matches.missed], image.shape, 15.0).any()
    with pytest.raises(InputError, match="more than half"):
        find_atoms(np.full((50, 50), np.nan), 6.0)


def test_noise_alone_gives_finite_answers():
    atoms = fit_atoms(np.random.default_rng(0).poisson(0.3, (150, 150)), 6.0)
    assert len(atoms.positions) > 20
    assert np.isfinite(atoms.positions).all()
    assert (atoms.heights >= 0).all()
    assert np.array_equal(np.isfinite(atoms.sigmas), atoms.fitted)


@pytest.mark.parametrize("spacing", [2.0, -5.0, np.nan, np.inf, None])
def test_a_spacing_that_cannot_be_is_refused(spacing):
    with pytest.raises(InputError, match="over 2 px"):
        find_atoms(np.ones((40, 40)), spacing)


@pytest.mark.parametrize("image", [np.ones((3, 40, 40)), np.ones((40, 40), complex), np.ones((0, 5)), [["a"]]])
def test_what_is_no_plane_of_numbers_is_refused(image):
    with pytest.raises(InputError, match="one plane"):
        find_atoms(image, 6.0)


def test_matching_takes_the_most_pairs_and_then_the_nearest():
    # The nearest pair first would leave two points alone.
    chain = match_atoms([(0, 0), (0, 2)], [(0, 1.9), (0, 3.8)], 2.0)
    assert chain.pairs.tolist() == [[0, 0], [1, 1]]
    crossed = match_atoms([(0, 0), (0, 1)], [(0, 1.1), (0, 0.2)], 2.0)
    assert crossed.pairs.tolist() == [[0, 1], [1, 0]]
    np.testing.assert_allclose(crossed.distances, [0.2, 0.1])


@pytest.mark.parametrize("seed", range(5))
def test_matching_agrees_with_the_dense_assignment(seed):
    rng = np.random.default_rng(seed)
    true, found, radius = rng.uniform(0, 30, (60, 2)), rng.uniform(0, 30, (70, 2)), 3.0
    distance = np.hypot(*(true[:, None] - found).transpose(2, 0, 1))
    cost = np.where(distance <= radius, distance - 1e3, 0.0)
    i, j = linear_sum_assignment(cost)
    kept = distance[i, j] <= radius
    matches = match_atoms(true, found, radius)
    assert len(matches.pairs) == kept.sum()
    np.testing.assert_allclose(matches.distances.sum(), distance[i[kept], j[kept]].sum())
    assert len(np.unique(matches.pairs[:, 0])) == len(np.unique(matches.pairs[:, 1])) == len(matches.pairs)
    assert sorted([*matches.pairs[:, 0], *matches.missed]) == list(range(60))
    assert sorted([*matches.pairs[:, 1], *matches.extra]) == list(range(70))
    assert matches.recall == len(matches.pairs) / 60
    assert matches.precision == len(matches.pairs) / 70
    assert matches.f1 == pytest.approx(2 / (1 / matches.recall + 1 / matches.precision))


def test_equal_points_match_at_distance_zero():
    points = np.random.default_rng(0).uniform(0, 9, (20, 2))
    assert match_atoms(points, points, 1.0).distances.max() == 0


def test_matching_nothing_is_nan_where_undefined():
    none = match_atoms([], [], 1.0)
    assert np.isnan([none.recall, none.precision, none.f1]).all()
    missed = match_atoms([(1, 2)], np.empty((0, 2)), 1.0)
    assert (missed.recall, missed.f1) == (0, 0)
    assert np.isnan(missed.precision)
    assert missed.missed.tolist() == [0]


def test_positions_and_radii_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="found must be finite positions"):
        match_atoms([(1, 2)], [(1, np.nan)], 1.0)
    with pytest.raises(InputError, match=r"true must be .* got shape \(1, 3\)"):
        match_atoms([(1, 2, 3)], [(1, 2)], 1.0)
    with pytest.raises(InputError, match="radius"):
        match_atoms([(1, 2)], [(1, 2)], 0)


def test_atoms_that_an_expert_marked_are_found_in_a_real_image(data_dir):
    image = read_image(data_dir / "atoms" / "bpy_crop20.tif").data
    marked = np.loadtxt(data_dir / "atoms" / "bpy_crop20.csv", delimiter=",", skiprows=1)[:, ::-1]
    matches = match_atoms(marked, find_atoms(np.asarray(image), 18.4), 6.1)
    core = inside(marked, image.shape, 23.0)
    assert core.sum() > 60
    assert np.isin(np.flatnonzero(core), matches.pairs[:, 0]).mean() > 0.9
