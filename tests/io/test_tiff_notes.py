"""Names, colours, ranges, labels and dates in the dialects of TIFF, as other programs write and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from napari_hush.io import ImageData, read_image, write_image
from napari_hush.io.metadata import Channel, Metadata, ramp

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).integers(0, 999, (2, 3, 24, 20)).astype(np.uint16)
NAMES = ("DAPI", "GFP µ", "TRITC")
COLOURS = ((0, 0, 255), (0, 255, 0), (255, 128, 0))
FULL = Metadata(
    "field 3",
    "two lines\nand a µ",
    "2021-03-04T05:06:07",
    tuple(Channel(a, ramp(*b), (10.0 * k, 900.5)) for k, (a, b) in enumerate(zip(NAMES, COLOURS, strict=True))),
    tuple(f"plane {k}" for k in range(6)),
)


def test_ome_of_other_programs(tmp_path: Path) -> None:
    note = {
        "axes": "ZCYX",
        "Name": "field 3",
        "Description": "a & b",
        "AcquisitionDate": "2021-03-04T05:06:07+02:00",
        "Channel": {"Name": list(NAMES), "Color": [65535, 16711935, -8388353]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, ome=True, metadata=note)
    found = read_image(tmp_path / "a.ome.tif").metadata
    assert (found.name, found.description, found.date) == ("field 3", "a & b", "2021-03-04T05:06:07+02:00")
    assert [(one.name, one.colour) for one in found.channels] == list(zip(NAMES, COLOURS, strict=True))


def test_imagej_of_other_programs(tmp_path: Path) -> None:
    tables = [np.frombuffer(ramp(*one), np.uint8).reshape(3, 256) for one in COLOURS]
    note = {"axes": "ZCYX", "Info": FULL.description, "Labels": list(FULL.labels), "LUTs": tables}
    note["Ranges"] = tuple(n for one in FULL.channels for n in one.limits or ())
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata=note, datetime="2021:03:04 05:06:07")
    found = read_image(tmp_path / "a.tif").metadata
    channels = tuple(Channel("", one.lut, one.limits) for one in FULL.channels)
    assert found == Metadata("", FULL.description, FULL.date, channels, FULL.labels)


@pytest.mark.parametrize("labels", [["only"], "only"])
def test_imagej_of_one_plane(tmp_path: Path, labels: list[str] | str) -> None:
    table = np.frombuffer(ramp(255, 0, 0), np.uint8).reshape(3, 256)
    note = {"axes": "YX", "Labels": labels, "LUTs": [table], "min": 5.0, "max": 7.5}
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0], imagej=True, metadata=note)
    assert read_image(tmp_path / "a.tif").metadata == Metadata(
        channels=(Channel("", ramp(255, 0, 0), (5.0, 7.5)),), labels=("only",)
    )
    grey = (np.tile(np.arange(256, dtype=np.uint16)[::-1], (3, 1)) * 257).astype(np.uint16)
    tifffile.imwrite(tmp_path / "b.tif", STACK[0, 0].astype(np.uint8), imagej=True, colormap=grey)
    image = read_image(tmp_path / "b.tif")
    assert image.axes == "YX" and image.metadata.channels[0].lut == bytes(range(256))[::-1] * 3


def test_baseline_tags(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for k in range(3):
            tags = [(285, "s", 0, f"page {k}", True), (269, "s", 0, "grid 4", True)]
            words = {"description": "taken by hand"} if k == 0 else {}
            writer.write(STACK[0, 0], metadata=None, datetime="2020:01:02 03:04:05", extratags=tags, **words)
    assert read_image(tmp_path / "a.tif").metadata == Metadata(
        "grid 4", "taken by hand", "2020-01-02T03:04:05", labels=("page 0", "page 1", "page 2")
    )
    for text in ('{"shape": [1]}', "<xml/>", ""):
        tifffile.imwrite(tmp_path / "b.tif", STACK[0, 0], metadata=None, description=text, datetime=None)
        assert read_image(tmp_path / "b.tif").metadata == Metadata()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16"])
@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_all_of_it_survives(tmp_path: Path, ending: str, dtype: str) -> None:
    image = ImageData(STACK.astype(dtype), "ZCYX", metadata=FULL)
    write_image(tmp_path / f"a{ending}", image.data, like=image)
    again = read_image(tmp_path / f"a{ending}")
    assert again.metadata == FULL and (again.data == image.data).all()


def test_other_programs_find_it(tmp_path: Path) -> None:
    image = ImageData(STACK, "ZCYX", metadata=FULL)
    write_image(tmp_path / "a.tif", image.data, like=image)
    write_image(tmp_path / "a.ome.tif", image.data, like=image)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        note = tif.imagej_metadata
        assert note is not None and note["mode"] == "composite" and note["Labels"] == list(FULL.labels)
        assert note["Info"] == FULL.description and note["Ranges"][:4] == (0.0, 900.5, 10.0, 900.5)
        assert [tuple(one[:, 255]) for one in note["LUTs"]] == list(COLOURS)
        assert tif.pages.first.tags[306].value == "2021:03:04 05:06:07"
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    found = {one.tag.rpartition("}")[2]: one for one in root.iter()}
    assert found["Image"].get("Name") == "field 3" and found["AcquisitionDate"].text == FULL.date
    assert [one.get("Name") for one in root.iter() if one.tag.endswith("Channel")] == list(NAMES)
    assert found["Channel"].get("Color") == "-8388353"


def test_odd_words_do_no_harm(tmp_path: Path) -> None:
    odd = Metadata("a\x00b", "\x01<&", "yesterday", (Channel("\x02", None, (0.0, 0.0)),))
    for ending in (".tif", ".ome.tif"):
        image = ImageData(STACK[0, 0], "YX", metadata=odd)
        write_image(tmp_path / f"a{ending}", image.data, like=image)
        again = read_image(tmp_path / f"a{ending}")
        assert (again.data == image.data).all() and again.metadata.description.endswith("<&")
    write_image(tmp_path / "a.ome.tif", STACK[0, 0], axes="YX")
    assert read_image(tmp_path / "a.ome.tif").metadata == Metadata()
