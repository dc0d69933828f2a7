"""Read TIFF: part by part where it is large, and refused where anything is missing."""

from __future__ import annotations

import json
import math
import struct
import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError, InputError, SeveralImagesError
from napari_hush.io.formats.file_array import read_plain
from napari_hush.io.formats.jpeg_stream import check_decoded, check_jpeg
from napari_hush.io.formats.tiff_companions import check_companions
from napari_hush.io.formats.tiff_notes import tiff_metadata
from napari_hush.io.formats.tiff_scale import tiff_scales
from napari_hush.io.formats.tiff_values import JPEG, LineArray, check_colours, expand_palette, imagej_values
from napari_hush.io.image import LAZY_ABOVE, check_claim, check_kind, drop_opaque_alpha, make_image, tidy_axes
from napari_hush.io.metadata import Channel

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData

WIDTH = 256
PALETTE = 3
ALPHA = (1, 2)  # associated, unassociated
MAX_TAGS = 4096


def read_tiff(path: Path, selector: str | None) -> ImageData:
    """Plain, compressed, ImageJ, OME and vendors' TIFF; of several images the largest, or the one selected by number.

    Raises
    ------
    FileFormatError
        If a page or a part of one is missing: a reader that returns a shorter or a black stack is worse than none.
    """
    import tifffile

    with tifffile.TiffFile(path) as tif:
        _check_pages(tif, path)
        check_companions(tif, path)
        index = _choose(tif, selector, path)
        series = tif.series[index]
        check_kind(series.shape, series.dtype, str(path))
        axes, page = series.axes, series.keyframe
        check_colours(page, str(path))
        _check_complete(tif, series, path)
        data, axes = _without_alpha(_load(tif, series, index, path), axes, page, path)
        metadata = tiff_metadata(tif, series, index)
        if page.photometric == PALETTE and page.colormap is not None and not (tif.is_imagej or tif.is_ome):
            # those two store intensities under a display palette
            data, lut = expand_palette(np.asarray(data), page.colormap)
            axes += "S" * (data.ndim - len(axes))
            metadata = replace(metadata, channels=(Channel(lut=lut),)) if lut else metadata
        elif line := imagej_values(tif, series):
            data = line.values(data) if isinstance(data, np.ndarray) else LineArray(data, line)
        return make_image(data, tidy_axes(axes, data.shape), tiff_scales(tif, series, index), str(path), metadata)


def _check_pages(tif: Any, path: Path) -> None:
    """Follow the chain of pages to its end; tifffile returns the pages before a break and says so in a log only."""
    layout, file = tif.tiff, tif.filehandle
    offset, seen = tif.pages.first.offset, set()
    while offset:
        if offset in seen:
            raise FileFormatError(f"{path}: damaged, its list of pages runs in a circle; copy or export it again")
        seen.add(offset)
        try:
            file.seek(offset)
            (count,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
            if not 0 < count <= MAX_TAGS:
                raise FileFormatError(f"{path}: damaged, page {len(seen)} has {count} tags; copy or export it again")
            tags = file.read(count * layout.tagsize + layout.offsetsize)
            (offset,) = struct.unpack(layout.offsetformat, tags[count * layout.tagsize :])
            codes = {struct.unpack_from(f"{tif.byteorder}H", tags, k * layout.tagsize)[0] for k in range(count)}
            if WIDTH not in codes:
                raise FileFormatError(f"{path}: damaged, page {len(seen)} has no size; copy or export it again")
        except struct.error as error:
            raise FileFormatError(
                f"{path}: truncated, the file ends before page {len(seen)}; copy or download it again"
            ) from error


def _choose(tif: Any, selector: str | None, path: Path) -> int:
    series = tif.series
    if not series:
        raise FileFormatError(f"{path}: a TIFF without any image; export it again")
    if selector is not None:
        if not selector.isdecimal() or int(selector) >= len(series):
            raise InputError(f"{path}: expected the number of an image, 0 to {len(series) - 1}, got {selector!r}")
        return int(selector)
    full = [i for i, one in enumerate(series) if not one.keyframe.is_reduced] or [0]
    sizes = [math.prod(series[i].shape) for i in full]
    if len(full) == 1 or max(sizes) >= 4 * sorted(sizes)[-2]:  # the others are labels and previews
        return full[sizes.index(max(sizes))]
    shapes = ", ".join(f"{path.name}:{i} {series[i].shape}" for i in full[:8])
    words = f"{path}: holds {len(full)} images of different kinds; choose one: {shapes}"
    raise SeveralImagesError(words, [f"{path}:{i}" for i in full])


def _check_complete(tif: Any, series: Any, path: Path) -> None:
    """Every strip and tile lies inside the file, and there are as many pages as the metadata says."""
    size = tif.filehandle.size
    nbytes = math.prod(series.shape) * series.dtype.itemsize
    offset = _plain_offset(tif, series)
    if offset is not None:
        if offset + nbytes > size:
            raise FileFormatError(
                f"{path}: truncated, {offset + nbytes} bytes expected, {size} found; copy or download it again"
            )
    else:
        check_claim(nbytes, size, str(path))
        for number, page in enumerate(series.pages):
            _check_page(page, number, tif, path)
    planes = math.prod(series.shape) // max(math.prod(series.keyframe.shape), 1)
    declared = _declared_planes(tif, series)
    if declared > planes:
        raise FileFormatError(
            f"{path}: truncated, {declared} planes announced, {planes} found; copy or download it again"
        )


def _plain_offset(tif: Any, series: Any) -> int | None:
    """Where the pixels start if they lie in this file in one piece, as they are in memory."""
    offset = series.dataoffset
    # an OME-TIFF may name another file
    return None if offset is None or series.keyframe.parent is not tif else int(offset)


def _declared_planes(tif: Any, series: Any) -> int:
    """How many planes the metadata announce, where tifffile may have taken the pages for the truth instead."""
    if tif.is_imagej and series.kind != "imagej":
        return int((tif.imagej_metadata or {}).get("images", 1))
    if series.keyframe.is_shaped:
        try:
            shape: list[int] = json.loads(series.keyframe.shaped_description)["shape"]
            return math.prod(shape) // max(int(math.prod(series.keyframe.shape)), 1)
        except (ValueError, TypeError, LookupError, RecursionError):
            return 0
    return 0


def _check_page(page: Any, number: int, tif: Any, path: Path) -> None:
    if page is None:
        raise FileFormatError(
            f"{path}: plane {number} is missing; the file is damaged, or one of a set whose others are not beside it"
        )
    file = page.parent.filehandle
    if file.dirname != tif.filehandle.dirname:
        raise FileFormatError(f"{path}: refers to a file in another folder ({file.path}), which is not followed")
    expected, found = math.prod(page.keyframe.chunked), len(page.dataoffsets)
    if found < expected:
        raise FileFormatError(
            f"{path}: damaged, plane {number} has {found} strips or tiles of {expected}; export it again"
        )
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset == 0 or count == 0:
            raise FileFormatError(f"{path}: a part of plane {number} was never written; export it again")
        if offset + count > file.size:
            raise FileFormatError(
                f"{path}: truncated inside plane {number}, {offset + count} bytes expected, {file.size} found; "
                "copy or download it again"
            )


def _load(tif: Any, series: Any, index: int, path: Path) -> Any:
    """In memory, or read as it is indexed where it is too large for that: a compressed image as a zarr view."""
    offset = _plain_offset(tif, series)
    if offset is not None:
        return read_plain(path, offset, series.shape, series.dtype.newbyteorder(tif.byteorder))
    if math.prod(series.shape) * series.dtype.itemsize <= LAZY_ABOVE:
        if int(series.keyframe.compression) in JPEG:
            _check_jpegs(series, path)
        return series.asarray()
    import tifffile
    import zarr

    store = tifffile.imread(path, series=index, level=0, aszarr=True)
    array = zarr.open_array(store, mode="r")
    weakref.finalize(array, store.close)
    return array


def _without_alpha(data: Any, axes: str, page: Any, path: Path) -> tuple[Any, str]:
    """Without an alpha that says nothing, whether the samples lie together or as planes."""
    at = axes.find("S")
    if at < 0 or not page.extrasamples or int(page.extrasamples[-1]) not in ALPHA:
        return data, axes
    rest = drop_opaque_alpha(np.moveaxis(np.asarray(data), at, -1), str(path))
    return (np.moveaxis(rest, -1, at), axes) if rest.ndim == len(axes) else (rest, axes.replace("S", ""))


def _check_jpegs(series: Any, path: Path) -> None:
    """Each strip or tile is a JPEG of its size, and complete."""
    import imagecodecs

    tables = series.keyframe.jpegtables
    pixels = math.prod(series.keyframe.chunks)
    decode = partial(imagecodecs.jpeg_decode, tables=tables)
    for number, page in enumerate(series.pages):
        source, file = f"{path}, plane {number}", page.parent.filehandle
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            content = file.read(count)
            stream = check_jpeg(content, source)
            if stream.height * stream.width > 2 * pixels:
                raise FileFormatError(f"{source}: damaged, a part of it claims {stream.width} x {stream.height} px")
            check_decoded(content, stream, decode(content), decode, source)
