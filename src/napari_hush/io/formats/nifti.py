"""NIfTI 1 and 2 in one file (.nii, .nii.gz), read by nibabel of the extra ``medical``."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.file_array import read_plain
from napari_hush.io.formats.npy import native
from napari_hush.io.formats.parsing import needed, parsing
from napari_hush.io.formats.several import refuse_selector
from napari_hush.io.image import UNKNOWN_AXES, check_claim, check_kind, make_image
from napari_hush.io.metadata import Metadata
from napari_hush.io.units import METRES, SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales

_WAY = "install it: pip install 'napari-hush[medical]'"
_UNITS = {"mm": "mm", "meter": "m", "micron": "µm", "sec": "s", "msec": "ms", "usec": "µs"}
_HEADS = ((348, 344, (b"n+1\0", b"ni1\0")), (540, 4, (b"n+2\0", b"ni2\0")))


def is_nifti(head: bytes) -> bool:
    """Whether a file begins so, perhaps packed with gzip."""
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, 1024)
        except zlib.error:
            return False
    return any(
        size in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")) and head[at : at + 4] in magics
        for size, at, magics in _HEADS
    )


def read_nifti(path: Path, selector: str | None) -> ImageData:
    """A volume or series as (..., Z, Y, X): NIfTI counts x first."""
    refuse_selector(selector, path)
    library = needed("nibabel", f"{path}: is a NIfTI image, which needs nibabel; {_WAY}")
    with parsing(path, "a NIfTI file"):
        return _read(library, path)


def _read(library: Any, path: Path) -> ImageData:
    packed = path.suffix.lower() == ".gz"
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if packed != zipped:
        raise FileFormatError(f"{path}: name it .nii.gz if it is packed with gzip, and .nii if it is not")
    volume = library.load(path, mmap=False)
    if getattr(volume, "file_map", {}).keys() != {"image"}:
        raise FileFormatError(f"{path}: is one of a pair .hdr and .img; save it as one file .nii")
    proxy, header = volume.dataobj, volume.header
    if not hasattr(header, "get_xyzt_units"):
        raise FileFormatError(f"{path}: is a CIFTI file, with values on a surface and no image; give a volume")
    shape = tuple(int(n) for n in proxy.shape)
    dtype = header.get_data_dtype()
    colour = len(dtype.names) if dtype.names else 0
    if dtype.names and set(dtype.names) - set("RGBA"):
        raise FileFormatError(f"{path}: holds values of the type {dtype}; save plain numbers")
    check_kind(shape, np.dtype("u1") if colour else dtype, str(path))
    claimed = math.prod(shape) * dtype.itemsize
    check_claim(claimed, path.stat().st_size, str(path))
    if not packed and path.stat().st_size < proxy.offset + claimed:
        raise FileFormatError(f"{path}: truncated, {proxy.offset + claimed:,} bytes expected; copy it again")
    axes, scales = _axes(header, shape)
    axes, sizes = _without_single(axes, shape)
    if not packed and not colour and (proxy.slope, proxy.inter) == (1, 0):
        data = read_plain(path, proxy.offset, sizes, dtype)
    else:
        values = np.asanyarray(proxy).T
        parts = [values[name].reshape(sizes) for name in "RGB"] if colour else []
        data = np.stack(parts, axis=-1) if colour else native(np.ascontiguousarray(values).reshape(sizes))
    words = bytes(header["descrip"].tobytes()).split(b"\0")[0].decode("utf-8", "replace")
    return make_image(data, axes + ("C" if colour else ""), scales, str(path), Metadata(description=words))


def _axes(header: Any, shape: tuple[int, ...]) -> tuple[str, Scales]:
    letters = "".join(("XYZT" + UNKNOWN_AXES)[: len(shape)])
    length, time = header.get_xyzt_units()
    scales: Scales = {}
    for letter, step in zip(letters, header.get_zooms(), strict=False):
        unit = _UNITS.get(time if letter == "T" else length, "")
        if unit in (SECONDS if letter == "T" else METRES):
            scales[letter] = (float(step), unit)
    return letters[::-1], scales


def _without_single(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Letters and sizes, slowest first, without axes of one place before Y and X."""
    sizes = shape[::-1]
    kept = [k for k, n in enumerate(sizes) if n > 1 or axes[k] in "YX"]
    return "".join(axes[k] for k in kept), tuple(sizes[k] for k in kept)
