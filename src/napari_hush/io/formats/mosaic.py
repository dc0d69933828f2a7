"""An array that is put together from boxes of others, each read when the part of it is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.chunks import missing_words
from napari_hush.io.formats.lazy import LazyArray, bounds_of, without_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Box = tuple[tuple[int, int], ...]  # first and behind the last, px, along each axis


@dataclass(frozen=True)
class Tile:
    """A box of the whole, and where its values are.

    Parameters
    ----------
    at : Box
        In the whole.
    source : array_like
        Read by slices.
    box : Box
        In the source, of the same sizes but for axes of length 1.

    Raises
    ------
    FileFormatError
        If the sizes differ, or the box is not in the source.
    """

    at: Box
    source: Any
    box: Box

    def __post_init__(self) -> None:
        inside = all(0 <= low < high <= size for (low, high), size in zip(self.box, self.source.shape, strict=True))
        if not inside or _sizes(self.at) != _sizes(self.box):
            raise FileFormatError(
                f"a part {self.at} of an image is said to be in {self.box} of an array {tuple(self.source.shape)}; "
                "it is damaged: copy or export it again"
            )

    def read(self, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        """A part of the whole that is in this tile, from its first to behind its last px along each axis."""
        wide = [k for k, (start, stop) in enumerate(self.at) if stop - start > 1]
        key, axis = [], iter(wide)
        for start, stop in self.box:
            if stop - start > 1:
                k = next(axis)
                key.append(slice(start + low[k] - self.at[k][0], start + high[k] - self.at[k][0]))
            else:
                key.append(slice(start, stop))
        values = np.asarray(self.source[tuple(key)])
        return values.reshape([b - a for a, b in zip(low, high, strict=True)])


class Mosaic(LazyArray):
    """Boxes of other arrays as one array.

    Parameters
    ----------
    tiles : sequence of Tile
        Where they lie on each other the later one counts.
    shape : sequence of int
        Of the whole, px.
    dtype : numpy.dtype
        Of the whole.
    source : str
        For messages.
    fill : number, optional
        What is where no tile is; default: reading such a part is refused.
    """

    def __init__(
        self, tiles: Sequence[Tile], shape: Sequence[int], dtype: Any, source: str, fill: float | None = None
    ) -> None:
        self.tiles, self.shape = list(tiles), tuple(int(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
        self._source, self._fill = source, fill
        self._low = np.array([[low for low, _ in one.at] for one in self.tiles]).reshape(-1, len(self.shape))
        self._high = np.array([[high for _, high in one.at] for one in self.tiles]).reshape(-1, len(self.shape))

    @classmethod
    def of_runs(cls, array: Any, runs: Sequence[tuple[int, int]], source: str) -> Mosaic:
        """Some frames of an array, given as the first of each run and the one behind its last."""
        rest, tiles, at = tuple((0, int(n)) for n in array.shape[1:]), [], 0
        for low, high in runs:
            tiles.append(Tile(((at, at + high - low), *rest), array, ((low, high), *rest)))
            at += high - low
        return cls(tiles, (at, *array.shape[1:]), array.dtype, source)

    @classmethod
    def of_axes(cls, array: Any, kept: Sequence[int], source: str) -> Mosaic:
        """An array without its other axes, which have length 1."""
        box = tuple((0, int(n)) for n in array.shape)
        return cls([Tile(tuple(box[k] for k in kept), array, box)], [box[k][1] for k in kept], array.dtype, source)

    def _part(self, parts: Sequence[int | slice]) -> NDArray[Any]:
        bounds = [bounds_of(part, size) for part, size in zip(parts, self.shape, strict=True)]
        low, high, steps = zip(*bounds, strict=True)
        block = self._read(np.array(low), np.array(high))[steps]
        return np.ascontiguousarray(without_numbers(block, parts))

    def _read(self, low: NDArray[Any], high: NDArray[Any]) -> NDArray[Any]:
        """A box of the whole."""
        block = np.full(high - low, 0 if self._fill is None else self._fill, self.dtype)
        covered = 0
        for number in np.flatnonzero(((self._low < high) & (self._high > low)).all(axis=1)):
            first, last = np.maximum(low, self._low[number]), np.minimum(high, self._high[number])
            into = tuple(slice(a, b) for a, b in zip(first - low, last - low, strict=True))
            block[into] = self.tiles[number].read(first.tolist(), last.tolist())
            covered += math.prod((last - first).tolist())
        if covered < block.size and self._fill is None:
            raise FileFormatError(missing_words(self._source, "some of its values are in no part of it"))
        return block


def runs_of(indices: NDArray[Any]) -> list[tuple[int, int]]:
    """Increasing numbers as runs of consecutive ones: the first of each, and the one behind its last.

    Examples
    --------
    >>> runs_of(np.array([2, 3, 4, 8]))
    [(2, 5), (8, 9)]
    """
    ends = np.flatnonzero(np.diff(indices) != 1)
    first, last = np.append(0, ends + 1), np.append(ends, len(indices) - 1)
    return [(int(indices[a]), int(indices[b]) + 1) for a, b in zip(first, last, strict=True)]


def _sizes(box: Box) -> list[int]:
    return [high - low for low, high in box if high - low > 1]
