"""BMP, as older scanning electron microscopes write it: whole in memory, 8 bits."""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.several import refuse_selector
from napari_hush.io.image import check_claim, check_kind, drop_opaque_alpha, make_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hush.io.image import ImageData

HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes of the second header


def is_bmp(head: bytes) -> bool:
    """Whether a file begins as a BMP does."""
    return head.startswith(b"BM") and len(head) >= 26 and int.from_bytes(head[14:18], "little") in HEADERS


def read_bmp(path: Path, selector: str | None) -> ImageData:
    """Grey or colour; palettes are expanded, to grey where they hold nothing else."""
    from PIL import Image

    refuse_selector(selector, path)
    with path.open("rb") as file:
        head = file.read(26)
    if int.from_bytes(head[14:18], "little") == 12:
        width, height = struct.unpack_from("<HH", head, 18)
    else:
        width, height = struct.unpack_from("<ii", head, 18)
    check_claim(abs(width) * abs(height), path.stat().st_size, str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=["BMP"]) as image:
                data = _plain(np.asarray(image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")))
    except (OSError, Image.DecompressionBombError) as error:
        raise FileFormatError(f"{path}: truncated or damaged BMP ({error}); copy or export it again") from error
    if data.ndim == 3 and data.shape[-1] == 4:
        data = drop_opaque_alpha(data, str(path))
    check_kind(data.shape, data.dtype, str(path))
    return make_image(data, "YX" if data.ndim == 2 else "YXC", {}, str(path))


def _plain(data: NDArray[Any]) -> NDArray[Any]:
    """Grey where the colours are all alike, in memory of its own."""
    if data.ndim == 3 and (data[..., :1] == data[..., 1:3]).all() and data.shape[-1] == 3:
        return np.ascontiguousarray(data[..., 0])
    return data.copy()
