"""A JPEG is complete, or it is refused: its decoder fills what is missing with grey."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_hush.errors import FileFormatError
from napari_hush.io import read_image

if TYPE_CHECKING:
    from pathlib import Path

NOISE = np.random.default_rng(0).normal(120, 30, (100, 90)).clip(0, 255).astype(np.uint8)
RAMP = np.add.outer(np.arange(100), np.arange(90)).astype(np.uint8)
COLOURS = np.stack([NOISE, RAMP, RAMP[::-1]], -1)
KINDS: list[dict[str, Any]] = [
    {},
    {"progressive": True},
    {"restart_marker_blocks": 3},
    {"progressive": True, "restart_marker_blocks": 3},
    {"subsampling": 2},
    {"optimize": True},
]


def jpeg_of(data: np.ndarray, **options: Any) -> bytes:
    """As Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(data).save(file, "JPEG", quality=85, **options)
    return file.getvalue()


@pytest.mark.parametrize("data", [NOISE, RAMP, COLOURS], ids=["noise", "ramp", "colours"])
@pytest.mark.parametrize("options", KINDS, ids=str)
def test_half_a_jpeg_with_an_end_pasted_on_is_refused(
    tmp_path: Path, data: np.ndarray, options: dict[str, Any]
) -> None:
    path, content = tmp_path / "a.jpg", jpeg_of(data, **options)
    path.write_bytes(content + bytes(9000))  # what follows the end counts for nothing
    assert (read_image(path).data == imagecodecs.jpeg_decode(content)).all()
    first = content.find(b"\xff\xda") + 20
    for share in (0.1, 0.5, 0.9, 0.98):
        path.write_bytes(content[: first + int(share * (len(content) - 2 - first))] + b"\xff\xd9")
        with pytest.raises(FileFormatError, match=r"a\.jpg: a truncated JPEG"):
            read_image(path)


def test_a_jpeg_that_claims_more_than_it_can_hold_is_refused(tmp_path: Path) -> None:
    for data in (NOISE, COLOURS):
        content = bytearray(jpeg_of(data))
        at = content.find(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(FileFormatError, match=r"claims 65500 x 65500 px in \d+ bytes"):
            read_image(tmp_path / "a.jpg")
    (tmp_path / "flat.jpg").write_bytes(jpeg_of(np.full((3000, 3000), 128, np.uint8), optimize=True))
    assert read_image(tmp_path / "flat.jpg").shape == (3000, 3000)


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_half_a_jpeg_in_a_tiff_is_refused(tmp_path: Path, tile: tuple[int, int] | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE, compression="jpeg", tile=tile)
    assert read_image(path).shape == NOISE.shape
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages.first.dataoffsets[-1], tif.pages.first.databytecounts[-1]
    content = bytearray(path.read_bytes())
    content[offset + count // 2 : offset + count] = (b"\xff\xd9").ljust(count - count // 2, b"\0")
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"plane 0: a truncated JPEG"):
        read_image(path)


def test_a_png_may_have_something_behind_its_end(tmp_path: Path) -> None:
    content = imagecodecs.png_encode(NOISE)
    (tmp_path / "a.png").write_bytes(content + bytes(9000))
    assert (read_image(tmp_path / "a.png").data == NOISE).all()
    (tmp_path / "a.png").write_bytes(content[:900] + content[-12:])
    with pytest.raises(FileFormatError, match=r"a\.png"):
        read_image(tmp_path / "a.png")
