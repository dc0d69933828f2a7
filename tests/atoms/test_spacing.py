"""The period of a lattice is found, and none where there is none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import ndimage

import napari_hush as hush
from napari_hush.atoms.spacing import estimate_spacing, find_lattice, require_spacing
from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.synthesis import Lattice, ellipse, render_lattice
from napari_hush.synthesis.noise.registry import Compose, Poisson, RowJitter

pytestmark = pytest.mark.slow  # many lattices are measured


def noisy_lattice(shape=(256, 256), dose=10.0, seed=0, **options):
    lattice = Lattice(**{"angle": 17.0, "sigma": 0.18, "background": 0.1} | options)
    clean = render_lattice(lattice, shape, seed).image
    scan = Compose(noises=(RowJitter(rms=0.02 * lattice.period, correlation=0.5), Poisson(dose=dose)))
    return scan(clean, np.random.default_rng(seed))


@pytest.mark.parametrize("dose", [2.0, 50.0])
@pytest.mark.parametrize("period", [5.5, 12.3, 24.0, 41.0])
@pytest.mark.parametrize("kind", ["square", "hexagonal", "rectangular"])
def test_the_period_is_right_to_two_per_cent(kind, period, dose):
    assert estimate_spacing(noisy_lattice(kind=kind, period=period, dose=dose)) == pytest.approx(period, rel=0.02)


@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0])
def test_a_lattice_along_the_rows_is_not_taken_for_row_offsets(angle):
    image = noisy_lattice(period=11.0, sigma=0.25, angle=angle)
    offsets = np.random.default_rng(1).normal(0, 0.3, (256, 1))
    assert estimate_spacing(image + offsets) == pytest.approx(11.0, rel=0.02)


def test_row_offsets_alone_are_no_lattice():
    rng = np.random.default_rng(0)
    assert estimate_spacing(rng.normal(size=(256, 1)) + 0.2 * rng.normal(size=(256, 256))) is None


def test_dark_columns_count_as_well():
    image = noisy_lattice(period=13.0)
    assert estimate_spacing(5 - image) == pytest.approx(13.0, rel=0.02)


def test_vectors_are_sub_pixel_and_make_the_lattice():
    found = find_lattice(noisy_lattice(kind="rectangular", period=12.3, ratio=1.3, dose=20))
    lengths = np.hypot(*found.vectors.T)
    np.testing.assert_allclose(lengths, [12.3, 1.3 * 12.3], rtol=0.003)
    assert abs(found.vectors[0] @ found.vectors[1]) < 0.02 * lengths.prod()


@pytest.mark.parametrize("sublattice", [0.3, 0.7])
def test_of_a_superlattice_the_shortest_strong_period_counts(sublattice):
    image = noisy_lattice(period=24.0, sigma=0.1, sublattice=sublattice, dose=50)
    expected = 24.0 / 2**0.5 if sublattice == 0.7 else 24.0
    assert estimate_spacing(image) == pytest.approx(expected, rel=0.02)


def test_a_large_dent_and_a_wedge_do_not_hide_the_lattice():
    hole = ellipse((256, 256), centre=(120, 140), fwhm=(150, 120), depth=1.0, edge=10)
    clean = render_lattice(Lattice(period=10.0, angle=5, background=0.3), (256, 256), 0).image
    noisy = Poisson(dose=10)(hole * clean * np.linspace(0.3, 1, 256), np.random.default_rng(0))
    assert estimate_spacing(noisy) == pytest.approx(10.0, rel=0.02)


def test_there_is_no_lattice_in_noise_textures_edges_and_flat_images():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(256, 256))
    images = [white, np.ones((64, 64)), np.zeros((100, 20)), rng.poisson(0.05, (256, 256))]
    images += [ndimage.gaussian_filter(white, sigma) * sigma + 0.02 * white for sigma in (1, 2, 5, 15)]
    images += [
        ndimage.gaussian_filter(white, (0, 1)),
        ellipse((256, 256), centre=(90, 90), fwhm=(80, 60)) + 0.1 * white,
    ]
    assert [estimate_spacing(image) for image in images] == [None] * len(images)


def test_stripes_are_no_lattice():
    stripes = np.sin(2 * np.pi * np.arange(256) / 12) + 0.1 * np.random.default_rng(0).normal(size=(256, 256))
    assert estimate_spacing(stripes) is None


def test_sample_images():
    for name in ("foam", "cells"):
        assert estimate_spacing(hush.sample(name).noisy) is None
    truth = hush.sample("hexagonal-low-dose")
    assert estimate_spacing(truth.noisy) == pytest.approx(truth.period, rel=0.02)


def test_holes_outliers_and_integers_do_not_matter():
    image = noisy_lattice(period=12.0, shape=(160, 200), dose=50)
    expected = estimate_spacing(image)
    broken = (image * 1000).astype(np.float64)
    broken[10:14, 20:30], broken[50, 50], broken[80, 90] = np.nan, np.inf, 1e9
    assert estimate_spacing(broken) == pytest.approx(expected, rel=0.003)
    assert estimate_spacing((image * 1000).astype(np.uint16)) == pytest.approx(expected, rel=0.003)


def test_an_image_larger_than_the_windows_is_looked_at_in_several():
    image = noisy_lattice(shape=(300, 1100), period=12.0)
    image[:, :500] = 0  # the first window sees nothing
    assert estimate_spacing(image) == pytest.approx(12.0, rel=0.02)


def test_small_images_have_no_lattice_and_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape in ((1, 1), (15, 200), (16, 16), (20, 31)):
            assert estimate_spacing(np.random.default_rng(0).normal(size=shape)) is None


@pytest.mark.parametrize(
    "image", [np.zeros((2, 3, 4)), np.zeros((8, 8), complex), np.zeros((0, 5)), np.full((9, 9), np.nan)]
)
def test_what_is_no_plane_of_numbers_is_refused(image):
    with pytest.raises(InputError, match=r"expected one image|no finite value"):
        estimate_spacing(image)


def test_a_lattice_can_be_required():
    with pytest.raises(InputError, match="give its period"):
        require_spacing(np.random.default_rng(0).normal(size=(64, 64)))


@pytest.mark.parametrize(
    ("file", "period"),
    [
        ("dented_haadf_upper.tif", 12.1),
        ("Tecnai_Osiris_SrTiO3.tif", 25.6),
        ("10_dso_8nm_none_none.png", 49.0),
        ("03_afterimage_8nm_crp.png", 34.0),
        ("12219.png", 24.4),
        ("REBCO.tif", None),
        ("../atoms/bpy_crop20.tif", None),
        ("../repeats/train_0001.tif", None),
    ],
)
def test_real_images(data_dir, file, period):
    image = np.asarray(read_image(data_dir / "stem" / file).data)
    found = estimate_spacing(image if image.ndim == 2 else image[..., 0])
    assert found == (None if period is None else pytest.approx(period, rel=0.02))
