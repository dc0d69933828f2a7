"""What all cells of a lattice lost, against what single columns lost."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.residual.cells import cell_difference

PERIOD, SIDE = 10.0, 200
Y, X = np.mgrid[:SIDE, :SIDE].astype(float)
PHASES = np.stack([Y / PERIOD + 0.02 * X / PERIOD, X / PERIOD])
USABLE = np.ones((SIDE, SIDE), dtype=bool)


def columns(at: tuple[float, float], *, share: float = 1.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """A column in each cell, or in a share of them."""
    away = [(PHASES[k] - at[k] + 0.5) % 1 - 0.5 for k in (0, 1)]
    bells = np.exp(-0.5 * (away[0] ** 2 + away[1] ** 2) / 0.15**2)
    if rng is None:
        return bells
    cells = [np.floor(PHASES[k] - at[k] + 0.5).astype(int) + 40 for k in (0, 1)]
    return bells * (rng.random((120, 120)) < share)[cells[0], cells[1]]


def test_a_sublattice_far_below_the_noise_is_seen() -> None:
    rng = np.random.default_rng(0)
    lost = 0.05 * columns((0.5, 0.5))
    image = columns((0, 0)) + lost + rng.normal(0, 0.3, USABLE.shape)
    found = cell_difference(image - columns((0, 0)), image, PHASES, USABLE, PERIOD)
    assert found == pytest.approx(5, rel=0.3)


@pytest.mark.parametrize("sigma", [0.05, 1.0])
def test_noise_alone_is_no_difference(sigma: float) -> None:
    found = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, sigma, USABLE.shape)
        found.append(cell_difference(noise, columns((0, 0)) + noise, PHASES, USABLE, PERIOD))
    assert max(found) == 0


def test_what_is_missing_here_and_there_is_no_cell() -> None:
    """Some columns lost at random are their mean loss and no more: what is the same in all cells."""
    rng = np.random.default_rng(1)
    lost = columns((0, 0), share=0.1, rng=rng)
    found = cell_difference(lost, columns((0, 0)), PHASES, USABLE, PERIOD)
    assert found == pytest.approx(10, rel=0.3)


def test_a_part_that_is_smaller_than_a_window() -> None:
    usable = np.zeros_like(USABLE)
    usable[:12, :12] = True
    assert np.isnan(cell_difference(columns((0, 0)), columns((0, 0)), PHASES, usable, PERIOD))
    usable[:100, :100] = True
    assert cell_difference(columns((0, 0)), columns((0, 0)), PHASES, usable, PERIOD) == pytest.approx(100)
