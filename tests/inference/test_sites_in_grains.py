"""Columns come back in each grain by its own cell, and by no other's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_hush.atoms.spacing import find_lattices
from napari_hush.inference.guards.gates import own_places
from napari_hush.inference.guards.guard import guard_margin, measure_guard
from napari_hush.inference.guards.sites import measure_sites, with_sites
from napari_hush.synthesis import render_columns

SIDE, PERIOD, DOSE, FAINT = 208, 11.0, 100, 0.3
SHAPE, SIGMA = (SIDE, SIDE), 0.18 * PERIOD
ANGLES = (10.0, 40.0)
RNG = np.random.default_rng(1)


def columns_of(angle, left):
    """The columns of a grain and those of its faint sublattice, on its side of the image's middle."""
    turn = np.deg2rad([angle, angle + 90])
    vectors = PERIOD * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    cells = np.stack(np.meshgrid(*(np.arange(-30, 31.0),) * 2), axis=-1).reshape(-1, 2)
    for shift in (0.0, 0.5):
        at = (cells + shift) @ vectors + SIDE / 2
        here = ((at > -10) & (at < SIDE + 10)).all(axis=1) & ((at[:, 1] < SIDE / 2) == left)
        yield at[here]


STRONG, WEAK = zip(*(columns_of(angle, left) for angle, left in zip(ANGLES, (True, False), strict=True)), strict=True)
GONE = [RNG.random(len(at)) < 0.1 for at in WEAK]
ERASED = 0.05 + sum(render_columns(at, np.ones(len(at)), SIGMA, SHAPE).astype(float) for at in STRONG)
BACK = [
    render_columns(at[~gone], np.full((~gone).sum(), FAINT), SIGMA, SHAPE).astype(float)
    for at, gone in zip(WEAK, GONE, strict=True)
]
TRUE = ERASED + sum(BACK)
NOISY = RNG.poisson(TRUE * DOSE) / DOSE


@pytest.fixture(scope="module")
def guard():
    return measure_guard([NOISY], PERIOD)


def inside(at, grain):
    depth = SIDE / 2 - at[:, 1] if grain == 0 else at[:, 1] - SIDE / 2
    return ((at > 2 * PERIOD) & (at < SIDE - 2 * PERIOD)).all(axis=1) & (depth > 1.5 * PERIOD)


def heights(guard, image):
    """Of the faint columns of both grains, over what they are; all columns are fitted together."""
    positions = np.concatenate([*STRONG, *WEAK])
    strong = sum(map(len, STRONG))
    kinds = np.repeat([0, 1], [strong, len(positions) - strong])
    one = guard.sites[0]
    found = one._heights(one._detail(image - ERASED), one._columns(positions, kinds))[strong:] / FAINT
    return np.split(found, [len(WEAK[0])])


def test_each_grain_has_its_own_cell_and_gate(guard):
    assert len(guard.sites) == 2
    assert all(len(one.sites) == 2 and one.gate is not None for one in guard.sites)
    for angle in ANGLES:
        turn = np.deg2rad(angle)
        spot = np.array([np.sin(turn), np.cos(turn)]) / PERIOD
        assert min(min(np.hypot(*(s - spot)), np.hypot(*(s + spot))) for s in np.array(guard.spots)) < 0.1 / PERIOD
    record = json.loads(json.dumps(guard.as_dict()))
    assert set(record["sites"][1]["gate"]) == {"spots", "window", "floor", "bulk"}
    assert guard.margin <= guard_margin(PERIOD)


def test_an_erased_sublattice_comes_back_in_both_grains_and_its_vacancies_stay(guard):
    guarded, _ = guard.apply(NOISY, ERASED)
    for grain, found in enumerate(heights(guard, guarded)):
        here = inside(WEAK[grain], grain)
        assert 0.9 < found[here & ~GONE[grain]].mean() < 1.05
        assert abs(found[here & GONE[grain]].mean()) < 0.1
    assert ((guarded - TRUE) ** 2).mean() < 0.1 * ((ERASED - TRUE) ** 2).mean()


def test_no_grain_gives_back_in_another(guard):
    for one, other in ((0, 1), (1, 0)):
        lost = TRUE - BACK[other]  # only the other grain lacks anything
        gates = [site.gate for site in guard.sites]
        mine = next(k for k, gate in enumerate(gates) if belongs(gate, ANGLES[one]))
        where = own_places(gates, NOISY)
        _, given = guard.sites[mine](NOISY, lost, (0, 0), where[mine])
        depth = np.arange(SIDE) - SIDE / 2 if one == 0 else SIDE / 2 - np.arange(SIDE)
        assert np.abs(given[:, depth > PERIOD]).max() < 1e-3
        assert np.max([np.minimum(*where)]) == 0


def belongs(gate, angle):
    turn = np.deg2rad(angle)
    steps = np.array(gate.spots) @ (PERIOD * np.array([np.sin(turn), np.cos(turn)]))
    return np.abs(steps - np.rint(steps)).max() < 0.1


def test_a_part_gives_the_values_of_the_whole(guard):
    whole, _ = with_sites(guard.sites, NOISY, ERASED)
    top, left = 5, 7
    other, _ = with_sites(guard.sites, NOISY[top:, left:], ERASED[top:, left:], (top, left))
    margin = guard.sites[0].margin
    np.testing.assert_allclose(other[margin:, margin:], whole[top + margin :, left + margin :], atol=2e-4)


def test_a_single_crystal_has_one_cell_and_no_gate():
    cells = np.stack(np.meshgrid(*(np.arange(18.0),) * 2), axis=-1).reshape(-1, 2) * PERIOD
    clean = 0.05 + render_columns(cells, np.ones(len(cells)), SIGMA, (192, 192)).astype(float)
    noisy = RNG.poisson(clean * DOSE) / DOSE
    assert find_lattices(noisy).grains == ()
    (one,) = measure_sites([noisy], PERIOD)
    assert one.gate is None
