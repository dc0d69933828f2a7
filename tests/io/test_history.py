"""How a file was made is kept in it, and a later change of the file shows."""

from __future__ import annotations

import os

import numpy as np
import pytest

from napari_hush.io import read_image, write_image, zarr_writer
from napari_hush.io.history import is_unchanged, read_history, software
from napari_hush.io.write import SUFFIXES

IMAGE = (np.arange(256.0).reshape(16, 16) * 7).astype(np.uint16)
HISTORY = {"software": software(), "made": "denoised", "request": {"input": {"name": "µ.tif"}, "settings": {"a": 0.5}}}


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".ome.tif"])
def test_every_format_keeps_it_and_the_image(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, IMAGE, axes="YX", pixel_size=0.5, history=HISTORY)
    found = read_history(path)
    assert found is not None and {key: found[key] for key in HISTORY} == HISTORY
    assert is_unchanged(path, found)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, IMAGE)
    if suffix != ".npy":
        assert image.pixel_size == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".ome.tif"])
def test_a_long_one_is_no_reason_to_lose_the_image(tmp_path, suffix):
    history = HISTORY | {"frames": ["registered by 0.25, -0.5 px"] * 4000}
    write_image(tmp_path / f"a{suffix}", IMAGE, history=history)
    assert read_history(tmp_path / f"a{suffix}")["frames"] == history["frames"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_files_have_none(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, IMAGE)
    assert read_history(path) is None
    if path.is_file():
        path.write_bytes(path.read_bytes()[:20])
        assert read_history(path) is None
    assert read_history(tmp_path / f"missing{suffix}") is None


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".zarr"])
def test_later_change_shows(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, IMAGE, history=HISTORY)
    found = read_history(path)
    last = next(one for one in path.rglob("c/0/0")) if path.is_dir() else path
    later = last.stat().st_mtime_ns + 10_000_000_000
    os.utime(last, ns=(later, later))
    assert not is_unchanged(path, found)


def test_older_history_does_not_stay_beside_another_array(tmp_path):
    path = tmp_path / "a.npy"
    write_image(path, IMAGE, history=HISTORY)
    write_image(path, IMAGE)
    assert read_history(path) is None


def test_zarr_written_tile_by_tile_has_one(tmp_path):
    path = tmp_path / "a.zarr"
    with zarr_writer(path, shape=(8, 8), history=HISTORY) as array:
        array[...] = 1
    found = read_history(path)
    assert found["request"] == HISTORY["request"] and is_unchanged(path, found)


def test_made_up_notes_are_no_history(tmp_path):
    path = tmp_path / "a.npy"
    write_image(path, IMAGE)
    for text in ("[" * 10_000, '"napari-hush"', '{"software": "other 1"}', "\x00", '{"software": 1' + "0" * 5000 + "}"):
        (tmp_path / "a.npy.hush.json").write_text(text)
        assert read_history(path) is None
