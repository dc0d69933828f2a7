"""A dataset whose chunks are looked at before the HDF5 library unpacks them, or takes zeros for those not there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import h5py

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.chunks import check_grid, check_packed, chunk_corners, missing_chunks, missing_words
from napari_hush.io.formats.file_array import FileArray
from napari_hush.io.formats.hdf5_filters import check_chunk, check_filters, filters_of
from napari_hush.io.formats.hdf5_open import open_hdf5

if TYPE_CHECKING:
    from pathlib import Path


class CheckedDataset(h5py.Dataset):  # type: ignore[misc]
    """A dataset that refuses, when a part is read, chunks that are missing or do not unpack to their size.

    Parameters
    ----------
    dataset : h5py.Dataset
        Plain, see `check_packing`.
    source : str
        For messages.
    fill_missing : bool
        Take the fill value for chunks that were never written.
    path : Path, optional
        Its file, from which values that lie in one piece are read without the library, which would ask for each row.
    """

    def __init__(
        self, dataset: h5py.Dataset, source: str, *, fill_missing: bool = False, path: Path | None = None
    ) -> None:
        super().__init__(dataset.id)
        self._plain: FileArray | None = None
        if path is not None and self.chunks is None and self.dtype.kind in "uif":
            offset = self.id.get_offset()
            if offset is not None and self.id.get_storage_size() == self.nbytes:
                self._plain = FileArray(path, offset, self.shape, self.dtype)
        self._source, self._fill_missing, self._path = source, fill_missing, path
        self._filters = filters_of(dataset)
        self._packed = any(one.packs for one in self._filters)
        self._good: set[tuple[int, ...]] = set()  # unpacked once already

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes where it lies."""
        if self._path is None:
            raise TypeError(f"{self._source}: nobody knows in which file it lies")
        return _opened_again, (self._path, str(self.name), self._source, self._fill_missing)

    def __getitem__(self, key: Any, new_dtype: Any = None) -> Any:
        """A part, as of `h5py.Dataset`.

        Raises
        ------
        FileFormatError
            If a chunk of it is missing, or unsafe.
        """
        self.check(key)
        if self._plain is not None and new_dtype is None:
            return self._plain[key]
        return super().__getitem__(key, new_dtype)

    def check(self, key: Any) -> None:
        """Look at the chunks that a part touches, or at all where the part is given in another way than by slices."""
        if self.chunks is None:
            never = not self.id.get_storage_size() and math.prod(self.shape) > 0
            if never and not self._fill_missing:
                raise FileFormatError(missing_words(self._source, "its values were never written"))
            return
        missing, total = [], 0
        for corner in chunk_corners(self.shape, self.chunks, key):
            total += 1
            if corner in self._good:
                continue
            info = self.id.get_chunk_info_by_coord(corner)
            if info.byte_offset is None:
                missing.append(str(corner))
            else:
                self._check_chunk(corner, info)
                self._good.add(corner)
        if missing and not self._fill_missing:
            raise FileFormatError(missing_chunks(self._source, missing, total))

    def _check_chunk(self, corner: tuple[int, ...], info: Any) -> None:
        nbytes, where = math.prod(self.chunks) * self._stored_itemsize(), f"{self._source}, chunk at {corner}"
        check_packed(nbytes, info.size, where)
        content = self.id.read_direct_chunk(corner)[1] if self._packed else bytes(info.size)
        check_chunk(content, self._filters, info.filter_mask, nbytes, where)

    def _stored_itemsize(self) -> int:
        """Bytes of a value in the file: of a text of variable length its length and where it is."""
        text = h5py.check_string_dtype(self.dtype)
        if h5py.check_vlen_dtype(self.dtype) is None and (text is None or text.length is not None):
            return int(self.dtype.itemsize)
        addresses, _ = self.file.id.get_create_plist().get_sizes()
        return 8 + int(addresses)


def check_packing(dataset: h5py.Dataset, source: str) -> None:
    """Refuse what cannot be unpacked without harm, and chunks of a hopeless shape.

    Raises
    ------
    InputError
        If hdf5plugin is needed and not there, or a filter is unknown.
    FileFormatError
        If they are made to do harm.
    """
    check_filters(dataset, source)
    if dataset.chunks is not None:
        check_grid(dataset.shape, dataset.chunks, dataset.dtype.itemsize, source)


def _opened_again(path: Path, name: str, source: str, fill_missing: bool) -> CheckedDataset:
    return CheckedDataset(open_hdf5(path)[name], source, fill_missing=fill_missing, path=path)
