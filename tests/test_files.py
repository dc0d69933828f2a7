"""Files that take their name at the end: whatever interrupts the writing, nothing half done stays."""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_hush.files import beside, replacing
from napari_hush.io.formats.zarr_write import zarr_writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def interrupts() -> Iterator[random.Random]:
    """Ctrl-C by a clock: `signal.setitimer` says when."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield random.Random(1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs setitimer")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file opened and never named
def test_ctrl_c_at_any_moment_leaves_nothing_half_done(tmp_path: Path, interrupts: random.Random) -> None:
    path = tmp_path / "a.tif"
    for _ in range(150):
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, interrupts.uniform(1e-5, 1e-3))
            while True:
                with replacing(path) as file:
                    file.write(b"whole")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("at", [1, 2])
def test_ctrl_c_between_old_and_new_zarr_keeps_one(tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zarr"
    with zarr_writer(path, shape=(4, 4), dtype=np.uint8) as array:
        array[...] = 1
    moves, replace = [], os.replace

    def interrupted(source: Any, target: Any) -> None:
        moves.append(source)
        if len(moves) == at:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        with zarr_writer(path, shape=(4, 4), dtype=np.uint8) as array:
            array[...] = 2
            patch.setattr(os, "replace", interrupted)
    assert [file.name for file in tmp_path.iterdir()] == ["a.zarr"]


def test_a_name_beside_is_hidden_and_free(tmp_path: Path) -> None:
    first = beside(tmp_path / "a.tif", ".part")
    assert first.parent == tmp_path
    assert first.name.startswith(".a.tif.")
    assert first.suffix == ".part"
    assert not first.exists()
