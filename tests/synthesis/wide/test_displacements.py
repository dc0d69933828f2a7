"""Displacements of columns: their size, their kinds, and what vacancies do to their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.synthesis.wide.cells import Cell
from napari_hush.synthesis.wide.columns import crystal
from napari_hush.synthesis.wide.displacements import random_displacement, random_rms, relaxation

SHAPE = (400, 400)
CELL = Cell(
    vectors=np.array([(0.0, 10.0), (10.0, 0.0)]),
    columns=np.array([(0.0, 0.0), (0.5, 0.5)]),
    heights=np.array([1.0, 0.3]),
    sigmas=np.array([1.5, 1.5]),
)


@pytest.fixture(scope="module")
def columns():
    return crystal(CELL, SHAPE, np.array([5.0, 5.0]))


def test_half_of_the_fields_are_hardly_displaced_a_sixth_strongly():
    rng = np.random.default_rng(0)
    drawn = np.array([random_rms(rng) for _ in range(4000)])
    assert drawn.max() <= 0.15
    assert np.mean(drawn < 0.03) == pytest.approx(1 / 2, abs=0.03)
    assert np.mean(drawn > 0.08) == pytest.approx(1 / 6, abs=0.03)


def test_displacements_have_the_rms_that_is_asked_for(columns):
    for seed in range(40):
        moved = random_displacement(columns, 0.8, SHAPE, 10.0, np.random.default_rng(seed))
        assert moved.shape == columns.sites.shape
        part = max(np.sqrt(np.mean(moved[columns.species == k] ** 2)) for k in (0, 1))
        assert 0.5 < part / 0.8 < 1.5


def test_kinds_differ_in_tails_and_in_how_neighbours_move(columns):
    tailed = together = polar = 0
    for seed in range(60):
        moved = random_displacement(columns, 0.8, SHAPE, 10.0, np.random.default_rng(seed))
        first, second = (moved[columns.species == k] for k in (0, 1))
        like = np.corrcoef(first[:-1, 0], first[1:, 0])[0, 1]  # listed row by row: neighbours
        kurtosis = np.mean(first**4) / np.mean(first**2) ** 2
        powers = np.mean(first**2), np.mean(second**2)
        polar += max(powers) > 4 * min(powers)
        together += like > 0.5 and max(powers) < 2 * min(powers)
        tailed += like < 0.2 and kurtosis > 4.5
    assert polar >= 3
    assert together >= 5
    assert tailed >= 3


def test_only_neighbours_of_vacancies_relax_and_along_the_line_to_them(columns):
    missing = np.zeros(len(columns.sites), dtype=bool)
    gone = np.argmin(np.hypot(*(columns.sites - 200).T))
    missing[gone] = True
    moved = relaxation(columns, missing, CELL.nearest, np.random.default_rng(3))
    away = columns.sites - columns.sites[gone]
    shifted = np.hypot(*moved.T) > 0
    assert shifted.sum() == 8  # four of the other sublattice, four of its own
    assert np.all(np.hypot(*away[shifted].T) < 1.6 * CELL.nearest)
    (ay, ax), (my, mx) = away[shifted].T, moved[shifted].T
    np.testing.assert_allclose(ay * mx - ax * my, 0, atol=1e-9)
    radial = np.sum(away[shifted] * moved[shifted], axis=1)
    assert np.all(radial > 0) or np.all(radial < 0)
    assert np.hypot(*moved.T).max() <= 0.15 * CELL.nearest + 1e-9


def test_without_vacancies_nothing_relaxes(columns):
    none = np.zeros(len(columns.sites), dtype=bool)
    assert not relaxation(columns, none, 7.0, np.random.default_rng(0)).any()
