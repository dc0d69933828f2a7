"""A zarr while it is filled: smaller levels that are there at once, and the same array for whoever looks on.

The smaller levels are every second, fourth, ... pixel, in the places of those that `zarr_writer` makes at the end.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.formats.lazy import LazyArray, bounds_of, indices_of, without_numbers
from napari_hush.io.formats.ngff import NOTE_KEY, Layout, layout_of
from napari_hush.io.formats.pyramid import level_factors
from napari_hush.io.formats.turned import TurnedArray, turned
from napari_hush.io.formats.zarr_write import LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CHUNK = 256  # px: small parts change, and small parts are looked at


class GrowingArray:
    """An array of `zarr_writer` that keeps smaller levels of what is written to it.

    Parameters
    ----------
    array : zarr.Array or TurnedArray
        As the writer yields it.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape, self.dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
        self.chunks = array.chunks
        self._levels = list(_open_levels(array))

    def __getitem__(self, key: Any) -> Any:
        """A part of the array."""
        return self._array[key]

    def __setitem__(self, key: tuple[int | slice, ...], values: Any) -> None:
        """Write a part that is made of numbers and of two slices, along Y and X."""
        self._array[key] = values
        for factor, level in self._levels:
            parts: list[int | slice] = []
            picked: list[slice] = []
            for part, size in zip(key, self.shape, strict=True):
                if not isinstance(part, slice):
                    parts.append(part)
                    continue
                places = indices_of(part, size)
                first = -places.start % factor
                picked.append(slice(first, None, factor))
                parts.append(slice((places.start + first) // factor, -(-places.stop // factor)))
            level[tuple(parts)] = np.asarray(values)[tuple(picked)]


class SeenArray(LazyArray):
    """An array that somebody else writes, read in whole chunks of which the last ones are kept: a viewer moves little.

    Parameters
    ----------
    array : zarr.Array or TurnedArray
        On the disk.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.chunks = array, tuple(array.chunks)
        self.shape, self.dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
        self._last: tuple[tuple[range, ...], NDArray[Any]] | None = None

    def forget(self) -> None:
        """Read anew what is asked for next: something was written."""
        self._last = None

    def _part(self, parts: Sequence[int | slice]) -> NDArray[Any]:
        bounds = [bounds_of(part, size) for part, size in zip(parts, self.shape, strict=True)]
        last = self._last
        if last is None or not all(a in box and b - 1 in box for (a, b, _), box in zip(bounds, last[0], strict=True)):
            last = self._last = self._read(bounds)
        inner = tuple(
            slice(low - box.start, high - box.start) for (low, high, _), box in zip(bounds, last[0], strict=True)
        )
        block = last[1][inner][tuple(step for _, _, step in bounds)]
        return without_numbers(block, parts).copy()

    def _read(self, bounds: Sequence[tuple[int, int, slice]]) -> tuple[tuple[range, ...], NDArray[Any]]:
        boxes = tuple(
            range(low // chunk * chunk, min(-(-high // chunk) * chunk, size))
            for (low, high, _), chunk, size in zip(bounds, self.chunks, self.shape, strict=True)
        )
        return boxes, np.asarray(self.array[tuple(slice(box.start, box.stop) for box in boxes)])


def growing_levels(folder: Path) -> list[SeenArray]:
    """An unfinished zarr as levels for a viewer, the largest first; where nothing is written yet floats are NaN.

    Parameters
    ----------
    folder : Path
        Of what `zarr_writer` has not finished.

    Returns
    -------
    list of SeenArray
        Of a plain array only that one.
    """
    import zarr

    found = zarr.open(str(folder), mode="r")
    if isinstance(found, zarr.Array):
        return [SeenArray(_with_gaps(found))]
    layout = _layout(found)
    finest: Any = found[LEVEL]
    names = [str(number) for number in range(1, len(level_factors(finest.shape)))]
    levels = [_with_gaps(one) for one in (finest, *(found[name] for name in names if name in found))]
    return [SeenArray(turned(level, layout.order)) for level in levels]


def _open_levels(array: Any) -> Iterator[tuple[int, Any]]:
    """By how much each smaller level is smaller, and the level; made where an earlier run has not done so."""
    import zarr

    stored = array.stored if isinstance(array, TurnedArray) else array
    if not stored.path:  # a plain array, not the level of an image
        return
    group = zarr.open_group(stored.store, mode="r+")
    for number, factor in enumerate(level_factors(stored.shape)[1:], start=1):
        shape = (*stored.shape[:-2], *(-(-n // factor) for n in stored.shape[-2:]))
        chunks = (*(1,) * (len(shape) - 2), *(min(n, CHUNK) for n in shape[-2:]))
        name = str(number)
        level: Any = group[name] if name in group else None
        if level is None or level.shape != shape or level.dtype != stored.dtype:
            options = {"dimension_names": stored.metadata.dimension_names, "overwrite": True, "compressors": None}
            level = group.create_array(name, shape=shape, dtype=stored.dtype, chunks=chunks, **options)
        yield factor, turned(level, array.order) if isinstance(array, TurnedArray) else level


def _layout(group: Any) -> Layout:
    layout = layout_of(str(group.attrs[NOTE_KEY]["axes"]))
    assert layout is not None  # else it would be no group
    return layout


def _with_gaps(array: Any) -> Any:
    """The same array in which floats that are not there are not a number, and so not seen."""
    if np.dtype(array.dtype).kind != "f":
        return array
    inner = array._async_array
    metadata = replace(inner.metadata, fill_value=inner.metadata.data_type.cast_scalar(math.nan))
    return type(array)(replace(inner, metadata=metadata))
