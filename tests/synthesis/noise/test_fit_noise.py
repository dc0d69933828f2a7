import dataclasses
import json

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.synthesis import Lattice, ellipse, render_lattice
from napari_hush.synthesis.noise.fit.noise import fit_noise
from napari_hush.synthesis.noise.registry import (
    Compose,
    DetectorLag,
    GainOffset,
    Gaussian,
    Poisson,
    Readout,
    RowJitter,
    RowOffsets,
    SaltPepper,
    noise_from_dict,
    noise_to_dict,
)

pytestmark = pytest.mark.slow  # images of 512 px and more are fitted

LATTICES = {
    "square": Lattice(period=12, angle=11, background=0.15),
    "hexagonal": Lattice(kind="hexagonal", period=16, angle=33, background=0.3),
    "rectangular": Lattice(kind="rectangular", period=20, sublattice=0.5, angle=70, sigma=0.14),
}


def scan(clean, *, dose=20.0, lag=0.3, jitter=0.0, gain=30.0, offset=1000.0, extra=(), seed=0):
    delay = DetectorLag(correlation=lag)
    chain = [RowJitter(rms=jitter, correlation=0.4, advance=delay.delay), Poisson(dose=dose), delay, *extra]
    chain.append(GainOffset(gain=gain * dose, offset=offset))
    return Compose(noises=tuple(chain))(clean, np.random.default_rng(seed))


@pytest.fixture(scope="module", params=LATTICES)
def clean(request):
    return render_lattice(LATTICES[request.param], (384, 384), 0).image


@pytest.mark.parametrize(("dose", "lag", "jitter"), [(8.0, 0.35, 0.5), (40.0, 0.0, 0.3), (150.0, 0.2, 0.2)])
def test_fit_finds_what_was_simulated(clean, dose, lag, jitter):
    fitted = fit_noise(scan(clean, dose=dose, lag=lag, jitter=jitter))
    assert fitted.gain == pytest.approx(30, rel=0.1)
    assert fitted.dose == pytest.approx(dose * np.percentile(clean, 99.5), rel=0.1)
    assert fitted.row_correlation == pytest.approx(lag, abs=0.05)
    assert fitted.jitter == pytest.approx(jitter, rel=0.2)
    assert abs(fitted.vertical_correlation) < 0.02


def test_dent_is_no_noise():
    shape = (384, 384)
    clean = render_lattice(LATTICES["square"], shape, 1).image
    dent = ellipse(shape, centre=(190, 210), fwhm=(120, 90), depth=0.9, edge=6)
    fitted = fit_noise(scan(clean * dent))
    assert fitted.gain == pytest.approx(30, rel=0.1)
    assert fitted.dose == pytest.approx(20, rel=0.1)


def test_spikes_are_no_noise_of_counting():
    clean = render_lattice(LATTICES["hexagonal"], (384, 384), 2).image
    fitted = fit_noise(scan(clean, extra=[SaltPepper(fraction=0.001, salt=1.0, height=2.0)]))
    assert fitted.gain == pytest.approx(30, rel=0.1)


def test_gain_and_offset_are_in_image_units():
    clean = render_lattice(LATTICES["square"], (256, 256), 3).image
    one, other = fit_noise(scan(clean)), fit_noise(scan(clean, gain=3.0, offset=-50.0))
    assert other.gain == pytest.approx(one.gain / 10, rel=1e-3)
    assert other.offset + 50 == pytest.approx((one.offset - 1000) / 10, abs=0.5)
    assert other.dose == pytest.approx(one.dose, rel=1e-3)


def test_afterglow_tells_readout_noise_from_counting():
    clean = render_lattice(LATTICES["hexagonal"], (512, 512), 4).image
    fitted = fit_noise(scan(clean, lag=0.4, extra=[Readout(sigma=0.4 * 20**-0.5)]))
    assert fitted.readout == pytest.approx(0.4 * 20**0.5 * 30, rel=0.15)
    assert fitted.gain == pytest.approx(30, rel=0.15)


def test_row_offsets_are_found():
    clean = render_lattice(LATTICES["hexagonal"], (512, 512), 5).image
    fitted = fit_noise(scan(clean, extra=[RowOffsets(sigma=0.1, correlation=0.5)]))
    assert fitted.row_offset == pytest.approx(0.1 * 30 * 20, rel=0.2)
    assert fitted.row_offset_correlation == pytest.approx(0.5, abs=0.2)


def test_no_lattice_no_jitter():
    y, x = np.mgrid[:256, :256] / 256
    fitted = fit_noise(scan((0.2 + 0.8 * np.exp(-8 * ((y - 0.5) ** 2 + (x - 0.4) ** 2))).astype(np.float32)))
    assert fitted.jitter is None
    assert fitted.gain == pytest.approx(30, rel=0.15)
    assert any("no lattice" in note for note in fitted.notes)


def test_noise_that_does_not_grow_has_no_gain():
    clean = render_lattice(LATTICES["square"], (256, 256), 6).image
    fitted = fit_noise(Gaussian(sigma=0.2)(clean, np.random.default_rng(0)))
    assert fitted.gain is None
    with pytest.raises(InputError, match="gain"):
        fitted.noise()


def test_fitted_noise_simulates_the_image_again():
    clean = render_lattice(LATTICES["hexagonal"], (384, 384), 7).image
    image = scan(clean, jitter=0.4)
    fitted = fit_noise(image)
    peak = np.percentile(clean, 99.5)
    again = fitted.converter()(fitted.noise()(clean / peak, np.random.default_rng(9)), np.random.default_rng(9))
    for percent in (1, 50, 99):
        assert np.percentile(again, percent) == pytest.approx(
            np.percentile(image, percent), abs=0.1 * float(image.std())
        )
    refitted = fit_noise(again)
    assert refitted.gain == pytest.approx(fitted.gain, rel=0.1)
    assert refitted.jitter == pytest.approx(fitted.jitter, rel=0.2)


def test_fit_goes_through_json():
    fitted = fit_noise(scan(render_lattice(LATTICES["square"], (256, 256), 8).image))
    json.dumps(dataclasses.asdict(fitted))
    chain = fitted.noise()
    assert noise_from_dict(json.loads(json.dumps(noise_to_dict(chain)))) == chain


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 200, 200)), "128"),
        (np.zeros((100, 200)), "128"),
        (np.full((200, 200), np.nan), "finite"),
        (np.ones((200, 200)), "same"),
    ],
)
def test_unusable_image_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        fit_noise(image)


def test_image_is_left_alone_and_odd_sizes_work():
    image = scan(render_lattice(LATTICES["square"], (255, 301), 9).image)
    before = image.copy()
    assert fit_noise(image).gain == pytest.approx(30, rel=0.15)
    np.testing.assert_array_equal(image, before)


def test_real_dented_image_has_the_correlation_measured_by_hand(data_dir):
    fitted = fit_noise(np.asarray(read_image(data_dir / "stem/dented_haadf_upper.tif").data))
    print(fitted)
    assert 0.25 <= fitted.row_correlation <= 0.40
    assert abs(fitted.vertical_correlation) < 0.07
    assert 2100 < fitted.offset < 2350  # the vacuum at the right is at about 2270
    assert 0.2 < fitted.jitter < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_noise_that_does_not_depend_on_the_signal_comes_back_as_strong_or_is_refused(clean, seed):
    rng = np.random.default_rng(seed)
    fitted = fit_noise(20 * clean + 6 * rng.standard_normal(clean.shape))
    if fitted.gain is None:
        with pytest.raises(InputError, match=r"hardly grows with the brightness.*such as gaussian"):
            fitted.noise()
        return
    added = fitted.noise()(clean, rng) - RowJitter(rms=0.0)(clean, rng)
    assert np.std(added) * fitted.converter().gain == pytest.approx(6, rel=0.2)
    assert np.ptp(fitted.converter()(clean, rng)) == pytest.approx(20 * np.ptp(clean), rel=0.3)
