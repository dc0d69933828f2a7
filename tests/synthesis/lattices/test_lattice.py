import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from napari_hush.synthesis import Lattice, random_lattice, random_scene, render_columns, render_lattice

KINDS = ["square", "rectangular", "hexagonal", "oblique", "honeycomb", "dumbbell"]
PAIRED = {"honeycomb", "dumbbell"}


def lattice_of(kind, **options):
    return Lattice(kind=kind, sublattice=0.7 if kind in PAIRED else 0.0, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_shortest_repeat_is_the_period(kind):
    lattice = lattice_of(kind, period=17.0, angle=31.0)
    first, second = lattice.cell
    repeats = [i * first + j * second for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0)]
    assert min(np.hypot(*r) for r in repeats) == pytest.approx(17.0, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_have_the_density_of_the_cell(kind):
    lattice = lattice_of(kind, period=12.0, angle=10.0)
    positions = render_lattice(lattice, (240, 200), 0).positions
    expected = 240 * 200 * len(lattice.basis[0]) / abs(np.linalg.det(lattice.cell))
    assert len(positions) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_nearest_is_the_closest_pair(kind):
    lattice = lattice_of(kind, period=16.0, angle=5.0)
    positions = render_lattice(lattice, (200, 200), 1).positions
    assert cKDTree(positions).query(positions, k=2)[0][:, 1].min() == pytest.approx(lattice.nearest, rel=1e-6)


def test_positions_are_the_peaks_of_isolated_columns():
    lattice = Lattice(kind="oblique", period=24.0, angle=13.0, sigma=0.12, displacement=0.03)
    image, positions, _, _ = render_lattice(lattice, (150, 170), 3)
    inner = positions[np.all((positions > 4) & (positions < np.array([150, 170]) - 5), axis=1)]
    logs = np.log(np.maximum(image.astype(np.float64), 1e-30))  # of a Gaussian a parabola, so three points suffice
    for y, x in inner:
        i, j = round(y), round(x)
        column, row = logs[i - 1 : i + 2, j], logs[i, j - 1 : j + 2]
        found = [k + (v[0] - v[2]) / (2 * (v[0] - 2 * v[1] + v[2])) for k, v in ((i, column), (j, row))]
        assert found == pytest.approx([y, x], abs=0.05)


def test_every_peak_is_a_position():
    lattice = Lattice(kind="hexagonal", period=14.0, vacancies=0.05)
    image, positions, _, _ = render_lattice(lattice, (128, 128), 4)
    peaks = np.argwhere((image == maximum_filter(image, 7)) & (image > 0.5))
    peaks = peaks[np.all((peaks > 2) & (peaks < 125), axis=1)]
    assert cKDTree(positions).query(peaks)[0].max() < 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_peaks_are_about_one(kind):
    image = render_lattice(lattice_of(kind, period=20.0, sigma=0.12, background=0.2), (128, 128), 5).image
    assert image.dtype == np.float32
    assert 0.95 < image.max() < 1.05
    assert image.min() >= 0.2 - 1e-6


def test_vacancies_are_dark_and_as_many_as_asked_for():
    lattice = Lattice(period=10.0, vacancies=0.1, sigma=0.15)
    image, positions, _, vacancies = render_lattice(lattice, (400, 400), 6)
    assert len(vacancies) / (len(vacancies) + len(positions)) == pytest.approx(0.1, abs=0.03)
    y, x = np.clip(np.rint(vacancies).astype(int), 0, 399).T
    assert image[y, x].max() < 0.2


def test_species_tell_the_sublattices_apart():
    lattice = Lattice(kind="honeycomb", period=20.0, sigma=0.1, sublattice=0.5)
    image, positions, species, _ = render_lattice(lattice, (128, 128), 7)
    y, x = np.rint(positions).astype(int).T
    assert image[y, x][species == 0].min() > 0.85
    assert image[y, x][species == 1].max() < 0.6


def test_second_grain_is_turned_and_keeps_its_distance():
    lattice = Lattice(period=12.0, grain_angle=25.0)
    single, double = (render_lattice(v, (256, 256), 8) for v in (Lattice(period=12.0), lattice))
    assert not np.allclose(single.image, double.image)
    gaps = cKDTree(double.positions).query(double.positions, k=2)[0][:, 1]
    assert gaps.min() > 0.6 * lattice.period


def test_strain_changes_the_local_period_by_no_more_than_stated():
    positions = render_lattice(Lattice(period=12.0, strain=0.05), (256, 256), 9).positions
    gaps = cKDTree(positions).query(positions, k=2)[0][:, 1]
    assert 0.94 * 12 < gaps.min() < 12


def test_column_outside_the_image_shows_its_tail():
    image = render_columns(np.array([[-2.0, 10.0], [1e6, 5.0]]), np.ones(2), 2.0, (32, 32))
    assert image[0, 10] == pytest.approx(np.exp(-0.5), abs=1e-5)
    assert image[20:].max() == 0


def test_no_columns_give_an_empty_image():
    assert render_columns(np.empty((0, 2)), np.empty(0), 2.0, (16, 24)).tolist() == np.zeros((16, 24)).tolist()


def test_same_seed_same_lattice():
    lattice = random_lattice(11)
    assert lattice == random_lattice(11)
    np.testing.assert_array_equal(
        render_lattice(lattice, (64, 64), 2).image, render_lattice(lattice, (64, 64), 2).image
    )


def test_random_lattices_stay_in_range():
    drawn = [random_lattice(seed, period=(5.5, 42.0)) for seed in range(200)]
    assert {lattice.kind for lattice in drawn} == set(KINDS)
    assert all(5.5 <= lattice.period <= 42.0 and lattice.sigma <= 0.25 for lattice in drawn)


def test_scene_is_the_lattice_times_the_transmission():
    scene = random_scene(5, shape=(96, 128), lattice_share=1.0, dent_share=1.0)
    assert scene.clean.shape == scene.transmission.shape == (96, 128)
    assert scene.dented
    assert np.all(scene.clean[scene.transmission == 0] == 0)


@pytest.mark.parametrize("seed", range(6))
def test_scene_without_lattice_is_finite_and_not_negative(seed):
    scene = random_scene(seed, shape=(64, 64), lattice_share=0.0, dent_share=0.0)
    assert scene.lattice is None
    assert not scene.dented
    assert np.isfinite(scene.clean).all()
    assert scene.clean.min() >= 0


@pytest.mark.parametrize(
    "wrong", [{"kind": "cubic"}, {"period": 1.0}, {"sigma": 0.0}, {"vacancies": 1.5}, {"kind": "honeycomb"}]
)
def test_impossible_lattice_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)) + "|sublattice"):
        Lattice(**wrong)
