"""What the chunks of an HDF5 file are packed with: who unpacks it, and how many bytes must come out.

The HDF5 library reads beyond the end of a chunk that unpacks to less than it should, and the filters of others believe
what a packed chunk says of itself. So the size is found out first, in bounded memory.
"""

from __future__ import annotations

import bz2
import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import h5py
import imagecodecs

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.chunks import check_unpacked
from napari_hush.io.formats.zarr_chunks import claimed_size

if TYPE_CHECKING:
    from collections.abc import Callable

SHUFFLE, FLETCHER32, NBIT, SCALEOFFSET = 2, 3, 5, 6
BITSHUFFLE = 32008
CHECKSUM = 4  # bytes
MANY = 1 << 62


@dataclass(frozen=True)
class Packer:
    """A filter that changes how many bytes a chunk has.

    Parameters
    ----------
    name : str
        For messages.
    size : callable, optional
        Gives the bytes that come out of a packed chunk, from it, from how many they should be and from the filter's
        parameters; None where that cannot be found out.
    plugin : bool
        Whether the HDF5 library needs hdf5plugin for it.
    """

    name: str
    size: Callable[[bytes, int, tuple[int, ...]], int] | None = None
    plugin: bool = True


def _of_deflate(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    return len(imagecodecs.deflate_decode(content, out=nbytes))


def _of_lzf(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    return len(imagecodecs.lzf_decode(content, header=False, out=nbytes))


def _of_szip(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    return int.from_bytes(content[:4], "little")


def _of_bzip2(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    unpacker = bz2.BZ2Decompressor()
    size, piece = 0, content
    while not unpacker.eof and size <= nbytes:
        out = unpacker.decompress(piece, 1 << 20)
        if not out and unpacker.needs_input:
            raise ValueError("it is cut short")
        size, piece = size + len(out), b""
    return size


def _of_lz4(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    # the plugin trusts the sizes of the parts
    return len(imagecodecs.lz4h5_decode(content, out=nbytes))


def _of_blosc(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    if len(content) < 16 or int.from_bytes(content[12:16], "little") > len(content):
        raise ValueError("it is cut short")
    return int.from_bytes(content[4:8], "little")


def _of_blosc2(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    if content[2:10] != b"b2frame\0":
        return _of_blosc(content, nbytes, values)
    length, size, chunk = (int.from_bytes(content[at:end], "big") for at, end in ((16, 24), (30, 38), (58, 62)))
    if length > len(content) or chunk != size:
        raise ValueError("it is cut short")
    at = content.find(b"\xa4b2nd\xd2", 62, 4096)
    if at < 0:
        return size
    if size > 8 * nbytes + (1 << 20):  # blocks at the border are filled up
        return size
    # of several dimensions: version, number of them, 8 bytes each behind a mark
    at = int.from_bytes(content[at + 6 : at + 10], "big") + 5
    ndim = content[at + 2]
    sizes = [int.from_bytes(content[at + 5 + 9 * k : at + 13 + 9 * k], "big") for k in range(ndim)]
    return math.prod(sizes) * int.from_bytes(content[48:52], "big")


def _of_zstd(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    size = claimed_size(content, "zstd")
    return MANY if size is None else size


def _of_bitshuffle(content: bytes, nbytes: int, values: tuple[int, ...]) -> int:
    """Walk from part to part: the plugin does not look where the chunk ends."""
    size, part = int.from_bytes(content[:8], "big"), int.from_bytes(content[8:12], "big")
    if size > nbytes or part < 1:
        return MANY
    alone = size % (8 * values[2])  # values that fill no eight are not packed
    at, parts = 12, -(-(size - alone) // part)
    for _ in range(parts):
        at += 4 + int.from_bytes(content[at : at + 4], "big")
        if at + alone > len(content):
            raise ValueError("it is cut short")
    return size


PACKERS = {
    1: Packer("deflate", _of_deflate, plugin=False),
    4: Packer("szip", _of_szip, plugin=False),
    307: Packer("bzip2", _of_bzip2),
    32000: Packer("lzf", _of_lzf, plugin=False),
    32001: Packer("blosc", _of_blosc),
    32004: Packer("lz4", _of_lz4),
    BITSHUFFLE: Packer("bitshuffle", _of_bitshuffle),
    32015: Packer("zstd", _of_zstd),
    32026: Packer("blosc2", _of_blosc2),
    32003: Packer("fcidecomp"),
    32013: Packer("zfp"),
    32017: Packer("SZ"),
    32024: Packer("SZ3"),
    32028: Packer("sperr"),
    32030: Packer("htj2k"),
}


@dataclass(frozen=True)
class Filter:
    """One step of how a dataset's chunks are packed, in the order of writing.

    Parameters
    ----------
    code : int
        The number under which it is registered.
    values : tuple of int
        Its parameters.
    name : str
        As the file has it.
    """

    code: int
    values: tuple[int, ...]
    name: str

    @property
    def packs(self) -> bool:
        """Whether the number of bytes changes with what is in them."""
        if self.code == BITSHUFFLE:
            return len(self.values) > 4 and self.values[4] != 0
        return self.code not in (SHUFFLE, FLETCHER32, NBIT, SCALEOFFSET)


def filters_of(dataset: Any) -> list[Filter]:
    """All filters of a dataset."""
    plan = dataset.id.get_create_plist()
    found = [plan.get_filter(k) for k in range(plan.get_nfilters())]
    return [Filter(code, tuple(values), name.decode("utf-8", "replace")) for code, _, values, name in found]


def check_filters(dataset: Any, source: str) -> None:
    """Refuse what cannot be unpacked here, or not without harm, and load what unpacks it.

    Raises
    ------
    InputError
        If hdf5plugin is needed and not there, or a filter is unknown.
    FileFormatError
        If chunks are packed in a way that no image is.
    """
    filters = filters_of(dataset)
    packers = [one for one in filters if one.packs]
    if len(packers) > 1:
        names = ", ".join(_name(one) for one in packers)
        raise FileFormatError(
            f"{source}: its chunks are packed {len(packers)} times ({names}), so that a few bytes can become any "
            "number; pack them once (h5repack)"
        )
    _check_parameters(dataset, filters, source)
    for one in packers:
        known = PACKERS.get(one.code)
        if known is None or known.size is None:
            raise InputError(
                f"{source}: packed with {_name(one)} (HDF5 filter {one.code}), which is not unpacked here; write it "
                "again without, where its plugin is installed: h5repack -f NONE in.h5 out.h5"
            )
        if any(later.code != FLETCHER32 for later in filters[filters.index(one) + 1 :]):
            raise FileFormatError(f"{source}: its chunks are changed after they are packed; write it again (h5repack)")
    for one in filters:
        if one.code in PACKERS and PACKERS[one.code].plugin:
            _load_plugin(one, source)


def check_chunk(content: bytes, filters: list[Filter], skipped: int, nbytes: int, source: str) -> None:
    """Refuse a packed chunk that does not unpack to exactly its size.

    Parameters
    ----------
    content : bytes
        As it is stored.
    filters : list of Filter
        Of its dataset.
    skipped : int
        A bit for each filter that was left out for this chunk.
    nbytes : int
        Of the chunk, unpacked.
    source : str
        Of which chunk, for the message.

    Raises
    ------
    FileFormatError
        If it does not.
    """
    used = [one for k, one in enumerate(filters) if not skipped >> k & 1]
    at = next((k for k, one in enumerate(used) if one.packs), None)
    behind = used if at is None else used[at + 1 :]
    expected = nbytes + CHECKSUM * sum(one.code == FLETCHER32 for one in used[:at] if at is not None)
    content = content[: len(content) - CHECKSUM * sum(one.code == FLETCHER32 for one in behind)]
    found = len(content)
    if at is not None:
        packer = PACKERS[used[at].code]
        if used[at].code == 307:
            check_unpacked(content, "bz2", expected, source)
        try:
            found = packer.size(content, expected, used[at].values) if packer.size is not None else MANY
        except (RuntimeError, ValueError, LookupError, OSError, EOFError) as error:
            reason = " ".join(str(error).split())
            raise FileFormatError(
                f"{source}: damaged HDF5, or unpacks to more than the {expected:,} bytes that it should hold "
                f"({packer.name}: {reason}); copy it again"
            ) from error
    shrunk = any(one.code in (NBIT, SCALEOFFSET) for one in used)
    if found > expected or (found < expected and not shrunk):
        much = f"{found:,}" if found < MANY else "any number of"
        raise FileFormatError(
            f"{source}: unpacks to {much} bytes instead of {expected:,}; it is damaged or made up: copy it again"
        )


def _check_parameters(dataset: Any, filters: list[Filter], source: str) -> None:
    """Those that a filter takes for the size of a chunk or a value."""
    count, itemsize = math.prod(dataset.chunks or dataset.shape), dataset.dtype.itemsize
    for one in filters:
        wrong = (
            (one.code == SCALEOFFSET and (len(one.values) < 5 or one.values[2] != count or one.values[4] != itemsize))
            or (one.code == NBIT and (len(one.values) < 5 or one.values[2] != count or one.values[4] != itemsize))
            or (one.code == BITSHUFFLE and (len(one.values) < 3 or one.values[2] != itemsize))
            or (one.code == 32001 and len(one.values) > 3 and one.values[3] != count * itemsize)
        )
        if wrong:
            raise FileFormatError(f"{source}: damaged HDF5, its filter {_name(one)} is for other chunks; copy it again")


def _load_plugin(one: Filter, source: str) -> None:
    if h5py.h5z.filter_avail(one.code):
        return
    try:
        import_module("hdf5plugin")  # registers its filters
    except ImportError as error:
        raise InputError(
            f"{source}: packed with {_name(one)} (HDF5 filter {one.code}), which needs hdf5plugin; install it: "
            "pip install 'napari-hush[beamline]'"
        ) from error
    if not h5py.h5z.filter_avail(one.code):
        raise InputError(
            f"{source}: packed with {_name(one)} (HDF5 filter {one.code}), which this hdf5plugin does not have; "
            "install a newer one: pip install -U hdf5plugin"
        )


def _name(one: Filter) -> str:
    """The short name, or the one in the file."""
    return PACKERS[one.code].name if one.code in PACKERS else " ".join(one.name.split())[:80] or "an unnamed filter"
