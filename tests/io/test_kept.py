"""The manual's table of what is kept in which format says what really comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_hush.io import ImageData, read_image, write_image
from napari_hush.io.history import read_history, software
from napari_hush.io.metadata import Channel, Metadata, ramp
from napari_hush.io.write import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
HEAD = "| written as |"
FACTS: dict[str, Callable[[Metadata], object]] = {
    "name, description, date": lambda one: (one.name, one.description, one.date),
    "channel names": lambda one: [channel.name for channel in one.channels],
    "colours": lambda one: [channel.lut for channel in one.channels],
    "display ranges": lambda one: [channel.limits for channel in one.channels],
    "labels": lambda one: one.labels,
    "white zeros": lambda one: one.inverted,
}
TABLE = bytes(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8))


def image_of(axes: str) -> ImageData:
    sizes = {"Z": 3, "C": 2, "Y": 20, "X": 24}
    channels = tuple(
        Channel(f"dye {k} µ", TABLE if k else ramp(255, 0, 128), (k - 0.5, 90.0)) for k in range(axes.count("C") + 1)
    )
    planes = int(np.prod([sizes[axis] for axis in axes if axis not in "YX"]))
    labels = tuple(f"plane {k}" for k in range(planes))
    metadata = Metadata("µ", "two\nlines", "2021-02-03T04:05:06", channels, labels, inverted=axes != "YX")
    shape = [sizes[axis] for axis in axes]
    return ImageData(np.random.default_rng(0).integers(0, 99, shape).astype(np.uint8), axes, metadata=metadata)


def table() -> dict[str, dict[str, str]]:
    lines = PAGE.read_text("utf-8").splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(HEAD))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return {row[0].strip("`"): dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def test_every_format_that_is_written_is_in_the_table() -> None:
    assert {*table()} == {*SUFFIXES, ".ome.tif"} - {".tiff", ".hdf5"}


@pytest.mark.parametrize("ending", table())
def test_the_table_says_what_comes_back(tmp_path: Path, ending: str) -> None:
    row, history = table()[ending], {"software": software(), "made": "denoised"}
    image = image_of("YX" if ending == ".png" else "ZCYX")
    write_image(tmp_path / f"a{ending}", image.data, like=image, history=history)
    again = read_image(tmp_path / f"a{ending}")
    assert (np.asarray(again.data) == image.data).all()
    kept = {name: find(again.metadata) == find(image.metadata) for name, find in FACTS.items()}
    if ending == ".png":
        kept["white zeros"] = False  # see below
    kept["history"] = read_history(tmp_path / f"a{ending}") is not None
    assert {name: cell.startswith("yes") for name, cell in row.items()} == kept


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_zeros_are_turned_round_in_a_png(tmp_path: Path, dtype: str) -> None:
    data = np.random.default_rng(0).integers(0, 200, (20, 24)).astype(dtype)
    like = ImageData(data, "YX", metadata=Metadata(channels=(Channel("a", None, (10.0, 90.0)),), inverted=True))
    write_image(tmp_path / "a.png", data, like=like)
    again, top = read_image(tmp_path / "a.png"), np.iinfo(dtype).max
    assert (again.data == top - data).all()
    assert again.metadata == Metadata(channels=(Channel("a", None, (top - 90.0, top - 10.0)),))
