"""Whole clean fields with their truth: a lattice or a texture, seen through dents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from napari_hush.synthesis.dents import random_dent
from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.lattice import Lattice, LatticeKind, render_columns, render_lattice

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A clean field and the truth behind it.

    Parameters
    ----------
    clean : ndarray, shape (Y, X)
        ``transmission * (lattice + background)``, peaks about 1.
    transmission : ndarray, shape (Y, X)
        From 0 (nothing there) to 1; all ones without a dent.
    positions : ndarray, shape (N, 2)
        Atom columns (y, x), px, also those in dents.
    vacancies : ndarray, shape (M, 2)
        Missing columns (y, x), px.
    period : float
        Lattice period, px; without a lattice the size that stood for it.
    lattice : Lattice or None
        The lattice; None for textures, isolated atoms and flat fields.
    """

    clean: NDArray[np.float32]
    transmission: NDArray[np.float32]
    positions: NDArray[np.float64]
    vacancies: NDArray[np.float64]
    period: float
    lattice: Lattice | None

    @property
    def dented(self) -> bool:
        """Whether any part transmits less than 90 %."""
        return bool(self.transmission.min() < 0.9)


def random_lattice(rng: np.random.Generator | int, *, period: tuple[float, float] = (8.4, 16.8)) -> Lattice:
    """Draw a lattice from the ranges that the bundled model is trained on.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness.
    period : (float, float)
        Lowest and highest period, px, drawn log-uniformly.

    Returns
    -------
    Lattice
        Any kind and angle; column sigma 0.13 to 0.25 of the period, less where columns are closer than a period.
    """
    rng = np.random.default_rng(rng)
    kind = get_args(LatticeKind)[rng.choice(6, p=[0.25, 0.15, 0.25, 0.1, 0.15, 0.1])]
    if kind in ("honeycomb", "dumbbell"):
        sublattice = rng.uniform(0.15, 1)
    else:
        sublattice = rng.uniform(0.15, 0.8) if kind != "hexagonal" and rng.random() < 0.4 else 0.0
    drawn = Lattice(
        kind=kind,
        period=float(np.exp(rng.uniform(*np.log(period)))),
        angle=float(rng.uniform(0, 360)),
        ratio=float(rng.uniform(1.05, 1.7)),
        gamma=float(rng.uniform(62, 88)),
        sublattice=float(sublattice),
        displacement=float(rng.uniform(0, 0.03)),
        intensity_spread=float(rng.uniform(0, 0.12)),
        vacancies=float(rng.uniform(0, 0.05)) if rng.random() < 0.7 else 0.0,
        background=float(rng.uniform(0, 0.5)) if rng.random() < 0.7 else 0.0,
        strain=float(rng.uniform(0, 0.03)) if rng.random() < 0.1 else 0.0,
        thickness=float(rng.uniform(0, 0.12)) if rng.random() < 0.5 else 0.0,
        grain_angle=float(rng.uniform(5, 55)) if rng.random() < 0.1 else 0.0,
    )
    crowding = min(1.0, 1.25 * drawn.nearest / drawn.period)
    return Lattice(**{**drawn.__dict__, "sigma": float(rng.uniform(0.13, 0.25)) * crowding})


def random_scene(
    rng: np.random.Generator | int,
    *,
    shape: tuple[int, int] = (256, 256),
    period: tuple[float, float] = (5.5, 42.0),
    lattice_share: float = 0.9,
    dent_share: float = 0.7,
) -> Scene:
    """Draw a clean field.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness.
    shape : (int, int)
        Y, X in px.
    period : (float, float)
        Lowest and highest lattice period, px, drawn log-uniformly.
    lattice_share : float
        Probability of a lattice; otherwise a smooth texture, isolated atoms or a flat field.
    dent_share : float
        Probability of one or more dents.

    Returns
    -------
    Scene
        The field and its truth.
    """
    rng = np.random.default_rng(rng)
    none = np.empty((0, 2))
    if rng.random() < lattice_share:
        lattice = random_lattice(rng, period=period)
        size = lattice.period
        image, positions, _, vacancies = render_lattice(lattice, shape, rng)
    else:
        lattice, vacancies = None, none
        size = float(np.exp(rng.uniform(*np.log(period))))
        image, positions = _no_lattice(shape, size, rng)
    dented = rng.random() < dent_share
    transmission = random_dent(shape, size, rng) if dented else np.ones(shape, dtype=np.float32)
    return Scene(
        clean=image * transmission,
        transmission=transmission,
        positions=positions,
        vacancies=vacancies,
        period=size,
        lattice=lattice,
    )


def _no_lattice(
    shape: tuple[int, int], size: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Draw a field without a period: flat, a smooth texture, or single atoms on a faint support."""
    background = float(rng.uniform(0.05, 0.6))
    kind = rng.choice(["flat", "texture", "atoms"], p=[0.2, 0.4, 0.4])
    if kind == "flat":
        return np.full(shape, background, dtype=np.float32), np.empty((0, 2))
    texture = smooth_field(shape, size * rng.uniform(0.3, 2), rng)
    if kind == "texture":
        return np.clip(0.5 + rng.uniform(0.05, 0.25) * texture, 0, None).astype(np.float32), np.empty((0, 2))
    count = rng.poisson(shape[0] * shape[1] / (size * rng.uniform(1.5, 4)) ** 2)
    positions = rng.uniform(0, 1, (count, 2)) * (np.array(shape) - 1)
    atoms = render_columns(positions, rng.uniform(0.4, 1, count), size * rng.uniform(0.13, 0.25), shape)
    support = background * 0.5 * np.clip(1 + 0.15 * texture, 0, None)
    return (support + (1 - 0.5 * background) * atoms).astype(np.float32), positions
