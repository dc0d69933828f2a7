"""The text beside an image that Hitachi's scanning electron microscopes write: it holds the pixel size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_hush.io.image import make_image

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData

MAX_TEXT = 1 << 18  # bytes
_MARK = "[SemImageFile]"


def add_hitachi_scale(image: ImageData, path: Path) -> ImageData:
    """The same image with the pixel size from ``NAME.txt`` beside ``NAME.tif``, if it has none and that is its text."""
    if image.pixel_size is not None:
        return image
    notes = _notes(path)
    size = re.fullmatch(r"(\d+)x(\d+)", notes.get("DataSize", "").replace(" ", ""))
    shape = dict(zip(image.axes, image.shape, strict=True))
    if size is not None and (int(size[1]), int(size[2])) != (shape["X"], shape["Y"]):
        return image  # another size than when the text was written: another pixel size
    try:
        step = float(notes.get("PixelSize", ""))
    except ValueError:
        return image
    return make_image(image.data, image.axes, {"X": (step, "nm")}, image.source, image.metadata)


def _notes(path: Path) -> dict[str, str]:
    for suffix in (".txt", ".TXT"):
        text = path.with_suffix(suffix)
        if text.is_file() and not text.is_symlink() and text.stat().st_size <= MAX_TEXT:
            content = text.read_bytes()
            coding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            lines = content.decode(coding, "replace").splitlines()
            if lines and lines[0].strip() == _MARK:
                return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines[1:])}
    return {}
