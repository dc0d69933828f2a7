"""Planes that a library reads one by one, as one array."""

from __future__ import annotations

import threading
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.formats.lazy import LazyArray, indices_of, without_numbers
from napari_hush.io.image import LAZY_ABOVE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


class PlaneArray(LazyArray):
    """An array whose last axes are read at once.

    Parameters
    ----------
    leading : sequence of int
        Number of planes along each of the first axes.
    plane : sequence of int
        Shape of what is read at once, px.
    dtype : numpy.dtype
        Of the values.
    read : callable
        Gives a plane from its index along the first axes; one call at a time.
    """

    def __init__(
        self,
        leading: Sequence[int],
        plane: Sequence[int],
        dtype: Any,
        read: Callable[[tuple[int, ...]], NDArray[Any]],
    ) -> None:
        self._leading, self._read, self._lock = len(leading), read, threading.Lock()
        self.shape = (*(int(n) for n in leading), *(int(n) for n in plane))
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")

    def _part(self, parts: Sequence[int | slice]) -> NDArray[Any]:
        first, rest = parts[: self._leading], tuple(parts[self._leading :])
        indices = [indices_of(part, size) for part, size in zip(first, self.shape, strict=False)]
        inner = np.empty(self.shape[self._leading :], np.bool_)[rest].shape
        block = np.empty((*(len(one) for one in indices), *inner), self.dtype)
        for place in product(*(range(len(one)) for one in indices)):
            plane = self._plane(tuple(one[k] for one, k in zip(indices, place, strict=True)))
            block[place] = plane[rest]
        return without_numbers(block, first)

    def _plane(self, index: tuple[int, ...]) -> NDArray[Any]:
        with self._lock:
            plane = self._read(index)
        if plane.shape != self.shape[self._leading :]:
            raise ValueError(f"plane {index} has the shape {plane.shape}, expected {self.shape[self._leading :]}")
        return plane


def in_memory(array: PlaneArray) -> bool:
    """Whether an array is so small that it is read at once."""
    return array.nbytes <= LAZY_ABOVE
