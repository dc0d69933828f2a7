import dataclasses
import json
import tomllib

import numpy as np
import pytest

from napari_hush.declare import declared
from napari_hush.errors import InputError
from napari_hush.synthesis import NOISES, Compose, Lattice, random_scan_noise, render_lattice
from napari_hush.synthesis.noise.registry import (
    DetectorLag,
    GainOffset,
    Gaussian,
    MissingLines,
    Poisson,
    Quantisation,
    Readout,
    RowJitter,
    RowOffsets,
    SaltPepper,
    SparseAngles,
    Speckle,
    Spikes,
    noise_from_dict,
    noise_to_dict,
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


def numbers(name):
    """The parameters of a noise that are numbers, as it declares them."""
    return [one for one in declared(NOISES[name]).values() if int in one.kinds or float in one.kinds]


@pytest.mark.parametrize("name", NOISES)
def test_impossible_parameter_is_refused(name):
    for one in numbers(name):
        assert one.bounds is not None, one.name
        for bound, step in ((one.bounds.low, -1), (one.bounds.high, 1)):
            if np.isfinite(bound):
                beyond = bound * (1 + step * np.sign(bound) * 1e-6) + step
                with pytest.raises(InputError, match=f"^{NOISES[name].__name__}: {one.name} must be"):
                    NOISES[name](**{one.name: int(beyond) if float not in one.kinds else beyond})


@pytest.mark.parametrize("name", NOISES)
def test_every_parameter_is_described_in_the_docstring(name):
    for one in declared(NOISES[name]).values():
        assert len(one.text.split()) >= 3, one.name


@pytest.mark.parametrize("name", NOISES)
def test_noise_goes_through_json_and_back(name):
    noise = NOISES[name]()
    mapping = json.loads(json.dumps(noise_to_dict(noise)))
    assert mapping["name"] == name
    assert noise_from_dict(mapping) == noise
    assert noise_from_dict({"name": name}) == noise


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("value", ["much", True, float("nan")])
def test_parameter_that_is_no_number_is_refused(name, value):
    for one in numbers(name):
        with pytest.raises(InputError, match=f"{one.name} must be"):
            noise_from_dict({"name": name, one.name: value})


def test_chain_is_read_from_toml():
    text = """
    [[noises]]
    name = "poisson"
    dose = 12

    [[noises]]
    name = "spikes"
    """
    chain = noise_from_dict(tomllib.loads(text))
    assert chain == Compose(noises=(Poisson(dose=12), Spikes()))
    assert noise_from_dict(noise_to_dict(chain)) == chain


def test_random_chain_goes_through_json(lattice):
    for seed in range(10):
        chain = random_scan_noise(seed)
        again = noise_from_dict(json.loads(json.dumps(noise_to_dict(chain))))
        assert again == chain
        np.testing.assert_array_equal(
            chain(lattice, np.random.default_rng(1)), again(lattice, np.random.default_rng(1))
        )


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"name": "poison"}, "unknown noise 'poison'.*poisson"),
        ({"dose": 3}, "unknown noise None"),
        ({"name": "poisson", "dosis": 3}, "'dosis'.*dose"),
        ({"noises": [{"name": "poisson"}, {"name": "spikes", "length": 0}]}, r"noises\[1\].*length"),
        ({"noises": {"name": "poisson"}}, "list"),
        ({"noises": [], "name": "poisson"}, "list"),
        ([], "table"),
    ],
)
def test_unreadable_mapping_names_the_fault(mapping, message):
    with pytest.raises(InputError, match=message):
        noise_from_dict(mapping)


def test_foreign_noise_cannot_be_written():
    with pytest.raises(InputError, match="NOISES"):
        noise_to_dict(lambda image, rng: image)


def test_gaussian_is_white_or_grained_with_the_stated_sigma():
    flat = np.full((256, 256), 2.0, np.float32)
    white, grained = (Gaussian(sigma=0.3, grain=g)(flat, np.random.default_rng(1)).astype(float) for g in (0, 1.5))
    for noisy in (white, grained):
        assert noisy.mean() == pytest.approx(2, abs=0.01)
        assert noisy.std() == pytest.approx(0.3, rel=0.05)
    for axis in (0, 1):
        assert lag_1(white, axis) == pytest.approx(0, abs=0.02)
        assert lag_1(grained, axis) == pytest.approx(np.exp(-1 / (4 * 1.5**2)), abs=0.02)  # of a Gaussian grain


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_speckle_grows_with_the_image_and_keeps_its_mean(sigma):
    image = np.repeat(np.array([[0.0], [1.0], [4.0]], np.float32), 100_000, axis=1)
    noisy = Speckle(sigma=sigma)(image, np.random.default_rng(2)).astype(float)
    np.testing.assert_allclose(noisy.mean(axis=1), [0, 1, 4], rtol=0.02)
    np.testing.assert_allclose(noisy.std(axis=1), [0, sigma, 4 * sigma], rtol=0.02)
    assert noisy.min() >= 0


def test_spikes_have_the_stated_number_height_and_length():
    image = np.zeros((400, 500), np.float32)
    image[0, 0] = 2.0  # the range
    added = (Spikes(fraction=0.002, height=3.0, length=4.0)(image, np.random.default_rng(3)) - image).astype(float)
    begins = (added > 0) & (np.diff(added, axis=1, prepend=0) > 0)
    assert begins.sum() == pytest.approx(0.002 * added.size, rel=0.15)
    assert added.min() == 0
    assert added[begins].mean() == pytest.approx(3 * 2, rel=0.15)
    assert (added > 0).sum() / begins.sum() == pytest.approx(4, rel=0.15)


def test_spikes_run_along_rows():
    image = np.random.default_rng(4).random((64, 64)).astype(np.float32)
    added = Spikes(fraction=0.003, height=5.0, length=8.0)(image, np.random.default_rng(5)) - image
    assert lag_1(added, 1) > 0.6
    assert abs(lag_1(added, 0)) < 0.15


def test_gain_and_offset_are_linear(lattice):
    out = GainOffset(gain=200.0, offset=1000.0)(lattice, np.random.default_rng(0))
    np.testing.assert_allclose(out, 200 * lattice + 1000, rtol=1e-6)


def disc(shape=(64, 80)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    soft = 1 / (1 + np.exp(np.hypot(y - 30, x - 44) - 18))
    return (0.5 + soft).astype(np.float32)


def test_many_angles_give_the_image_back_and_few_streaks():
    image = disc()
    errors = [
        float(np.sqrt(np.mean((SparseAngles(n_angles=n)(image, np.random.default_rng(0)) - image) ** 2)))
        for n in (120, 30, 8)
    ]
    assert errors[0] < 0.03
    assert errors[0] < errors[1] < errors[2]
    assert errors[2] > 3 * errors[0]


def test_photons_make_the_projections_noisy_by_counting():
    image = disc()
    ideal = SparseAngles(n_angles=60)(image, np.random.default_rng(0))
    noise = [
        float((SparseAngles(n_angles=60, counts=n)(image, np.random.default_rng(0)) - ideal).std()) for n in (1e3, 1e5)
    ]
    assert noise[0] / noise[1] == pytest.approx(10, rel=0.2)


def test_streaks_leave_a_flat_image_flat():
    flat = np.full((32, 48), 3.0, np.float32)
    np.testing.assert_allclose(SparseAngles(counts=100)(flat, np.random.default_rng(0)), flat, atol=1e-6)


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


def shifted_by_index(noise, image, rng):
    """`RowJitter` column by column: each tap read at its own clipped place."""
    height, width = image.shape
    drive = rng.standard_normal(height) * np.sqrt(1 - noise.correlation**2)
    drive[0] = rng.standard_normal()
    series = [drive[0]]
    for step in drive[1:]:
        series.append(step + noise.correlation * series[-1])
    shift = noise.rms * np.array(series) + noise.advance
    whole = np.floor(shift).astype(np.intp)
    f = (shift - whole).astype(np.float32)[:, None]
    taps = (
        ((-0.5 * f + 1) * f - 0.5) * f,
        (1.5 * f - 2.5) * f * f + 1,
        ((-1.5 * f + 2) * f + 0.5) * f,
        (0.5 * f - 0.5) * f * f,
    )
    places = np.arange(width) + whole[:, None]
    out = np.zeros_like(image)
    for k, tap in enumerate(taps):
        out += tap * np.take_along_axis(image, np.clip(places + (k - 1), 0, width - 1), axis=1)
    return out


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 37, 64])
@pytest.mark.parametrize(("rms", "advance"), [(0, 0), (0, 3), (0.3, 0.4), (4, -0.7), (50, 0), (0, 1e6), (1, -1e6)])
def test_jitter_is_the_clipped_sum_of_its_taps(width, rms, advance):
    noise = RowJitter(rms=rms, correlation=0.6, advance=advance)
    image = np.random.default_rng(0).standard_normal((23, width)).astype(np.float32)
    expected = shifted_by_index(noise, image, np.random.default_rng(9))
    np.testing.assert_array_equal(noise(image, np.random.default_rng(9)), expected)


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
