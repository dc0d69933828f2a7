"""Whether two arrays hold the same numbers: a result must not be written over an image that is still read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_hush.io.formats.file_array import FileArray
from napari_hush.io.formats.mosaic import Mosaic

if TYPE_CHECKING:
    from collections.abc import Iterator


def share_numbers(one: Any, other: Any) -> bool:
    """Whether what is written to one array may change what is read from another one, as far as can be known.

    Parameters
    ----------
    one, other : array_like
        numpy, memmap, zarr, h5py, or dask made of these; of what other libraries give only the object itself is known.

    Examples
    --------
    >>> whole = np.zeros((4, 4))
    >>> share_numbers(whole[:3], whole[1:]), share_numbers(whole, whole.copy())
    (True, False)
    """
    if one is other:
        return True
    ends = list(behind(other))
    return any(_same(array, end) for array in behind(one) for end in ends)


def lies_in(array: Any, folder: str | os.PathLike[str]) -> bool:
    """Whether an array is read from a zarr in a folder, which is to be replaced."""
    target = os.path.realpath(folder)
    for one in behind(array):
        place = _zarr_place(one)
        if isinstance(place, str) and Path(place).is_relative_to(target):
            return True
    return False


def is_mapped(array: Any) -> bool:
    """Whether a numpy array shows a file."""
    return map_of(array) is not None


def behind(array: Any) -> Iterator[Any]:
    """The array itself; of a dask array or a mosaic the arrays that it is made of."""
    if isinstance(array, Mosaic):
        for source in {id(tile.source): tile.source for tile in array.tiles}.values():
            yield from behind(source)
        return
    graph = getattr(array, "__dask_graph__", None)
    if graph is None:
        yield array
        return
    for value in _values(graph()):
        # dask keeps what it is given either as it is or as the value of a node
        for one in (value, getattr(value, "value", None)):
            if hasattr(one, "shape") and hasattr(one, "dtype"):
                yield from behind(getattr(one, "array", one))


def _values(graph: Any) -> Iterator[Any]:
    layers = getattr(graph, "layers", None)
    for part in layers.values() if isinstance(layers, Mapping) else [graph]:
        for value in part.values():
            yield value
            if isinstance(value, tuple):
                yield from value
            else:
                yield from getattr(value, "args", ())


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.may_share_memory(one, other) or _same_bytes_of_a_file(one, other)
    for place_of in (_zarr_place, _hdf5_place, _plain_file):
        places = place_of(one), place_of(other)
        if None not in places and places[0] == places[1]:
            return True
    return False


def _same_bytes_of_a_file(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether both show the same part of one file."""
    files = _mapped_file(one), _mapped_file(other)
    if files[0] is None or files[1] is None or not os.path.samefile(files[0], files[1]):
        return False
    (begin, end), (start, stop) = bytes_of_file(one), bytes_of_file(other)
    return begin < stop and start < end


def map_of(array: Any) -> np.memmap[Any, Any] | None:
    """The map of a file that an array is a view of; None where it is none."""
    found = None
    while isinstance(array, np.ndarray):
        found = array if isinstance(array, np.memmap) else found
        array = array.base
    return found


def _mapped_file(array: Any) -> str | None:
    mapped = map_of(array)
    return None if mapped is None or mapped.filename is None else os.path.realpath(mapped.filename)


def bytes_of_file(array: np.ndarray) -> tuple[int, int]:
    """Where in its file a view of a map begins and ends."""
    mapped = cast("np.memmap[Any, Any]", map_of(array))
    reach = [stride * (n - 1) for stride, n in zip(array.strides, array.shape, strict=True)]
    start = mapped.offset + array.ctypes.data - mapped.ctypes.data
    return start + sum(min(r, 0) for r in reach), start + sum(max(r, 0) for r in reach) + array.itemsize


def _zarr_place(array: Any) -> Any:
    """Where a zarr array lies: its folder, or its store and its path in it; None for others."""
    store, path = getattr(array, "store", None), getattr(array, "path", None)
    if store is None or not isinstance(path, str):
        return None
    root = getattr(store, "root", None)
    return os.path.realpath(os.path.join(root, path)) if isinstance(root, Path) else (str(store), path.strip("/"))


def _plain_file(array: Any) -> str | None:
    """The file of an array that is mapped, or read part by part; None for others."""
    return os.path.realpath(array.filename) if isinstance(array, FileArray) else _mapped_file(array)


def _hdf5_place(array: Any) -> Any:
    """Where an HDF5 data set lies: the file, and its place in it, which has one name or several; None for others."""
    if not type(array).__module__.startswith("h5py"):
        return None
    import h5py

    return os.path.realpath(array.file.filename), int(h5py.h5o.get_info(array.id).addr)
