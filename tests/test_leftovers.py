"""What killed runs left is removed, and only that: not of runs that go on, not of other machines, nothing foreign."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_hush.errors import InputError
from napari_hush.files import Place, replacing
from napari_hush.io import write_image
from napari_hush.leftovers import MACHINE, beside, is_alive, sweep

if TYPE_CHECKING:
    from pathlib import Path

DEAD = 2**22 + 1  # no process has such a number


def test_only_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    own = beside(tmp_path / "a.tif", ".part")
    stay = {
        own.name,
        f".a.tif.{MACHINE}-{os.getppid()}-00000001.part",  # lives
        f".a.tif.00000000-{DEAD}-00000001.part",  # of another machine
        f".b.tif.{MACHINE}-{DEAD}-00000001.part",  # another output
        ".a.tif.part",
        "a.tif",
    }
    gone = {f".a.tif.{MACHINE}-{DEAD}-00000002.part", f".a.tif.{MACHINE}-{os.getpid()}-00000003.part"}
    for name in stay | gone:
        (tmp_path / name).write_bytes(b"x")
    sweep(tmp_path, "a.tif")
    assert {path.name for path in tmp_path.iterdir()} == stay
    sweep(tmp_path / "missing", "a.tif")


def test_a_process_that_took_the_number_later_is_another_one() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert is_alive(child.pid, 4e9)
        assert not is_alive(child.pid, 1e9)  # wrote something long before it was started
    finally:
        child.communicate(b"\n")
    assert not is_alive(child.pid, 4e9)


def test_what_made_room_for_a_new_one_comes_back(tmp_path: Path) -> None:
    old = tmp_path / f".a.zarr.{MACHINE}-{DEAD}-00000001.old"
    old.mkdir()
    sweep(tmp_path, "a.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("before", [None, b"older"])
def test_a_file_that_takes_the_name_meanwhile_stays(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "a.tif"
    if before:
        path.write_bytes(before)
    with pytest.raises(InputError, match=r"stays as it is; the result is in .*a-1\.tif"):
        with replacing(path) as file:
            file.write(b"result")
            path.write_bytes(b"foreign")
    assert path.read_bytes() == b"foreign" and (tmp_path / "a-1.tif").read_bytes() == b"result"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "results" / "a.npy"
    path.parent.mkdir()
    place = Place.of(path)
    path.parent.rmdir()
    with pytest.warns(UserWarning, match="was removed while the result was being made; it was made again"):
        write_image(path, np.ones((4, 4)), place=place)
    assert np.load(path).sum() == 16
