"""Dents: regions where the material is thinner or missing, as transmission maps that multiply the lattice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.synthesis.fields import smooth_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def ellipse(
    shape: tuple[int, int],
    *,
    centre: tuple[float, float],
    fwhm: tuple[float, float],
    angle: float = 0.0,
    depth: float = 1.0,
    edge: float = 4.0,
    warp: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Make one elliptical dent.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    centre : (float, float)
        (y, x), px.
    fwhm : (float, float)
        Full widths at half depth along the ellipse's two axes, px.
    angle : float
        Direction of the first axis, degrees from X towards Y.
    depth : float
        Missing fraction in the middle: 1 is a hole.
    edge : float
        Softness of the rim, px: from 12 % to 88 % of the depth over one ``2 * edge``.
    warp : ndarray, shape (Y, X), optional
        Relative change of the radius, from place to place.

    Returns
    -------
    ndarray, shape (Y, X)
        Transmission from ``1 - depth`` to 1.

    Raises
    ------
    ValueError
        If the depth is not a fraction or a length is not positive.

    Examples
    --------
    >>> t = ellipse((64, 64), centre=(32, 32), fwhm=(20, 20), depth=0.5, edge=2)
    >>> round(float(t[32, 32]), 2), round(float(t[32, 42]), 2), round(float(t[0, 0]), 2)
    (0.5, 0.75, 1.0)
    """
    if not 0 <= depth <= 1:
        raise ValueError(f"depth must lie between 0 and 1; got {depth}")
    if min(*fwhm, edge) <= 0:
        raise ValueError(f"fwhm and edge must be positive, in px; got {fwhm} and {edge}")
    y, x = (np.arange(n, dtype=np.float32) - c for n, c in zip(shape, centre, strict=True))
    sine, cosine = float(np.sin(np.deg2rad(angle))), float(np.cos(np.deg2rad(angle)))
    along = (y * (sine * 2 / fwhm[0]))[:, None] + x * (cosine * 2 / fwhm[0])
    across = (y * (cosine * 2 / fwhm[1]))[:, None] - x * (sine * 2 / fwhm[1])
    radius = np.sqrt(along * along + across * across)
    if warp is not None:
        radius *= 1 + warp
    inward = (1 - radius) * (float(np.sqrt(fwhm[0] * fwhm[1])) / 2)  # about the distance from the rim, px
    return _step(inward, depth, edge)


def _step(inward: NDArray[np.floating], depth: float, edge: float) -> NDArray[np.float32]:
    """Make a soft step: 1 far outside (inward << 0), 1 - depth far inside."""
    return np.asarray(1 - depth * 0.5 * (1 + np.tanh(inward / edge)), dtype=np.float32)


def _ellipse(shape: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float32]:
    largest = min(12 * period, 0.6 * min(shape))
    long = rng.uniform(min(3 * period, largest), largest)
    return ellipse(
        shape,
        centre=(rng.uniform(0, shape[0]), rng.uniform(0, shape[1])),
        fwhm=(long, max(long * rng.uniform(0.4, 1), 2 * period)),
        angle=rng.uniform(0, 180),
        depth=rng.uniform(0.2, 1),
        edge=period * rng.uniform(0.3, 2),
        warp=np.clip(rng.uniform(0, 0.25) * smooth_field(shape, 0.3 * long, rng), -0.8, 0.8),
    )


def _crack(shape: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a level line of a random field, about one to three periods wide."""
    length = min(rng.uniform(5, 15) * period, 0.4 * min(shape))
    width = period * rng.uniform(0.5, 1.5)
    field = smooth_field(shape, length, rng) - rng.uniform(-0.5, 0.5)
    return np.asarray(1 - rng.uniform(0.3, 1) * np.exp(-((field * length / width) ** 2)), dtype=np.float32)


def _holes(shape: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Where a random field is high: many small regions or a few large ones."""
    length = min(rng.uniform(2, 8) * period, 0.3 * min(shape))
    field = smooth_field(shape, length, rng) - rng.uniform(0.5, 1.6)
    return _step(field * length, rng.uniform(0.2, 1), period * rng.uniform(0.3, 2))


def _wedge(shape: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a thickness that falls off linearly in one direction, over a part of the image."""
    along = _direction(shape, rng)
    start, end = np.sort(rng.uniform(-0.7, 0.7, 2)) * max(shape)
    ramp = np.clip((along - start) / max(end - start, 4 * period), 0, 1)
    return np.asarray(1 - rng.uniform(0.2, 1) * ramp, dtype=np.float32)


def _vacuum(shape: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the edge of the specimen: a wavy line, nothing beyond it."""
    length = min(rng.uniform(3, 12) * period, 0.4 * min(shape))
    inward = _direction(shape, rng) - rng.uniform(-0.1, 0.4) * min(shape)
    inward = inward + rng.uniform(0, 0.5) * length * smooth_field(shape, length, rng)
    return _step(inward, 1.0, period * rng.uniform(0.3, 2))


def _direction(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the coordinate along a random direction, px from the centre."""
    turn = rng.uniform(0, 2 * np.pi)
    y, x = (np.arange(n, dtype=np.float32) - n / 2 for n in shape)
    return np.asarray(y[:, None] * np.float32(np.sin(turn)) + x * np.float32(np.cos(turn)))


@dataclass(frozen=True, kw_only=True)
class Dent:
    """One kind of dent; it is called with a shape (Y, X), the lattice period in px and a random generator.

    Parameters
    ----------
    draw : callable
        Gives the transmission, (Y, X), from 0 to 1.
    weight : float
        How often it is drawn, beside the weights of the others.
    """

    draw: Callable[[tuple[int, int], float, np.random.Generator], NDArray[np.float32]]
    weight: float

    def __call__(self, shape: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one."""
        return self.draw(shape, period, rng)


DENTS: dict[str, Dent] = {
    "ellipse": Dent(draw=_ellipse, weight=0.5),
    "crack": Dent(draw=_crack, weight=0.12),
    "holes": Dent(draw=_holes, weight=0.16),
    "wedge": Dent(draw=_wedge, weight=0.1),
    "vacuum": Dent(draw=_vacuum, weight=0.12),
}


def random_dent(shape: tuple[int, int], period: float, rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw one to three dents of the kinds in `DENTS`.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    period : float
        Lattice period, px, the unit of the dents' sizes: full widths at half depth 3 to 12 periods, rims 0.3 to 2.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        Transmission from 0 to 1; the dented image is ``transmission * (lattice + background)``.

    Examples
    --------
    >>> t = random_dent((64, 64), 8.0, 0)
    >>> bool(t.min() >= 0 and t.max() <= 1)
    True
    """
    rng = np.random.default_rng(rng)
    transmission = np.ones(shape, dtype=np.float32)
    weights = np.array([dent.weight for dent in DENTS.values()])
    for kind in rng.choice(list(DENTS), size=rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]), p=weights / weights.sum()):
        transmission *= DENTS[str(kind)](shape, period, rng)
    return np.clip(transmission, 0, 1)
