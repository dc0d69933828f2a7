"""MRC, the format of cryo-EM and electron tomography: a header of 1024 bytes and plain values, also packed.

References
----------
Cheng A et al., MRC2014: Extensions to the MRC format header for electron cryo-microscopy and tomography,
J Struct Biol 192, 146 (2015), https://doi.org/10.1016/j.jsb.2015.04.002; and for bytes with a sign
https://bio3d.colorado.edu/imod/doc/mrc_format.txt.
"""

from __future__ import annotations

import bz2
import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.file_array import read_plain
from napari_hush.io.formats.npy import native
from napari_hush.io.formats.several import refuse_selector
from napari_hush.io.image import check_claim, check_kind, make_image
from napari_hush.io.units import tidy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

    from napari_hush.io.image import ImageData, Scales

HEADER = 1024  # bytes
PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}
SUFFIXES = (".mrc", ".mrcs", ".map", ".ccp4", ".rec", ".st", ".ali", ".preali")
_STACKS, _VOLUMES = (".mrcs", ".st", ".ali", ".preali"), (".rec", ".map", ".ccp4")
_TYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2", 16: "u1"}
_OTHERS = {3: "complex values (complex int16)", 101: "two values of 4 bits in each byte"}
_RGB = 16
_IMOD, _SIGNED = 1146047817, 1  # the stamp of IMOD, and its flag that bytes have a sign
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Header:
    """What the first 1024 bytes say.

    Parameters
    ----------
    order : str
        Of the bytes, "<" or ">".
    shape : tuple of int
        (Z, Y, X) as stored.
    mode : int
        Type of the values.
    begins : int
        Where the values do, bytes.
    steps : tuple of float
        Along Z, Y and X, nm; 0 where it is not known.
    group : int
        Space group: 0 for a stack of images, from 1 on a volume, from 401 on a stack of volumes.
    per_volume : int
        Slices of one volume.
    signed : bool
        Whether bytes have a sign.
    """

    order: str
    shape: tuple[int, int, int]
    mode: int
    begins: int
    steps: tuple[float, float, float]
    group: int
    per_volume: int
    signed: bool

    @property
    def plausible(self) -> bool:
        """Whether sizes and mode can be those of a file."""
        sizes = all(0 < size < 1 << 24 for size in self.shape) and 0 <= self.begins < 1 << 31
        return sizes and (self.mode in _TYPES or self.mode in _OTHERS)

    @property
    def dtype(self) -> np.dtype[Any]:
        """In the file."""
        kind = "u1" if self.mode == 0 and not self.signed else _TYPES[self.mode]
        return np.dtype(f"{self.order}{kind}")


def read_mrc(path: Path, selector: str | None) -> ImageData:
    """A stack, a volume or an image, plain or packed with gzip or bzip2; a large plain one stays on disk."""
    refuse_selector(selector, path, "image or stack")
    with path.open("rb") as file:
        head = file.read(HEADER)
    unpack = next((call for magic, call in PACKED.items() if head.startswith(magic)), None)
    if unpack is None:
        return _image(path, _header(head, path))
    try:
        with unpack(path, "rb") as stream:
            return _image(path, _header(stream.read(HEADER), path), stream)
    except (EOFError, OSError, zlib.error) as error:
        raise FileFormatError(f"{path}: truncated or damaged ({error}); copy or download it again") from error


def is_mrc(head: bytes, named: bool) -> bool:
    """Whether a file begins as an MRC does; one without a stamp only where its name says so."""
    if head[208:211] == b"MAP":
        return True
    return named and len(head) >= HEADER and any(parse(head, order).plausible for order in "<>")


def unpacked_head(head: bytes) -> bytes:
    """The first 1024 bytes, unpacked where gzip packed them."""
    if not head.startswith(b"\x1f\x8b"):
        return head
    try:
        return zlib.decompressobj(31).decompress(head, HEADER)
    except zlib.error:
        return b""


def parse(head: bytes, order: str) -> Header:
    """The header of 1024 bytes, in one order of bytes."""
    nx, ny, nz, mode, *_, mx, my, mz = struct.unpack_from(f"{order}10i", head)
    cell = struct.unpack_from(f"{order}3f", head, 40)
    columns = struct.unpack_from(f"{order}3i", head, 64)  # which edge of the cell columns, rows and sections follow
    low, high = struct.unpack_from(f"{order}2f", head, 76)
    group, extended = struct.unpack_from(f"{order}2i", head, 88)
    stamp, flags = struct.unpack_from(f"{order}2i", head, 152)
    sizes = zip(cell, (mx, my, mz), strict=True)
    steps = [tidy(abs(edge) / count / 10) if count > 0 and math.isfinite(edge) else 0.0 for edge, count in sizes]
    x, y, z = (steps[axis - 1] for axis in (columns if sorted(columns) == [1, 2, 3] else (1, 2, 3)))
    # of files of other programs than IMOD the range tells, as IMOD has it, and MRC2014 where there is none
    signed = bool(flags & _SIGNED) if stamp == _IMOD else not 0 <= low < high > 127
    return Header(order, (nz, ny, nx), mode, HEADER + extended, (z, y, x), group, mz, signed)


def _header(head: bytes, path: Path) -> Header:
    """In the order of bytes that the stamp says, or in that which makes sense."""
    if len(head) < HEADER:
        raise FileFormatError(f"{path}: truncated, an MRC file has a header of 1024 bytes; copy or export it again")
    orders = "><" if head[212] == 0x11 else "<>"
    found = [parse(head, order) for order in orders]
    header = next((one for one in found if one.plausible), found[0])
    if header.mode in _OTHERS:
        raise FileFormatError(f"{path}: holds {_OTHERS[header.mode]}, which is not read; export it as float32 (mode 2)")
    if not header.plausible:
        raise FileFormatError(
            f"{path}: truncated or damaged, or no MRC: its header says {' x '.join(map(str, header.shape[::-1]))} px "
            f"of mode {header.mode}; copy or export it again"
        )
    return header


def _image(path: Path, header: Header, stream: IO[bytes] | None = None) -> ImageData:
    shape: tuple[int, ...] = header.shape
    axes = "ZYX" if _is_volume(path, header) else "QYX"
    per_volume = header.per_volume
    if header.group >= 401 and 0 < per_volume < shape[0] and shape[0] % per_volume == 0:
        shape, axes = (shape[0] // per_volume, per_volume, *shape[1:]), "QZYX"
    elif shape[0] == 1:
        shape, axes = shape[1:], "YX"
    if header.mode == _RGB:
        shape, axes = (*shape, 3), f"{axes}C"
    check_kind(shape, header.dtype, str(path))
    scales: Scales = {axis: (step, "nm") for axis, step in zip("ZYX", header.steps, strict=True)}
    stored, expected = path.stat().st_size, header.begins + math.prod(shape) * header.dtype.itemsize
    if stream is not None:
        check_claim(expected, stored, str(path))
        return make_image(native(_unpacked(stream, header, shape, path)), axes, scales, str(path))
    if expected > stored:
        raise FileFormatError(
            f"{path}: truncated or damaged, {' x '.join(map(str, shape))} px do not fit into its {stored} bytes; copy "
            "or export it again"
        )
    return make_image(read_plain(path, header.begins, shape, header.dtype), axes, scales, str(path))


def _is_volume(path: Path, header: Header) -> bool:
    """Whether its planes are slices: programs that write tilt series and movies seldom say it in the header."""
    suffix = next((one for one in reversed(path.suffixes) if one.lower() not in (".gz", ".bz2")), "").lower()
    return suffix in _VOLUMES or (header.group >= 1 and suffix not in _STACKS)


def _unpacked(stream: IO[bytes], header: Header, shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    """The values behind the header, of which as many are unpacked as there must be."""
    left = header.begins - HEADER
    while left > 0 and (skipped := len(stream.read(min(left, _BLOCK)))):
        left -= skipped
    data = np.empty(shape, header.dtype)
    view, done = data.reshape(-1).view(np.uint8).data, 0
    while done < len(view) and (count := stream.readinto(view[done : done + _BLOCK])):  # type: ignore[attr-defined]
        done += count
    if left > 0 or done < len(view):
        raise FileFormatError(
            f"{path}: truncated, {len(view)} bytes of values expected, {done} unpacked; copy or download it again"
        )
    return data
