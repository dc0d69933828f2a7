"""A failed write leaves neither a partial file nor a damaged old one."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.io import check_writable, read_image, write_image
from napari_hush.io.write import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

FILES = [suffix for suffix in (*SUFFIXES, ".ome.tif") if suffix != ".zarr"]
NOISE = np.random.default_rng(0).integers(0, 65535, (400, 500)).astype(np.uint16)


@pytest.mark.parametrize("suffix", FILES)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, NOISE[:9, :9])
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_image(path, NOISE)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits on the file size")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_really_stops_half_way(tmp_path: Path, suffix: str) -> None:
    import resource

    path = tmp_path / f"a{suffix}"
    write_image(path, NOISE[:9, :9])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="cannot write") as caught:
            write_image(path, NOISE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]
    assert (np.asarray(read_image(path).data) == NOISE[:9, :9]).all()


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tifffile.imwrite", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_image(tmp_path / "a.tif", NOISE)
    assert not list(tmp_path.iterdir())


def test_the_input_can_be_overwritten_with_the_result(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", NOISE, pixel_size=0.1)
    image = read_image(tmp_path / "a.tif")
    write_image(tmp_path / "a.tif", image.data // 2, like=image)
    again = read_image(tmp_path / "a.tif")
    assert (again.data == NOISE // 2).all() and again.pixel_size == (0.1, 0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder").mkdir()
    write_image(tmp_path / "a.tif", NOISE)
    write_image(tmp_path / "a.zarr", NOISE)
    assert (tmp_path / "a.tif").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "a.zarr").stat().st_mode == (tmp_path / "folder").stat().st_mode


def test_writability_is_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.tif").mkdir()
    for name, match in (
        ("none/a.tif", "does not exist"),
        ("a.gif", r"cannot write \.gif; use \.tif"),
        ("a", "without an ending"),
        ("folder.tif", "is a folder"),
    ):
        with pytest.raises(InputError, match=match):
            check_writable(tmp_path / name)
        with pytest.raises(InputError, match=match):
            write_image(tmp_path / name, NOISE)
    for suffix in SUFFIXES:
        check_writable(tmp_path / f"a{suffix}")
    assert [one.name for one in tmp_path.iterdir()] == ["folder.tif"]


def test_a_read_only_folder_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        check_writable(tmp_path / "a.tif")


def test_lazy_and_foreign_arrays_are_written(tmp_path: Path) -> None:
    da = pytest.importorskip("dask.array")
    write_image(tmp_path / "a.tif", da.from_array(NOISE, chunks=100))
    write_image(tmp_path / "b.h5", read_image(tmp_path / "a.tif").data)
    write_image(tmp_path / "c.zarr", read_image(tmp_path / "b.h5").data)
    write_image(tmp_path / "d.npy", read_image(tmp_path / "c.zarr").data)
    write_image(tmp_path / "e.tif", NOISE.astype(">u2"))
    for name in ("a.tif", "d.npy", "e.tif"):
        assert (np.asarray(read_image(tmp_path / name).data) == NOISE).all()
    write_image(tmp_path / "f.npy", [[1, 2], [3, 4]])
    assert read_image(tmp_path / "f.npy").shape == (2, 2)
