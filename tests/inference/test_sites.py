"""Columns that were taken away come back, each with its own height; vacancies stay."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_hush.inference.guards.guard import measure_guard
from napari_hush.inference.guards.sites import measure_sites, site_margin
from napari_hush.synthesis import render_columns

SIDE, PERIOD, DOSE = 256, 14.0, 50
RNG = np.random.default_rng(1)
TURN = np.array([[np.cos(0.2), np.sin(0.2)], [-np.sin(0.2), np.cos(0.2)]])
CELLS = np.stack(np.meshgrid(np.arange(-3, 25), np.arange(-3, 25)), axis=-1).reshape(-1, 2).astype(float)
STRONG, FAINT = (
    part[((part > -10) & (part < SIDE + 10)).all(axis=1)]
    for part in (CELLS @ TURN * PERIOD, (CELLS + 0.5) @ TURN * PERIOD)
)
GONE = RNG.random(len(FAINT)) < 0.1
ERASED = 0.05 + render_columns(STRONG, np.ones(len(STRONG)), 0.18 * PERIOD, (SIDE, SIDE)).astype(float)
TRUE = ERASED + render_columns(FAINT[~GONE], np.full((~GONE).sum(), 0.3), 0.18 * PERIOD, (SIDE, SIDE))
NOISY = RNG.poisson(TRUE * DOSE) / DOSE
INSIDE = ((FAINT > 30) & (FAINT < SIDE - 30)).all(axis=1)


def heights(image):
    (guard,) = measure_sites([NOISY], PERIOD)
    kinds = np.repeat([0, 1], [len(STRONG), len(FAINT)])
    columns = guard._columns(np.concatenate([STRONG, FAINT]), kinds)
    return guard._heights(guard._detail(image - ERASED), columns)[len(STRONG) :] / 0.3


def test_both_columns_of_the_cell_are_found():
    (guard,) = measure_sites([NOISY], PERIOD)
    assert guard.gate is None and len(guard.sites) == 2 and guard.sigmas == pytest.approx((0.18 * PERIOD,) * 2, rel=0.1)
    apart = np.subtract(*guard.sites)
    assert np.abs(np.abs(apart) - 0.5) == pytest.approx([0, 0], abs=0.03)


def test_noise_moves_a_faint_column_by_little():
    noisy = RNG.poisson(TRUE * 5) / 5
    strong, faint = measure_sites([noisy], PERIOD)[0].positions(noisy)
    apart = faint - FAINT[cKDTree(FAINT).query(faint)[1]]
    common = strong - STRONG[cKDTree(STRONG).query(strong)[1]]
    assert np.abs(apart.mean(axis=0) - common.mean(axis=0)).max() < 0.15


def test_an_erased_sublattice_comes_back_and_its_vacancies_stay():
    guarded, given = measure_guard([NOISY], PERIOD).apply(NOISY, ERASED)
    found = heights(guarded)
    assert heights(ERASED)[INSIDE].mean() == pytest.approx(0, abs=0.05)
    assert found[INSIDE & ~GONE].mean() == pytest.approx(1, abs=0.03)
    assert abs(found[INSIDE & GONE].mean()) < 0.05
    assert ((guarded - TRUE) ** 2).mean() < 0.1 * ((ERASED - TRUE) ** 2).mean()
    assert given is not None and np.abs(given).max() > 0.2


def test_a_good_result_stays():
    result, _ = measure_sites([NOISY], PERIOD)[0](NOISY, TRUE)
    assert ((result - TRUE) ** 2).mean() < 1e-3 * ((NOISY - TRUE) ** 2).mean()


def test_a_part_gives_the_values_of_the_whole():
    (guard,) = measure_sites([NOISY], PERIOD)
    assert guard.margin == site_margin(PERIOD)
    whole, _ = guard(NOISY, ERASED)
    part = (slice(7, 256), slice(0, 250))
    other, _ = guard(NOISY[part], ERASED[part], (7, 0))
    np.testing.assert_allclose(other[100:, :150], whole[part][100:, :150], atol=2e-4)


def test_an_image_without_a_lattice_has_no_sites():
    assert measure_sites([RNG.normal(size=(96, 96))], 12.0) == ()
    assert measure_sites([NOISY], 30.0) == ()
