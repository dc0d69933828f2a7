"""What may be wrong with chunks: too many, too large, packed so that they grow without end, or not there."""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MANY = 16384  # chunks in one plane
SMALL = 256  # px of a plane in one chunk
LARGE = 1 << 28  # bytes of a chunk, above which it must be packed no better than images can be
RATIO = 64  # how well they can be
HARMLESS = 1 << 26  # bytes that any chunk may grow to
STEP = 1 << 20  # bytes unpacked at a time

# how many times larger a part may become, and what unpacks it piece by piece
_UNPACKERS: dict[str, tuple[float, Any]] = {
    "zlib": (1032, lambda: zlib.decompressobj(zlib.MAX_WBITS)),
    "gzip": (1032, lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    "bz2": (math.inf, bz2.BZ2Decompressor),
    "lzma": (math.inf, lzma.LZMADecompressor),
}
UNPACKED = frozenset(_UNPACKERS)


def check_grid(shape: Sequence[int], chunks: Sequence[int], itemsize: int, source: str) -> None:
    """Refuse chunks of a shape that makes reading hopeless.

    Raises
    ------
    FileFormatError
        If a chunk has no size, or a plane consists of a great many tiny ones.
    """
    if len(chunks) != len(shape) or any(int(size) < 1 for size in chunks):
        raise FileFormatError(f"{source}: damaged, chunks of {tuple(chunks)} for shape {tuple(shape)}; export it again")
    number = math.prod(-(-n // c) for n, c in zip(shape[-2:], chunks[-2:], strict=True))
    area = math.prod(min(n, c) for n, c in zip(shape[-2:], chunks[-2:], strict=True))
    if number > MANY and area < SMALL:
        raise FileFormatError(
            f"{source}: a plane of {tuple(shape[-2:])} px is stored in {number:,} chunks of {tuple(chunks[-2:])}, "
            "which takes too long to read; write it again with larger chunks, such as (512, 512)"
        )
    nbytes = math.prod(chunks) * itemsize
    if nbytes > LARGE and nbytes > 4 * math.prod(shape) * itemsize:
        raise FileFormatError(
            f"{source}: chunks of {tuple(chunks)} for an image of {tuple(shape)}; it is damaged or made up"
        )


def check_packed(nbytes: int, stored: int, source: str) -> None:
    """Refuse a chunk that is packed better than an image can be, or stored in more bytes than it has.

    Parameters
    ----------
    nbytes, stored : int
        Bytes of the chunk, unpacked and packed.
    source : str
        Of which chunk, for the message.

    Raises
    ------
    FileFormatError
        If it is.
    """
    if nbytes > LARGE and nbytes > RATIO * stored:
        raise FileFormatError(
            f"{source}: a chunk of {nbytes / 1e9:.3g} GB is packed into {stored:,} bytes; it is damaged or made up: "
            "write the image again with smaller chunks"
        )
    if stored > nbytes + nbytes // 8 + 65536:
        raise FileFormatError(f"{source}: {stored:,} bytes for a chunk of {nbytes:,}; it is damaged or made up")


def check_unpacked(packed: bytes | memoryview, codec: str, nbytes: int, source: str) -> None:
    """Refuse a chunk that unpacks to more than the chunk's size, by unpacking it piece by piece.

    One that cannot grow to more than `HARMLESS` is left to whoever unpacks it.

    Parameters
    ----------
    packed : bytes-like
        As it is stored.
    codec : str
        One of `UNPACKED`.
    nbytes : int
        What must come out, bytes.
    source : str
        Of which chunk, for the message.

    Raises
    ------
    FileFormatError
        If more comes out, or it cannot be unpacked.
    """
    if len(packed) * _UNPACKERS[codec][0] <= HARMLESS:
        return
    try:
        found = _unpacked_size(packed, codec, nbytes + STEP)
    except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise FileFormatError(f"{source}: damaged, it cannot be unpacked ({error}); copy it again") from error
    if found > nbytes + 64:  # a checksum may be among it
        raise FileFormatError(
            f"{source}: unpacks to more than the {nbytes:,} bytes that it should hold; it is damaged or made up"
        )


def _unpacked_size(packed: bytes | memoryview, codec: str, limit: int) -> int:
    """How many bytes come out, or ``limit`` and a little more; whatever follows a stream in it is unpacked, too."""
    unpacker = _UNPACKERS[codec][1]()
    total, rest = 0, packed
    while total < limit:
        piece = unpacker.decompress(rest, STEP)
        total += len(piece)
        rest = getattr(unpacker, "unconsumed_tail", b"")
        if unpacker.eof:
            rest = unpacker.unused_data.lstrip(b"\0")
            if codec == "zlib" or not rest:
                return total
            unpacker = _UNPACKERS[codec][1]()
        elif not piece and not rest:
            return total
    return total


def missing_words(source: str, what: str) -> str:
    """Say which part of an image is not there, and what to do."""
    return (
        f"{source}: {what} and would count as its fill value; copy the image again, or, if it is sparse and this is "
        "meant, allow it: fill_missing=True"
    )


def missing_chunks(source: str, missing: Sequence[str], total: int) -> str:
    """Say which chunks are not there, of those that a part of the image needs, and what to do."""
    shown = ", ".join(missing[:3]) + (" and more" if len(missing) > 3 else "")
    return missing_words(source, f"{len(missing)} of {total} chunks read are not there ({shown})")


def index_parts(key: Any, shape: Sequence[int]) -> list[int | slice] | None:
    """An index as one number or slice per axis, numbers counted from the front; None where it is something else.

    Raises
    ------
    IndexError
        If a number is outside of its axis.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    if sum(part is Ellipsis for part in parts) == 1:
        at = next(k for k, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) != len(shape) or any(isinstance(part, (bool, np.bool_)) for part in parts):
        return None
    if not all(isinstance(part, (int, np.integer, slice)) for part in parts):
        return None
    return [
        part if isinstance(part, slice) else range(size)[int(part)] for part, size in zip(parts, shape, strict=True)
    ]


def chunk_corners(shape: Sequence[int], chunks: Sequence[int], key: Any) -> Iterator[tuple[int, ...]]:
    """The first index of each chunk that a part of an array touches; of all where the key is not made of slices."""
    ranges = []
    for part, size, chunk in zip(index_parts(key, shape) or [slice(None)] * len(shape), shape, chunks, strict=True):
        indices = range(size)[part] if isinstance(part, slice) else range(part, part + 1)
        first, last = (min(indices[0], indices[-1]), max(indices[0], indices[-1])) if indices else (0, -1)
        ranges.append(range(first // chunk * chunk, last + 1, chunk))
    yield from product(*ranges)
