"""What is written is read again: values, type, axes and pixel size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_hush.errors import InputError
from napari_hush.io import ImageData, read_image, write_image
from napari_hush.io.write import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

ENDINGS = [".tif", ".ome.tif", ".npz", ".h5", ".zarr"]
KEPT = {
    "YX": (0.0524, 0.0524),
    "TYX": (2.5, 0.2, 0.1),
    "ZYX": (0.3, 0.1, 0.1),
    "TCYX": (2.0, 1.0, 0.1, 0.1),
    "TZCYX": (2.0, 0.3, 1.0, 0.1, 0.1),
}
UNITS = {"T": "s", "C": ""}


def image_of(axes: str, dtype: str = "uint16", unit: str = "nm") -> ImageData:
    shape = tuple({"T": 2, "Z": 3, "C": 2, "Q": 4, "Y": 21, "X": 18}[axis] for axis in axes)
    data = (np.random.default_rng(0).normal(100, 20, shape)).astype(dtype)
    return ImageData(data, axes, KEPT.get(axes), tuple(UNITS.get(axis, unit) for axis in axes) if axes in KEPT else ())


@pytest.mark.parametrize("axes", KEPT)
@pytest.mark.parametrize("unit", ["nm", "µm"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_axes_and_pixel_size_survive(tmp_path: Path, ending: str, unit: str, axes: str) -> None:
    image = image_of(axes, unit=unit)
    path = tmp_path / f"image{ending}"
    write_image(path, image.data, like=image)
    again = read_image(path)
    assert again.axes == axes
    assert again.dtype == np.uint16
    assert (np.asarray(again.data) == image.data).all()
    assert again.units == image.units
    assert again.pixel_size == pytest.approx(image.pixel_size, rel=1e-9)
    assert again.channel_axis == image.channel_axis
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64"])
@pytest.mark.parametrize("ending", [*ENDINGS, ".npy"])
def test_integers_survive(tmp_path: Path, ending: str, dtype: str) -> None:
    image = image_of("ZYX", dtype)
    if ending == ".ome.tif" and "64" in dtype:
        with pytest.raises(InputError, match="OME-TIFF knows no"):
            write_image(tmp_path / f"a{ending}", image.data, like=image)
        return
    write_image(tmp_path / f"a{ending}", image.data, like=image)
    again = read_image(tmp_path / f"a{ending}")
    assert again.dtype == dtype
    assert (np.asarray(again.data) == image.data).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool"])
@pytest.mark.parametrize("ending", [".tif", ".npz", ".npy", ".h5", ".zarr"])
def test_floats_survive_with_nan(tmp_path: Path, ending: str, dtype: str) -> None:
    image = image_of("YX", "float64")
    data = image.data > 100 if dtype == "bool" else image.data.astype(dtype)
    if dtype != "bool":
        data[0, :2] = np.nan, np.inf
    write_image(tmp_path / f"a{ending}", data, like=image)
    again = read_image(tmp_path / f"a{ending}")
    assert again.dtype == dtype
    np.testing.assert_array_equal(again.data, data)


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".npz", ".h5", ".zarr", ".png", ".npy"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_stay_the_last_axis(tmp_path: Path, ending: str, dtype: str) -> None:
    data = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(dtype)
    like = ImageData(data, "YXC", (0.5, 0.5, 1.0), ("nm", "nm", ""))
    write_image(tmp_path / f"a{ending}", data, like=like)
    again = read_image(tmp_path / f"a{ending}")
    assert again.axes == "YXC" and again.channel_axis == 2
    assert (np.asarray(again.data) == data).all()
    if ending != ".npy":
        assert again.pixel_size == pytest.approx((0.5, 0.5, 1.0))
        assert again.pixel_size_in("nm") == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("ending", [".tif", ".npz", ".h5", ".zarr"])
@pytest.mark.parametrize("axes", ["QYX", "ZTYX", "CYX", "YXC"])
def test_any_axes_survive_where_the_format_allows(tmp_path: Path, ending: str, axes: str) -> None:
    image = image_of(axes, "float64")
    like = ImageData(
        image.data,
        axes,
        tuple(0.25 if a in "YX" else 1.0 for a in axes),
        tuple("nm" if a in "YX" else "" for a in axes),
    )
    write_image(tmp_path / f"a{ending}", image.data, like=like)
    again = read_image(tmp_path / f"a{ending}")
    assert again.axes == axes
    assert (np.asarray(again.data) == image.data).all()
    assert again.pixel_size == pytest.approx(like.pixel_size)
    assert again.units == tuple("pixel" if a == "Z" else unit for a, unit in zip(axes, like.units, strict=True))


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".png", ".npz", ".h5", ".zarr"])
def test_unknown_pixel_size_stays_unknown(tmp_path: Path, ending: str) -> None:
    data = np.random.default_rng(0).integers(0, 255, (20, 30)).astype(np.uint8)
    write_image(tmp_path / f"a{ending}", data)
    again = read_image(tmp_path / f"a{ending}")
    assert again.pixel_size is None
    assert again.units == ("pixel", "pixel")
    assert again.pixel_size_in("nm") is None


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".h5", ".zarr"])
@pytest.mark.parametrize(("size", "unit"), [(1e-10, "m"), (3.0e-4, "nm"), (0.7, "Å"), (12.5, "mm"), (0.2, "1/nm")])
def test_odd_units_keep_their_length(tmp_path: Path, ending: str, size: float, unit: str) -> None:
    if unit == "1/nm" and ending == ".ome.tif":
        with pytest.raises(InputError, match="knows lengths only"):
            write_image(tmp_path / f"a{ending}", np.ones((9, 9), np.float32), pixel_size=size, units=unit)
        return
    write_image(tmp_path / f"a{ending}", np.ones((9, 9), np.float32), pixel_size=size, units=unit)
    again = read_image(tmp_path / f"a{ending}")
    wanted = ImageData(np.ones((9, 9)), "YX", (size, size), (unit, unit))
    if unit == "1/nm":
        assert (again.pixel_size, again.units) == (wanted.pixel_size, wanted.units)
    else:
        assert again.pixel_size_in("nm") == pytest.approx(wanted.pixel_size_in("nm"), rel=1e-6)


def test_a_result_takes_over_what_its_input_had(tmp_path: Path) -> None:
    image = image_of("TYX")
    write_image(tmp_path / "in.tif", image.data, like=image)
    source = read_image(tmp_path / "in.tif")
    result = np.asarray(source.data).astype(np.float32) * 1.5
    write_image(tmp_path / "out.tif", result, like=source, dtype=source.dtype)
    again = read_image(tmp_path / "out.tif")
    assert (again.axes, again.pixel_size, again.units, again.dtype) == (
        source.axes,
        source.pixel_size,
        source.units,
        source.dtype,
    )
    assert (np.asarray(again.data) == np.rint(result)).all()
    write_image(tmp_path / "mean.tif", result.mean(0), like=source)
    mean = read_image(tmp_path / "mean.tif")
    assert (mean.axes, mean.pixel_size) == ("YX", (0.2, 0.1))


def test_pixel_size_and_axes_can_be_given(tmp_path: Path) -> None:
    data = np.zeros((4, 9, 9), np.uint8)
    write_image(tmp_path / "a.tif", data, axes="zyx", pixel_size=0.5, units="um")
    assert read_image(tmp_path / "a.tif").scales == {"Z": (0.5, "µm"), "Y": (0.5, "µm"), "X": (0.5, "µm")}
    write_image(tmp_path / "b.tif", data, axes="TYX", pixel_size=(2, 0.5, 0.4), units=("s", "nm", "nm"))
    assert read_image(tmp_path / "b.tif").pixel_size == pytest.approx((2, 0.5, 0.4))
    with pytest.raises(InputError, match="one per axis of QYX"):
        write_image(tmp_path / "c.tif", data, pixel_size=(1, 2))
    with pytest.raises(InputError, match="positive"):
        write_image(tmp_path / "c.tif", data, pixel_size=-1)
    with pytest.raises(InputError, match="name 2 dimensions"):
        write_image(tmp_path / "c.tif", data, axes="YX")


def test_axes_can_be_overruled_when_reading(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 9, 9), np.float32))
    assert read_image(tmp_path / "a.npy").axes == "QYX"
    assert read_image(tmp_path / "a.npy", axes="tyx").axes == "TYX"
    with pytest.raises(InputError, match="axes"):
        read_image(tmp_path / "a.npy", axes="XYZT")


@pytest.mark.parametrize(
    ("axes", "wanted"), [("QYX", "TYX"), ("TQYX", "TZYX"), ("XY", None), ("YTX", None), ("QVYX", None)]
)
def test_ome_takes_an_unknown_axis_as_time_or_depth_and_refuses_what_it_cannot_say(
    tmp_path: Path, axes: str, wanted: str | None
) -> None:
    data = np.arange(48, dtype=np.uint8).reshape({2: (6, 8), 3: (2, 4, 6), 4: (2, 2, 2, 6)}[len(axes)])
    if wanted is None:
        with pytest.raises(InputError, match=r"write a \.tif"):
            write_image(tmp_path / "a.ome.tif", data, axes=axes)
        return
    write_image(tmp_path / "a.ome.tif", data, axes=axes)
    assert read_image(tmp_path / "a.ome.tif").axes == wanted


def test_png_refuses_floats_and_stacks_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dtype='uint16'.*\.tif"):
        write_image(tmp_path / "a.png", np.zeros((9, 9), np.float32))
    with pytest.raises(InputError, match=r"write a \.tif"):
        write_image(tmp_path / "a.png", np.zeros((4, 9, 9), np.uint8))
    write_image(tmp_path / "a.png", np.full((9, 9), 70000.0), dtype="uint16")
    assert read_image(tmp_path / "a.png").data.max() == 65535


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_older_file_is_replaced(tmp_path: Path, suffix: str) -> None:
    for value in (1, 2):
        write_image(tmp_path / f"a{suffix}", np.full((9, 9), value, np.uint8))
        assert np.asarray(read_image(tmp_path / f"a{suffix}").data).max() == value
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "a.tif", "a.zarr"])
def test_a_last_axis_of_one_is_a_channel(tmp_path: Path, name: str, lead: tuple[int, ...]) -> None:
    path, data = tmp_path / name, np.random.default_rng(0).normal(size=(*lead, 64, 48, 1)).astype(np.float32)
    if name.endswith("npy"):
        np.save(path, data)
    elif name.endswith("npz"):
        np.savez(path, x=data)
    elif name.endswith("h5"):
        with h5py.File(path, "w") as file:
            file["x"] = data
    elif name.endswith("tif"):
        tifffile.imwrite(path, data)
    else:
        zarr.save_array(path, data)
    image = read_image(path)
    assert image.axes == "Q" * len(lead) + "YXC" and image.channel_axis == len(lead) + 2
    for out in ("o.tif", "o.zarr", "o.npz"):
        write_image(tmp_path / out, image.data, like=image)
        assert (np.squeeze(np.asarray(read_image(tmp_path / out).data)) == np.squeeze(data)).all()
