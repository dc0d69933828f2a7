"""What all arrays have in common that read their parts when they are indexed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.formats.chunks import index_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class LazyArray:
    """An array with a shape and a dtype, of which a subclass reads a part of numbers and slices (``_part``)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Of all of it."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, in memory."""
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """A part, as of a numpy array; one that is not made of numbers and slices takes all of it into memory first.

        Raises
        ------
        FileFormatError
            If it is not there, or no longer.
        """
        parts = index_parts(key, self.shape)
        return np.asarray(self[...][key]) if parts is None else self._part(parts)

    def _part(self, parts: Sequence[int | slice]) -> NDArray[Any]:
        """A number or a slice for each axis, numbers counted from the front; axes of numbers are gone."""
        raise NotImplementedError


def indices_of(part: int | slice, size: int) -> range:
    """The places along an axis that a number or a slice means."""
    return range(size)[part] if isinstance(part, slice) else range(part, part + 1)


def bounds_of(part: int | slice, size: int) -> tuple[int, int, slice]:
    """The first place, the one behind the last, and what of those between them is wanted, in which direction."""
    places = indices_of(part, size)
    low, high = (min(places[0], places[-1]), max(places[0], places[-1]) + 1) if places else (0, 0)
    return low, high, slice(None, None, places.step)


def without_numbers(block: NDArray[Any], parts: Sequence[int | slice]) -> NDArray[Any]:
    """A block without the axes of length 1 along which a number was asked for."""
    return block[tuple(slice(None) if isinstance(part, slice) else 0 for part in parts)]
