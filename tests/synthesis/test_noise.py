import dataclasses

import numpy as np
import pytest

from napari_hush.synthesis import NOISES, Compose, Lattice, random_scan_noise, render_lattice
from napari_hush.synthesis.noise import (
    DetectorLag,
    MissingLines,
    Poisson,
    Quantisation,
    Readout,
    RowJitter,
    RowOffsets,
    SaltPepper,
)


@pytest.fixture(scope="module")
def lattice():
    return render_lattice(Lattice(period=11.0, background=0.2), (96, 128), 0).image


def lag_1(noise, axis):
    noise = noise - noise.mean()
    a, b = np.delete(noise, 0, axis), np.delete(noise, -1, axis)
    return float(np.mean(a * b) / np.var(noise))


@pytest.mark.parametrize("name", NOISES)
def test_noise_keeps_shape_repeats_and_changes_a_copy(name, lattice):
    noise = NOISES[name]()
    before = lattice.copy()
    one, two = (noise(lattice, np.random.default_rng(7)) for _ in range(2))
    assert one.shape == lattice.shape
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(lattice, before)
    assert not np.array_equal(one, lattice)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_a_frozen_value(name):
    noise = NOISES[name]()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(noise, dataclasses.fields(noise)[0].name, 1)
    assert noise == NOISES[name]()
    assert all(field.name in (NOISES[name].__doc__ or "") for field in dataclasses.fields(noise))


@pytest.mark.parametrize("name", NOISES)
def test_impossible_parameter_is_refused(name):
    first = dataclasses.fields(NOISES[name])[0].name
    with pytest.raises(ValueError, match=first):
        NOISES[name](**{first: -1})


@pytest.mark.parametrize("dose", [2.0, 50.0])
def test_poisson_keeps_the_mean_and_has_the_variance_of_counting(dose):
    noisy = Poisson(dose=dose)(np.full((300, 300), 0.7, np.float32), np.random.default_rng(0)).astype(np.float64)
    assert noisy.mean() == pytest.approx(0.7, rel=0.01)
    assert noisy.var() == pytest.approx(0.7 / dose, rel=0.02)
    np.testing.assert_allclose(noisy * dose, np.rint(noisy * dose), atol=1e-4)


@pytest.mark.parametrize("correlation", [0.1, 0.3, 0.45])
def test_lag_correlates_along_x_only(correlation):
    white = np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)
    noise = DetectorLag(correlation=correlation)(white, np.random.default_rng(0)).astype(np.float64)
    assert lag_1(noise[:, 8:], 1) == pytest.approx(correlation, abs=0.02)
    assert lag_1(noise[:, 8:], 0) == pytest.approx(0, abs=0.02)


def test_lag_keeps_a_flat_image():
    flat = np.full((8, 16), 3.0, np.float32)
    np.testing.assert_allclose(DetectorLag(correlation=0.4)(flat, np.random.default_rng(0)), flat, rtol=1e-6)


def test_advance_undoes_the_mean_shift_of_the_lag():
    x = np.arange(64)
    peak = np.tile(np.exp(-((x - 30.0) ** 2) / 50), (4, 1)).astype(np.float32)
    lag, rng = DetectorLag(correlation=0.4), np.random.default_rng(0)

    def centroid(image):
        return float((image * x).sum() / image.sum())

    assert centroid(lag(peak, rng)) - 30 == pytest.approx(lag.delay, abs=0.01)
    advanced = Compose(noises=(RowJitter(rms=0, correlation=0, advance=lag.delay), lag))(peak, rng)
    assert centroid(advanced) == pytest.approx(30, abs=0.01)


def test_jitter_shifts_rows_by_the_stated_rms_and_correlation():
    ramp = np.tile(np.arange(64, dtype=np.float32), (4000, 1))
    shift = (RowJitter(rms=0.8, correlation=0.6)(ramp, np.random.default_rng(2)) - ramp)[:, 32].astype(np.float64)
    assert shift.std() == pytest.approx(0.8, rel=0.06)
    assert np.corrcoef(shift[1:], shift[:-1])[0, 1] == pytest.approx(0.6, abs=0.05)


def test_jitter_by_whole_pixels_is_exact(lattice):
    moved = RowJitter(rms=0, correlation=0, advance=3)(lattice, np.random.default_rng(0))
    np.testing.assert_array_equal(moved[:, :-3], lattice[:, 3:])


def test_readout_has_the_stated_sigma(lattice):
    added = Readout(sigma=0.2)(lattice, np.random.default_rng(3)) - lattice
    assert added.std() == pytest.approx(0.2, rel=0.03)


def test_row_offsets_are_constant_along_rows():
    added = RowOffsets(sigma=0.5, correlation=0.3)(np.zeros((3000, 5), np.float32), np.random.default_rng(4))
    assert np.all(added == added[:, :1])
    assert added[:, 0].std() == pytest.approx(0.5, rel=0.05)


def test_salt_and_pepper_hit_the_stated_share(lattice):
    noisy = SaltPepper(fraction=0.05, salt=1.0, height=0.5)(lattice, np.random.default_rng(5))
    hit = noisy != lattice
    assert hit.mean() == pytest.approx(0.05, abs=0.01)
    assert np.all(noisy[hit] >= lattice.max())


def test_missing_lines_repeat_the_line_before(lattice):
    noisy = MissingLines(fraction=0.3)(lattice, np.random.default_rng(6))
    lost = np.flatnonzero(np.any(noisy != lattice, axis=1))
    assert 10 < len(lost) < 50
    np.testing.assert_array_equal(noisy[lost], noisy[lost - 1])


def test_quantisation_leaves_the_stated_number_of_levels(lattice):
    noisy = Quantisation(levels=7)(lattice, np.random.default_rng(0))
    assert len(np.unique(noisy)) == 8
    assert np.abs(noisy - lattice).max() <= np.ptp(lattice) / 14 + 1e-6


def test_quantisation_keeps_a_flat_image():
    flat = np.full((4, 4), 2.5, np.float32)
    np.testing.assert_array_equal(Quantisation()(flat, np.random.default_rng(0)), flat)


def test_composition_applies_in_order(lattice):
    noises = (Poisson(dose=5), Readout(sigma=0.1))
    rng = np.random.default_rng(8)
    expected = noises[1](noises[0](lattice, rng), rng)
    np.testing.assert_array_equal(Compose(noises=noises)(lattice, np.random.default_rng(8)), expected)


def test_random_scan_noise_is_readable_and_repeats(lattice):
    one, two = random_scan_noise(9, dose=(4, 4)), random_scan_noise(9, dose=(4, 4))
    assert one == two
    assert [n.dose for n in one.noises if isinstance(n, Poisson)] == [4.0]
    np.testing.assert_array_equal(one(lattice, np.random.default_rng(1)), two(lattice, np.random.default_rng(1)))


def test_random_scan_noise_follows_the_physical_order_and_range():
    order = list(NOISES.values())
    doses = []
    for seed in range(100):
        noises = random_scan_noise(seed, dose=(2, 500)).noises
        ranks = [order.index(type(n)) for n in noises]
        assert ranks == sorted(ranks)
        doses += [n.dose for n in noises if isinstance(n, Poisson)]
    assert len(doses) == 100
    assert 2 <= min(doses) < 6
    assert 150 < max(doses) <= 500
