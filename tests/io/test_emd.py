"""Velox and Berkeley EMD: which images there are, which way they lie, and how long a pixel is."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)


def velox(path: Path, images: dict[str, np.ndarray], version: int = 11, spectra: bool = False) -> None:
    """A Velox file of these images (Y, X) or (Y, X, frames), 1.5 nm x 3 nm per pixel (X, Y), 0.5 s per frame."""
    notes = {
        "BinaryResult": {
            "PixelSize": {"width": "1.5e-09", "height": "3e-09"},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
            "Detector": "a detector",
            "DetectorIndex": "1",
        },
        "Scan": {"FrameTime": "0.5"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1596041374"}},
    }
    text = np.zeros((4000, 1), np.uint8)
    content = json.dumps(notes).encode()
    text[: len(content), 0] = list(content)
    with h5py.File(path, "w") as file:
        text_kind = {"maxshape": (None,), "chunks": (1,), "compression": "gzip"}  # as Velox has it
        file.create_dataset("Version", data=[json.dumps({"version": str(version), "format": "Velox"})], **text_kind)
        for number, (name, image) in enumerate(images.items()):
            group = file.create_group(f"Data/Image/{number:032x}")
            group["Data"] = image if image.ndim == 3 else image[..., None]
            group["Metadata"] = np.repeat(text, group["Data"].shape[2], axis=1)
            place = f"/Data/Image/{number:032x}"
            if version < 11:
                shown = {"display": {"label": name}, "dataPath": place}
                file[f"Presentation/Displays/ImageDisplay/{number:032x}"] = [json.dumps(shown)]
            else:
                file[f"SharedProperties/ImageSeriesDataReference/{number}"] = [json.dumps({"dataPath": place})]
                shown = {"title": name, "data": f"/SharedProperties/ImageSeriesDataReference/{number}"}
                file[f"Displays/ImageDisplay/{number:032x}"] = [json.dumps(shown)]
        if spectra:
            file["Data/SpectrumStream/a/Data"] = np.zeros((50, 1), np.uint16)
            file.create_group("Data/SpectrumImage/a")


@pytest.mark.parametrize("version", [8, 11])
def test_velox_images_beside_spectra_are_chosen_by_number_or_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    for module in ("sparse", "numba", "rsciio"):
        monkeypatch.setitem(sys.modules, module, None)
    frames = np.stack([IMAGE, IMAGE + 1], axis=-1)
    velox(tmp_path / "a.emd", {"Ca": IMAGE.astype("f4"), "HAADF": frames}, version, spectra=True)
    with pytest.raises(InputError, match=r"choose one: a\.emd:0 Ca \(12, 20\), a\.emd:1 HAADF \(12, 20\)"):
        read_image(tmp_path / "a.emd")
    for selector in ("1", "HAADF", "haadf"):
        image = read_image(f"{tmp_path / 'a.emd'}:{selector}")
        assert image.axes == "YX" and image.dtype == np.uint16 and (image.data == IMAGE).all()
        assert image.scales == {"Y": (3.0, "nm"), "X": (1.5, "nm")}
        assert image.metadata.name == "HAADF" and image.metadata.date.startswith("2020-07-29T")
    with pytest.raises(InputError, match="no image is called 'BF'"):
        read_image(f"{tmp_path / 'a.emd'}:BF")


def test_velox_frames_come_first(tmp_path: Path) -> None:
    frames = np.stack([IMAGE, IMAGE + 1, IMAGE + 2], axis=-1)
    velox(tmp_path / "a.emd", {"HAADF": frames})
    image = read_image(tmp_path / "a.emd")
    assert image.axes == "TYX" and (image.data[2] == IMAGE + 2).all() and image.scales["T"] == (0.5, "s")


def test_velox_names_that_two_images_have_choose_none(tmp_path: Path) -> None:
    velox(tmp_path / "a.emd", {"HAADF": IMAGE, "haadf": IMAGE})
    with pytest.raises(InputError, match="2 images are called 'HAADF'"):
        read_image(f"{tmp_path / 'a.emd'}:HAADF")


def test_velox_transforms_are_passed_by(tmp_path: Path) -> None:
    kind = np.dtype([("realFloatHalfEven", "<f4"), ("imagFloatHalfEven", "<f4")])
    velox(tmp_path / "a.emd", {"FFT": np.zeros((4, 6), kind)})
    with pytest.raises(FileFormatError, match="complex values"):
        read_image(tmp_path / "a.emd")
    velox(tmp_path / "a.emd", {"FFT": np.zeros((4, 6), kind), "HAADF": IMAGE})
    assert (read_image(tmp_path / "a.emd").data == IMAGE).all()


def test_a_velox_file_with_spectra_alone_says_so(tmp_path: Path) -> None:
    velox(tmp_path / "a.emd", {}, spectra=True)
    with pytest.raises(FileFormatError, match="no image with the axes Y and X, but spectra"):
        read_image(tmp_path / "a.emd")


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"\xff\xfe", b'{"BinaryResult": 3}', b'{"BinaryResult": {"PixelSize": 1}}']
)
def test_velox_images_whose_notes_are_damaged_have_no_pixel_size(tmp_path: Path, text: bytes) -> None:
    velox(tmp_path / "a.emd", {"HAADF": IMAGE})
    with h5py.File(tmp_path / "a.emd", "a") as file:
        notes = file["Data/Image"][f"{0:032x}"]["Metadata"]
        notes[:, 0] = np.frombuffer(text.ljust(4000, b"\0"), np.uint8)
    image = read_image(tmp_path / "a.emd")
    assert image.pixel_size is None and (image.data == IMAGE).all()


def berkeley(path: Path, data: np.ndarray, dims: list[tuple[Any, str, str]], **options: Any) -> None:
    """An EMD with a vector, a name and a unit for each axis."""
    with h5py.File(path, "w") as file:
        group = file.create_group(options.get("group", "data/image"))
        group.attrs["emd_group_type"] = options.get("kind", 1)
        group[options.get("dataset", "data")] = data
        for number, (vector, name, unit) in enumerate(dims, options.get("first", 1)):
            group[f"dim{number}"] = vector
            group[f"dim{number}"].attrs.update({"name": name, "units": unit})


def steps(size: int, step: float) -> np.ndarray:
    return np.arange(size) * step


@pytest.mark.parametrize(
    ("names", "units"),
    [
        (("Y", "X"), ("n_m", "n_m")),
        (("y", "x"), ("[n_m]", "[n_m]")),
        (("[y,nm]", "[x,nm]"), ("", "")),
        (("y (nm)", "x (nm)"), ("", "")),
        (("Height", "Width"), ("nm", "nm")),
        (("R_y", "R_x"), ("[n_m]", "[n_m]")),
        (("", ""), ("[n_m]", "[n_m]")),
        (("dim1", "dim2"), ("nanometer", "nanometers")),
    ],
)
def test_berkeley_axes_under_any_name(tmp_path: Path, names: tuple[str, str], units: tuple[str, str]) -> None:
    for vectors in ((steps(12, 0.04), steps(20, 0.02)), (np.array([0, 0.04]), np.array([0, 0.02], "f4"))):
        berkeley(tmp_path / "a.emd", IMAGE, list(zip(vectors, names, units, strict=True)))
        image = read_image(tmp_path / "a.emd")
        assert image.axes == "YX" and (image.data == IMAGE).all()
        assert image.pixel_size_in("nm") == pytest.approx((0.04, 0.02))


@pytest.mark.parametrize("names", [("x", "y"), ("R_x", "R_y"), ("Width", "Height")])
def test_berkeley_planes_that_lie_on_their_side_are_set_upright(tmp_path: Path, names: tuple[str, str]) -> None:
    dims = [(steps(20, 0.02), names[0], "nm"), (steps(12, 0.04), names[1], "nm")]
    berkeley(tmp_path / "a.emd", IMAGE.T, dims)
    image = read_image(tmp_path / "a.emd")
    assert image.axes == "YX" and (image.data == IMAGE).all()
    assert image.pixel_size_in("nm") == pytest.approx((0.04, 0.02))


def test_py4dstem_counts_rows_as_x(tmp_path: Path) -> None:
    dims = [(steps(2, 0.04), "Rx", "nm"), (steps(2, 0.02), "Ry", "nm")]
    options = {"first": 0, "kind": "array", "group": "root/virtual"}
    berkeley(tmp_path / "a.h5", IMAGE, dims, **options)
    image = read_image(tmp_path / "a.h5")
    assert image.axes == "YX" and (image.data == IMAGE).all() and image.metadata.name == "virtual"
    assert image.pixel_size_in("nm") == pytest.approx((0.04, 0.02))


def test_berkeley_stacks_of_prismatic_come_plane_by_plane(tmp_path: Path) -> None:
    data = np.arange(20 * 12 * 5, dtype="f4").reshape(20, 12, 5)
    dims = [(steps(20, 0.25), "R_x", "[Å]"), (steps(12, 0.5), "R_y", "[Å]"), (steps(5, 1), "bin_outer_angle", "[mrad]")]
    options = {"group": "4DSTEM_simulation/data/realslices/virtual_detector_depth0000", "dataset": "realslice"}
    berkeley(tmp_path / "a.emd", data, dims, **options)
    image = read_image(tmp_path / "a.emd")
    assert image.axes == "QYX" and (image.data == data.transpose(2, 1, 0)).all()
    assert image.pixel_size_in("nm") == pytest.approx((0.05, 0.025))


def test_berkeley_volumes_know_the_step_along_z(tmp_path: Path) -> None:
    data = np.arange(5 * 12 * 20, dtype="f4").reshape(5, 12, 20)
    berkeley(tmp_path / "a.emd", data, [(steps(n, 0.5), name, "µm") for n, name in zip(data.shape, "zyx", strict=True)])
    image = read_image(tmp_path / "a.emd")
    assert image.axes == "ZYX" and image.scales["Z"] == (0.5, "µm") and (image.data == data).all()


@pytest.mark.parametrize(
    ("shape", "names", "units", "reason"),
    [
        ((4, 5, 6, 7), ("R_x", "R_y", "Q_x", "Q_y"), ("[n_m]", "[n_m]", "[n_m^-1]", "[n_m^-1]"), "diffraction pattern"),
        ((4, 5, 60), ("y", "x", "Energy"), ("nm", "nm", "eV"), "spectra"),
        ((60,), ("Energy",), ("eV",), "single line"),
    ],
)
def test_what_is_no_image_in_space_says_what_it_is(
    tmp_path: Path, shape: tuple[int, ...], names: tuple[str, ...], units: tuple[str, ...], reason: str
) -> None:
    dims = [(steps(n, 1.0), name, unit) for n, name, unit in zip(shape, names, units, strict=True)]
    berkeley(tmp_path / "a.emd", np.zeros(shape, "f4"), dims)
    with pytest.raises(FileFormatError, match=f"no image with the axes Y and X, but.*{reason}"):
        read_image(tmp_path / "a.emd")


def test_several_groups_of_berkeley_are_listed(tmp_path: Path) -> None:
    berkeley(tmp_path / "a.emd", IMAGE, [])
    with h5py.File(tmp_path / "a.emd", "a") as file:
        group = file.create_group("data/other")
        group.attrs["emd_group_type"] = 1
        group["data"] = IMAGE[:5]
        file["data/again"] = group
    with pytest.raises(InputError, match=r"2 images; choose one: a\.emd:0 .* \(5, 20\), a\.emd:1 image \(12, 20\)"):
        read_image(tmp_path / "a.emd")
    for selector in ("1", "image", "/data/image/data"):
        image = read_image(f"{tmp_path / 'a.emd'}:{selector}")
        assert (image.data == IMAGE).all() and image.pixel_size is None


def test_a_large_emd_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hush.io.formats.hdf5_image.EAGER_BELOW", 100)
    berkeley(tmp_path / "a.emd", IMAGE, [(steps(2, 1.0), "y", "nm"), (steps(2, 1.0), "x", "nm")])
    data = read_image(tmp_path / "a.emd").data
    assert not isinstance(data, np.ndarray) and (data[3:5] == IMAGE[3:5]).all()


def test_what_describes_an_image_is_not_read_from_other_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = steps(20, 3.0)
        file["Version"] = [json.dumps({"version": "11", "format": "Velox"})]
    berkeley(tmp_path / "a.h5", IMAGE, [(steps(12, 0.5), "y", "nm"), (steps(20, 0.5), "x", "nm")])
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["Version"] = h5py.ExternalLink("other.h5", "/Version")
        for name in ("dim1", "dim2"):
            del file["data/image"][name]
            file["data/image"][name] = h5py.ExternalLink("other.h5", "/x")
    image = read_image(tmp_path / "a.h5")
    assert image.pixel_size is None and (image.data == IMAGE).all()
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["data/image/dim1"]
        outside = [(str(tmp_path / "values"), 0, h5py.h5f.UNLIMITED)]
        file["data/image"].create_dataset("dim1", (12,), "f8", external=outside)
        file["data/image/dim1"][...] = 1.0
    with pytest.raises(FileFormatError, match="in other files"):
        read_image(tmp_path / "a.h5")
