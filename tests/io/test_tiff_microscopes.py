"""TIFF of electron microscopes: pixel sizes in tags of their makers, and greys with coloured marks."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_hush.io import read_image

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)


def test_olympus_keeps_the_pixel_size_in_the_page_of_the_image(tmp_path: Path) -> None:
    head = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 0, 0, 1, 0, 118, b"", 1)
    scale = struct.pack("<10xhdd8xd2x34s32s", -9, 0.25, 0.5, 1.0, b"", b"")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.stack([IMAGE] * 3, -1), photometric="rgb", metadata=None)
        tag = (33560, 7, len(head) + 8 + len(scale), head + bytes(8) + scale, False)
        file.write(IMAGE.astype(np.uint16), photometric="minisblack", metadata=None, extratags=[tag])
    content = bytearray(path.read_bytes())
    at = content.find(head) + len(head)
    content[at : at + 8] = struct.pack("<hhI", 1, 1, at + 8)
    path.write_bytes(content)
    image = read_image(f"{path}:1")
    assert (image.data == IMAGE).all() and image.scales == {"Y": (0.5, "nm"), "X": (0.25, "nm")}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("[Scan]\r\nPixelWidth=2e-9\r\nPixelHeight=3e-9\r\n", (3.0, 2.0)),
        ("[IRBeam]\r\nHFW=4e-05\r\nVFW=3.6e-05\r\n[Image]\r\nResolutionX=20\r\nResolutionY=12\r\n", (3000.0, 2000.0)),
        ("[Image]\r\nResolutionX=20\r\nResolutionY=12\r\n", None),
    ],
)
def test_fei_images_of_the_beam_and_of_the_camera(tmp_path: Path, text: str, size: tuple[float, float] | None) -> None:
    content = text.encode() + b"\0"
    tag = (34682, 2, len(content), content, False)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, metadata=None, extratags=[tag], resolution=(96, 96), resolutionunit=2)
    assert read_image(tmp_path / "a.tif").pixel_size_in("nm") == (size if size is None else pytest.approx(size))


def test_the_older_pixel_size_of_zeiss_is_that_of_its_screen(tmp_path: Path) -> None:
    for text, size in (("AP_PIXEL_SIZE\r\nPixel Size = 2.5 nm", 128.0), ("AP_IMAGE_PIXEL_SIZE\r\nSize = 2.5 nm", 2.5)):
        note = f"\r\n0\r\n0\r\n{text}\r\n\0".encode()
        tifffile.imwrite(tmp_path / "a.tif", IMAGE, metadata=None, extratags=[(34118, "s", 0, note, False)])
        assert read_image(tmp_path / "a.tif").pixel_size_in("nm") == pytest.approx((size, size))


@pytest.mark.parametrize(("step", "axes"), [(9, "YX"), (3, "YXC")])
def test_a_palette_of_greys_with_some_colours_for_marks_is_grey(tmp_path: Path, step: int, axes: str) -> None:
    palette = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, axis=0)
    palette[1, ::step] = 65535
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="palette", colormap=palette, metadata=None)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == axes and (axes != "YX" or (image.data == IMAGE).all())
