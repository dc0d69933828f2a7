"""An array whose axes are in another order than in its store, read and written part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.formats.chunks import index_parts
from napari_hush.io.formats.lazy import LazyArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class TurnedArray(LazyArray):
    """What lies in a store with other axes first, as an array in the order that is wanted.

    Parameters
    ----------
    stored : array_like
        Whatever has a shape, a dtype and slicing; to be written to it needs assignment as well.
    order : sequence of int
        For each axis of this array the one in the store.
    """

    def __init__(self, stored: Any, order: Sequence[int]) -> None:
        self.stored, self.order = stored, tuple(order)
        self.shape = tuple(int(stored.shape[axis]) for axis in self.order)
        self.dtype: np.dtype[Any] = np.dtype(stored.dtype)

    def __getattr__(self, name: str) -> Any:
        """Whatever does not depend on the order, such as where the array lies."""
        if name in ("store", "path", "file", "read_only"):
            return getattr(self.stored, name)
        if name == "chunks" and len(getattr(self.stored, "chunks", None) or ()) == self.ndim:
            return tuple(self.stored.chunks[axis] for axis in self.order)
        if name == "sparse":
            return bool(getattr(self.stored, "sparse", False))
        raise AttributeError(name)

    def _part(self, parts: Sequence[int | slice]) -> NDArray[Any]:
        inner, kept = self._inner(parts)
        return np.asarray(self.stored[inner]).transpose(np.argsort(np.argsort(kept)))

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write a part that is made of numbers and slices, as to a numpy array."""
        parts = index_parts(key, self.shape)
        if parts is None:
            raise IndexError(f"expected numbers and slices to write to, got {key!r}")
        inner, kept = self._inner(parts)
        lengths = [len(range(n)[part]) for part, n in zip(parts, self.shape, strict=True) if isinstance(part, slice)]
        self.stored[inner] = np.broadcast_to(value, lengths).transpose(np.argsort(kept))

    def is_empty(self, key: Any) -> bool:
        """Whether nothing was ever stored of a part, where the store knows that of its parts."""
        parts = index_parts(key, self.shape)
        return self.sparse and parts is not None and bool(self.stored.is_empty(self._inner(parts)[0]))

    def _inner(self, parts: Sequence[int | slice]) -> tuple[tuple[int | slice, ...], list[int]]:
        """The same part in the store, and the axes there of what stays an axis, in this array's order."""
        inner: list[int | slice] = [0] * self.ndim
        for axis, part in zip(self.order, parts, strict=True):
            inner[axis] = part
        return tuple(inner), [axis for axis, part in zip(self.order, parts, strict=True) if isinstance(part, slice)]


def turned(stored: Any, order: Sequence[int]) -> Any:
    """The array itself where its axes lie as they are wanted, else a `TurnedArray`."""
    return stored if tuple(order) == tuple(range(len(order))) else TurnedArray(stored, order)
