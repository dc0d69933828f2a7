"""Zarr of other programs: plates, several series, axes of length 1, names and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_hush.errors import FileFormatError, InputError
from napari_hush.inference.overlap import lies_in
from napari_hush.io import read_image, write_image
from napari_hush.io.formats.mosaic import Mosaic

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.random.default_rng(0).integers(0, 999, (40, 50)).astype(np.uint16)


def ngff(group: zarr.Group, data: np.ndarray = IMAGE, *, version: int = 2, **more: Any) -> None:
    """An image (T, C, Z, Y, X) with a pixel of 0.1 µm."""
    units = ["", "", "micrometer", "micrometer", "micrometer"]
    kinds = ["time", "channel", "space", "space", "space"]
    axes = [{"name": n, "type": t, "unit": u} for n, t, u in zip("tczyx", kinds, units, strict=True)]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2, 0.1, 0.1]}]}
    attributes = {"multiscales": [{"axes": axes, "datasets": [level], "name": "a cell"}], **more}
    group.attrs.update(attributes if version == 2 else {"ome": {"version": "0.5", **attributes}})
    group.create_array("0", data=data.reshape((1,) * (5 - data.ndim) + data.shape))


def open_group(path: Path, version: int = 2, **attributes: Any) -> zarr.Group:
    return zarr.open_group(path, mode="w", zarr_format=version, attributes=attributes)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [2, 3])
def test_axes_of_one_place_are_left_out_as_of_tiff(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.zarr"
    ngff(open_group(path, version), version=version)
    image = read_image(path)
    assert image.axes == "YX" and image.pixel_size == (0.1, 0.1) and image.units == ("µm", "µm")
    assert not isinstance(image.data, np.ndarray) and (image.data[3:9, 5] == IMAGE[3:9, 5]).all()
    assert (np.asarray(image.data) == IMAGE).all() and lies_in(image.data, path)
    write_image(tmp_path / "b.zarr", image.data, like=image)
    assert read_image(tmp_path / "b.zarr").pixel_size == (0.1, 0.1)


@pytest.mark.parametrize("version", [2, 3])
def test_series_are_listed_and_a_single_one_is_read(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.zarr"
    group = open_group(path, version, **{"bioformats2raw.layout": 3})
    if version == 3:
        group.attrs.update({"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    series = group.create_group("OME")
    for number in range(11):
        ngff(group.create_group(str(number)), IMAGE + number, version=version)
    with pytest.raises(InputError, match=r"holds 11 images, choose one as 'a.zarr:/0': 0 \(a cell\), 1 .*, 9 .*, 10"):
        read_image(path)
    assert (np.asarray(read_image(f"{path}:/10").data) == IMAGE + 10).all()
    series.attrs["series"] = ["4"]
    assert (np.asarray(read_image(path).data) == IMAGE + 4).all()


def plate(path: Path, wells: dict[str, list[str]]) -> None:
    group = open_group(path, plate={"wells": [{"path": well} for well in wells]})
    for well, fields in wells.items():
        group.create_group(well, attributes={"well": {"images": [{"path": field} for field in fields]}})
        for field in fields:
            ngff(group.create_group(f"{well}/{field}"), IMAGE + int(field))


def test_the_advice_for_a_plate_works(tmp_path: Path) -> None:
    path = tmp_path / "plate.zarr"
    plate(path, {"A/1": ["0", "1"], "B/1": ["0"]})
    for asked, first, count in ((path, "A/1/0", 3), (f"{path}:/A/1", "A/1/0", 2), (path / "A" / "1", "A/1/0", 2)):
        with pytest.raises(InputError, match=rf"holds {count} images, choose one as 'plate\.zarr:/{first}'"):
            read_image(asked)
    assert (np.asarray(read_image(f"{path}:/A/1/1").data) == IMAGE + 1).all()
    assert (np.asarray(read_image(f"{path}:/B/1").data) == IMAGE).all()
    assert read_image(f"{path}:/B/1").axes == "YX"


def test_a_plate_leads_nowhere_else(tmp_path: Path) -> None:
    ngff(open_group(tmp_path / "secret.zarr"))
    plate(tmp_path / "a.zarr", {"A/1": ["0"]})
    for wells in ([{"path": "../secret.zarr"}], [{"path": str(tmp_path / "secret.zarr")}]):
        zarr.open_group(tmp_path / "a.zarr").attrs["plate"] = {"wells": wells}
        with pytest.raises(FileFormatError, match="not followed"):
            read_image(tmp_path / "a.zarr")
    for broken in ({"wells": "x"}, {"wells": [{}]}, {"wells": 3}):
        zarr.open_group(tmp_path / "a.zarr").attrs["plate"] = broken
        with pytest.raises(InputError):
            read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", [2, 3])
def test_channels_have_their_names_colours_and_windows(tmp_path: Path, version: int) -> None:
    channels = [
        {"label": "DAPI", "color": "0000FF", "window": {"start": 10, "end": 500, "min": 0, "max": 65535}},
        {"label": 7, "color": "no colour", "window": {"start": 5, "end": 5}},
    ]
    data = np.stack([IMAGE, IMAGE + 1])[:, None]
    ngff(open_group(tmp_path / "a.zarr", version), data, version=version, omero={"channels": channels})
    image = read_image(tmp_path / "a.zarr")
    assert image.axes == "CYX" and image.metadata.name == "a cell"
    first, second = image.metadata.channels
    assert (first.name, first.colour, first.limits) == ("DAPI", (0, 0, 255), (10, 500))
    assert (second.name, second.colour, second.limits) == ("", None, None)
    ngff(open_group(tmp_path / "b.zarr", version), data, version=version, omero={"channels": channels[:1]})
    assert read_image(tmp_path / "b.zarr").metadata.channels == ()


def test_axes_and_sizes_of_later_and_older_versions(tmp_path: Path) -> None:
    group = open_group(tmp_path / "a.zarr", 3)
    axes = [{"name": one, "type": "space", "unit": "nanometer"} for one in "yx"]
    step = {"type": "sequence", "transformations": [{"type": "scale", "scale": [4, 2]}, {"type": "translation"}]}
    image = {"coordinateSystems": [{"name": "s", "axes": axes}], "datasets": [{"path": "0"}]}
    image["datasets"][0]["coordinateTransformations"] = [step]  # type: ignore[index]
    group.attrs["ome"] = {"version": "0.6.dev3", "multiscales": [image]}
    group.create_array("0", data=IMAGE)
    assert read_image(tmp_path / "a.zarr").scales == {"Y": (4.0, "nm"), "X": (2.0, "nm")}
    group = open_group(tmp_path / "b.zarr", multiscales=[{"version": "0.1", "datasets": [{"path": "0"}]}])
    group.create_array("0", data=IMAGE[None, None, None])
    assert read_image(tmp_path / "b.zarr").axes == "YX"


def test_a_mosaic_without_axes_of_one_place(tmp_path: Path) -> None:
    whole = Mosaic.of_axes(IMAGE[None, :, None], [1, 3], "a")
    assert whole.shape == (40, 50) and (whole[::3, 7:9] == IMAGE[::3, 7:9]).all()
