"""PNG (also written) and JPEG: whole in memory, 8 or 16 bits."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.jpeg_stream import check_decoded, check_jpeg
from napari_hush.io.formats.png_text import metadata_chunks, read_metadata, read_text_chunk, text_chunk
from napari_hush.io.formats.several import refuse_selector
from napari_hush.io.history import KEY, history_text
from napari_hush.io.image import ImageData, check_claim, check_kind, drop_opaque_alpha, make_image

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import Scales
    from napari_hush.io.metadata import Metadata

PNG_HEAD = 33  # bytes: signature and header chunk
# PNG's own pHYs holds whole pixels per metre: nothing finer than 0.23 nm, and most programs write the screen's 72 dpi
SCALE_KEY = b"PixelSize"
CMYK = 4  # components of a JPEG: no other kind has as many


def read_png(path: Path, selector: str | None) -> ImageData:
    """Grey or colour of 8 or 16 bits; fewer bits and palettes are expanded, an opaque alpha is dropped."""
    import imagecodecs

    _no_selector(path, selector)
    content = path.read_bytes()
    _check_complete(content, path)
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    check_claim(width * height * max(depth // 8, 1) * {2: 3, 4: 2, 6: 4}.get(colour, 1), len(content), str(path))
    data = imagecodecs.png_decode(content)
    if data.ndim == 3 and data.shape[-1] in (2, 4):
        data = drop_opaque_alpha(data, str(path))
    return _image(data, path, _read_scales(content), read_metadata(content))


def read_jpeg(path: Path, selector: str | None) -> ImageData:
    """Grey or RGB of 8 bits; colours that are all grey become one channel."""
    import imagecodecs

    _no_selector(path, selector)
    content = path.read_bytes()
    stream = check_jpeg(content, str(path))
    if len(stream.components) == CMYK:
        raise FileFormatError(
            f"{path}: its colours are CMYK, the inks of a printer, which are no intensities; save it as grey or RGB"
        )
    data = imagecodecs.jpeg_decode(content)
    check_decoded(content, stream, data, imagecodecs.jpeg_decode, str(path))
    if data.ndim == 3 and (data[..., :1] == data[..., 1:]).all():
        data = np.ascontiguousarray(data[..., 0])  # grey, as a program wrote it that knows colours only
    return _image(data, path, {})


def write_png(file: BinaryIO, image: ImageData) -> None:
    """Write (Y, X) or (Y, X, 3) of uint8 or uint16; pixel size and metadata go into text chunks.

    A PNG cannot say that 0 is white: such an image is written turned round, so that it looks as before.
    """
    import imagecodecs

    data, metadata = np.asarray(image.data), image.metadata
    if metadata.inverted and data.ndim == 2:
        data, metadata = np.iinfo(data.dtype).max - data, _turned_round(metadata, np.iinfo(data.dtype).max)
    content = imagecodecs.png_encode(np.ascontiguousarray(data))
    file.write(content[:PNG_HEAD])
    if image.pixel_size is not None:
        text = json.dumps({axis: [size, unit] for axis, (size, unit) in image.scales.items()}).encode("ascii")
        file.write(text_chunk(SCALE_KEY, text))
    file.write(metadata_chunks(metadata))
    if image.history is not None:
        file.write(text_chunk(KEY.encode(), history_text(image.history).encode()))
    file.write(content[PNG_HEAD:])


def _turned_round(metadata: Metadata, top: int) -> Metadata:
    """Of an image whose values are taken from the largest one."""
    channels = tuple(
        replace(one, limits=one.limits and (top - one.limits[1], top - one.limits[0])) for one in metadata.channels
    )
    return replace(metadata, channels=channels, inverted=False)


def check_png(shape: tuple[int, ...], axes: str, dtype: np.dtype[Any], name: str) -> None:
    """Refuse what a PNG cannot hold.

    Raises
    ------
    InputError
        With the way out: another type, or TIFF.
    """
    if dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{name}: a PNG holds uint8 or uint16, the image is {dtype}; choose dtype='uint16', "
            "or write a .tif, which keeps the values as they are"
        )
    if not (axes == "YX" or (len(shape) == 3 and axes[:2] == "YX" and shape[2] == 3)):
        raise InputError(
            f"{name}: a PNG holds one grey or RGB plane, the image is {axes} {shape}; write a .tif instead"
        )


def _check_complete(content: bytes, path: Path) -> None:
    """Walk from chunk to chunk to the end of the image; what follows counts for nothing."""
    at = 8
    while content[at + 4 : at + 8] != b"IEND":
        if at + 12 > len(content):
            raise FileFormatError(f"{path}: a truncated PNG, its end is missing; copy or download it again")
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    if content[at + 8 : at + 12] != b"\xaeB`\x82":
        raise FileFormatError(f"{path}: a truncated PNG, its end is missing; copy or download it again")


def _no_selector(path: Path, selector: str | None) -> None:
    refuse_selector(selector, path)


def _image(data: np.ndarray, path: Path, scales: Scales, metadata: Metadata | None = None) -> ImageData:
    check_kind(data.shape, data.dtype, str(path))
    return make_image(data, "YX" if data.ndim == 2 else "YXC", scales, str(path), metadata)


def _read_scales(content: bytes) -> Scales:
    text = read_text_chunk(content, SCALE_KEY)
    try:
        return {str(axis): (float(size), str(unit)) for axis, (size, unit) in json.loads(text or b"{}").items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}  # another program's note under the same name
