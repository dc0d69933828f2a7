"""The lattice of an image: which kind, its period in px and nm, and its grains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_hush.atoms.spacing import find_lattices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.inference.measure import MeasuredLattice

Kind = Literal["square", "hexagonal", "rectangular", "rhombic", "oblique", "not known"]
SAME = 0.04  # by which two lengths may differ that are one: scans stretch
ANGLE = 5.0  # degrees: so much they shear
OTHER = 0.05  # of the period: with more the middle shows another lattice than the one that was measured


@dataclass(frozen=True, kw_only=True)
class Order:
    """A lattice.

    Parameters
    ----------
    period : float
        Length of the shortest translation, px.
    period_nm : float or None
        The same; None where the pixel size is not known.
    vectors : tuple of (float, float)
        The two shortest translations (y, x), px; empty where the middle of the image does not show them.
    kind : {"square", "hexagonal", "rectangular", "rhombic", "oblique", "not known"}
        What they span, within 4 % and 5 degrees: scans stretch and shear by as much. Of a rhombic one, a centred
        rectangle, both have one length.
    grains : int
        How many parts with a lattice of their own were told apart; 1 where one crystal fills the image.
    """

    period: float
    period_nm: float | None
    vectors: tuple[tuple[float, float], ...]
    kind: Kind
    grains: int

    @property
    def words(self) -> str:
        """For a person."""
        kind = "of a kind that is not known" if self.kind == "not known" else self.kind
        nm = "" if self.period_nm is None else f", {self.period_nm:.4g} nm"
        words = f"{kind}, period {self.period:.4g} px{nm}"
        if len(self.vectors) == 2:
            lengths = " and ".join(f"{np.hypot(*vector):.4g}" for vector in self.vectors)
            words += f" (translations of {lengths} px at {_angle(np.array(self.vectors)):.0f}°)"
        return words + (f"; {self.grains} grains" if self.grains > 1 else "")


def measure_order(lattice: MeasuredLattice, pixel_size: tuple[float, float] | None) -> Order | None:
    """The lattice of an image; None where there is none.

    Parameters
    ----------
    lattice : MeasuredLattice
        Of the image: its period is the one that a run takes.
    pixel_size : (float, float) or None
        Along Y and X, nm.
    """
    period = lattice.spacing
    if period is None:
        return None
    found = find_lattices(lattice.middle)
    first = found.first
    if first is None or abs(first.spacing / period - 1) > OTHER:  # it was found elsewhere in the image
        nm = None if pixel_size is None or not _square(pixel_size) else period * pixel_size[0]
        return Order(period=period, period_nm=nm, vectors=(), kind="not known", grains=max(len(found.grains), 1))
    size = np.ones(2) if pixel_size is None else np.array(pixel_size)
    real = first.vectors * size
    return Order(
        period=period,
        period_nm=None if pixel_size is None else float(np.hypot(*real[0])) * period / first.spacing,
        vectors=tuple((float(y), float(x)) for y, x in first.vectors),
        kind=kind_of(real),
        grains=max(len(found.grains), 1),
    )


def kind_of(vectors: NDArray[np.float64]) -> Kind:
    """What the two shortest translations (2, 2) of a lattice span.

    Examples
    --------
    >>> kind_of(np.array([[0.0, 10.0], [8.66, 5.0]]))
    'hexagonal'
    """
    short, long = sorted(float(np.hypot(*vector)) for vector in vectors)
    angle, equal = _angle(vectors), long / short - 1 <= SAME
    if equal and abs(angle - 60) <= ANGLE:
        return "hexagonal"
    if abs(angle - 90) <= ANGLE:
        return "square" if equal else "rectangular"
    return "rhombic" if equal else "oblique"


def _angle(vectors: NDArray[np.float64]) -> float:
    """Between two translations, at most 90 degrees."""
    first, second = vectors
    cosine = abs(float(first @ second)) / float(np.hypot(*first) * np.hypot(*second))
    return float(np.rad2deg(np.arccos(min(cosine, 1.0))))


def _square(pixel_size: tuple[float, float]) -> bool:
    return abs(pixel_size[0] / pixel_size[1] - 1) < 1e-3
