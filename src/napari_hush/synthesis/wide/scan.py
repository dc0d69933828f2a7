"""What the scan does to a field: it shears and bends the lattice, and changes its brightness from row to row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.synthesis.fields import smooth_field

if TYPE_CHECKING:
    from numpy.typing import NDArray


def random_distortion(
    sites: NDArray[np.float64], shape: tuple[int, int], period: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the displacement of places by slow drift and fly-back.

    Parameters
    ----------
    sites : ndarray, shape (N, 2)
        Places (y, x), px.
    shape : (int, int)
        Y, X of the field, px.
    period : float
        Lattice spacing, px.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (N, 2)
        (y, x), px. A shear and a stretch of up to 3 % (40 %), a drift that changes its direction, up to half a period
        (30 %), rows that are stretched at their beginning, by up to half a period (10 %).
    """
    moved = np.zeros_like(sites)
    middle = (np.array(shape) - 1) / 2
    if rng.random() < 0.4:
        moved += (sites - middle) @ rng.uniform(-0.03, 0.03, (2, 2))
    if rng.random() < 0.3:
        phase = 2 * np.pi * (rng.uniform(0.3, 1.2) * sites[:, 0] / shape[0] + rng.random())
        moved += np.sin(phase)[:, None] * rng.uniform(-0.5, 0.5, 2) * period
    if rng.random() < 0.1:
        length = period * rng.uniform(0.7, 2)
        moved[:, 1] += period * rng.uniform(-0.5, -0.1) * np.exp(-np.clip(sites[:, 1], 0, None) / length)
    return moved


def random_brightness(shape: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the brightness of a field, (Y, X), at most 1.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    period : float
        Lattice spacing, px.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        One in two thirds of the draws; else steps of the specimen, sharp or up to three periods wide, a wedge, or a
        dose that changes at a row.
    """
    kind = rng.choice(["even", "steps", "wedge", "dose"], p=[0.66, 0.12, 0.12, 0.1])
    bright = np.ones(shape, dtype=np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)
    along = np.sin(turn) * (y - shape[0] / 2) + np.cos(turn) * (x - shape[1] / 2)
    reach = float(np.abs(along).max())
    if kind == "steps":
        along = along + period * rng.uniform(0, 1.5) * smooth_field(shape, 3 * period, rng)
        for _ in range(int(rng.integers(1, 4))):
            edge, width = rng.uniform(-0.6, 0.6) * reach, period * rng.uniform(0.1, 1.5)
            bright *= 1 - rng.uniform(0.1, 0.5) / (1 + np.exp(np.clip((edge - along) / width, -30, 30)))
    elif kind == "wedge":
        bright *= 1 - rng.uniform(0.2, 0.8) * (along / reach + 1) / 2
    elif kind == "dose":
        bright[int(rng.uniform(0.1, 0.9) * shape[0]) :] /= rng.uniform(1.2, 3)
        bright = bright[:: int(rng.choice([-1, 1]))]
    return np.ascontiguousarray(bright, dtype=np.float32)
