"""Unit cells of the wide world: how many columns, how high, how far apart."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.synthesis.lattices.lattice import least_distance
from napari_hush.synthesis.wide.cells import WEAKEST, Cell, random_cell


@pytest.fixture(scope="module")
def cells():
    return [random_cell(seed, 12.0) for seed in range(400)]


def test_cells_have_one_to_five_columns(cells):
    assert {len(cell.columns) for cell in cells} == {1, 2, 3, 4, 5}


def test_heights_fall_from_one_to_a_fiftieth(cells):
    for cell in cells:
        assert cell.heights[0] == 1
        assert np.all(np.diff(cell.heights) <= 0)
        assert cell.heights[-1] >= WEAKEST
    weak = np.concatenate([cell.heights[1:] for cell in cells])
    assert 0.15 < np.mean(weak < 0.08) < 0.5
    assert 0.1 < np.mean(weak > 0.5) < 0.4


def test_repeat_is_the_spacing_or_up_to_twice(cells):
    repeats = np.array([np.hypot(*cell.vectors.T).min() for cell in cells])
    assert repeats.min() > 12 - 1e-9
    assert repeats.max() < 24 + 1e-9


def test_columns_keep_apart_and_are_narrower_than_their_distance(cells):
    for cell in cells:
        assert cell.nearest > 0.29 * 12
        assert np.all(cell.sigmas < 0.36 * cell.nearest)
        assert np.all(cell.sigmas > 0.1 * cell.nearest)


def test_columns_of_one_element_are_alike():
    for seed in range(300):
        cell = random_cell(seed, 10.0)
        edges = [k for k, place in enumerate(cell.columns.tolist()) if place in ([0.5, 0.0], [0.0, 0.5])]
        if len(edges) == 2:
            first, second = edges
            assert cell.heights[first] == cell.heights[second]
            assert cell.sigmas[first] == cell.sigmas[second]


def test_sharpest_columns_still_cover_a_pixel():
    for seed in range(100):
        cell = random_cell(seed, 5.0)
        assert np.all(cell.sigmas > 0.84 * min(0.5, 0.3 * cell.nearest))


def test_moved_cell_keeps_its_columns():
    cell = Cell(vectors=np.eye(2) * 10, columns=np.zeros((1, 2)), heights=np.ones(1), sigmas=np.full(1, 2.0))
    other = cell.moved(np.array([[0.0, 1.0], [-1.0, 0.0]]))
    np.testing.assert_allclose(other.vectors, [[0, 10], [-10, 0]])
    assert other.columns is cell.columns


def test_least_distance_counts_neighbouring_cells():
    columns = np.array([(0.0, 0.0), (0.9, 0.0)])
    assert least_distance(columns, np.eye(2) * 10) == pytest.approx(1)
    assert least_distance(columns[:1], np.eye(2) * 10) == pytest.approx(10)
