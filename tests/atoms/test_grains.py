"""Lattices that fill only parts of an image are found there, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import napari_hush as hush
from napari_hush.atoms import grains
from napari_hush.atoms.grains import Grain, find_grains, several
from napari_hush.atoms.spacing import clear_grains, estimate_spacing, find_lattice, find_lattices
from napari_hush.atoms.spectrum import bragg_spots
from napari_hush.errors import InputError
from napari_hush.inference.guards.guard import measure_guard
from napari_hush.inference.guards.sites import measure_sites
from napari_hush.synthesis import Lattice, render_lattice
from napari_hush.synthesis.pictures.textures import random_writing

pytestmark = pytest.mark.slow  # many windows are searched

SHAPE = (320, 320)


def half(shape=SHAPE):
    y, x = np.indices(shape)
    return x + 0.3 * y < 0.65 * shape[1]


def crystal(shape=SHAPE, **options):
    return render_lattice(Lattice(**{"kind": "hexagonal", "period": 12.0, "sigma": 0.2} | options), shape, 0).image


def counted(clean, dose=10.0, seed=0):
    return np.random.default_rng(seed).poisson(dose * (clean + 0.1)).astype(np.float64)


def two_grains(dose=10.0, **options):
    """Hexagonal grains at 4 and 31 degrees: the whole image has no translation in common."""
    return counted(np.where(half(), crystal(angle=4.0, **options), crystal(angle=31.0, **options)), dose)


@pytest.mark.parametrize("dose", [5.0, 100.0])
def test_two_grains_have_the_period_of_each(dose):
    noisy = two_grains(dose)
    assert estimate_spacing(noisy) == pytest.approx(12.0, rel=0.02)
    grains = find_grains(noisy)
    assert len(grains) == 2
    assert [grain.spacing for grain in grains] == pytest.approx([12.0, 12.0], rel=0.02)


def test_each_grain_keeps_its_vectors_and_its_place():
    grains = find_grains(two_grains())
    angles = [np.rad2deg(np.arctan2(*grain.vectors.T)) % 60 for grain in grains]
    assert sorted(float(angle.mean()) for angle in angles) == pytest.approx([4.0, 31.0], abs=0.5)
    for grain, angle in zip(grains, angles, strict=True):
        truth = half() if angle.mean() < 15 else ~half()
        assert (grain.mask & truth).sum() > 0.75 * truth.sum()
        assert (grain.mask & ~truth).sum() < 0.1 * truth.sum()
    assert not (grains[0].mask & grains[1].mask).any()


def test_the_lattice_of_the_whole_is_that_of_the_first_grain():
    noisy = two_grains()
    np.testing.assert_array_equal(find_lattice(noisy).vectors, find_grains(noisy)[0].vectors)


def test_twins_are_two_grains():
    cell = {"kind": "oblique", "ratio": 1.0, "gamma": 70.5, "period": 11.0}
    noisy = counted(np.where(half(), crystal(**cell), crystal(**cell)[:, ::-1]))
    assert estimate_spacing(noisy) == pytest.approx(11.0, rel=0.02)
    assert len(find_grains(noisy)) == 2


def test_a_particle_on_an_amorphous_support():
    y, x = np.indices(SHAPE)
    disc = np.hypot(y - 150, x - 190) < 60
    support = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=SHAPE), 2.0)
    noisy = counted(np.clip(disc * crystal(period=10.0) + 0.3 + 0.06 * support / support.std(), 0, None), 20.0)
    (grain,) = find_grains(noisy)
    assert estimate_spacing(noisy) == pytest.approx(10.0, rel=0.02)
    assert (grain.mask & disc).sum() > 0.75 * disc.sum()
    assert (grain.mask & ~disc).sum() < 0.25 * disc.sum()


def test_the_lattice_on_the_larger_side_of_an_interface_comes_first():
    noisy = counted(np.where(half(), crystal(period=11.0), crystal(period=14.0, kind="square", angle=20.0)))
    assert [grain.spacing for grain in find_grains(noisy)] == pytest.approx([11.0, 14.0], rel=0.02)
    assert estimate_spacing(noisy) == pytest.approx(11.0, rel=0.02)


def test_a_translation_that_two_grains_share_is_not_their_period():
    square = {"kind": "square", "period": 14.0}
    noisy = counted(np.where(half(), crystal(angle=0.0, **square), crystal(angle=45.0, **square)), 20.0)
    assert estimate_spacing(noisy) == pytest.approx(14.0, rel=0.02)


@pytest.mark.parametrize(("scale", "offset"), [(1e-12, 0.0), (1e12, 1e13), (-1.0, 50.0)])
def test_the_unit_of_the_image_does_not_matter(scale, offset):
    noisy = two_grains()
    found = [grain.spacing for grain in find_grains(scale * noisy + offset)]
    assert found == pytest.approx([grain.spacing for grain in find_grains(noisy)], rel=1e-3)


def test_one_crystal_is_one_grain():
    noisy = counted(crystal(angle=10.0))
    (grain,) = find_grains(noisy)
    assert isinstance(grain, Grain)
    assert grain.mask.mean() > 0.9
    assert grain.spacing == pytest.approx(find_lattice(noisy).spacing, rel=0.01)


def test_all_grains_have_bragg_spots_for_the_guard():
    noisy = two_grains()
    spacing = estimate_spacing(noisy)
    guard = measure_guard([noisy], spacing)
    assert len(guard.spots) == len(bragg_spots(noisy, spacing, count=6)) == 6  # three of each grain
    for grain in find_grains(noisy):
        steps = np.array(guard.spots) @ grain.vectors.T
        assert (np.abs(steps - np.rint(steps)).max(axis=1) < 0.1).sum() == 3


def test_no_part_of_what_has_no_lattice_has_one():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(256, 256))
    images = [white, np.ones((256, 256)), rng.poisson(0.05, (256, 256))]
    images += [ndimage.gaussian_filter(white, sigma) * sigma + 0.02 * white for sigma in (1, 2, 5)]
    stripes = np.sin(2 * np.pi * np.arange(256) / 12)
    images += [stripes + 0.1 * white, np.where(white[:, :1] > 0, stripes, 0) + 0.1 * white]
    images += [counted(1 - random_writing((256, 256), seed)) for seed in range(3)]
    images += [hush.sample(name).noisy for name in ("foam", "cells")]
    assert [find_grains(image) for image in images] == [()] * len(images)


def test_offsets_of_rows_alone_are_no_grains():
    rng = np.random.default_rng(0)
    assert find_grains(rng.normal(size=(256, 1)) + 0.2 * rng.normal(size=(256, 256))) == ()


def test_small_images_have_no_parts():
    assert find_grains(np.random.default_rng(0).normal(size=(60, 400))) == ()


def test_what_is_no_plane_of_numbers_is_refused():
    with pytest.raises(InputError, match="expected one image"):
        find_grains(np.zeros((2, 3, 4)))


def test_several_grains_have_nothing_to_do_with_one_another():
    mask = np.ones((9, 9), bool)
    cell, turned = np.array([[12.0, 0.0], [0.0, 12.0]]), np.array([[8.5, 8.5], [-8.5, 8.5]])
    one, other, double = (
        Grain(vectors=pair, mask=mask, height=1.0, lasting=0.9) for pair in (cell, turned, cell * [[1.0], [2.0]])
    )
    assert several((one, double)) == several((double, one)) == several((one,)) == ()
    assert several((one, double, other)) == (one, other)


def test_two_grains_that_look_like_one_lattice_are_told_apart():
    found = find_lattices(counted(np.where(half(), crystal(angle=4.0), crystal(angle=12.0))))
    assert len(found.grains) == 2
    assert find_lattices(counted(crystal())).grains == ()


def test_a_grain_beyond_the_middle_is_seen_by_its_bragg_spots():
    shape = (448, 640)
    left = np.arange(shape[1]) < 0.7 * shape[1]
    noisy = counted(np.where(left, crystal(shape, angle=4.0), crystal(shape, angle=31.0)))
    assert len(clear_grains(noisy)) == 2
    spots = bragg_spots(noisy, 12.0, count=6)
    assert [len(measure_sites([noisy], 12.0, seen)) for seen in (None, spots)] == [1, 2]


def test_a_plane_is_searched_once_and_another_one_for_itself(monkeypatch):
    searched = []
    monkeypatch.setattr(grains, "_remembered", {})
    monkeypatch.setattr(grains, "_searched", lambda plane: searched.append(plane[0, 0]) or ())
    planes = [np.full((64, 64), float(number)) for number in range(grains.REMEMBERED + 1)]
    for plane in (*planes, planes[-1].copy(), planes[0]):
        find_grains(plane)
    assert searched == [0, 1, 2, 3, 4, 0]  # the oldest is forgotten
    assert len(grains._remembered) == grains.REMEMBERED
