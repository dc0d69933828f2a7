"""Zarr: arrays, OME-NGFF images, and writing tile by tile."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import ImageData, read_image, write_image, zarr_writer

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).integers(0, 999, (3, 40, 50)).astype(np.uint16)
LIKE = ImageData(STACK, "ZYX", (2.0, 0.5, 0.25), ("nm", "nm", "nm"))


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_of_both_versions(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.zarr"
    zarr.save_array(path, STACK, zarr_format=version)
    image = read_image(path)
    assert isinstance(image.data, zarr.Array) and image.data.read_only
    assert image.axes == "QYX" and (np.asarray(image.data) == STACK).all()


def test_sizes_of_some_axes_alone_are_left_out(tmp_path: Path) -> None:
    attributes = {"axes": "ZYX", "pixel_size": [0.5, 0.5], "units": ["nm", "nm"]}
    zarr.create_array(tmp_path / "a.zarr", data=STACK, attributes=attributes)
    image = read_image(tmp_path / "a.zarr")
    assert (image.axes, image.pixel_size) == ("ZYX", None)


@pytest.mark.parametrize("version", [2, 3])
def test_ngff_gives_the_full_resolution_with_its_scale(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.zarr"
    axes = [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "nanometer"},
        {"name": "x", "type": "space", "unit": "nanometer"},
    ]
    levels = [
        {"path": f"s{i}", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.5, 4.0 * 2**i, 2.0 * 2**i]}]}
        for i in range(2)
    ]
    image = {"axes": axes, "datasets": levels, "coordinateTransformations": [{"type": "scale", "scale": [3, 1, 1, 1]}]}
    attributes = {"multiscales": [image | {"version": "0.4"}]}
    if version == 3:
        attributes = {"ome": {"version": "0.5", "multiscales": [image]}}  # type: ignore[dict-item]
    group = zarr.open_group(path, mode="w", zarr_format=version, attributes=attributes)
    group.create_array("s0", data=STACK[None])
    group.create_array("s1", data=STACK[None, :, ::2, ::2])
    full = read_image(path)
    assert (full.axes, full.shape) == ("ZYX", (3, 40, 50))
    assert (full.pixel_size, full.units) == ((0.5, 4.0, 2.0), ("µm", "nm", "nm"))
    for selected in (f"{path}/s1", f"{path}:/s1", f"{path}:s1"):
        half = read_image(selected)
        assert half.pixel_size == (0.5, 8.0, 4.0) and half.shape == (3, 20, 25)
    with pytest.raises(InputError, match="it holds s0, s1"):
        read_image(f"{path}:/s7")
    with pytest.raises(InputError):
        read_image(f"{path}:/../secret")


def test_groups_without_metadata(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(FileFormatError, match="without any array"):
        read_image(tmp_path / "a.zarr")
    group.create_array("raw", data=STACK)
    assert read_image(tmp_path / "a.zarr").shape == STACK.shape
    group.create_array("other", data=STACK)
    with pytest.raises(InputError, match=r"choose one as 'a.zarr:/other': other, raw"):
        read_image(tmp_path / "a.zarr")


def test_damaged_metadata_and_foreign_types_are_refused(tmp_path: Path) -> None:
    zarr.save_array(tmp_path / "c.zarr", STACK.astype(complex))
    with pytest.raises(FileFormatError, match="complex"):
        read_image(tmp_path / "c.zarr")
    write_image(tmp_path / "a.zarr", STACK)
    note = tmp_path / "a.zarr" / "0" / "zarr.json"
    content = note.read_text()
    for broken in (content[:40], "[]", content.replace('"shape":', '"shape": "x", "s":'), '{"zarr_format": 3}'):
        note.write_text(broken)
        with pytest.raises(FileFormatError):
            read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("keep", [0, 10])
def test_a_truncated_chunk_is_refused(tmp_path: Path, keep: int) -> None:
    write_image(tmp_path / "a.zarr", STACK)
    chunk = next(one for one in (tmp_path / "a.zarr" / "0" / "c").rglob("*") if one.is_file())
    chunk.write_bytes(chunk.read_bytes()[:keep])
    with pytest.raises(FileFormatError, match="damaged"):
        read_image(tmp_path / "a.zarr")


def test_tile_by_tile_with_calibration(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    with zarr_writer(path, shape=STACK.shape, dtype="uint16", chunks=(1, 16, 16), like=LIKE) as array:
        assert isinstance(array, zarr.Array) and array.shards is None and array.chunks == (1, 16, 16)
        assert not path.exists()
        for y in range(0, 40, 16):
            array[:, y : y + 16] = STACK[:, y : y + 16]
    image = read_image(path)
    assert (np.asarray(image.data) == STACK).all()
    assert (image.axes, image.pixel_size, image.units) == (LIKE.axes, LIKE.pixel_size, LIKE.units)
    note = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    assert note["version"] == "0.5"
    assert note["multiscales"][0]["axes"][0] == {"name": "z", "type": "space", "unit": "nanometer"}
    assert list(tmp_path.iterdir()) == [path]


def test_without_calibration_it_is_an_image_of_unknown_size(tmp_path: Path) -> None:
    with zarr_writer(str(tmp_path / "a.zarr"), shape=(2, 3000, 40)) as array:
        assert array.chunks == (1, 1024, 40) and array.dtype == np.float32
        array[:] = 1
    assert zarr.open_array(tmp_path / "a.zarr" / "0", mode="r")[1, 2999, 39] == 1
    assert read_image(tmp_path / "a.zarr").pixel_size is None


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "No space left")])
def test_a_failure_leaves_the_old_image_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, STACK, like=LIKE)
    with pytest.raises(type(failure)) as caught, zarr_writer(path, shape=(9, 9)) as array:
        array[:3] = 5
        raise failure
    if isinstance(failure, OSError):
        assert caught.value.errno == errno.ENOSPC and str(path) in str(caught.value)  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == [path]
    assert (np.asarray(read_image(path).data) == STACK).all()


def test_a_failing_move_brings_the_old_image_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, STACK)
    import os

    move = os.replace

    def fail(source: Path, target: Path) -> None:
        if str(source).endswith(".part"):
            raise PermissionError(errno.EACCES, "in use")
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("napari_hush.io.formats.zarr_write.os.replace", fail)
        with pytest.raises(PermissionError), zarr_writer(path, shape=(9, 9)):
            pass
    assert list(tmp_path.iterdir()) == [path]
    assert (np.asarray(read_image(path).data) == STACK).all()


def test_what_is_no_zarr_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.txt").write_text("all of it")
    (tmp_path / "b.zarr").write_text("a file")
    for name, match in (
        ("a.zarr", "is no zarr"),
        ("b.zarr", "is no zarr"),
        ("c.tif", "ends in .zarr"),
        ("x/c.zarr", "folder"),
    ):
        with pytest.raises(InputError, match=match), zarr_writer(tmp_path / name, shape=(9, 9)):
            pass
    assert (tmp_path / "a.zarr" / "thesis.txt").read_text() == "all of it"
    with pytest.raises(InputError, match="3 dimensions ZYX"), zarr_writer(tmp_path / "d.zarr", shape=(9, 9), like=LIKE):
        pass
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]
