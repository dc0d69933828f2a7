"""Columns get their own shape back, what a scan did does not come back, and a vacancy gets nothing."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush import threads
from napari_hush.atoms.patches import Neighbourhood
from napari_hush.inference.guards.shapes import NEAR, Kind, lacking_shapes
from napari_hush.synthesis import render_columns

SIDE, PERIOD, SIGMA = 192, 12.0, 2.2
AT = np.stack(np.meshgrid(np.arange(-1, 17), np.arange(-1, 17), indexing="ij"), axis=-1).reshape(-1, 2) * PERIOD + 3.3
THERE = np.random.default_rng(2).random(len(AT)) > 0.1
INSIDE = ((AT > 40) & (AT < SIDE - 40)).all(axis=1)
WITHIN = (AT >= 0).all(axis=1) & (AT <= SIDE - 1).all(axis=1)
NOISE = 0.05 * np.random.default_rng(3).normal(size=(SIDE, SIDE))


def columns(sigma, by=(0.0, 0.0), height=1.0):
    at = AT[THERE] + np.array(by)
    return render_columns(at, np.full(len(at), height), sigma, (SIDE, SIDE)).astype(float)


def returned(true, result):
    near = Neighbourhood(AT[WITHIN], NEAR * PERIOD)
    kind = Kind(AT[WITHIN], THERE[WITHIN].astype(float), SIGMA, near)
    return lacking_shapes(true + NOISE - result, result, result, [kind], PERIOD, 1)


def test_what_all_columns_lack_comes_back():
    true, result = columns(2.6, height=0.9), columns(SIGMA)
    inner = (slice(40, -40),) * 2
    before, after = (((image - true)[inner] ** 2).mean() for image in (result, result + returned(true, result)))
    assert after < 0.2 * before  # the slow contrast is the guard's


def test_a_vacancy_gets_nothing():
    true, result = columns(SIGMA), columns(SIGMA, height=0.7)
    given = returned(true, result)
    rows, steps = np.rint(AT).astype(int).clip(0, SIDE - 1).T
    assert given[rows, steps][INSIDE & THERE].mean() == pytest.approx(0.3, abs=0.06)
    assert abs(given[rows, steps][INSIDE & ~THERE].mean()) < 0.03


def test_what_the_scan_did_does_not_come_back():
    result = columns(SIGMA)
    moved = columns(SIGMA, by=(0.0, 0.3))
    blurred = 0.5 * (columns(SIGMA, by=(0.0, 0.6)) + columns(SIGMA, by=(0.0, -0.6)))
    for scanned in (moved, blurred):
        given, lack = returned(scanned, result), scanned - result
        assert (given[40:-40, 40:-40] ** 2).mean() < 0.1 * (lack[40:-40, 40:-40] ** 2).mean()


@pytest.mark.parametrize("unit", [1e-22, 1e22])
def test_the_unit_of_the_image_does_not_matter(unit):
    true, result = columns(2.6, height=0.9), columns(SIGMA)
    near = Neighbourhood(AT[WITHIN], NEAR * PERIOD)
    kind = Kind(AT[WITHIN], unit * THERE[WITHIN], SIGMA, near)
    given = lacking_shapes(unit * (true + NOISE - result), unit * result, unit * result, [kind], PERIOD, 1)
    np.testing.assert_allclose(given / unit, returned(true, result), atol=1e-4)


def test_several_threads_give_what_one_gives(monkeypatch):
    true, result = columns(2.6, height=0.9), columns(SIGMA)
    alone = returned(true, result)
    monkeypatch.setattr(threads, "thread_count", lambda: 3)
    np.testing.assert_array_equal(returned(true, result), alone)
