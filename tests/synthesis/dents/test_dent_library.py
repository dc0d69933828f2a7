import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.synthesis import Compose, Lattice, ellipse, render_lattice, smooth_field
from napari_hush.synthesis.dents.library import dent_from_image, random_dent_from, warp_mask
from napari_hush.synthesis.noise.registry import DetectorLag, Poisson, RowJitter, RowOffsets

SHAPE = (280, 320)


def dented(seed, *, row_offset=0.25, vacuum=False, depth=None):
    """A noisy lattice on a wedge, its transmission, period and depth."""
    rng = np.random.default_rng([31, seed])
    period = rng.uniform(8, 12)
    kind = ("square", "hexagonal", "rectangular", "honeycomb")[seed % 4]
    lattice = Lattice(
        kind=kind, period=period, angle=rng.uniform(0, 360), sublattice=0.6 if kind == "honeycomb" else 0.0,
        background=rng.uniform(0.05, 0.4), displacement=0.02,
    )  # fmt: skip
    depth = rng.uniform(0.3, 1) if depth is None else depth
    width = period * rng.uniform(8, 12)
    transmission = ellipse(
        SHAPE, centre=tuple(rng.uniform(110, 170, 2)), fwhm=(width, width * rng.uniform(0.75, 1)), depth=depth,
        angle=rng.uniform(0, 180), edge=period * rng.uniform(0.5, 1.5), warp=0.1 * smooth_field(SHAPE, 25, rng),
    )  # fmt: skip
    if vacuum:
        transmission = transmission * np.float32(0.5) * (1 - np.tanh((np.arange(SHAPE[1], dtype=np.float32) - 270) / 8))
    wedge = 1 + rng.uniform(-0.25, 0.25) * np.linspace(-1, 1, SHAPE[1])
    clean = (render_lattice(lattice, SHAPE, rng).image * transmission * wedge).astype(np.float32)
    dose = float(np.exp(rng.uniform(np.log(4), np.log(100))))
    noise = Compose(
        noises=(
            RowJitter(rms=0.02 * period),
            Poisson(dose=dose),
            DetectorLag(correlation=0.3),
            RowOffsets(sigma=row_offset * dose**-0.5, correlation=0.7),
        )
    )
    return noise(clean, rng), transmission, period, depth


def test_transmission_is_recovered_from_noisy_images():
    errors, depths = [], []
    for seed in range(12):
        noisy, transmission, period, depth = dented(seed)
        mask = dent_from_image(noisy, period, dark=0.0)
        core = transmission < 1 - 0.97 * depth
        errors.append(np.sqrt(np.mean((mask - transmission) ** 2)))
        depths.append((mask[core].mean() - transmission[core].mean()) / depth)
    assert np.mean(errors) < 0.04
    assert max(errors) < 0.08
    assert np.mean(np.abs(depths)) < 0.06
    assert np.abs(depths).max() < 0.2  # a narrow dent with soft edges is blurred by the low-pass


@pytest.mark.parametrize("seed", [0, 5, 9])
def test_row_offsets_hardly_change_the_mask(seed):
    plain, strong = (dent_from_image(v[0], v[2], dark=0.0) for v in (dented(seed, row_offset=r) for r in (0.0, 0.5)))
    assert np.sqrt(np.mean((plain - strong) ** 2)) < 0.03


@pytest.mark.parametrize("seed", [0, 3, 6])
def test_vacuum_is_not_taken_for_the_bulk(seed):
    noisy, transmission, period, _ = dented(seed, vacuum=True)
    mask = dent_from_image(noisy, period, dark=0.0)
    assert mask[:, 300:].max() < 0.15
    assert np.median(mask[transmission > 0.99]) == pytest.approx(1, abs=0.04)


def test_pedestal_is_found_from_the_noise():
    noisy, transmission, period, _ = dented(4, depth=0.6, row_offset=0.0)
    mask = dent_from_image(2000 + 300 * noisy, period)
    middle = gaussian_filter(transmission, period)
    assert mask.min() == pytest.approx(middle.min(), abs=0.12)
    np.testing.assert_allclose(mask, dent_from_image(noisy, period), atol=1e-3)  # whatever unit and offset


def test_thicker_places_are_kept_on_request():
    noisy, _, period, _ = dented(4)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    noisy = noisy * (1 + 0.4 * np.exp(-((y - 60) ** 2 + (x - 260) ** 2) / (2 * 20**2)))
    assert dent_from_image(noisy, period, dark=0.0).max() == 1
    signed = dent_from_image(noisy, period, dark=0.0, highest=np.inf)
    assert signed[60, 260] == pytest.approx(1.35, abs=0.15)


def test_degree_0_counts_the_wedge_as_transmission():
    wedge = np.linspace(1, 0.4, SHAPE[1])
    clean = (render_lattice(Lattice(period=10.0, background=0.3), SHAPE, 0).image * wedge).astype(np.float32)
    noisy = Poisson(dose=30)(clean, np.random.default_rng(0))
    level, curved = (dent_from_image(noisy, 10.0, dark=0.0, degree=d, highest=np.inf).mean(axis=0) for d in (0, 2))
    assert level[-20] / level[20] == pytest.approx(wedge[-20] / wedge[20], abs=0.03)
    np.testing.assert_allclose(curved[20:-20], 1, atol=0.1)


def test_spacing_is_estimated():
    noisy, _, period, _ = dented(8)
    np.testing.assert_allclose(
        dent_from_image(noisy, dark=0.0), dent_from_image(noisy, period, dark=0.0), rtol=0, atol=0.1
    )


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((3, 32, 32)), {}, "Y, X"),
        (np.full((32, 32), np.nan), {}, "NaN"),
        (np.ones((64, 64)), {"spacing": 8.0, "dark": 2.0}, "dark="),
        (np.ones((64, 64)), {"spacing": -8.0}, "spacing"),
        (np.ones((64, 64)), {"spacing": 8.0, "degree": 9}, "degree"),
        (np.random.default_rng(0).normal(10, 1, (96, 96)), {}, "spacing="),
        (np.random.default_rng(0).normal(10, 1, (96, 96)), {"spacing": 8.0}, "dark="),
    ],
)
def test_image_without_an_answer_is_refused(image, options, message):
    with pytest.raises(InputError, match=message):
        dent_from_image(image, **options)


def test_dent_of_the_real_image(data_dir):
    image = read_image(data_dir / "stem" / "dented_haadf_upper.tif").data
    mask = dent_from_image(image)
    y, x = np.unravel_index(mask[420:620, 430:630].argmin(), (200, 200))
    assert (y + 420, x + 430) == pytest.approx((519, 525), abs=6)
    least = mask[y + 420, x + 430]
    assert 0.1 < least < 0.3
    half = mask[519, 430:640] < (1 + least) / 2
    assert 95 <= half.sum() <= 140
    assert mask[:60, 1010:].max() < 0.2  # vacuum in the corner
    assert np.median(mask[:, :400]) > 0.97
    np.testing.assert_allclose(dent_from_image(image, 12.1), mask, atol=0.08)


DENT = ellipse((120, 160), centre=(60, 80), fwhm=(50, 36), depth=0.7, edge=4)


@pytest.mark.parametrize("seed", range(8))
def test_warped_dent_keeps_its_depth_and_is_in_the_image(seed):
    other = warp_mask(DENT, seed, shape=(140, 130))
    assert other.shape == (140, 130)
    assert other.dtype == np.float32
    assert other.min() == pytest.approx(0.3, abs=0.02)
    assert other.max() <= 1
    assert other.max() > 0.99


def test_area_follows_the_scale():
    areas = [
        np.mean([(1 - warp_mask(DENT, s, shape=(400, 400), scale=(z, z), warp=0.0, stretch=1.0)).sum() for s in (1, 2)])
        for z in (0.7, 1.4)
    ]
    assert areas[1] / areas[0] == pytest.approx(4, rel=0.05)


def test_outside_of_the_mask_is_1_and_a_cut_dent_fades():
    cut = ellipse((96, 96), centre=(48, 2), fwhm=(40, 40), depth=1.0, edge=3)
    for seed in range(6):
        other = warp_mask(cut, seed, shape=(160, 160), scale=(1.0, 1.0), warp=0.0, border=0.15)
        steps = np.hypot(*np.gradient(other.astype(np.float64)))
        assert steps.max() < 0.3
        assert other.max() == 1


def test_mask_without_a_dent_stays_without():
    assert warp_mask(np.ones((32, 32)), 0, shape=(20, 24)).tolist() == np.ones((20, 24)).tolist()


def test_thicker_places_survive_warping():
    assert warp_mask(2 - DENT, 3).max() > 1.6


def test_draws_repeat_and_differ():
    masks = [DENT, 1 - 0.4 * (1 - DENT)]
    draws = [random_dent_from(masks, (64, 80), seed) for seed in range(12)]
    np.testing.assert_array_equal(draws[5], random_dent_from(masks, (64, 80), np.random.default_rng(5)))
    depths = [1 - d.min() for d in draws]
    assert min(depths) < 0.35
    assert max(depths) > 0.6


@pytest.mark.parametrize(
    "wrong", [{"scale": (0.0, 1.0)}, {"scale": (2.0, 1.0)}, {"stretch": 0.5}, {"warp": -1.0}, {"border": 0.5}]
)
def test_impossible_warp_is_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        warp_mask(DENT, 0, **wrong)


def test_masks_that_are_none_are_refused():
    with pytest.raises(InputError, match="at least one"):
        random_dent_from([], (32, 32), 0)
    with pytest.raises(InputError, match="plane"):
        warp_mask(np.full((8, 8), np.nan), 0)
