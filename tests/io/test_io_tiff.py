"""TIFF dialects as other programs write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import ImageData, read_image, write_image
from napari_hush.io.formats.file_array import FileArray

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).poisson(50, (5, 64, 48)).astype(np.uint16)


def test_plain_data_stay_on_disk_where_they_are_large_and_the_file_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK)
    before = path.read_bytes()
    assert (read_image(path).data == STACK).all()
    monkeypatch.setattr("napari_hush.io.formats.file_array.EAGER_BELOW", 1000)
    image = read_image(path)
    assert isinstance(image.data, FileArray)
    assert (image.data[1:, 3:9] == STACK[1:, 3:9]).all()
    assert path.read_bytes() == before


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize(
    "options", [{}, {"metadata": None}, {"tile": (16, 16)}, {"rowsperstrip": 7}, {"byteorder": ">"}]
)
def test_every_storage_gives_the_same_values(tmp_path: Path, compression: str | None, options: dict[str, Any]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression=compression, photometric="minisblack", **options)
    before = path.read_bytes()
    image = read_image(path)
    assert image.axes == "QYX"
    assert image.data.dtype == np.uint16
    assert (image.data == STACK).all()
    assert path.read_bytes() == before


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("options", [{"metadata": None}, {}, {"imagej": True}, {"ome": True}, {"bigtiff": True}])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_stack_is_refused_and_not_touched(
    tmp_path: Path, compression: str | None, options: dict[str, Any], keep: float
) -> None:
    if compression and "imagej" in options:
        options = {**options, "metadata": {"axes": "ZYX"}}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression=compression, photometric="minisblack", **options)
    content = path.read_bytes()
    # a file whose last bytes are the tags' own values is complete without them as far as pixels go
    path.write_bytes(content[: int(len(content) * keep)])
    before = path.read_bytes()
    try:
        image = read_image(path)
    except FileFormatError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert (np.asarray(image.data) == STACK).all()
        assert keep == 0.999
    assert path.read_bytes() == before


def test_every_cut_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[:3, :16, :16], compression="zlib", metadata=None, photometric="minisblack")
    content = path.read_bytes()
    for cut in range(0, len(content), 17):
        path.write_bytes(content[:cut])
        with pytest.raises(FileFormatError):
            read_image(path)


def test_missing_pages_of_an_announced_stack_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    note = "ImageJ=1.53t\nimages=9\nslices=9\nunit=nm\n"
    tifffile.imwrite(path, STACK[0], description=note, metadata=None)
    with pytest.raises(FileFormatError, match="9 planes announced, 1 found"):
        read_image(path)
    tifffile.imwrite(path, STACK[0], description='{"shape": [4, 64, 48]}', metadata=None, compression="zlib")
    with pytest.raises(FileFormatError, match="4 planes announced"):
        read_image(path)
    tifffile.imwrite(tmp_path / "full.ome.tif", STACK, compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "full.ome.tif") as tif:
        note = str(tif.ome_metadata).replace('SizeZ="5"', 'SizeZ="7"')
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=False) as writer:
        for index, plane in enumerate(STACK):
            writer.write(plane, description=note if index == 0 else None, metadata=None, compression="zlib")
    with pytest.raises(FileFormatError, match="plane 5 is missing"):
        read_image(tmp_path / "a.ome.tif")


def test_imagej_hyperstack(tmp_path: Path) -> None:
    data = np.zeros((2, 3, 4, 20, 30), np.float32)
    note = {"axes": "TZCYX", "unit": "\\u00B5m", "spacing": 0.7, "finterval": 12.5}
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata=note, resolution=(4, 2))
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "TZCYX" and image.channel_axis == 2
    assert image.pixel_size == (12.5, 0.7, 1.0, 0.5, 0.25)
    assert image.units == ("s", "µm", "", "µm", "µm")
    assert image.pixel_size_in("nm") == (500, 250)


def test_ome_sizes_and_default_unit(tmp_path: Path) -> None:
    note = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=note)
    image = read_image(tmp_path / "a.ome.tif")
    assert (image.pixel_size, image.units) == ((2.0, 0.5, 0.25), ("µm", "µm", "µm"))


@pytest.mark.parametrize(
    ("unit", "resolution", "wanted"),
    [
        ("CENTIMETER", (2e6, 2e6), (5.0, "nm")),
        ("CENTIMETER", (20000, 20000), (0.5, "µm")),
        ("INCH", (25400, 25400), (1.0, "µm")),
        ("NONE", (4, 4), None),
        ("INCH", (72, 72), None),
        ("INCH", (300, 300), None),
        ("CENTIMETER", (28.35, 28.35), None),
        ("CENTIMETER", (0, 0), None),
    ],
)
def test_resolution_tags_unless_they_are_a_printers(
    tmp_path: Path, unit: str, resolution: tuple[float, float], wanted: tuple[float, str] | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], metadata=None, resolution=resolution, resolutionunit=unit)
    image = read_image(tmp_path / "a.tif")
    if wanted is None:
        assert image.pixel_size is None
    else:
        assert image.pixel_size == pytest.approx((wanted[0],) * 2) and image.units == (wanted[1],) * 2


def test_gatan_and_zeiss_tags(tmp_path: Path) -> None:
    tags = [
        (65009, "d", 1, 0.25, False),
        (65010, "d", 1, 0.5, False),
        (65003, "s", 0, "nm", False),
        (65004, "s", 0, "nm", False),
    ]
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], metadata=None, extratags=tags, resolution=(72, 72), resolutionunit=2)
    assert read_image(tmp_path / "a.tif").scales == {"X": (0.25, "nm"), "Y": (0.5, "nm")}
    note = b"\r\n0\r\n0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2.5 nm\r\n\0"
    tifffile.imwrite(tmp_path / "b.tif", STACK[0], metadata=None, extratags=[(34118, "s", 0, note, False)])
    assert read_image(tmp_path / "b.tif").scales == {"X": (2.5, "nm"), "Y": (2.5, "nm")}


def test_colours_palettes_and_alpha(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (32, 40, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colours[..., :3], photometric="rgb", metadata=None)
    assert read_image(tmp_path / "rgb.tif").axes == "YXC"
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    with pytest.raises(FileFormatError, match="transparent"):
        read_image(tmp_path / "a.tif")
    colours[..., 3] = 255
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    assert (read_image(tmp_path / "a.tif").data == colours[..., :3]).all()
    grey_alpha = np.ascontiguousarray(colours[..., 2:])
    tifffile.imwrite(
        tmp_path / "la.tif",
        grey_alpha,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
        metadata=None,
    )
    image = read_image(tmp_path / "la.tif")
    assert image.axes == "YX" and (image.data == colours[..., 2]).all()
    table = (np.arange(768).reshape(3, 256) * 85).astype(np.uint16)
    tifffile.imwrite(tmp_path / "p.tif", colours[..., 0], photometric="palette", colormap=table, metadata=None)
    image = read_image(tmp_path / "p.tif")
    assert image.axes == "YXC" and (image.data == (table.T >> 8)[colours[..., 0]]).all()


def test_planar_colours_are_the_first_axis(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint8), photometric="rgb", metadata=None)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "CYX" and image.channel_axis == 0


def test_of_several_images_the_large_one_or_the_one_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.full((8, 10), 1, np.uint8), metadata=None)
        writer.write(np.full((64, 80), 2, np.uint8), metadata=None)
    assert read_image(path).shape == (64, 80)
    assert read_image(f"{path}:0").shape == (8, 10)
    with pytest.raises(InputError, match="0 to 1"):
        read_image(f"{path}:2")
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.full((60, 80), 1, np.uint8), metadata=None)
        writer.write(np.full((64, 80), 2, np.uint16), metadata=None)
    with pytest.raises(InputError, match=r"choose one: a.tif:0 \(60, 80\), a.tif:1"):
        read_image(path)


def test_a_large_compressed_stack_is_read_as_it_is_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, compression="zlib")
    monkeypatch.setattr("napari_hush.io.formats.tiff.LAZY_ABOVE", 1000)
    image = read_image(tmp_path / "a.tif")
    assert not isinstance(image.data, np.ndarray)
    assert image.axes == "QYX" and (image.data[2:4, 10:] == STACK[2:4, 10:]).all()


def test_an_absurd_size_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages.first.tags[name].overwrite(2_000_000)
    with pytest.raises(FileFormatError, match=r"claims 8e\+03 GB"):
        read_image(path)


def test_missing_strips_are_not_filled_with_black(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], rowsperstrip=4, compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages.first.tags["ImageLength"].overwrite(640)
    with pytest.raises(FileFormatError, match="16 strips or tiles of 160"):
        read_image(path)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages.first.tags["ImageLength"].overwrite(64)
        counts = list(tif.pages.first.databytecounts)
        tif.pages.first.tags["StripByteCounts"].overwrite([*counts[:-1], 0])
    with pytest.raises(FileFormatError, match="never written"):
        read_image(path)


def test_ome_does_not_follow_into_other_folders(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    tifffile.imwrite(tmp_path / "secret.ome.tif", STACK, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "secret.ome.tif") as tif:
        note = str(tif.ome_metadata)
    uuid = "urn:uuid:00000000-0000-0000-0000-000000000001"
    note = note.replace(
        '<TiffData IFD="0" PlaneCount="5"/>',
        f'<TiffData IFD="0" PlaneCount="5"><UUID FileName="../secret.ome.tif">{uuid}</UUID></TiffData>',
    )
    assert uuid in note
    tifffile.imwrite(tmp_path / "inner" / "a.ome.tif", STACK[0], description=note, metadata=None, ome=False)
    with pytest.raises(FileFormatError, match="another folder"):
        read_image(tmp_path / "inner" / "a.ome.tif")


def test_fiji_finds_the_calibration(tmp_path: Path) -> None:
    image = ImageData(STACK, "ZYX", (0.3, 0.05, 0.05), ("nm", "nm", "nm"))
    write_image(tmp_path / "a.tif", STACK.astype(np.float32), like=image)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_imagej
        assert tif.imagej_metadata is not None
        assert tif.imagej_metadata["unit"] == "nm" and tif.imagej_metadata["spacing"] == 0.3
        assert tif.pages.first.tags["XResolution"].value == (20, 1)


def test_beyond_four_gigabytes_it_is_a_plain_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hush.io.formats.tiff_write.CLASSIC_LIMIT", 1000)
    monkeypatch.setattr("napari_hush.io.formats.file_array.EAGER_BELOW", 1000)
    image = ImageData(STACK, "ZYX", (0.3, 0.05, 0.05), ("nm", "nm", "nm"))
    write_image(tmp_path / "a.tif", STACK, like=image)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff and not tif.is_imagej
    again = read_image(tmp_path / "a.tif")
    assert isinstance(again.data, FileArray)
    assert (again.axes, again.pixel_size, again.units) == (image.axes, image.pixel_size, image.units)


def test_64_bit_floats_keep_their_resolution_for_other_programs(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", STACK.astype(np.float64), pixel_size=5, units="nm")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        tags = tif.pages.first.tags
        assert tags["XResolution"].value == (2_000_000, 1) and int(tags["ResolutionUnit"].value) == 3
