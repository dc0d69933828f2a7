"""BMP, and the text of a Hitachi SEM beside an image."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image

if TYPE_CHECKING:
    from pathlib import Path

GREY = np.arange(12 * 21, dtype=np.uint8).reshape(12, 21)
NOTES = "[SemImageFile]\r\nInstructName=SU8000\r\nDataSize=21x12\r\nPixelSize=12.40234\r\nSignalName=SE(U)\r\n"


def test_grey_colour_and_palette(tmp_path: Path) -> None:
    colour = np.stack([GREY, GREY.T.reshape(12, 21), GREY[::-1]], axis=-1)
    for name, image in {"grey": GREY, "colour": colour}.items():
        Image.fromarray(image).save(tmp_path / f"{name}.bmp")
        read = read_image(tmp_path / f"{name}.bmp")
        assert read.axes == "YXC"[: image.ndim] and (read.data == image).all() and read.pixel_size is None
    palette = Image.fromarray(GREY // 64).convert("P")
    palette.putpalette([value for level in (0, 80, 160, 240) for value in (level, level, level)])
    palette.save(tmp_path / "palette.bmp")
    read = read_image(tmp_path / "palette.bmp")
    assert read.axes == "YX" and (read.data == 80 * (GREY // 64)).all()


def test_rows_from_the_top_and_an_old_header(tmp_path: Path) -> None:
    rows = [bytes(row) + bytes(3) for row in GREY[::-1]]
    table = b"".join(bytes([level] * 3) for level in range(256))
    head = struct.pack("<IHHHH", 12, 21, 12, 1, 8)
    size = 14 + len(head) + len(table)
    (tmp_path / "a.bmp").write_bytes(
        b"BM" + struct.pack("<IHHI", size + 288, 0, 0, size) + head + table + b"".join(rows)
    )
    assert (read_image(tmp_path / "a.bmp").data == GREY).all()


def test_a_damaged_bmp_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    Image.fromarray(GREY).save(path)
    content = path.read_bytes()
    with pytest.raises(InputError, match="leave out ':1'"):
        read_image(f"{path}:1")
    path.write_bytes(content[:-40])
    with pytest.raises(FileFormatError, match="truncated or damaged BMP"):
        read_image(path)
    path.write_bytes(content[:18] + struct.pack("<ii", 60000, 60000) + content[26:])
    with pytest.raises(FileFormatError, match="claims"):
        read_image(path)


@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", ["a.tif", "a.bmp"])
def test_the_text_beside_an_image_holds_its_pixel_size(tmp_path: Path, name: str, coding: str) -> None:
    Image.fromarray(GREY).save(tmp_path / name)
    (tmp_path / "a.txt").write_bytes(NOTES.encode(coding))
    assert read_image(tmp_path / name).pixel_size_in("nm") == (12.40234, 12.40234)


@pytest.mark.parametrize(
    "text", ["PixelSize=3", NOTES.replace("21x12", "42x24"), NOTES.replace("12.40234", "unknown"), "[SemImageFile]"]
)
def test_another_text_counts_for_nothing(tmp_path: Path, text: str) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.bmp")
    (tmp_path / "a.txt").write_text(text)
    assert read_image(tmp_path / "a.bmp").pixel_size is None


def test_what_the_image_says_itself_comes_first(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, imagej=True, resolution=(2, 2), metadata={"unit": "nm"})
    (tmp_path / "a.txt").write_text(NOTES)
    assert read_image(tmp_path / "a.tif").pixel_size_in("nm") == (0.5, 0.5)


def test_links_and_pipes_beside_an_image_are_not_opened(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.bmp")
    os.mkfifo(tmp_path / "a.txt")
    assert read_image(tmp_path / "a.bmp").pixel_size is None
    (tmp_path / "a.txt").unlink()
    (tmp_path / "other").write_text(NOTES)
    (tmp_path / "a.txt").symlink_to(tmp_path / "other")
    assert read_image(tmp_path / "a.bmp").pixel_size is None
