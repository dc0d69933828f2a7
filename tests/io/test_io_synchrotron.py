"""HDF5 of synchrotrons: the image that a file means, its calibration, and frames that are elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image
from napari_hush.io.formats.mosaic import Mosaic, Tile

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).integers(0, 999, (6, 20, 30)).astype(np.uint16)
FLAT = np.ones((2, 20, 30), np.uint16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def put(file: h5py.File, name: str, value: Any, **attributes: Any) -> None:
    file[name] = value
    file[name].attrs.update(attributes)


def group(file: h5py.File, name: str, kind: str, **attributes: Any) -> None:
    file.require_group(name).attrs.update({"NX_class": kind} | attributes)


def test_soft_links_inside_the_file_are_followed(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["scan/camera/data"] = STACK
        file["1.1/data"] = h5py.SoftLink("/scan/camera/data")
        file["1.1/plot"] = h5py.SoftLink("/scan/camera")
        file["1.1/near"] = h5py.SoftLink("./plot/data")
        file["1.1/gone"] = h5py.SoftLink("/scan/nothing")
        file["a"], file["b"] = h5py.SoftLink("b"), h5py.SoftLink("/a")
    assert (read_image(path).data == STACK).all()  # not listed twice
    for name in ("/1.1/data", "/1.1/plot/data", "1.1/near"):
        assert (read_image(f"{path}:{name}").data == STACK).all()
    with pytest.raises(InputError, match="'nothing', which is not there"):
        read_image(f"{path}:/1.1/gone")
    for name in ("a", "a/x"):
        with pytest.raises(FileFormatError, match="in circles"):
            read_image(f"{path}:{name}")


def tomo(path: Path, keys: list[int], **options: Any) -> None:
    with h5py.File(path, "w") as file:
        group(file, "entry", "NXentry", default="data")
        file["entry/title"], file["entry/start_time"] = "a tooth", "2026-01-02T03:04:05"
        group(file, "entry/instrument/detector", "NXdetector")
        file.create_dataset("entry/instrument/detector/data", data=STACK, **options)
        file["entry/instrument/detector/image_key"] = np.array(keys)
        put(file, "entry/instrument/detector/x_pixel_size", 0.65, units="um")
        put(file, "entry/instrument/detector/y_pixel_size", 6.5e-7)
        file["entry/instrument/detector/flatfield"] = FLAT[0]
        group(file, "entry/data", "NXdata", signal="data")
        file["entry/data/data"] = h5py.SoftLink("/entry/instrument/detector/data")
        file["entry/data/image_key"] = h5py.SoftLink("/entry/instrument/detector/image_key")


@pytest.mark.parametrize("options", [{}, {"chunks": (1, 20, 30), "compression": "gzip"}])
def test_the_projections_of_a_tomogram_are_its_image(
    path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    tomo(path, [2, 0, 0, 1, 0, 0], **options)
    with pytest.warns(UserWarning, match="left out: 4 projections, 1 flats, 1 darks"):
        image = read_image(path)
    assert (image.data == STACK[[1, 2, 4, 5]]).all()
    assert image.axes == "QYX" and image.scales == {"Y": (6.5e-7, "m"), "X": (0.65, "µm")}
    assert (image.metadata.name, image.metadata.date) == ("a tooth", "2026-01-02T03:04:05")
    monkeypatch.setattr("napari_hush.io.formats.hdf5.EAGER_BELOW", 100)
    with pytest.warns(UserWarning, match="left out"):
        lazy = read_image(path).data
    assert not isinstance(lazy, np.ndarray) and (lazy[1:3, 5] == STACK[[2, 4], 5]).all()
    for name in ("entry/data/data", "/entry/instrument/detector/data"):
        with pytest.warns(UserWarning, match="only the projections show the sample"):
            image = read_image(f"{path}:{name}")
        assert image.shape == STACK.shape and image.scales["X"] == (0.65, "µm")


def test_a_tomogram_without_other_frames_is_read_in_peace(path: Path) -> None:
    tomo(path, [0] * 6)
    assert (read_image(path).data == STACK).all()


def test_flats_of_data_exchange_are_no_rivals(path: Path) -> None:
    with h5py.File(path, "w") as file:
        put(file, "exchange/data", STACK, axes="theta:y:x")
        file["exchange/data_white"], file["exchange/data_dark"] = FLAT, FLAT
        file["exchange/theta"] = np.linspace(0, 180, 6)
        put(file, "measurement/instrument/detector/x_pixel_size", 1.5, units="microns")
    image = read_image(path)
    assert (image.data == STACK).all() and image.axes == "QYX"
    assert image.scales == {"Y": (1.5, "µm"), "X": (1.5, "µm")}
    assert read_image(f"{path}:/exchange/data_dark").shape == FLAT.shape


def test_the_default_plot_of_nexus_has_steps(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        group(file, "entry", "NXentry", default="map")
        group(file, "entry/map", "NXdata", signal="counts", axes=["time", "sample_y", "sample_x"])
        file["entry/map/counts"], file["entry/other/mask"] = STACK, FLAT[0]
        put(file, "entry/map/time", np.arange(6) * 2.5, units="s")
        put(file, "entry/map/sample_y", -0.25 * np.arange(20), units="um")
        put(file, "entry/map/sample_x", np.linspace(0, 15, 31), units="um")  # the edges
    image = read_image(path)
    assert (image.data == STACK).all() and image.axes == "TYX"
    assert image.scales == {"T": (2.5, "s"), "Y": (0.25, "µm"), "X": (0.5, "µm")}
    assert read_image(f"{path}:entry/map/counts").scales == image.scales
    with h5py.File(path, "a") as file:
        file["entry/map/sample_x"][3] = 7  # uneven
        file["entry/map"].attrs["axes"] = ["energy", ".", "sample_x"]
    image = read_image(path)
    assert image.axes == "QYX" and image.scales == {}


def test_frames_in_other_files_are_named_and_a_flat_field_is_not_the_image(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for number in (1, 2):
            file[f"entry/data/data_{number:06}"] = h5py.ExternalLink(f"scan_data_{number:06}.h5", "/entry/data/data")
        file["entry/instrument/detector/detectorSpecific/flatfield"] = FLAT[0]
    with pytest.raises(InputError, match=r"scan_data_000001\.h5:/entry/data/data, scan_data_000002\.h5.*flatfield"):
        read_image(path)
    with pytest.raises(FileFormatError, match=r"give that one: scan_data_000002\.h5:/entry/data/data"):
        read_image(f"{path}:/entry/data/data_000002")
    assert read_image(f"{path}:/entry/instrument/detector/detectorSpecific/flatfield").shape == (20, 30)


def virtual(path: Path, source: str, name: str = "frames", shape: tuple[int, ...] = (6, 20, 30)) -> None:
    with h5py.File(path, "a") as file:
        layout = h5py.VirtualLayout(shape=shape, dtype="u2")
        for k in range(6):
            layout[k] = h5py.VirtualSource(source, f"{name}/{k}", shape=(20, 30))
        file.create_virtual_dataset("data", layout)


@pytest.mark.parametrize("source", [".", "a.h5"])
def test_virtual_datasets_of_the_same_file_are_read(path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(path, "w") as file:
        for k in range(6):
            file[f"frames/{k}"] = STACK[k]
    virtual(path, source)
    assert (read_image(f"{path}:data").data == STACK).all()
    monkeypatch.setattr("napari_hush.io.formats.hdf5.EAGER_BELOW", 100)
    lazy = read_image(f"{path}:data").data
    assert not isinstance(lazy, np.ndarray) and (lazy[1:5:2, ::-1, 3] == STACK[1:5:2, ::-1, 3]).all()


def test_virtual_datasets_with_gaps_or_of_other_files_are_refused(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "w") as file:
        for k in range(6):
            file[f"frames/{k}"] = STACK[k]
    virtual(path, ".", shape=(7, 20, 30))
    with pytest.raises(FileFormatError, match=r"in no part of it.*fill_missing=True"):
        read_image(f"{path}:data")
    assert (read_image(f"{path}:data", fill_missing=True).data[6] == 0).all()
    (tmp_path / "other.h5").write_bytes(path.read_bytes())
    for source, name, match in (
        ("other.h5", "frames", r"other files \(other\.h5\).*h5repack -l CONTI in\.h5 out\.h5"),
        (".", "gone", "has no 'gone/0'"),
    ):
        with h5py.File(path, "a") as file:
            del file["data"]
        virtual(path, source, name)
        with pytest.raises(InputError, match=match):
            read_image(f"{path}:data")
    with h5py.File(path, "a") as file:
        del file["data"]
        layout = h5py.VirtualLayout(shape=(40, 30), dtype="u2")
        layout[::2] = h5py.VirtualSource(".", "frames/0", shape=(20, 30))
        file.create_virtual_dataset("data", layout)
    with pytest.raises(FileFormatError, match=r"box by box; .*h5repack"):
        read_image(f"{path}:data")


def text(value: str) -> np.ndarray:
    """A text as Imaris writes it: an array of characters."""
    return np.array([one.encode() for one in value])


def test_imaris_at_full_resolution(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for time in range(2):
            for channel in range(3):
                volume = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint {time}/Channel {channel}")
                padded = np.zeros((1, 32, 32), np.uint16)
                padded[:, :20, :30] = STACK[2 * channel + time]
                volume.create_dataset("Data", data=padded, chunks=(1, 16, 16), compression="gzip")
                volume.attrs.update(
                    {f"ImageSize{axis}": text(n) for axis, n in zip("XYZ", ("30", "20", "1"), strict=True)}
                )
        file["DataSet/ResolutionLevel 1/TimePoint 0/Channel 0/Data"] = STACK[:1, ::2, ::2]
        ends = {f"ExtMin{k}": text("0") for k in range(3)} | {
            f"ExtMax{k}": text(str(v)) for k, v in enumerate((15, 5, 1))
        }
        file.create_group("DataSetInfo/Image").attrs.update(
            ends | {"Unit": text("um"), "RecordingDate": text("2026-01-02 03:04:05.000")}
        )
        for channel, name in enumerate(("DAPI", "GFP", "x")):
            file.create_group(f"DataSetInfo/Channel {channel}").attrs.update(
                {"Name": text(name), "Color": text("0.000 1.000 0.000"), "ColorRange": text("0.000 255.000")}
            )
    image = read_image(path)
    assert image.axes == "TCYX" and image.shape == (2, 3, 20, 30)
    assert (image.data == STACK.reshape(3, 2, 20, 30).swapaxes(0, 1)).all()
    assert image.scales == {"Y": (0.25, "µm"), "X": (0.5, "µm")}
    assert [one.name for one in image.metadata.channels] == ["DAPI", "GFP", "x"]
    assert image.metadata.channels[0].colour == (0, 255, 0) and image.metadata.channels[0].limits == (0, 255)
    assert image.metadata.date == "2026-01-02T03:04:05.000"
    assert read_image(f"{path}:DataSet/ResolutionLevel 1/TimePoint 0/Channel 0/Data").shape == (1, 10, 15)


def test_a_mosaic_equals_the_array_it_was_cut_from() -> None:
    tiles = [
        Tile(((t, t + 1), (0, 20), (x, x + 15)), STACK[t, :, x : x + 15], ((0, 20), (0, 15)))
        for t in range(6)
        for x in (0, 15)
    ]
    mosaic = Mosaic(tiles, STACK.shape, STACK.dtype, "a")
    for key in (
        np.s_[...],
        np.s_[2],
        np.s_[1:5:2, ::-1, 3:20],
        np.s_[-1, 4, 10:20],
        np.s_[..., 7],
        np.s_[[1, 2]],
        np.s_[3:3],
    ):
        assert np.array_equal(mosaic[key], STACK[key])
    with pytest.raises(FileFormatError, match="it is damaged"):
        Tile(((0, 2), (0, 20)), STACK[0], ((0, 20), (0, 3)))
