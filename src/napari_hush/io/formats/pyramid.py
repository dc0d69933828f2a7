"""Smaller and smaller levels of an image in a zarr, so that a viewer need not read all of it to show it."""

from __future__ import annotations

import shutil
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.convert import convert_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SMALLEST = 512  # px; a level of this size or less is the last one


def level_factors(shape: Sequence[int]) -> list[int]:
    """By how much the levels of an image (..., Y, X) are smaller along Y and X, the first one not at all.

    Examples
    --------
    >>> level_factors((3, 2000, 700))
    [1, 2, 4]
    """
    factors = [1]
    while -(-max(shape[-2:]) // factors[-1]) > SMALLEST:
        factors.append(2 * factors[-1])
    return factors


def add_levels(group: Any, folder: Path, factors: Sequence[int], **options: Any) -> Any:
    """Make the levels ``1``, ``2``, ... of a group out of its array ``0`` (..., Y, X), chunk by chunk.

    What an earlier run has left of them is made anew.

    Parameters
    ----------
    group : zarr.Group
        The image.
    folder : Path
        Where it lies.
    factors : sequence of int
        From `level_factors`.
    **options
        For each new array.

    Returns
    -------
    zarr.Array
        The smallest level.
    """
    level = group["0"]
    for number in range(1, len(factors)):
        shutil.rmtree(folder / str(number), ignore_errors=True)
        shape = (*level.shape[:-2], *(-(-n // 2) for n in level.shape[-2:]))
        chunks = tuple(min(n, size) for n, size in zip(level.chunks, shape, strict=True))
        smaller = group.create_array(str(number), shape=shape, dtype=level.dtype, chunks=chunks, **options)
        for corner in product(*(range(0, n, step) for n, step in zip(shape, chunks, strict=True))):
            ends = [min(at + step, n) for at, step, n in zip(corner, chunks, shape, strict=True)]
            part = tuple(slice(*both) for both in zip(corner, ends, strict=True))
            large = (*part[:-2], *(slice(2 * one.start, 2 * one.stop) for one in part[-2:]))
            smaller[part] = halved(np.asarray(level[large]))
        level = smaller
    return level


def halved(data: NDArray[Any]) -> NDArray[Any]:
    """The means of 2 x 2 px of an image (..., Y, X) in its own type; of an odd side the last row stands for two.

    NaN counts for nothing where there is something else. Means of whole numbers are rounded half to even, and of truths
    the majority counts.

    Examples
    --------
    >>> halved(np.array([[1, 2, 9], [3, 2, 9]]))
    array([[2, 9]])
    """
    exact = np.float32 if data.dtype.itemsize <= 2 or data.dtype == np.float32 else np.float64
    wide = data.astype(exact, copy=False)
    odd = [(0, n % 2) for n in data.shape[-2:]]
    if any(after for _, after in odd):
        wide = np.pad(wide, [(0, 0)] * (data.ndim - 2) + odd, mode="edge")
    corners: list[Any] = [wide[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
    mean = np.zeros(corners[0].shape, exact)
    with np.errstate(invalid="ignore"):  # of infinities of both signs
        for corner in corners:
            mean += 0.25 * corner
    if data.dtype.kind == "f" and (holes := np.isnan(mean)).any():
        parts = np.stack([corner[holes] for corner in corners])
        known = np.isfinite(parts)
        total, count = np.where(known, parts, 0).sum(0), known.sum(0)
        mean[holes] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean >= 0.5 if data.dtype.kind == "b" else convert_dtype(mean, data.dtype)


def value_ranges(level: Any, channel_axis: int | None) -> list[tuple[float, float]]:
    """The smallest and the largest finite value of each channel, read plane by plane; (0, 1) where there is none.

    Parameters
    ----------
    level : array_like, shape (..., Y, X)
        Such as the smallest level of an image.
    channel_axis : int or None
        One of the axes before Y and X.
    """
    found: dict[int, tuple[float, float]] = {}
    for index in np.ndindex(*level.shape[:-2]):
        plane = np.asarray(level[index])
        values = plane[np.isfinite(plane)]
        if values.size:
            channel = 0 if channel_axis is None else index[channel_axis]
            low, high = found.get(channel, (np.inf, -np.inf))
            found[channel] = (min(low, float(values.min())), max(high, float(values.max())))
    count = 1 if channel_axis is None else level.shape[channel_axis]
    return [found.get(channel, (0.0, 1.0)) for channel in range(count)]
