"""HDF5: the dataset meant, its calibration, and nothing beyond the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image, write_image

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).normal(size=(4, 20, 30)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def test_the_only_image_is_found_and_a_large_one_stays_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(path, "w") as file:
        file["deep/er/image"] = STACK
        file["times"] = np.arange(4)
        file["name"] = "a sample"
    assert (read_image(path).data == STACK).all()
    monkeypatch.setattr("napari_hush.io.formats.hdf5.EAGER_BELOW", 1000)
    image = read_image(path)
    assert isinstance(image.data, h5py.Dataset)
    assert image.axes == "QYX" and image.source == f"{path}:/deep/er/image"
    assert (image.data[1:3, 5:] == STACK[1:3, 5:]).all()


def test_several_images_are_listed_and_selected(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a/raw"] = STACK
        file["a/label"] = STACK[0] > 0
    with pytest.raises(InputError, match=r"2 datasets, choose one as 'a.h5:/a/label': .*\(20, 30\), /a/raw"):
        read_image(path)
    assert read_image(f"{path}:/a/raw").shape == STACK.shape
    assert read_image(f"{path}:a/label").dtype == bool
    for selector in ("/a", "/b", "/a/raw/x"):
        with pytest.raises(InputError, match=r"a\.h5"):
            read_image(f"{path}:{selector}")


@pytest.mark.parametrize(
    ("attributes", "axes", "scales"),
    [
        ({"element_size_um": [2.0, 0.5, 0.25]}, "ZYX", {"Z": (2, "µm"), "Y": (0.5, "µm"), "X": (0.25, "µm")}),
        ({"element_size_um": [2.0, 0.5, 0.25]}, "TYX", {"Y": (0.5, "µm"), "X": (0.25, "µm")}),
        ({"pixel_size": 0.5, "unit": b"nm"}, "ZYX", {"Z": (0.5, "nm"), "Y": (0.5, "nm"), "X": (0.5, "nm")}),
        ({"pixel_size": [0.5, 0.25]}, "TYX", {"Y": (0.5, "nm"), "X": (0.25, "nm")}),
        ({"pixel_size": "broken"}, "TYX", {}),
        ({}, "TYX", {}),
    ],
)
@pytest.mark.parametrize("tagged", ["axes", "axistags", "labels"])
def test_calibration_of_other_programs(
    path: Path, tagged: str, attributes: dict[str, object], axes: str, scales: dict[str, tuple[float, str]]
) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = STACK
        file["data"].attrs.update(attributes)
        if tagged == "axes":
            file["data"].attrs["axes"] = list(axes.lower())
        elif tagged == "axistags":
            file["data"].attrs["axistags"] = json.dumps({"axes": [{"key": axis.lower()} for axis in axes]})
        else:
            for dim, axis in zip(file["data"].dims, axes, strict=True):
                dim.label = axis.lower()
    image = read_image(path)
    assert image.axes == axes
    assert image.scales == scales


def test_ilastik_finds_the_calibration(path: Path) -> None:
    write_image(path, STACK, axes="ZYX", pixel_size=(2000, 500, 250), units="nm")
    with h5py.File(path) as file:
        assert file["data"].attrs["element_size_um"].tolist() == [2, 0.5, 0.25]


def test_links_to_other_files_are_not_followed(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = STACK
    with h5py.File(path, "w") as file:
        file["out"] = h5py.ExternalLink(str(secret), "/data")
        file["soft"] = h5py.SoftLink("/out")
        layout = h5py.VirtualLayout(shape=STACK.shape, dtype=STACK.dtype)
        layout[:] = h5py.VirtualSource(str(secret), "data", shape=STACK.shape)
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (20, 30), "u1", external=[(str(secret), 0, 600)])
    for name in ("out", "soft", "virtual", "raw"):
        with pytest.raises(FileFormatError, match="not followed"):
            read_image(f"{path}:/{name}")


def test_an_external_link_is_named_and_not_followed(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["out"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/data")
    with pytest.raises(
        FileFormatError, match=r"in other files, which are not followed; give these: .*secret\.h5:/data$"
    ):
        read_image(path)


def test_a_damaged_chunk_is_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", data=STACK, chunks=(1, 20, 30), compression="gzip")
        offset = dataset.id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="damaged HDF5"):
        read_image(path)


def test_circles_of_groups_end(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        group["loop"] = file["/"]
        group["self"] = group
        group["image"] = STACK
        file["again"] = group["image"]
    assert read_image(path).shape == STACK.shape


def test_absurd_shapes_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (1_000_000, 1_000_000), "f4", chunks=(64, 64))
    with pytest.raises(FileFormatError, match=r"claims 4e\+03 GB of pixels but stores 0 bytes"):
        read_image(path)


@pytest.mark.parametrize("data", [STACK.astype(complex), np.array([[b"a"]]), np.zeros((3, 3), "f4,f4")])
def test_what_is_no_image_is_refused(path: Path, data: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = data
    with pytest.raises(FileFormatError):
        read_image(path)
    with pytest.raises(FileFormatError, match=r"complex|expected integers"):
        read_image(f"{path}:data")


@pytest.mark.parametrize("behind", [0, 512])
@pytest.mark.parametrize("dtype", ["<f4", ">u2", "?"])
def test_values_in_one_piece_are_read_past_the_library(
    path: Path, monkeypatch: pytest.MonkeyPatch, behind: int, dtype: str
) -> None:
    monkeypatch.setattr("napari_hush.io.formats.hdf5.EAGER_BELOW", 100)
    stack = (STACK * 50 + 200).astype(dtype)
    with h5py.File(path, "w", userblock_size=behind) as file:
        file["before"], file["data"], file["after"] = stack[0, 0], stack, stack[1, 1]
    data = read_image(path).data
    assert isinstance(data, h5py.Dataset) and (data[1:3, 5:9, 4] == stack[1:3, 5:9, 4]).all()
    assert (data[...] == stack).all() and (data[2] == stack[2]).all()
