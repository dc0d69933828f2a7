"""What the numbers in a TIFF stand for: calibrated values, palettes, white zeros, inks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_hush.errors import FileFormatError
from napari_hush.io import read_image, write_image

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.random.default_rng(0).integers(60, 190, (48, 40)).astype(np.uint8)
RAMP = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))


@pytest.mark.parametrize(
    ("dtype", "c0", "c1", "wanted"),
    [
        ("uint16", -32768, 1, "int16"),
        ("uint8", -128, 1, "int16"),
        ("uint16", 0.5, 0.25, "float32"),
        ("uint16", -10, 1, "float32"),
        ("uint8", 255, -1, "float32"),
    ],
)
def test_imagej_lines_give_the_values_that_imagej_shows(
    tmp_path: Path, dtype: str, c0: float, c1: float, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = (IMAGE.astype(dtype) + (32768 if c0 == -32768 else 0)).astype(dtype)
    note: dict[str, Any] = {"axes": "YX", "cf": 0, "c0": float(c0), "c1": float(c1), "vunit": "HU", "min": 1, "max": 5}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, imagej=True, metadata=note)
    image = read_image(path)
    assert image.dtype == wanted
    np.testing.assert_array_equal(image.data, (c0 + c1 * stored.astype(float)).astype(wanted))
    assert image.metadata.channels[0].limits == (c0 + c1, c0 + 5 * c1)
    monkeypatch.setattr("napari_hush.io.formats.file_array.EAGER_BELOW", 10)
    large = read_image(path)
    assert not isinstance(large.data, np.ndarray) and large.dtype == wanted
    np.testing.assert_array_equal(large.data[3:9], image.data[3:9])
    write_image(tmp_path / "b.tif", image.data, like=image)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").data, image.data)


@pytest.mark.parametrize("note", [{"cf": 2}, {"c1": 0.0}, {"c0": "x"}, {"c0": 0.0, "c1": 1.0}, {"c1": float("inf")}])
def test_other_calibrations_leave_the_numbers(tmp_path: Path, note: dict[str, Any]) -> None:
    note = {"axes": "YX", "cf": 0, "c0": -5.0, "c1": 2.0, "vunit": "OD", **note}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, imagej=True, metadata=note)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == np.uint8 and (image.data == IMAGE).all()


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int32"])
def test_white_zeros_stay_white(tmp_path: Path, ending: str, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", IMAGE.astype(dtype), photometric="miniswhite")
    image = read_image(tmp_path / "a.tif")
    assert image.metadata.inverted and (image.data == IMAGE).all()
    write_image(tmp_path / f"b{ending}", image.data, like=image)
    with tifffile.TiffFile(tmp_path / f"b{ending}") as tif:
        assert tif.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    assert (read_image(tmp_path / f"b{ending}").data == IMAGE).all()


def test_a_palette_of_rising_greys_is_a_display_of_what_was_recorded(tmp_path: Path) -> None:
    def read(table: np.ndarray) -> Any:
        tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="palette", colormap=table, metadata=None)
        return read_image(tmp_path / "a.tif")

    plain = read(RAMP)
    assert plain.axes == "YX" and (plain.data == IMAGE).all() and plain.metadata.channels == ()
    stretched = np.clip(RAMP.astype(int) * 2 - 20_000, 0, 65_535).astype(np.uint16)
    for table in (stretched, RAMP[:, ::-1]):
        image = read(table)
        assert image.axes == "YX" and (image.data == IMAGE).all()
        assert image.metadata.channels[0].lut == (table >> 8).astype(np.uint8).tobytes()
    shuffled = RAMP[:, np.random.default_rng(0).permutation(256)]
    image = read(shuffled)
    assert image.axes == "YX" and (image.data == (shuffled[0] >> 8)[IMAGE]).all()
    coloured = RAMP.copy()
    coloured[2] = 0
    assert read(coloured).axes == "YXC"


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_an_alpha_goes_wherever_it_lies(tmp_path: Path, planes: Any) -> None:
    colours = np.stack([IMAGE, IMAGE // 2, IMAGE[::-1], np.full_like(IMAGE, 255)], -1 if planes == "contig" else 0)
    options: dict[str, Any] = {"planarconfig": planes, "extrasamples": ["unassalpha"], "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", **options)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == ("YXC" if planes == "contig" else "CYX")
    assert (image.data == (colours[..., :3] if planes == "contig" else colours[:3])).all()
    colours[..., -1, -1] = 7
    tifffile.imwrite(
        tmp_path / "a.tif", colours if planes == "separate" else colours[..., ::-1], photometric="rgb", **options
    )
    with pytest.raises(FileFormatError, match="transparent"):
        read_image(tmp_path / "a.tif")


def test_an_alpha_beside_a_palette_goes(tmp_path: Path) -> None:
    indexed = np.stack([IMAGE, np.full_like(IMAGE, 255)], -1)
    options: dict[str, Any] = {"planarconfig": "contig", "extrasamples": ["unassalpha"], "metadata": None}
    tags = [(320, "H", 768, tuple(RAMP.ravel().tolist()), True)]
    tifffile.imwrite(tmp_path / "a.tif", indexed, photometric="minisblack", extratags=tags, **options)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tif:
        tif.pages.first.tags[262].overwrite(3)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "YX" and (image.data == IMAGE).all()


@pytest.mark.parametrize(
    ("kind", "inks", "words"),
    [("separated", 1, "CMYK"), ("separated", 2, "inks"), ("cielab", 1, "CIELab"), ("icclab", 1, "ICCLab")],
)
def test_inks_and_lab_are_refused_by_name(tmp_path: Path, kind: str, inks: int, words: str) -> None:
    data = np.zeros((20, 30, 4 if kind == "separated" else 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric=kind, extratags=[(332, "H", 1, inks, True)])
    with pytest.raises(FileFormatError, match=f"its colours are {words}.*save it as grey or RGB"):
        read_image(tmp_path / "a.tif")


def test_ycbcr_is_refused_where_no_decoder_makes_rgb_of_it(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((32, 32, 3), np.uint8), photometric="rgb", metadata=None)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        content[tif.pages.first.tags[262].valueoffset] = 6
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(FileFormatError, match="YCbCr"):
        read_image(tmp_path / "a.tif")


def test_a_jpeg_of_inks_is_refused_by_name(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((40, 40, 4), 90, np.uint8), "CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(FileFormatError, match="CMYK"):
        read_image(tmp_path / "a.jpg")
