"""Where columns are moved to from their places in the lattice: alone, together, by sublattices, beside vacancies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hush.synthesis.fields import smooth_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.synthesis.wide.columns import Columns

_RANGES = ((0.0, 0.03), (0.03, 0.08), (0.08, 0.15))  # rms per axis, in periods
_REGULAR = (0.0, 0.02)
_TAIL = 3  # degrees of freedom of Student's t


def random_rms(rng: np.random.Generator, *, regular: bool = False) -> float:
    """Draw the rms displacement per axis of a field, in periods: half up to 0.03, a third to 0.08, the rest to 0.15.

    In a regular crystal up to 0.02.
    """
    if regular:
        return float(rng.uniform(*_REGULAR))
    return float(rng.uniform(*_RANGES[rng.choice(3, p=[1 / 2, 1 / 3, 1 / 6])]))


def random_displacement(
    columns: Columns, rms: float, shape: tuple[int, int], period: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the displacement of each column.

    Parameters
    ----------
    columns : Columns
        What is moved.
    rms : float
        Per axis, px.
    shape : (int, int)
        Y, X of the field, px.
    period : float
        Lattice spacing, px.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (N, 2)
        (y, x), px: of each column alone, Gaussian (45 %) or heavy-tailed (15 %); of neighbours together, smooth over 1
        to 10 periods or a ramp (25 %); or one sublattice against the others, in domains (15 %).
    """
    kind = rng.choice(["gaussian", "tailed", "together", "polar"], p=[0.45, 0.15, 0.25, 0.15])
    sites, species = columns.sites, columns.species
    if kind == "polar" and species.max(initial=0) == 0:
        kind = "gaussian"
    if kind == "gaussian":
        return rng.normal(0, rms, sites.shape)
    if kind == "tailed":
        return np.asarray(rms * np.sqrt((_TAIL - 2) / _TAIL) * rng.standard_t(_TAIL, sites.shape))
    alone = rng.normal(0, min(rms, period * rng.uniform(0, 0.02)), sites.shape)
    if kind == "together":
        return alone + rms * (_ramp(sites, shape, rng) if rng.random() < 0.2 else _smooth(sites, shape, period, rng))
    moved = np.equal(species, rng.integers(species.max() + 1))
    return np.asarray(alone + moved[:, None] * rms * np.sqrt(2) * _domains(sites, shape, rng))


def relaxation(
    columns: Columns, missing: NDArray[np.bool_], nearest: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw how the neighbours of missing columns (N,) move towards them or away, (N, 2) px."""
    moved = np.zeros_like(columns.sites)
    if not missing.any() or missing.all():
        return moved
    distance, which = map(np.asarray, cKDTree(columns.sites[missing]).query(columns.sites))
    near = (distance < 1.6 * nearest) & ~missing
    away = columns.sites[near] - columns.sites[missing][which[near]]
    moved[near] = rng.uniform(-0.12, 0.15) * nearest * away / distance[near, None]
    return moved


def _ramp(sites: NDArray[np.float64], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """A uniform strain, rms 1 per axis over the field."""
    middle = (np.array(shape) - 1) / 2
    gradient = rng.normal(0, 1, (2, 2))
    spread = np.sqrt((np.array(shape) ** 2 / 12) @ gradient**2)  # rms of each component over the field
    return np.asarray((sites - middle) @ gradient / spread)


def _smooth(
    sites: NDArray[np.float64], shape: tuple[int, int], period: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Smooth over 1 to 10 periods, rms 1 per axis."""
    length = period * float(np.exp(rng.uniform(0, np.log(10))))
    fields = (smooth_field(shape, length, rng) for _ in range(2))
    return np.stack([ndimage.map_coordinates(f, sites.T, order=1, mode="reflect") for f in fields], axis=1)


def _domains(sites: NDArray[np.float64], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """A direction of length 1 at each place, one of two in the two kinds of domains."""
    first, turn = rng.uniform(0, 2 * np.pi), rng.choice([np.pi, np.pi / 2])
    angles = np.array([first, first + turn])
    field = smooth_field(shape, rng.uniform(0.1, 0.4) * max(shape), rng)
    here = (ndimage.map_coordinates(field, sites.T, order=1, mode="nearest") > 0).astype(np.intp)
    return np.stack([np.sin(angles[here]), np.cos(angles[here])], axis=1)
