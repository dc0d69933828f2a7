"""What lies around many places is cut out and drawn back where it was, between pixels too."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_hush.atoms.patches import Neighbourhood, cut_out, draw_back

IMAGE = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(60, 70)), 2)


def test_patches_are_cut_out_between_pixels():
    at = np.array([[30.3, 20.8], [25.0, 40.5]])
    offsets = np.arange(-4, 5)
    grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij")).reshape(2, 1, -1) + at.T[..., None]
    expected = ndimage.map_coordinates(IMAGE, grid, order=5).reshape(2, 9, 9)
    np.testing.assert_allclose(cut_out(IMAGE, at, 4), expected, atol=0.02 * np.ptp(IMAGE))


def test_a_patch_is_drawn_where_it_was_and_may_hang_over_the_edge():
    bell = ndimage.gaussian_filter(np.pad([[1.0]], 9), 2)[None]
    drawn = draw_back(bell, np.array([[1.4, 30.3]]), (60, 70))
    assert drawn.shape == (60, 70)
    y, x = np.indices(drawn.shape)
    expected = np.exp(-((y - 1.4) ** 2 + (x - 30.3) ** 2) / 8) / (8 * np.pi)
    np.testing.assert_allclose(drawn, expected, atol=0.03 * expected.max())


def test_means_are_those_of_near_places_that_count():
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 50.0]])
    near = Neighbourhood(at, 5.0, np.array([True, False, True]))
    np.testing.assert_allclose(near.mean(np.array([1.0, 7.0, 3.0])), [1, 1, 3])
    np.testing.assert_allclose(near.shrinks, 1)


def test_a_place_without_any_that_counts_has_no_mean_and_no_noise():
    near = Neighbourhood(np.array([[0.0, 0.0], [0.0, 50.0]]), 5.0, np.array([True, False]))
    assert near.mean(np.array([1.0, 3.0]))[1] == 0
    assert near.shrinks[1] == 0
