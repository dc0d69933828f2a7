"""HyperSpy's .hspy, Nion Swift's .ndata and .h5, and Panta Rhei's .prz: images with their pixel sizes."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import zarr

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)
NM = [(0.04, "nm", "y", False), (0.02, "nm", "x", False)]


def hspy(path: Path, signals: dict[str, tuple[np.ndarray, list[tuple[float, str, str, Any]]]], **signal: str) -> None:
    """A file of HyperSpy with these signals: data, and (scale, units, name, navigate) of each axis."""
    with h5py.File(path, "w") as file:
        file.attrs["file_format"] = "HyperSpy"
        for name, (data, axes) in signals.items():
            group = file.create_group(f"Experiments/{name}")
            group["data"] = data
            group.create_group("metadata/Signal").attrs.update(signal)
            for number, (scale, units, called, navigate) in enumerate(axes):
                axis = group.create_group(f"axis-{number}")
                axis.attrs.update({"scale": scale, "units": units, "name": called, "size": data.shape[number]})
                if navigate is not None:
                    axis.attrs["navigate"] = navigate


@pytest.mark.parametrize("name", ["a.hspy", "a.hdf5"])
@pytest.mark.parametrize("navigate", [False, None])
def test_hspy(tmp_path: Path, name: str, navigate: Any) -> None:
    hspy(tmp_path / name, {"HAADF": (IMAGE, [(*one[:3], navigate) for one in NM])})
    image = read_image(tmp_path / name)
    assert image.axes == "YX" and (image.data == IMAGE).all() and image.metadata.name == "HAADF"
    assert image.scales == {"Y": (0.04, "nm"), "X": (0.02, "nm")}


def test_hspy_of_before_it_told_axes_apart_goes_by_their_names(tmp_path: Path) -> None:
    axes = [(0.02, "nm", "x", None), (0.04, "nm", "y", None)]
    hspy(tmp_path / "a.hspy", {"HAADF": (IMAGE.T, axes)})
    image = read_image(tmp_path / "a.hspy")
    assert image.axes == "YX" and (image.data == IMAGE).all() and image.pixel_size_in("nm") == (0.04, 0.02)


def test_hspy_with_several_signals(tmp_path: Path) -> None:
    stack = np.stack([IMAGE, IMAGE + 1])
    series = (stack, [(2.0, "s", "time", True), *NM])
    hspy(
        tmp_path / "a.hspy", {"BF": (IMAGE, NM), "movie": series, "line": (np.zeros(9), [(1.0, "eV", "Energy", False)])}
    )
    with pytest.raises(InputError, match=r"a\.hspy:0 BF \(12, 20\), a\.hspy:1 movie \(2, 12, 20\)"):
        read_image(tmp_path / "a.hspy")
    image = read_image(f"{tmp_path / 'a.hspy'}:movie")
    assert image.axes == "TYX" and image.scales["T"] == (2.0, "s") and (image.data == stack).all()
    assert (read_image(f"{tmp_path / 'a.hspy'}:/Experiments/BF/data").data == IMAGE).all()


@pytest.mark.parametrize(
    ("axes", "signal"),
    [
        ([(1.0, "nm", "x", True), (0.5, "eV", "Energy", False)], {}),
        ([(1.0, "nm", "x", True), (0.5, "keV", "Energy", False)], {"signal_type": "EDS_TEM"}),
        ([(1.0, "nm", "x", None), (0.5, "eV", "Energy", None)], {"record_by": "spectrum"}),
    ],
)
def test_hspy_spectra_say_so(tmp_path: Path, axes: list[tuple[float, str, str, Any]], signal: dict[str, str]) -> None:
    hspy(tmp_path / "a.hspy", {"EELS": (IMAGE, axes)}, **signal)
    with pytest.raises(FileFormatError, match="no image with the axes Y and X, but spectra"):
        read_image(tmp_path / "a.hspy")


def test_hspy_opens_nothing_else(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = IMAGE
    hspy(tmp_path / "a.hspy", {"BF": (IMAGE, NM)})
    with h5py.File(tmp_path / "a.hspy", "a") as file:
        del file["Experiments/BF/data"]
        file["Experiments/BF/data"] = h5py.ExternalLink("secret.h5", "/data")
    with pytest.raises(FileFormatError, match="no image"):
        read_image(tmp_path / "a.hspy")


def zspy(path: Path, signals: dict[str, tuple[np.ndarray, list[tuple[float, str, str, Any]]]], version: int) -> None:
    for name, (data, axes) in signals.items():
        group = zarr.open_group(path, mode="a", zarr_format=version).create_group(f"Experiments/{name}")
        group.create_array("data", data=data)
        for number, (scale, units, called, navigate) in enumerate(axes):
            notes = {"scale": scale, "units": units, "name": called, "navigate": navigate, "size": data.shape[number]}
            group.create_group(f"axis-{number}").attrs.update(notes)


@pytest.mark.parametrize("version", [2, 3])
def test_zspy(tmp_path: Path, version: int) -> None:
    line = (np.zeros(9), [(1.0, "eV", "Energy", False)])
    zspy(tmp_path / "a.zspy", {"BF": (IMAGE, NM), "line": line}, version)
    image = read_image(tmp_path / "a.zspy")
    assert image.axes == "YX" and (np.asarray(image.data) == IMAGE).all() and image.metadata.name == "BF"
    assert image.scales == {"Y": (0.04, "nm"), "X": (0.02, "nm")}
    zspy(tmp_path / "a.zspy", {"HAADF": (IMAGE[:5], [(0.04, "_None_", "_None_", False)] * 2)}, version)
    with pytest.raises(InputError, match=r"a\.zspy:0 BF \(12, 20\), a\.zspy:1 HAADF \(5, 20\)"):
        read_image(tmp_path / "a.zspy")
    image = read_image(f"{tmp_path / 'a.zspy'}:HAADF")
    assert image.shape == (5, 20) and image.pixel_size is None
    zspy(tmp_path / "b.zspy", {"line": line}, version)
    with pytest.raises(FileFormatError, match="but a single line of values"):
        read_image(tmp_path / "b.zspy")


def test_a_packed_zspy_asks_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zspy", "w") as archive:
        archive.writestr(".zgroup", "{}")
    with pytest.raises(FileFormatError, match="unpack the ZIP"):
        read_image(tmp_path / "a.zspy")


NOTES = {
    "dimensional_calibrations": [{"offset": 0, "scale": s, "units": "nm"} for s in (0.04, 0.02)],
    "datum_dimension_count": 2,
    "title": "HAADF",
    "created": "2024-03-01T10:00:00",
}


def ndata(path: Path, data: np.ndarray, notes: dict[str, Any], kind: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", kind) as archive:
        with archive.open("data.npy", "w") as file:
            np.save(file, data)
        archive.writestr("metadata.json", json.dumps(notes))


def swift_h5(path: Path, data: np.ndarray, notes: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = data
        file["data"].attrs["properties"] = json.dumps(notes)


@pytest.mark.parametrize(("name", "write"), [("a.ndata", ndata), ("a.h5", swift_h5)])
def test_swift(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name, IMAGE, NOTES)
    image = read_image(tmp_path / name)
    assert image.axes == "YX" and (image.data == IMAGE).all()
    assert image.scales == {"Y": (0.04, "nm"), "X": (0.02, "nm")}
    assert image.metadata.name == "HAADF" and image.metadata.date == "2024-03-01T10:00:00"
    calibrations = [{"scale": 1.5, "units": "s"}, *NOTES["dimensional_calibrations"]]
    stack = np.stack([IMAGE, IMAGE + 1])
    write(tmp_path / name, stack, {"dimensional_calibrations": calibrations, "datum_dimension_count": 2})
    image = read_image(tmp_path / name)
    assert image.axes == "QYX" and (image.data == stack).all() and image.pixel_size_in("nm") == (0.04, 0.02)
    calibrations = [{"scale": 1.5, "units": "nm"}, {"scale": 0.5, "units": "eV"}]
    write(tmp_path / name, IMAGE, {"dimensional_calibrations": calibrations, "datum_dimension_count": 1})
    with pytest.raises(FileFormatError, match="spectra"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("notes", [[], {"dimensional_calibrations": 3}, {"dimensional_calibrations": [1, None]}])
@pytest.mark.parametrize(("name", "write"), [("a.ndata", ndata), ("a.h5", swift_h5)])
def test_swift_with_odd_notes_has_no_pixel_size(tmp_path: Path, name: str, write: Any, notes: Any) -> None:
    write(tmp_path / name, IMAGE, notes)
    image = read_image(tmp_path / name)
    assert image.axes == "YX" and image.pixel_size is None and (image.data == IMAGE).all()


def test_swift_notes_that_would_unpack_without_end_are_refused(tmp_path: Path) -> None:
    ndata(tmp_path / "a.ndata", IMAGE, {"title": "x" * 100_000}, zipfile.ZIP_BZIP2)
    with pytest.raises(FileFormatError, match="packed with bzip2"):
        read_image(tmp_path / "a.ndata")


def test_prz(tmp_path: Path) -> None:
    calibration = {"value": 3e-11, "unit": "m", "pixel_factor": 256.0}
    notes = json.dumps([{"device.calib": [calibration, {**calibration, "pixel_factor": 512.0}, None]}])
    with (tmp_path / "a.prz").open("wb") as file:
        np.savez_compressed(file, data=IMAGE, meta_data_json=np.array(notes))
    image = read_image(tmp_path / "a.prz")
    assert image.axes == "YX" and (image.data == IMAGE).all()
    assert image.pixel_size_in("nm") == pytest.approx((15.36, 7.68))
    with (tmp_path / "a.prz").open("wb") as file:
        np.savez(file, data=IMAGE, meta_data=np.array([{"device.calib": []}], dtype=object))
    assert read_image(tmp_path / "a.prz").pixel_size is None
