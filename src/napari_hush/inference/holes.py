"""Values for pixels that have none: of narrow holes from their neighbours, of wide ones the texture around them.

A network judges noise by what it sees: beside a hole that is filled evenly it takes the image for one without noise,
and leaves what there is. So a wide hole goes on with what is fine in the image, mirrored at its border, on the level
that the image has there; mirrored as a whole, half atoms would become other atoms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, correlate, uniform_filter

Read = Callable[[slice, slice], NDArray[np.generic]]

NEAR = 2  # px around a hole's pixel whose mean is its value, where any of them has one
DEPTH = 48  # px from a wide hole's border to which the image goes on in it
STRIP = 16  # px beside the border that are mirrored, there and back
FINE, COARSE = 9, 25  # px, sides of the squares whose means are taken from what is mirrored, and stand under it
REACH = DEPTH + STRIP + COARSE  # px: what a pixel's value can depend on

_WINDOW = np.ones((2 * NEAR + 1,) * 2, np.bool_)


def read_filled(
    read: Read, y: slice, x: slice, shape: tuple[int, int], default: float
) -> tuple[NDArray[np.generic], NDArray[np.float32] | None]:
    """Read a part of a plane, and fill its holes: at each pixel alike in every part that contains it.

    Parameters
    ----------
    read : callable
        Gives (C, Y, X) of the plane for two slices.
    y, x : slice
        Which part.
    shape : (int, int)
        Y, X of the plane, px.
    default : float
        The value of what is farther than `DEPTH` from everything that is known.

    Returns
    -------
    filled : ndarray, shape (C, Y, X)
        Finite.
    holes : ndarray of float32 or None
        As it was, if something is not finite in it.
    """
    block, inner = _with_margin(read, y, x, shape, 2 * NEAR)  # who is near, and who is near to those
    block = _single(block)
    part = block[(..., *inner)]
    if block.dtype.kind != "f" or np.isfinite(part).all():
        return part, None
    if any(wide[inner].any() for wide in map(_wide, block)):
        block, inner = _with_margin(read, y, x, shape, REACH)
        block = _single(block)
    return np.stack([_filled(channel, default) for channel in block])[(..., *inner)], part.astype(np.float32)


def fill_holes(block: NDArray[np.generic], default: float) -> NDArray[np.generic]:
    """Fill the holes of an image (C, Y, X) that is there as a whole, as `read_filled` does."""
    height, width = block.shape[1:]
    filled, _ = read_filled(lambda y, x: block[:, y, x], slice(0, height), slice(0, width), (height, width), default)
    return filled


def _with_margin(
    read: Read, y: slice, x: slice, shape: tuple[int, int], margin: int
) -> tuple[NDArray[np.generic], tuple[slice, slice]]:
    """A part with what lies around it, and where the part is in it."""
    rows, columns = (
        slice(max(one.start - margin, 0), min(one.stop + margin, size)) for one, size in zip((y, x), shape, strict=True)
    )
    top, left = y.start - rows.start, x.start - columns.start
    inner = slice(top, top + y.stop - y.start), slice(left, left + x.stop - x.start)
    return read(rows, columns), inner


def _single(block: NDArray[np.generic]) -> NDArray[np.generic]:
    """What float32 cannot hold is infinite in the result, and so a hole."""
    if block.dtype.kind != "f" or block.dtype.itemsize <= 4:
        return block
    with np.errstate(over="ignore"):
        single = block.astype(np.float32)
    return np.where(np.isfinite(single), block, single)


def _wide(channel: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a hole is wide: the pixels that have no value near, and those near to them."""
    hole = ~np.isfinite(channel)
    lonely = _near(~hole) == 0 if hole.any() else hole
    return binary_dilation(lonely, _WINDOW) if lonely.any() else lonely


def _filled(channel: NDArray[np.generic], default: float) -> NDArray[np.generic]:
    known = np.isfinite(channel)
    if not known.any():
        return np.full_like(channel, default)
    wide = _wide(channel)
    values = np.where(known, channel, 0).astype(np.float64)
    mean = _near(values) / np.maximum(_near(known), 1)
    filled = np.where(known, channel, mean)
    if not wide.any():
        return filled
    fine, coarse = filled - _mean(filled, ~wide, FINE), _mean(filled, ~wide, COARSE)
    best, texture = np.full(wide.shape, np.inf), np.full(wide.shape, default)
    for turns in range(4):  # from the left, from above, from the right, from below
        found = _from_left(np.rot90(fine, turns), np.rot90(coarse, turns), np.rot90(wide, turns))
        score, values = (np.rot90(each, -turns) for each in found)
        better = score < best
        best, texture = np.where(better, score, best), np.where(better, values, texture)
    return np.where(wide & ~known, texture, filled)


def _from_left(
    fine: NDArray[np.floating], coarse: NDArray[np.floating], wide: NDArray[np.bool_]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """How well the row to the left of each pixel does for its value, smaller is better, and that value."""
    column = np.arange(wide.shape[1], dtype=np.int32)
    border = np.maximum.accumulate(np.where(wide, -1, column), axis=1)  # the nearest value
    behind = np.maximum.accumulate(np.where(wide, column, -1), axis=1)  # the nearest pixel of a hole
    deep = column - border
    there = np.maximum(border, 0)
    strip = np.minimum(there - np.take_along_axis(behind, there, axis=1), STRIP)
    period = np.maximum(2 * (strip - 1), 1)
    back = deep % period
    mirrored = there - np.minimum(back, period - back) * (strip > 1)
    values = np.take_along_axis(fine, np.maximum(mirrored, 0), axis=1) + np.take_along_axis(coarse, there, axis=1)
    return np.where((border >= 0) & (deep <= DEPTH), deep + 2.0 * (STRIP - strip), np.inf), values


def _mean(values: NDArray[np.floating], known: NDArray[np.bool_], side: int) -> NDArray[np.float64]:
    """The mean of what is known in the square around each pixel; 0 where nothing is."""
    total = uniform_filter(np.where(known, values, 0.0), side, mode="constant")
    share = uniform_filter(known.astype(np.float64), side, mode="constant")
    return np.where(share > 0.5 / side**2, total / np.maximum(share, 0.5 / side**2), 0.0)


def _near(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """The sum over the pixels near."""
    return correlate(values.astype(np.float64), _WINDOW.astype(np.float64), mode="constant")
