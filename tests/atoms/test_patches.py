"""What lies around many places is cut out and drawn back where it was, between pixels too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_hush import threads
from napari_hush.atoms.patches import Neighbourhood, cut_out, draw_back, in_bands, padded

IMAGE = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(60, 70)), 2)


def test_patches_are_cut_out_between_pixels():
    at = np.array([[30.3, 20.8], [25.0, 40.5]])
    offsets = np.arange(-4, 5)
    grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij")).reshape(2, 1, -1) + at.T[..., None]
    expected = ndimage.map_coordinates(IMAGE, grid, order=5).reshape(2, 9, 9)
    np.testing.assert_allclose(cut_out(padded([IMAGE], 4, [0.0]), at, 4)[:, 0], expected, atol=0.02 * np.ptp(IMAGE))


def test_a_patch_is_drawn_where_it_was_and_may_hang_over_the_edge():
    bell = np.exp(-(np.arange(-9, 10) ** 2) / 8).astype(np.float32)
    drawn = draw_back(np.full((1, 19, 19), 0.5, np.float32), np.array([[1.4, 30.3]]), (60, 70), bell)
    assert drawn.part[0].start == 0  # nothing beyond the edge
    image = np.zeros((60, 70))
    image[drawn.part] = drawn.bells
    y, x = np.indices(image.shape)
    np.testing.assert_allclose(image, np.exp(-((y - 1.4) ** 2 + (x - 30.3) ** 2) / 8), atol=0.03)
    np.testing.assert_allclose(drawn.total, drawn.bells / 2, atol=1e-6)


def test_means_are_those_of_near_places_that_count():
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 50.0]])
    near = Neighbourhood(at, 5.0, np.array([True, False, True]))
    np.testing.assert_allclose(near.mean(np.array([1.0, 7.0, 3.0])), [1, 1, 3])
    np.testing.assert_allclose(near.shrinks, 1)


def test_a_place_without_any_that_counts_has_no_mean_and_no_noise():
    near = Neighbourhood(np.array([[0.0, 0.0], [0.0, 50.0]]), 5.0, np.array([True, False]))
    assert near.mean(np.array([1.0, 3.0]))[1] == 0
    assert near.shrinks[1] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_are_the_plain_sums_over_all_places_in_any_order(dtype):
    rng = np.random.default_rng(3)
    places, values = rng.uniform(-3, 90, (400, 2)), rng.normal(size=(400, 5, 7)).astype(dtype)
    known = rng.random(400) > 0.2
    square = ((places[:, None] - places) ** 2).sum(axis=2)
    weight = np.where(square <= 8.0**2, np.exp(-0.5 * square / 4.0**2), 0) * known
    expected = np.einsum("nm,mij->nij", weight / weight.sum(axis=1, keepdims=True), values)
    for order in (np.arange(400), in_bands(places, 4.0)):
        near = Neighbourhood(places[order], 4.0).among(known[order])
        found = near.mean(values[order])
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected[order], atol=3e-6)
        np.testing.assert_allclose(near.shrinks, ((weight**2).sum(axis=1) / weight.sum(axis=1) ** 2)[order], rtol=1e-5)


def test_a_transform_of_a_patch_is_that_of_what_was_cut_out():
    at, turn = np.array([[30.3, 20.8], [0.0, 69.0]]), np.random.default_rng(4).normal(size=(9, 9)).astype(np.float32)
    image = padded([IMAGE, IMAGE + 1], 4, [0.0, 1.0])
    plain = cut_out(image, at, 4)
    np.testing.assert_allclose(plain[:, 1], plain[:, 0], atol=1e-6)
    np.testing.assert_allclose(cut_out(image, at, 4, turn), turn @ plain @ turn.T, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_means_band_by_band_are_those_of_all_at_once(monkeypatch, count):
    monkeypatch.setattr(threads, "thread_count", lambda: count)
    rng = np.random.default_rng(5)
    places = rng.uniform(-3, 90, (400, 2)) * [1, 2]
    places = places[np.abs(places[:, 0] - 40) > 9]  # a band without any
    values = rng.normal(size=(len(places), 11)).astype(np.float32)
    near = Neighbourhood(places, 4.0)
    found = np.full(values.shape, np.nan, np.float32)

    def use(numbers, own, means):
        np.testing.assert_array_equal(own, values[numbers])
        found[numbers] = means
        return len(numbers)

    sizes = near.by_band(11, lambda numbers, out: np.copyto(out, values[numbers]), use)
    assert sum(sizes) == len(places) and len(sizes) > 3
    np.testing.assert_array_equal(found, near.mean(values))
