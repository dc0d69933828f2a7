"""Every zarr that is written is a valid OME-Zarr 0.5, whatever is known of the image, and comes back as it was."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_hush.io import ImageData, read_image, write_image, zarr_writer
from napari_hush.io.formats.ngff import layout_of
from napari_hush.io.formats.pyramid import halved, level_factors
from napari_hush.io.formats.zarr_write import open_zarr
from napari_hush.io.history import read_history, software
from napari_hush.io.metadata import Channel, Metadata, ramp

if TYPE_CHECKING:
    from pathlib import Path

SIZES = {"T": 2, "Z": 3, "C": 2, "Q": 4, "P": 2, "Y": 21, "X": 18}
AXES = ["YX", "XY", "ZYX", "TYX", "CYX", "YXC", "QYX", "YXZ", "QCYX", "QYXC", "QPYX", "ZTYX", "TZCYX", "TCZYX", "QTZYX"]
TABLE = bytes(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8))


def image_of(axes: str, dtype: str = "uint16", *, known: str = "all") -> ImageData:
    shape = tuple(SIZES[axis] for axis in axes)
    data = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
    steps = tuple({"T": 0.5, "C": 1.0, "Q": 1.0, "P": 1.0}.get(axis, 0.25) for axis in axes)
    units = tuple({"T": "s", "C": "", "Q": "", "P": ""}.get(axis, "nm") for axis in axes)
    channels = tuple(
        Channel(f"dye {k}", ramp(255, 0, 9 * k) if k else TABLE, (float(k), 99.5))
        for k in range(SIZES["C"] if "C" in axes else 1)
    )
    planes = int(np.prod([SIZES[axis] for axis in (axes[:-1] if axes[-1] == "C" else axes) if axis not in "YX"]))
    full = Metadata("µ field", "d", "2021-02-03", channels, tuple(f"p{k}" for k in range(planes)), inverted=True)
    scaled = known in ("all", "scales")
    return ImageData(
        data,
        axes,
        steps if scaled else None,
        units if scaled else (),
        metadata=full if known in ("all", "metadata") else Metadata(),
    )


def check_valid(path: Path) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yaozarrs.validate_zarr_store(str(path))
    note: dict[str, Any] = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    assert note["version"] == "0.5"
    return note


@pytest.mark.parametrize("known", ["nothing", "scales", "metadata", "all"])
@pytest.mark.parametrize("axes", AXES)
def test_whatever_is_known_it_is_valid_and_comes_back(tmp_path: Path, axes: str, known: str) -> None:
    image = image_of(axes, known=known)
    path = tmp_path / "a.zarr"
    write_image(path, image.data, like=image)
    note = check_valid(path)
    kinds = [entry.get("type") for entry in note["multiscales"][0]["axes"]]
    order = ["time", "channel", "other", "space"]
    assert kinds == sorted(kinds, key=order.index) and 2 <= kinds.count("space") <= 3 and kinds.count("time") <= 1
    assert kinds.count("channel") + kinds.count("other") <= 1
    again = read_image(path)
    assert again.axes == axes and (np.asarray(again.data) == image.data).all()
    assert (np.asarray(again.data[-1]) == image.data[-1]).all() and again.data.shape == image.shape
    assert (again.pixel_size, again.units) == (image.pixel_size, image.units)
    assert again.metadata == image.metadata
    assert again.scales == image.scales and zarr.open_group(path, mode="r")["0"].ndim == len(axes)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "uint64", "float16", "float32", "float64"])
def test_every_number_type_is_valid_with_its_smaller_levels(
    tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_hush.io.formats.pyramid.SMALLEST", 8)
    image = image_of("ZYXC" if dtype == "float32" else "TZCYX", dtype)
    write_image(tmp_path / "a.zarr", image.data, like=image, history={"software": software()})
    levels = check_valid(tmp_path / "a.zarr")["multiscales"][0]["datasets"]
    assert [level["path"] for level in levels] == ["0", "1", "2"]
    first, second = (
        {one["type"]: one[one["type"]] for one in level["coordinateTransformations"]} for level in levels[:2]
    )
    assert first["scale"][-2:] == [0.25, 0.25] and second["scale"][-2:] == [0.5, 0.5]
    assert second["translation"][-2:] == [0.125, 0.125]
    stored = zarr.open_group(tmp_path / "a.zarr", mode="r")
    for number in (1, 2):
        level = np.asarray(stored[str(number)])
        assert level.dtype == dtype and (level == halved(np.asarray(stored[str(number - 1)]))).all()
    assert (np.asarray(read_image(tmp_path / "a.zarr").data) == image.data).all()
    assert read_history(tmp_path / "a.zarr") is not None
    half = read_image(f"{tmp_path / 'a.zarr'}:/1")
    assert half.axes == image.axes and half.pixel_size_in("nm") == (0.5, 0.5)


def test_viewers_find_names_colours_and_windows(tmp_path: Path) -> None:
    image = image_of("CYX")
    write_image(tmp_path / "a.zarr", image.data, like=image)
    channels = check_valid(tmp_path / "a.zarr")["omero"]["channels"]
    assert [one["label"] for one in channels] == ["dye 0", "dye 1"] and channels[1]["color"] == "FF0009"
    assert channels[1]["window"] == {"start": 1.0, "end": 99.5, "min": 0.0, "max": 99.5}
    assert channels[0]["inverted"] is True
    note = tmp_path / "a.zarr" / "zarr.json"
    content = json.loads(note.read_text())
    del content["attributes"]["napari_hush_image"]  # as another program would have written it
    note.write_text(json.dumps(content))
    found = read_image(tmp_path / "a.zarr").metadata
    assert (found.name, found.inverted, found.channels[1]) == ("µ field", True, image.metadata.channels[1])
    bare = ImageData(image.data * 1.0, "CYX", metadata=Metadata(channels=(Channel("a"), Channel("b"))))
    bare.data[0] = np.nan
    write_image(tmp_path / "b.zarr", bare.data, like=bare)
    windows = [one["window"] for one in check_valid(tmp_path / "b.zarr")["omero"]["channels"]]
    assert windows[0] == {"start": 0.0, "end": 1.0, "min": 0.0, "max": 1.0} and windows[1]["max"] == bare.data[1].max()


def test_strange_notes_of_others_are_left_alone(tmp_path: Path) -> None:
    for omero in (3, {"channels": 3}, {"channels": [3, {"window": 1, "color": 7, "label": []}, {"color": "xyz"}]}):
        for own in (3, {"axes": "YQ"}, {"axes": 5}, {"axes": "TCZYX"}):
            write_image(tmp_path / "a.zarr", np.ones((4, 5), np.uint8))
            note = tmp_path / "a.zarr" / "zarr.json"
            content = json.loads(note.read_text())
            content["attributes"]["ome"]["omero"] = omero
            content["attributes"]["napari_hush_image"] = own
            note.write_text(json.dumps(content))
            assert read_image(tmp_path / "a.zarr").axes == "YX"


@pytest.mark.parametrize("axes", ["YXC", "TZCYX", "QCYX"])
def test_tile_by_tile_the_axes_are_the_images_own(tmp_path: Path, axes: str) -> None:
    image = image_of(axes, "float32")
    chunks = tuple(8 if axis in "YX" else 1 for axis in axes)
    with zarr_writer(tmp_path / "a.zarr", shape=image.shape, chunks=chunks, like=image) as array:
        assert tuple(array.shape) == image.shape and tuple(array.chunks) == chunks
        y = axes.index("Y")
        for start in range(0, 21, 8):
            key = (slice(None),) * y + (slice(start, start + 8),)
            array[key] = image.data[key]
        array[(0,) * len(axes)] = 7
        assert array[(0,) * len(axes)] == 7
    opened = open_zarr(tmp_path / "a.zarr")
    opened[(0,) * len(axes)] = image.data[(0,) * len(axes)]
    again = read_image(tmp_path / "a.zarr")
    assert (np.asarray(again.data) == image.data).all()
    for key in [(0,), (..., 1), (slice(1, 9, 2), 1), (-1, ..., slice(2, 4)), ([0, 1],)]:
        np.testing.assert_array_equal(again.data[key], image.data[key])


def test_six_axes_become_a_plain_array_with_a_word(tmp_path: Path) -> None:
    data = np.arange(2 * 2 * 2 * 2 * 4 * 5, dtype=np.uint16).reshape(2, 2, 2, 2, 4, 5)
    like = ImageData(data, "QTCZYX", metadata=Metadata("n"))
    with pytest.warns(UserWarning, match="no room for the axes QTCZYX"):
        write_image(tmp_path / "a.zarr", data, like=like)
    assert zarr.open_array(tmp_path / "a.zarr", mode="r").shape == data.shape
    again = read_image(tmp_path / "a.zarr")
    assert (again.axes, again.metadata.name) == ("QTCZYX", "n") and (np.asarray(again.data) == data).all()


def test_no_axes_are_too_odd_to_be_laid_out() -> None:
    assert layout_of("QPRYX") is not None and layout_of("CQYXS") is not None
    assert layout_of("TCQYX") is not None and layout_of("TCZQYX") is None and layout_of("QPRVYX") is None


def test_a_small_image_has_one_level_and_a_long_one_several() -> None:
    assert level_factors((512, 300)) == [1] and level_factors((9, 513, 2)) == [1, 2]
    assert level_factors((5000, 700)) == [1, 2, 4, 8, 16]


def test_means_leave_out_nan_and_never_wrap_around() -> None:
    holes = np.array([[np.nan, 2.0, np.nan], [4.0, np.inf, np.nan]], np.float32)
    np.testing.assert_array_equal(halved(holes), [[3.0, np.nan]])
    np.testing.assert_array_equal(halved(holes[:, :1]), [[4.0]])
    both = np.array([[np.inf, -np.inf], [1.0, 3.0]])
    assert halved(both)[0, 0] == 2
    for dtype in ("uint8", "int16", "uint64", "float32", "float16"):
        top = np.finfo(dtype).max if dtype.startswith("f") else np.iinfo(dtype).max
        assert (halved(np.full((3, 3), top, dtype)) == top).all()
    assert (halved(np.array([[0, 1], [1, 1]], np.uint8)) == 1).all() and not halved(np.eye(3, dtype=bool))[1, 0]
