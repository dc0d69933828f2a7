"""Rows that wander while they are scanned are told from columns that a result has moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_hush.residual.compare import compare_residual
from napari_hush.residual.noise import measure_noise
from napari_hush.residual.scan.wander import find_wander
from napari_hush.synthesis import render_columns

SIDE, PERIOD, LEVEL = 256, 24.0, 300.0
PLACES = np.stack(np.meshgrid(np.arange(-1, 12), np.arange(-1, 12)), axis=-1).reshape(-1, 2) * PERIOD + [5.3, 7.1]
CLEAN = LEVEL * (0.1 + render_columns(PLACES, np.ones(len(PLACES)), 0.17 * PERIOD, (SIDE, SIDE)).astype(float))
ALL = np.ones(CLEAN.shape, dtype=bool)


def scanned(rms, seed=0):
    """Rows that wander over half a period, each on its own."""
    rng = np.random.default_rng(seed)
    wander = ndimage.gaussian_filter1d(rng.standard_normal(CLEAN.shape), 0.5 * PERIOD, axis=1)
    wander *= rms / wander.std()
    y, x = np.indices(CLEAN.shape)
    return rng.poisson(ndimage.map_coordinates(CLEAN, [y, x - wander], order=3, mode="nearest")).astype(float)


def wander_of(noisy, result):
    noise = measure_noise([noisy], [result])
    return find_wander(noisy - result, result, noise, ALL, PERIOD)


@pytest.mark.parametrize("rms", [0.5, 1.0])
def test_how_far_rows_wander_is_measured(rms):
    found = wander_of(scanned(rms), CLEAN)
    assert np.sqrt(found.variance.mean()) == pytest.approx(rms, rel=0.3)


def test_rows_that_stay_do_not_wander():
    found = [wander_of(scanned(0.0, seed), CLEAN) for seed in range(5)]
    assert not any(one.variance.any() or one.shifts.any() for one in found)


def test_a_truth_whose_rows_wander_is_not_doubted():
    for seed in range(3):
        residual, _ = compare_residual(scanned(0.4, seed), CLEAN, None, PERIOD)
        assert residual.wander == pytest.approx(0.4, rel=0.3)
        assert max(residual.missing, residual.contradicted) < 1.1 * residual.threshold and residual.spread < 1.15


def test_a_moved_column_is_no_wandering_row():
    noisy = scanned(0.4)
    moved = PLACES.copy()
    near = int(np.argmin(np.hypot(*(moved - SIDE / 2).T)))
    moved[near, 1] += 0.1 * PERIOD
    result = LEVEL * (0.1 + render_columns(moved, np.ones(len(moved)), 0.17 * PERIOD, (SIDE, SIDE)).astype(float))
    residual, _ = compare_residual(noisy, result, None, PERIOD)
    assert min(residual.missing, residual.contradicted) > residual.threshold
    at = np.unravel_index(int(np.abs(residual.z).argmax()), residual.z.shape)[1:]
    assert np.hypot(*(np.array(at) - PLACES[near])) < 0.75 * PERIOD
