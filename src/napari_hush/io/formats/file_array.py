"""Values that lie plainly in a file as an array, read part by part.

Not mapped into memory: where a mapped file is cut short by another program, looking at it kills the process (SIGBUS),
and with it napari and whatever else is open in it.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.lazy import LazyArray, bounds_of, without_numbers
from napari_hush.io.image import EAGER_BELOW

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SHORT = 4096  # bytes; shorter pieces are read together with what lies between them
LONG = 1 << 22


class FileArray(LazyArray):
    """An array in a file, of numpy's order C, whose axes may be in another order than in the file.

    Parameters
    ----------
    path : Path
        The file; it stays open, so that another one of its name changes nothing.
    offset : int
        Where the values begin, bytes.
    stored : sequence of int
        Shape in the file.
    dtype : numpy.dtype
        In the file; what is read is in this machine's byte order.
    order : sequence of int, optional
        For each axis the one in the file.
    """

    def __init__(
        self, path: Path, offset: int, stored: Sequence[int], dtype: np.dtype[Any], order: Sequence[int] | None = None
    ) -> None:
        self._path, self._offset, self._stored_dtype = path, offset, np.dtype(dtype)
        self._stored = tuple(int(n) for n in stored)
        self._order = tuple(order) if order is not None else tuple(range(len(self._stored)))
        self.shape = tuple(self._stored[axis] for axis in self._order)
        self.dtype: np.dtype[Any] = self._stored_dtype.newbyteorder("=")
        self._file = path.open("rb", buffering=0)
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes where it lies."""
        return FileArray, (self._path, self._offset, self._stored, self._stored_dtype, self._order)

    @property
    def filename(self) -> str:
        """Where it lies, as of `numpy.memmap`."""
        return str(self._path)

    def moved(self, axis: int) -> FileArray:
        """The same values with one of the axes before all others."""
        order = (self._order[axis], *(one for k, one in enumerate(self._order) if k != axis))
        return FileArray(self._path, self._offset, self._stored, self._stored_dtype, order)

    def _part(self, parts: Sequence[int | slice]) -> NDArray[Any]:
        box, steps = [slice(0)] * self.ndim, [slice(None)] * self.ndim
        for axis, part, size in zip(self._order, parts, self.shape, strict=True):
            low, high, steps[axis] = bounds_of(part, size)
            box[axis] = slice(low, high)
        block = self._read(box)[tuple(steps)].transpose(self._order)
        squeezed = without_numbers(block, parts)
        return np.ascontiguousarray(squeezed, self.dtype).reshape(squeezed.shape)

    def _read(self, box: list[slice]) -> NDArray[Any]:
        """A part without gaps, in the file's order."""
        sizes = [part.stop - part.start for part in box]
        block = np.empty(sizes, self._stored_dtype)
        if not block.size:
            return block
        split = self._split(sizes)
        rest = self._stored[split + 1 :]
        whole = tuple(sizes[split + 1 :]) == rest
        strides = [math.prod(self._stored[axis + 1 :]) for axis in range(self.ndim)]
        piece = np.empty((sizes[split], *rest), self._stored_dtype)
        for index in product(*(range(size) for size in sizes[:split])):
            first = sum((i + part.start) * n for i, part, n in zip(index, box, strides, strict=False))
            into = block[index] if whole else piece
            self._fill(into, self._offset + (first + box[split].start * strides[split]) * self._stored_dtype.itemsize)
            if not whole:
                block[index] = piece[(slice(None), *box[split + 1 :])]
        return block

    def _split(self, sizes: list[int]) -> int:
        """The axis along which pieces are read at once, with all of the axes behind it."""
        itemsize = self._stored_dtype.itemsize
        split = next((axis for axis in reversed(range(self.ndim)) if sizes[axis] < self._stored[axis]), 0)
        while split > 0 and sizes[split] * math.prod(self._stored[split + 1 :]) * itemsize < SHORT:
            if sizes[split - 1] * math.prod(self._stored[split:]) * itemsize > LONG:
                break
            split -= 1
        return split

    def _fill(self, into: NDArray[Any], at: int) -> None:
        view, done = into.reshape(-1).view(np.uint8).data, 0
        while done < len(view):
            count = self._read_at(view[done:], at + done)
            if not count:
                raise FileFormatError(
                    f"{self._path}: truncated, {self._offset + self.nbytes} bytes expected, the file ends before "
                    f"{at + len(view)}; copy or download it again"
                )
            done += count

    def _read_at(self, view: memoryview, at: int) -> int:
        if hasattr(os, "preadv"):  # not moving the file's position, which processes share
            return os.preadv(self._file.fileno(), [view], at)
        with self._lock:
            self._file.seek(at)
            return self._file.readinto(view) or 0


def read_plain(
    path: Path, offset: int, stored: Sequence[int], dtype: np.dtype[Any], order: Sequence[int] | None = None
) -> Any:
    """Values that lie plainly in a file: in memory where they are few, else a `FileArray` with these parameters."""
    array = FileArray(path, offset, stored, dtype, order)
    return array if array.nbytes > EAGER_BELOW else array[...]
