"""Metadata in HDF5 and NPZ: long ones fit, and what others keep under the same names does no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from napari_hush.io import ImageData, read_image, write_image
from napari_hush.io.metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.zeros((3000, 2, 3), np.uint8)


@pytest.mark.parametrize("ending", [".h5", ".npz", ".tif", ".zarr"])
def test_labels_of_a_long_stack(tmp_path: Path, ending: str) -> None:
    labels = tuple(f"slice {k:04} of the tomogram that was recorded yesterday" for k in range(len(STACK)))
    write_image(tmp_path / f"a{ending}", STACK, like=ImageData(STACK, "ZYX", metadata=Metadata(labels=labels)))
    assert read_image(tmp_path / f"a{ending}").metadata.labels == labels


@pytest.mark.parametrize("kind", ["group", "numbers", "long", "soft", "external", "chunked"])
def test_other_metadata_in_hdf5_are_left_alone(tmp_path: Path, kind: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = STACK[:2]
        if kind == "group":
            file.create_group("metadata")
        elif kind == "numbers":
            file["metadata"] = 3
        elif kind == "long":
            file["metadata"] = "a text of variable length"
        elif kind == "chunked":
            file.create_dataset("metadata", data=np.array([b'{"name": "x"}']), chunks=(1,))
        else:
            far = h5py.SoftLink("/data") if kind == "soft" else h5py.ExternalLink("b.h5", "/data")
            file["metadata"] = far
    image = read_image(f"{tmp_path / 'a.h5'}:/data")
    assert image.shape == (2, 2, 3) and image.metadata == Metadata()


def test_other_metadata_in_npz_are_left_alone(tmp_path: Path) -> None:
    for note in (np.array({"a": 1}, object), np.array(7), np.array(b"\xff{"), np.zeros(5, "S3")):
        np.savez(tmp_path / "a.npz", data=STACK[:2], napari_hush_metadata=note)
        image = read_image(tmp_path / "a.npz")
        assert image.shape == (2, 2, 3) and image.metadata == Metadata()
