"""Slices in files of their own as one volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_volume, write_image
from napari_hush.io import volume as module

if TYPE_CHECKING:
    from pathlib import Path

VOLUME = np.random.default_rng(0).integers(0, 60_000, (12, 20, 30), dtype=np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for z, image in enumerate(VOLUME):
        write_image(tmp_path / f"slice{z}.tif", image, pixel_size=0.5, units="um")
    (tmp_path / "notes.txt").write_text("scan 4")
    return tmp_path


def test_a_folder_or_a_pattern_is_a_volume_in_natural_order(folder: Path) -> None:
    for source in (folder, str(folder / "*.tif")):
        image = read_volume(source)
        assert (image.axes, image.shape, image.dtype) == ("ZYX", VOLUME.shape, np.uint16)
        assert image.scales["X"] == (0.5, "µm")
        assert "Z" not in image.scales
        np.testing.assert_array_equal(np.asarray(image.data), VOLUME)
    np.testing.assert_array_equal(image.data[10, 2:5, 4:], VOLUME[10, 2:5, 4:])
    np.testing.assert_array_equal(image.data[3:6, 2], VOLUME[3:6, 2])
    np.testing.assert_array_equal(image.data[-1], VOLUME[-1])
    with pytest.raises(IndexError):
        image.data[12]


def test_a_slice_is_read_once_as_long_as_it_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, plain = [], module.read_image

    def counted(path: Path) -> object:
        read.append(path.name)
        return plain(path)

    data = read_volume(folder).data
    monkeypatch.setattr(module, "read_image", counted)
    for y in range(0, 20, 5):
        _ = data[4, y : y + 5]
    assert read == ["slice4.tif"]
    monkeypatch.setattr(module, "KEPT_BYTES", 1)
    _ = data[5], data[4], data[5]
    assert read == ["slice4.tif", "slice5.tif", "slice4.tif", "slice5.tif"]


def test_what_is_no_volume_is_refused(folder: Path, tmp_path: Path) -> None:
    tifffile.imwrite(folder / "slice5.tif", VOLUME[5, :, :-1])
    with pytest.raises(FileFormatError, match=r"slice5\.tif: is uint16 of shape \(20, 29\)"):
        read_volume(folder).data[5]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none")
    with pytest.raises(InputError, match="no image file is found"):
        read_volume(tmp_path / "empty")
    (tmp_path / "stacks").mkdir()
    tifffile.imwrite(tmp_path / "stacks" / "a.tif", VOLUME)
    with pytest.raises(InputError, match="single grey images"):
        read_volume(tmp_path / "stacks")
