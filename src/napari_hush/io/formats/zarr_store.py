"""A zarr on disk, whose chunks are looked at when they are read: regular files of its own, there, and harmless."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.chunks import chunk_corners, index_parts, missing_chunks, missing_words
from napari_hush.io.formats.zarr_chunks import NEVER_WRITTEN, Packing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hush.io.references import OwnFolder

NOTES = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
KEPT = 64  # indices of shards


class CheckedStore(LocalStore):
    """A folder that is only read, and from which nothing comes that is not its own.

    Parameters
    ----------
    folder : Path
        Of the array.
    own : OwnFolder
        What links may lead into.
    packing : Packing
        Of the array's chunks.
    fill_missing : bool
        Let zarr take the fill value for chunks that are not there.
    """

    def __init__(self, folder: Path, own: OwnFolder, packing: Packing, *, fill_missing: bool = False) -> None:
        super().__init__(folder, read_only=True)
        self.own, self.packing, self.fill_missing = own, packing, fill_missing

    def with_read_only(self, read_only: bool = False) -> CheckedStore:
        """Itself: there is no way to write into it."""
        return self

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """What a key stands for, see `get_sync`."""
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        """Parts of several keys, see `get_sync`."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        """What a key stands for, or None.

        Raises
        ------
        FileFormatError
            If it is a chunk that is not there or unsafe.
        """
        chunk = key.rpartition("/")[2] not in NOTES
        try:
            content = self._read(self.root / key, byte_range)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if not chunk or self.fill_missing:
                return None
            raise FileFormatError(missing_words(str(self.root), f"its chunk {key} is not there")) from error
        if chunk and self.packing.packer:
            self._check(content, byte_range, f"{self.root}, chunk {key}")
        return (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    def _read(self, path: Path, byte_range: Any) -> bytes:
        size = self.own.check(path).st_size
        start, end = 0, size
        if isinstance(byte_range, RangeByteRequest):
            start, end = byte_range.start, byte_range.end
        elif isinstance(byte_range, OffsetByteRequest):
            start = byte_range.offset
        elif isinstance(byte_range, SuffixByteRequest):
            start = max(0, size - byte_range.suffix)
        if end > size:
            raise FileFormatError(f"{path}: truncated, a part of it lies behind its end; copy the folder again")
        with path.open("rb") as file:
            file.seek(start)
            return file.read(max(end - start, 0))

    def _check(self, content: bytes, byte_range: Any, source: str) -> None:
        if self.packing.index_at_end is None:
            self.packing.check(content, source)
        elif byte_range is None:
            self.packing.check_shard(memoryview(content), source)
        elif isinstance(byte_range, RangeByteRequest) and (self.packing.index_at_end or byte_range.start > 0):
            self.packing.check(content, source)


class CheckedArray(zarr.Array[Any]):
    """A zarr array that looks for the chunks inside of shards, too, before zarr takes the fill value for them.

    Parameters
    ----------
    array : zarr.Array
        In a `CheckedStore`.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        super().__init__(array._async_array)
        self._indices: OrderedDict[Path, tuple[tuple[int, int], NDArray[Any]]] = OrderedDict()

    def __getitem__(self, key: Any) -> Any:
        """A part, as of `zarr.Array`.

        Raises
        ------
        FileFormatError
            If a chunk of it is missing, or unsafe.
        """
        store = self.store
        if isinstance(store, CheckedStore) and store.packing.index_at_end is not None and not store.fill_missing:
            self._check_shards(store, key)
        parts = index_parts(key, self.shape)
        if parts is not None and self.fill_value is not None and self.is_empty(key):  # zarr would ask for each of them
            lengths = [
                len(range(n)[part]) for n, part in zip(self.shape, parts, strict=True) if isinstance(part, slice)
            ]
            return np.full(lengths, self.fill_value, self.dtype)
        return super().__getitem__(key)

    @property
    def sparse(self) -> bool:
        """Whether chunks may be missing."""
        return isinstance(self.store, CheckedStore) and self.store.fill_missing

    def is_empty(self, key: Any) -> bool:
        """Whether a part holds the fill value alone because none of its chunks was ever stored, and this is allowed.

        Parameters
        ----------
        key : int, slice or tuple of these
        """
        store = self.store
        if not (self.sparse and isinstance(store, CheckedStore)):
            return False
        packing = store.packing
        names = (
            self.metadata.encode_chunk_key(tuple(at // n for at, n in zip(corner, packing.chunks, strict=True)))
            for corner in chunk_corners(self.shape, packing.chunks, key)
        )
        if not any(os.path.lexists(store.root / name) for name in names):
            return True
        if packing.index_at_end is None:
            return False
        return all(self._is_unwritten(store, one) is not False for one in chunk_corners(self.shape, packing.inner, key))

    def _check_shards(self, store: CheckedStore, key: Any) -> None:
        packing, missing, total = store.packing, [], 0
        for corner in chunk_corners(self.shape, packing.inner, key):
            total += 1
            if self._is_unwritten(store, corner):
                missing.append(str(corner))
        if missing:
            raise FileFormatError(missing_chunks(str(store.root), missing, total))

    def _is_unwritten(self, store: CheckedStore, corner: tuple[int, ...]) -> bool | None:
        """Whether a chunk of a shard was never written; None where there is no shard."""
        packing = store.packing
        shard = tuple(at // size for at, size in zip(corner, packing.chunks, strict=True))
        within = tuple(at % size // part for at, size, part in zip(corner, packing.chunks, packing.inner, strict=True))
        index = self._index(store, self.metadata.encode_chunk_key(shard))
        return None if index is None else int(index[within][0]) == NEVER_WRITTEN

    def _index(self, store: CheckedStore, name: str) -> NDArray[Any] | None:
        """Of a shard; None where the shard is not there, which the store says itself."""
        path = store.root / name
        try:
            found = store.own.check(path)
        except OSError:
            return None
        state = (found.st_mtime_ns, found.st_size)
        if path in self._indices and self._indices[path][0] == state:
            self._indices.move_to_end(path)
            return self._indices[path][1]
        size = store.packing.index_bytes
        with path.open("rb") as file:
            file.seek(max(found.st_size - size, 0) if store.packing.index_at_end else 0)
            index = store.packing.read_index(file.read(size), f"{store.root}, shard {name}")
        self._indices[path] = (state, index)
        if len(self._indices) > KEPT:
            self._indices.popitem(last=False)
        return index
