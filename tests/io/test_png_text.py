"""Texts in a PNG: those of other programs are read, and ours by them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from napari_hush.io import ImageData, read_image, write_image
from napari_hush.io.metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.random.default_rng(0).integers(0, 200, (20, 24)).astype(np.uint8)


@pytest.mark.parametrize(
    ("created", "date"),
    [
        ("2021-02-03T04:05:06", "2021-02-03T04:05:06"),
        ("Wed, 03 Feb 2021 04:05:06 +0100", "2021-02-03T04:05:06+01:00"),
        ("last week", ""),
    ],
)
@pytest.mark.parametrize("utf8", [True, False])
def test_words_of_other_programs(tmp_path: Path, utf8: bool, created: str, date: str) -> None:
    texts = PngImagePlugin.PngInfo()
    for key, text in (("Title", "gräin 3"), ("Description", "b\nc"), ("Creation Time", created)):
        (texts.add_itxt if utf8 else texts.add_text)(key, text)
    Image.fromarray(IMAGE).save(tmp_path / "a.png", pnginfo=texts)
    assert read_image(tmp_path / "a.png").metadata == Metadata("gräin 3", "b\nc", date)


def test_other_programs_find_ours(tmp_path: Path) -> None:
    like = ImageData(IMAGE, "YX", metadata=Metadata("µ grain", "b\nc", "2021-02-03T04:05:06"))
    write_image(tmp_path / "a.png", IMAGE, like=like)
    with Image.open(tmp_path / "a.png") as found:
        texts = {key: str(found.info[key]) for key in ("Title", "Description", "Creation Time")}
    assert [*texts.values()] == ["µ grain", "b\nc", "2021-02-03T04:05:06"]


def test_packed_and_damaged_texts_are_passed_by(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Title", "x" * 1_000_000, zip=True)
    texts.add(b"iTXt", b"Description\0\0")
    texts.add(b"tEXt", b"napari-hush metadata\0" + zlib.compress(b"{}"))
    Image.fromarray(IMAGE).save(tmp_path / "a.png", pnginfo=texts)
    image = read_image(tmp_path / "a.png")
    assert image.metadata == Metadata() and (image.data == IMAGE).all()
