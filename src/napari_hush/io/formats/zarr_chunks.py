"""How a zarr's chunks are packed, and whether they can be unpacked without harm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.chunks import UNPACKED, check_grid, check_packed, check_unpacked

ZSTD = b"\x28\xb5\x2f\xfd"
SLACK = 64  # bytes of checksums
NEVER_WRITTEN = (1 << 64) - 1  # where a shard's index says so
_PLAIN = {
    "", "bytes", "endian", "transpose", "crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3", "delta",
    "shuffle", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype", "null",
}  # fmt: skip


@dataclass(frozen=True)
class Packing:
    """How the chunks of an array are stored.

    Parameters
    ----------
    chunks : tuple of int
        What one file holds, px: a chunk, or a shard of several.
    inner : tuple of int
        A chunk, px.
    itemsize : int
        Bytes per pixel.
    packer : str
        What the chunks are packed with, as numcodecs calls it; "" for nothing.
    trailer : int
        Bytes of checksums behind a packed chunk.
    index_at_end : bool or None
        Where the index of a shard is; None without shards.
    index_bytes : int
        How long it is.
    """

    chunks: tuple[int, ...]
    inner: tuple[int, ...]
    itemsize: int
    packer: str = ""
    trailer: int = 0
    index_at_end: bool | None = None
    index_bytes: int = 0

    @property
    def nbytes(self) -> int:
        """Of an unpacked chunk."""
        return math.prod(self.inner) * self.itemsize

    @property
    def per_shard(self) -> tuple[int, ...]:
        """Chunks in a shard along each axis."""
        return tuple(c // i for c, i in zip(self.chunks, self.inner, strict=True))

    def check(self, content: bytes | memoryview, source: str) -> None:
        """Refuse a packed chunk that unpacks to more than a chunk.

        Raises
        ------
        FileFormatError
            If it does.
        """
        if not self.packer:
            return
        check_packed(self.nbytes, len(content), source)
        packed = content[: len(content) - self.trailer]
        if self.packer in UNPACKED:
            check_unpacked(packed, self.packer, self.nbytes, source)
        elif (claimed := claimed_size(packed, self.packer)) is not None and claimed > self.nbytes + SLACK:
            raise FileFormatError(
                f"{source}: unpacks to {claimed:,} bytes instead of {self.nbytes:,}; it is damaged or made up"
            )
        elif self.packer == "zstd" and claimed is None and bytes(packed[:4]) == ZSTD:
            _unpack_zstd(packed, self.nbytes + SLACK, source)

    def read_index(self, content: bytes | memoryview, source: str) -> np.ndarray:
        """Where each chunk of a shard lies, (..., 2) of offset and length, from the shard or its index alone.

        Raises
        ------
        FileFormatError
            If the shard is shorter than its index.
        """
        if len(content) < self.index_bytes:
            raise FileFormatError(f"{source}: truncated, its index is missing; copy the folder again")
        start = len(content) - self.index_bytes if self.index_at_end else 0
        count = 2 * math.prod(self.per_shard)
        return np.frombuffer(content, "<u8", count, start).reshape(*self.per_shard, 2)

    def check_shard(self, content: bytes | memoryview, source: str) -> None:
        """Check each chunk of a shard that is read as a whole.

        Raises
        ------
        FileFormatError
            If one unpacks to more than a chunk, or lies outside of the shard.
        """
        for offset, length in self.read_index(content, source).reshape(-1, 2).tolist():
            if offset == NEVER_WRITTEN:
                continue
            if offset + length > len(content):
                raise FileFormatError(f"{source}: truncated, a chunk lies behind its end; copy the folder again")
            self.check(content[offset : offset + length], source)


def packing_of(note: dict[str, Any], shape: tuple[int, ...], itemsize: int, source: str) -> Packing:
    """Read how the chunks are stored from an array's metadata.

    Parameters
    ----------
    note : dict
        The content of ``.zarray`` or ``zarr.json``.
    shape : tuple of int
        Of the array, px.
    itemsize : int
        Bytes per pixel.
    source : str
        For messages.

    Raises
    ------
    FileFormatError
        If a chunk is packed more than once, or in a way that cannot be looked at.
    """
    if note.get("zarr_format") == 3:
        grid, codecs = note["chunk_grid"]["configuration"]["chunk_shape"], list(note["codecs"])
    else:
        grid, codecs = note["chunks"], [*(note.get("filters") or []), note.get("compressor")]
    chunks = inner = tuple(int(size) for size in grid)
    index_at_end, index_bytes, trailer = None, 0, 0
    names = [_name(codec) for codec in codecs]
    if "sharding_indexed" in names:
        options = codecs[names.index("sharding_indexed")]["configuration"]
        if names[-1] != "sharding_indexed":
            raise FileFormatError(f"{source}: its shards are packed as a whole; pack the chunks in them instead")
        inner = tuple(int(size) for size in options["chunk_shape"])
        check_grid(chunks, inner, itemsize, source)
        index_names = [_name(codec) for codec in options.get("index_codecs", [{"name": "bytes"}, {"name": "crc32c"}])]
        if index_names not in (["bytes"], ["bytes", "crc32c"]):
            raise FileFormatError(
                f"{source}: the index of its shards is stored with {index_names}, expected plain numbers"
            )
        index_at_end = options.get("index_location", "end") == "end"
        index_bytes = 16 * math.prod(c // i for c, i in zip(chunks, inner, strict=True)) + 4 * (len(index_names) - 1)
        names = [_name(codec) for codec in options["codecs"]]
    packers = [name for name in names if name not in _PLAIN]
    if len(packers) > 1:
        raise FileFormatError(
            f"{source}: its chunks are packed {len(packers)} times ({', '.join(packers)}), so that a few bytes can "
            "become any number; write it again with one compressor"
        )
    behind = [name for name in names[names.index(packers[0]) + 1 :] if name] if packers else []
    if any(name != "crc32c" for name in behind):
        raise FileFormatError(f"{source}: its chunks are changed by {behind[0]} after they are packed; write it again")
    trailer = 4 * len(behind)
    check_grid(shape, inner, itemsize, source)
    return Packing(chunks, inner, itemsize, packers[0] if packers else "", trailer, index_at_end, index_bytes)


def _name(codec: Any) -> str:
    if not isinstance(codec, dict):
        return ""
    return str(codec.get("id", codec.get("name", ""))).removeprefix("numcodecs.").lower()


def claimed_size(packed: bytes | memoryview, packer: str) -> int | None:
    """How many bytes will come out, as the packed chunk says; None where it does not."""
    if packer == "blosc":
        return int.from_bytes(packed[4:8], "little")
    if packer == "lz4":
        return int.from_bytes(packed[:4], "little")
    if packer != "zstd" or bytes(packed[:4]) != ZSTD or len(packed) < 5:
        return None
    flags = packed[4]
    single = bool(flags & 0x20)
    width = (1 if single else 0, 2, 4, 8)[flags >> 6]
    start = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    if not width:
        return None
    return int.from_bytes(packed[start : start + width], "little") + (256 if width == 2 else 0)


def _unpack_zstd(packed: bytes | memoryview, limit: int, source: str) -> None:
    """Unpack into no more than a chunk, where the length is not told."""
    import imagecodecs

    try:
        imagecodecs.zstd_decode(bytes(packed), out=limit)
    except imagecodecs.ZstdError as error:
        raise FileFormatError(f"{source}: damaged, or unpacks to more than a chunk ({error}); copy it again") from error
