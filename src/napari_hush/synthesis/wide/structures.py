"""What a field is made of: one crystal, or several with the boundary or the defect between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.wide.cells import random_cell
from napari_hush.synthesis.wide.columns import Columns, amorphous, crystal, joined

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hush.synthesis.wide.cells import Cell

    Side = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
    Structure = Callable[[Cell, tuple[int, int], float, np.random.Generator], Columns]

_POISSON = 0.3  # ratio of a solid, for the field of a dislocation


def perfect(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """One crystal."""
    return crystal(cell, shape, _origin(shape, rng))


def grains(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """Two grains of one crystal, turned by 4 to 56 degrees."""
    other = cell.moved(_turn(rng.choice([-1, 1]) * rng.uniform(4, 56)))
    return _meet(perfect(cell, shape, period, rng), perfect(other, shape, period, rng), _curve(shape, rng), cell)


def twin(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """A crystal and its mirror image beyond a row of the lattice, or between two of them."""
    origin = _origin(shape, rng)
    along = _row(cell, rng)
    mirror = 2 * np.outer(along, along) - np.eye(2)
    side = _strip(origin, along, period, rng)
    return _meet(crystal(cell, shape, origin), crystal(cell.moved(mirror), shape, origin), side, cell)


def fault(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """A crystal that is shifted by a fraction of its period beyond a row, or between two: a stacking fault."""
    origin = _origin(shape, rng)
    along = _row(cell, rng)
    shift = rng.choice([0.5, 1 / 3, 2 / 3, rng.uniform(0.2, 0.8)]) * period
    shift *= along if rng.random() < 0.7 else _turned(along, rng.uniform(0, 360))
    side = _strip(origin, along, period, rng)
    return _meet(crystal(cell, shape, origin), crystal(cell, shape, origin + shift), side, cell)


def dislocation(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """One edge dislocation, or two opposite ones, each with the displacement of isotropic elasticity."""
    columns = perfect(cell, shape, period, rng)
    burgers = cell.vectors[rng.integers(2)] * rng.choice([-1, 1])
    size = np.array(shape)
    moved = np.zeros_like(columns.sites)
    for sign in (1, -1)[: 1 + int(rng.random() < 0.3)]:
        moved += edge_displacement(columns.sites, rng.uniform(0.2, 0.8, 2) * size, sign * burgers)
    sites = columns.sites + moved
    close = cKDTree(sites).query_pairs(0.55 * cell.nearest, output_type="ndarray")
    kept = np.ones(len(sites), dtype=np.bool_)
    kept[close[:, 1]] = False  # in the core two columns may meet
    return columns._replace(sites=sites).chosen(kept)


def interface(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """Two lattices side by side, as a film on its substrate."""
    other = random_cell(rng, period * rng.uniform(0.85, 1.2))
    scale = rng.uniform(0.4, 1) if rng.random() < 0.5 else 1.0
    second = perfect(other, shape, period, rng)
    second = second._replace(heights=second.heights * scale)
    straight = rng.random() < 0.6
    side = _strip(_origin(shape, rng), _row(cell, rng), period, rng) if straight else _curve(shape, rng)
    return _meet(perfect(cell, shape, period, rng), second, side, cell)


def amorphous_beside(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """A crystal with an amorphous part."""
    glass = amorphous(shape, period, float(cell.sigmas[0]), rng)
    return _meet(perfect(cell, shape, period, rng), glass, _curve(shape, rng), cell)


def glass(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """An amorphous solid throughout."""
    return amorphous(shape, period, float(cell.sigmas[0]), rng)


def particles(cell: Cell, shape: tuple[int, int], period: float, rng: np.random.Generator) -> Columns:
    """One to four round crystals of one kind, each turned another way, with nothing between them."""
    found: Columns | None = None
    apart = 0.75 * float(np.hypot(*cell.vectors.T).max())  # none of one lies within another
    for _ in range(int(rng.integers(1, 5))):
        centre, radius = rng.uniform(0.1, 0.9, 2) * shape, period * rng.uniform(2.5, 7)
        lobes = rng.normal(0, 0.1, (2, 3))
        other = cell.moved(_turn(rng.uniform(0, 360)))
        grain = perfect(other, shape, period, rng)
        y, x = (grain.sites - centre).T
        angle = np.arctan2(y, x)[:, None] * np.arange(2, 5)
        edge = radius * (1 + np.cos(angle) @ lobes[0] + np.sin(angle) @ lobes[1])
        grain = grain.chosen(np.hypot(y, x) < edge)
        rounded = np.clip((edge[np.hypot(y, x) < edge] - np.hypot(*(grain.sites - centre).T)) / (2 * period), 0, 1)
        grain = grain._replace(heights=grain.heights * (0.35 + 0.65 * np.sqrt(rounded)))
        found = grain if found is None else joined(found, grain, apart)
    assert found is not None
    return found


STRUCTURES: dict[str, tuple[float, Structure]] = {
    "crystal": (0.50, perfect),
    "grains": (0.08, grains),
    "twin": (0.08, twin),
    "fault": (0.07, fault),
    "dislocation": (0.08, dislocation),
    "interface": (0.08, interface),
    "amorphous": (0.05, amorphous_beside),
    "glass": (0.01, glass),
    "particles": (0.05, particles),
}
"""How often a structure is drawn, and what draws it."""


def edge_displacement(
    sites: NDArray[np.float64], centre: NDArray[np.float64], burgers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Displacement of places around an edge dislocation in an isotropic solid (Hirth and Lothe).

    Parameters
    ----------
    sites : ndarray, shape (N, 2)
        Places (y, x), px.
    centre : ndarray, shape (2,)
        The core, px.
    burgers : ndarray, shape (2,)
        Burgers vector (y, x), px; a lattice vector, since behind the core all is shifted by it.

    Returns
    -------
    ndarray, shape (N, 2)
        (y, x), px.
    """
    length = float(np.hypot(*burgers))
    along = burgers / length
    across = np.array([along[1], -along[0]])
    x, y = (sites - centre) @ along, (sites - centre) @ across
    square = x**2 + y**2 + (0.1 * length) ** 2
    ahead = np.arctan2(y, x) + x * y / (2 * (1 - _POISSON) * square)
    aside = (1 - 2 * _POISSON) / (4 * (1 - _POISSON)) * np.log(square / (25 * length**2))
    aside += (x**2 - y**2) / (4 * (1 - _POISSON) * square)
    return np.asarray(length / (2 * np.pi) * (np.outer(ahead, along) - np.outer(aside, across)))


def _origin(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(rng.uniform(0.25, 0.75, 2) * np.array(shape))


def _turn(angle: float) -> NDArray[np.float64]:
    turn = np.deg2rad(angle)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def _turned(direction: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    return np.asarray(direction @ _turn(angle))


def _row(cell: Cell, rng: np.random.Generator) -> NDArray[np.float64]:
    """The direction of a dense row of the lattice, of length 1."""
    steps = np.array([(1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2)])
    row = steps[rng.choice(6, p=[0.25, 0.25, 0.2, 0.1, 0.1, 0.1])] @ cell.vectors
    return np.asarray(row / np.hypot(*row))


def _strip(origin: NDArray[np.float64], along: NDArray[np.float64], period: float, rng: np.random.Generator) -> Side:
    """Which side of a line through the origin places are on; in four of ten draws outside of a strip instead."""
    across = np.array([along[1], -along[0]])
    wide = period * rng.uniform(3, 10) if rng.random() < 0.4 else np.inf

    def side(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        distance = (points - origin) @ across
        return np.asarray((distance < 1e-6) | (distance > wide))

    return side


def _curve(shape: tuple[int, int], rng: np.random.Generator) -> Side:
    """Which side of a curved boundary places are on."""
    field = smooth_field(shape, 0.35 * max(shape), rng)

    def side(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        y, x = (np.clip(np.rint(points[:, k]).astype(np.intp), 0, shape[k] - 1) for k in (0, 1))
        return np.asarray(field[y, x] > 0)

    return side


def _meet(first: Columns, second: Columns, side: Side, cell: Cell) -> Columns:
    """The first on one side, the second on the other; where they meet the first keeps its columns."""
    return joined(first.chosen(side(first.sites)), second.chosen(~side(second.sites)), 0.7 * cell.nearest)
