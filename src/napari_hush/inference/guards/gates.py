"""Where in an image with several grains the lattice of each one is.

A place belongs to the lattice of which both reciprocal vectors are stronger there, as a share of what they are inside
their own grain, than those of any other. It is read off the noisy image place by place: a part tells what the whole
does, also of places that nothing was measured at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from napari_hush.atoms.lockin import STRIP, grid, interpolation, lock_in, noise_power
from napari_hush.threads import in_threads, strips

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_hush.atoms.grains import Grain

    Floats = NDArray[np.float64]
    Images = NDArray[np.floating]

WINDOW = 1.0  # periods: the lock-in's width
AHEAD = 0.3  # of the power inside the grain, by which a lattice is ahead of all others where all of it is given
PRESENT = (0.06, 0.25)  # of that power: less is no lattice
BORDER = 1.5  # periods from a grain's border to what is measured
FEWEST = 9.0  # cells that are measured


class Inside(NamedTuple):
    """A window of a plane and that part of it which lies inside a grain."""

    window: tuple[slice, slice]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How strong the lattice of one grain is inside it.

    Parameters
    ----------
    spots : ((float, float), (float, float))
        Two of its reciprocal vectors (y, x), cycles per px.
    window : float
        Standard deviation of the lock-in's Gaussian window, px.
    floor : float
        Mean square of the lock-in's noise, in the image's squared unit.
    bulk : (float, float)
        Mean square of either spot inside the grain, without that of the noise.
    """

    spots: tuple[tuple[float, float], tuple[float, float]]
    window: float
    floor: float
    bulk: tuple[float, float]

    def share(self, noisy: Images, origin: tuple[int, int] = (0, 0)) -> Callable[[slice], Floats]:
        """What gives for some rows of a part how strong the lattice is: 1 inside the grain, 0 where it is not."""
        shape = (noisy.shape[0], noisy.shape[1])
        rows, columns = grid(shape, max(int(self.window / 4), 1), origin)
        found = lock_in(noisy, self.spots, self.window, rows=rows, columns=columns, origin=origin)
        power = (np.abs(found) ** 2 - self.floor) / np.reshape(self.bulk, (2, 1, 1))
        return interpolation(power.min(axis=0), (rows, columns), shape, origin)


def own_places(gates: Sequence[Gate], noisy: Images, origin: tuple[int, int] = (0, 0)) -> list[Images]:
    """Where the lattice of each gate is.

    Parameters
    ----------
    gates : sequence of Gate
        Those of all grains.
    noisy : ndarray, shape (Y, X)
        A part of the noisy image.
    origin : (int, int)
        Where it begins in the plane, px.

    Returns
    -------
    list of ndarray, shape (Y, X)
        From 0 to 1; at no place is more than one of them above 0.
    """
    shares = [gate.share(noisy, origin) for gate in gates]
    found = np.empty((len(gates), *noisy.shape), noisy.dtype)

    def fill(rows: slice) -> None:
        here = np.stack([share(rows) for share in shares])
        for number, share in enumerate(here):
            others = np.delete(here, number, axis=0).max(axis=0, initial=0)
            ahead = np.clip((share - others) / AHEAD, 0, 1)
            found[number, rows] = ahead * np.clip((share - PRESENT[0]) / (PRESENT[1] - PRESENT[0]), 0, 1)

    in_threads(fill, strips(len(noisy), STRIP))
    return list(found)


def grain_inside(grain: Grain, side: int) -> Inside:
    """The window of at most ``side`` px that holds most of a grain, and the grain's inside in it."""
    around = np.pad(grain.mask, 1, constant_values=False)  # an image's border is one too
    depth = np.asarray(ndimage.distance_transform_edt(around)[1:-1, 1:-1])
    deep = depth > BORDER * grain.spacing
    if deep.sum() < FEWEST * grain.mask.sum() / grain.cells:
        deep = grain.mask
    filled = ndimage.uniform_filter(deep.astype(np.float64), side, mode="constant")
    middle = np.unravel_index(int(np.argmax(filled)), deep.shape)
    starts = [int(np.clip(at - side // 2, 0, max(size - side, 0))) for at, size in zip(middle, deep.shape, strict=True)]
    window = slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)
    return Inside(window, deep[window])


def measure_gate(plane: Floats, vectors: Floats, period: float, inside: NDArray[np.bool_]) -> Gate | None:
    """Measure the strength of a lattice inside its grain.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)
        Noisy.
    vectors : ndarray, shape (2, 2)
        Reciprocal vectors (y, x) as rows, cycles per px.
    period : float
        Px; the window's width.
    inside : ndarray of bool, shape (Y, X)
        Inside of the grain.

    Returns
    -------
    Gate or None
        None where the lattice is not stronger than the noise.
    """
    step = max(int(period / 4), 1)
    here = inside[::step, ::step]
    if not here.any():
        return None
    rows, columns = (np.arange(0, size, step) for size in plane.shape)
    power = np.abs(lock_in(plane, vectors, WINDOW * period, rows=rows, columns=columns)) ** 2
    floor = noise_power(plane, vectors, period, window=WINDOW)
    first, second = (float(part) - floor for part in np.median(power[:, here], axis=1))
    if min(first, second) <= 0:
        return None
    spots = (float(vectors[0, 0]), float(vectors[0, 1])), (float(vectors[1, 0]), float(vectors[1, 1]))
    return Gate(spots=spots, window=WINDOW * period, floor=floor, bulk=(first, second))
