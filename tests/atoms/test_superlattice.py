"""An order of the columns that the smallest cell does not show: halves and thirds of its reciprocal vectors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_hush.atoms.cell import lattice_phases
from napari_hush.atoms.superlattice import multiple_of
from napari_hush.inference.guards.guard import measure_guard
from napari_hush.inference.guards.sites import measure_sites
from napari_hush.synthesis import render_columns

SIDE, PERIOD, DOSE = 300, 12.0, 60
NUMBERS = np.stack(np.meshgrid(np.arange(-4, 34), np.arange(-4, 34)), axis=-1).reshape(-1, 2)
TURN = np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])
PLACES = NUMBERS @ TURN * PERIOD
VECTORS = TURN / PERIOD


def drawn(heights):
    return 0.05 + render_columns(PLACES, heights, 0.17 * PERIOD, (SIDE, SIDE)).astype(float)


def ordered(every, by):
    """Every so many-th column along both translations is lower."""
    return np.where((NUMBERS % every == 0).all(axis=1), 1 - by, 1.0)


def noisy(clean, seed=0):
    return np.random.default_rng(seed).poisson(clean * DOSE) / DOSE


def multiple(image):
    return multiple_of(image, lattice_phases(image, VECTORS, PERIOD, (0, 0)), VECTORS)


@pytest.mark.parametrize("every", [2, 3])
def test_an_order_of_the_columns_is_seen(every):
    assert multiple(noisy(drawn(ordered(every, 0.3)))) == every


def test_columns_without_an_order_are_one_kind():
    rng = np.random.default_rng(1)
    for seed in range(10):
        heights = rng.normal(1, 0.1, len(PLACES)) * (rng.random(len(PLACES)) > 0.05)
        slow = 1 + 0.2 * ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 12) * 40
        assert multiple(noisy(np.maximum(drawn(heights) * slow, 0), seed)) == 1


def test_the_guard_keeps_an_order_that_a_network_evened_out():
    heights = ordered(2, 0.4)
    clean, even = drawn(heights), drawn(np.full(len(PLACES), heights.mean()))
    image = noisy(clean)
    (guard,) = measure_sites([image], PERIOD)
    assert guard.multiple == 2 and len(guard.positions(image)) == 4
    guarded, _ = measure_guard([image], PERIOD).apply(image, even)
    inside = ((PLACES > 30) & (PLACES < SIDE - 30)).all(axis=1)
    low, high = PLACES[inside & (heights < 1)], PLACES[inside & (heights == 1)]

    def contrast(result):
        seen = [ndimage.map_coordinates(result, at.T, order=3) for at in (low, high)]
        return float(seen[1].mean() - seen[0].mean())

    assert abs(contrast(even)) < 0.02
    assert contrast(guarded) == pytest.approx(contrast(clean), rel=0.15)


def test_a_part_knows_the_kinds_of_the_whole():
    image = noisy(drawn(ordered(2, 0.4)))
    (guard,) = measure_sites([image], PERIOD)
    top, left = 13, 29
    whole, part = guard.positions(image), guard.positions(image[top:, left:], (top, left))
    for all_of_it, some in zip(whole, part, strict=True):
        away = np.hypot(*(all_of_it[:, None] - np.add(some, (top, left))).transpose(2, 0, 1)).min(axis=0)
        deep = (some > 5 * PERIOD).all(axis=1)
        assert deep.any() and away[deep].max() < 0.05
