"""Unit cells of one to five columns, from square lattices to perovskites, with columns down to a fiftieth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.synthesis.lattices.lattice import least_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEAKEST = 0.02  # height of a column, where the brightest has 1
_SHARPEST = 0.5  # sigma, px: sharper ones fall between the pixels

_FAMILIES = {  # how often each is drawn
    "single": 0.2,
    "centred": 0.2,
    "honeycomb": 0.08,
    "dumbbell": 0.08,
    "perovskite": 0.16,
    "spinel": 0.08,
    "any": 0.2,
}
_COLUMNS = {  # in fractions of the two vectors
    "single": [(0, 0)],
    "centred": [(0, 0), (1 / 2, 1 / 2)],
    "honeycomb": [(0, 0), (1 / 3, 1 / 3)],
    "dumbbell": [(0, 0), (1 / 4, 1 / 4)],
    "perovskite": [(0, 0), (1 / 2, 1 / 2), (1 / 2, 0), (0, 1 / 2)],
    "spinel": [(1 / 8, 1 / 8), (7 / 8, 7 / 8), (1 / 2, 1 / 2), (1 / 2, 0), (0, 1 / 2)],  # seen along [110]
}
_ALIKE = {"perovskite": [(2, 3)], "spinel": [(0, 1), (3, 4)]}  # columns of one element


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The columns of a unit cell as Gaussians.

    Parameters
    ----------
    vectors : ndarray, shape (2, 2)
        The two lattice vectors as rows (y, x), px.
    columns : ndarray, shape (S, 2)
        Places in fractions of the two vectors.
    heights : ndarray, shape (S,)
        Peaks, falling; the first is 1.
    sigmas : ndarray, shape (S,)
        Standard deviations, px.
    """

    vectors: NDArray[np.float64]
    columns: NDArray[np.float64]
    heights: NDArray[np.float64]
    sigmas: NDArray[np.float64]

    @property
    def nearest(self) -> float:
        """The shortest distance between two columns, px."""
        return least_distance(self.columns, self.vectors)

    def moved(self, matrix: NDArray[np.float64]) -> Cell:
        """Turn, mirror or stretch the lattice: each (y, x) becomes ``(y, x) @ matrix``."""
        return replace(self, vectors=self.vectors @ matrix)


def random_cell(rng: np.random.Generator | int, period: float) -> Cell:
    """Draw a unit cell.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness.
    period : float
        The lattice spacing, px: the shortest repeat, which is up to twice as long in cells whose columns would stand
        close.

    Returns
    -------
    Cell
        One or two columns, a honeycomb, a dumbbell, like a perovskite or a spinel, or two to five at random places;
        heights from 0.02, mostly log-uniform. Sigma is 0.13 to 0.25 of the period, less where columns are close, and in
        a third of the cells another for each column.

    Examples
    --------
    >>> cell = random_cell(3, 12.0)
    >>> len(cell.columns), bool(cell.heights.min() >= 0.02)
    (1, True)
    """
    rng = np.random.default_rng(rng)
    family = str(rng.choice(list(_FAMILIES), p=list(_FAMILIES.values())))
    frame = _frame(family, rng)
    columns = _any_columns(frame, rng) if family == "any" else np.array(_COLUMNS[family], dtype=float)
    nearest = least_distance(columns, frame)
    stretch = float(np.clip(rng.uniform(1, max(1.0, 0.6 / nearest)), 1, 2))
    turn = np.deg2rad(rng.uniform(0, 360))
    vectors = period * stretch * frame @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    sigma = period * rng.uniform(0.13, 0.25) * min(1.0, 1.2 * stretch * nearest)
    sigma = max(sigma, min(_SHARPEST, 0.3 * period * stretch * nearest))
    widths = rng.uniform(0.85, 1.15, len(columns)) if rng.random() < 1 / 3 else np.ones(len(columns))
    heights = _heights(len(columns), rng)
    for first, second in _ALIKE.get(family, []):
        heights[second], widths[second] = heights[first], widths[first]
    heights /= heights.max()
    order = np.argsort(-heights, kind="stable")
    return Cell(
        vectors=vectors, columns=columns[order], heights=heights[order], sigmas=np.asarray(sigma * widths[order])
    )


def _frame(family: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two lattice vectors as rows (y, x), the shorter of length 1."""
    ratio, gamma = 1.0, 90.0
    if family == "honeycomb":
        gamma = 60.0
    elif family in ("dumbbell", "spinel"):
        gamma = 70.529  # the two shortest repeats of a centred a x a/sqrt(2) cell
    elif family == "perovskite":
        ratio, gamma = rng.choice([1.0, rng.uniform(1, 1.1)]), rng.choice([90.0, rng.uniform(86, 90)])
    else:
        kind = rng.choice(["square", "rectangular", "hexagonal", "oblique"], p=[0.3, 0.2, 0.3, 0.2])
        ratio = rng.uniform(1.05, 1.7) if kind in ("rectangular", "oblique") else 1.0
        gamma = {"hexagonal": 60.0, "oblique": rng.uniform(62, 88)}.get(str(kind), 90.0)
    turn = np.deg2rad(gamma)
    return np.array([(0.0, 1.0), (ratio * np.sin(turn), ratio * np.cos(turn))])


def _any_columns(frame: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Two to five columns at random places, 0.3 of the shorter vector apart at least."""
    columns = np.zeros((1, 2))
    wanted = int(rng.integers(2, 6))
    for _ in range(60):
        tried = np.concatenate([columns, rng.random((1, 2))])
        if least_distance(tried, frame) > 0.3:
            columns = tried
        if len(columns) == wanted:
            break
    return columns


def _heights(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Peaks of the columns; the first is 1."""
    heights = np.exp(rng.uniform(np.log(WEAKEST), 0, count))
    like = rng.random(count) < 0.35
    heights[like] = rng.uniform(0.15, 1, int(like.sum()))
    heights[0] = 1.0
    return heights
