"""Defects and boundaries: where their columns stand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_hush.synthesis.wide.cells import Cell, random_cell
from napari_hush.synthesis.wide.columns import amorphous, crystal, joined
from napari_hush.synthesis.wide.structures import STRUCTURES, edge_displacement

SHAPE = (240, 240)
A = 12.0
CELL = Cell(
    vectors=np.array([(0.0, A), (13.0, 4.0)]),
    columns=np.array([(0.0, 0.0), (0.4, 0.3)]),
    heights=np.array([1.0, 0.3]),
    sigmas=np.array([2.0, 2.0]),
)


def seen(columns):
    return columns.chosen(((columns.sites >= 0) & (columns.sites <= np.array(SHAPE) - 1)).all(axis=1))


def regular(columns):
    """Share of the brightest columns that have neighbours at all four lattice vectors of the cell."""
    sites = columns.sites[columns.species == 0]
    inner = sites[((sites > 30) & (sites < 210)).all(axis=1)]
    steps = np.concatenate([CELL.vectors, -CELL.vectors])
    distance = cKDTree(sites).query(inner[:, None] + steps)[0]
    return np.mean((distance < 1e-6).all(axis=1))


def draw(kind, seed, cell=CELL):
    return seen(STRUCTURES[kind][1](cell, SHAPE, A, np.random.default_rng(seed)))


def test_shares_are_those_of_one_draw():
    assert sum(share for share, _ in STRUCTURES.values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_columns_keep_apart_and_come_from_their_cell(kind):
    for seed in range(6):
        cell = random_cell(seed, A)
        columns = draw(kind, seed, cell)
        assert len(columns.sites) > 5
        if kind not in ("amorphous", "glass"):
            assert cKDTree(columns.sites).query(columns.sites, 2)[0][:, 1].min() > 0.29 * A * 0.5
            assert columns.ordered.all()
        if kind in ("crystal", "grains", "twin", "fault", "dislocation"):
            np.testing.assert_array_equal(columns.heights, cell.heights[columns.species])


def test_perfect_crystal_is_perfect_and_the_others_are_not():
    assert regular(draw("crystal", 0)) == 1
    for kind in ("grains", "twin", "fault", "dislocation", "interface", "amorphous"):
        assert np.mean([regular(draw(kind, seed)) for seed in range(4)]) < 0.95, kind


def test_twin_is_made_of_the_lattice_and_its_mirror_image():
    columns = draw("twin", 2)
    sites = columns.sites[columns.species == 0]
    tree = cKDTree(sites)
    inner = sites[((sites > 40) & (sites < 200)).all(axis=1)]
    plain = (tree.query(inner[:, None] + CELL.vectors)[0] < 1e-6).all(axis=1)
    others = inner[~plain]
    assert 0.05 < np.mean(~plain) < 0.95
    # In the mirror image the angle and lengths of the cell stay: every neighbour is as far as in the crystal.
    lengths = np.hypot(*np.concatenate([CELL.vectors, [CELL.vectors[1] - CELL.vectors[0]]]).T)
    near = tree.query(others, 7)[0][:, 1:]
    known = np.abs(near[..., None] - lengths).min(axis=-1) < 1e-6
    assert known.mean() > 0.6


def test_fault_shifts_one_side_as_a_whole():
    columns = draw("fault", 1)
    sites = columns.sites[columns.species == 0]
    phases = (sites @ np.linalg.inv(CELL.vectors)) % 1
    places = np.unique(np.round(phases, 6) % 1, axis=0)
    assert len(places) == 2


def test_dislocation_closes_with_its_burgers_vector():
    burgers = np.array([3.0, 4.0])
    turn = np.linspace(-np.pi, np.pi, 2001)[1:-1]
    along, across = burgers / 5, np.array([4.0, -3.0]) / 5
    ring = 50 * (np.cos(turn)[:, None] * along + np.sin(turn)[:, None] * across)
    moved = edge_displacement(ring + 100, np.array([100.0, 100.0]), burgers)
    np.testing.assert_allclose(moved[-1] - moved[0], burgers, atol=0.05)
    assert np.abs(np.diff(moved, axis=0)).max() < 0.02  # and nowhere a jump but behind the core


def test_dislocation_adds_half_a_row():
    cell = Cell(vectors=np.eye(2)[::-1] * A, columns=np.zeros((1, 2)), heights=np.ones(1), sigmas=np.full(1, 2.0))
    sites = crystal(cell, SHAPE, np.array([120.0, 120.0])).sites
    sites = sites + edge_displacement(sites, np.array([126.0, 126.0]), cell.vectors[0])
    wide = np.abs(sites[:, 1] - 126) < 105
    counts = [np.sum(wide & (np.abs(sites[:, 0] - y) < 17)) for y in (108, 144)]  # three rows each
    assert abs(counts[0] - counts[1]) == 3


def test_amorphous_columns_keep_a_least_distance():
    for seed in range(5):
        columns = amorphous(SHAPE, A, 2.0, np.random.default_rng(seed))
        distance = cKDTree(columns.sites).query(columns.sites, 2)[0][:, 1]
        assert distance.min() > 0.45 * A
        assert distance.max() < 2.5 * distance.min()  # and leave no holes
        assert not columns.ordered.any()


def test_joined_keeps_the_first_and_what_is_far_of_the_second():
    first = crystal(CELL, SHAPE, np.zeros(2))
    assert len(joined(first, first, 1.0).sites) == len(first.sites)
    assert len(joined(first, first).sites) == 2 * len(first.sites)
