"""An array in a file is read part by part, as numpy would, and refused where it was cut short."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

import napari_hush as hush
from napari_hush.errors import FileFormatError, InputError
from napari_hush.inference.planes import Planes
from napari_hush.io import read_image, write_image
from napari_hush.io.formats import file_array
from napari_hush.io.formats.file_array import FileArray

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (4, 5, 6)
VALUES = np.arange(120, dtype=">u2").reshape(SHAPE)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("file_array") / "values"
    found.write_bytes(b"head" + VALUES.tobytes())
    return found


@given(data=st.data())
@pytest.mark.parametrize("short", [1, 8, 64, 4096])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_every_part_is_that_of_numpy(path: Path, order: tuple[int, ...], short: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_array, "SHORT", short)
        patch.setattr(file_array, "LONG", 100)
        array, expected = FileArray(path, 4, SHAPE, VALUES.dtype, order), VALUES.transpose(order)
        key = data.draw(basic_indices(expected.shape))
        found = array[key]
    assert found.shape == expected[key].shape and found.dtype == np.dtype("u2") and (found == expected[key]).all()


def test_it_has_what_an_array_has(path: Path) -> None:
    array = FileArray(path, 4, SHAPE, VALUES.dtype)
    assert (array.shape, array.ndim, len(array), array.nbytes) == (SHAPE, 3, 4, 240)
    assert (np.asarray(array, np.float32) == VALUES).all()
    assert (array.moved(2)[...] == np.moveaxis(VALUES, 2, 0)).all()
    assert (array[[0, 2]] == VALUES[[0, 2]]).all() and (array[VALUES > 7] == VALUES[VALUES > 7]).all()
    for key in (4, (0, 0, 0, 0), (..., ...)):
        with pytest.raises(IndexError):
            array[key]


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_a_file_cut_short_during_a_run_is_refused_and_kills_nothing(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_array, "EAGER_BELOW", 1000)
    path, image = tmp_path / f"a{suffix}", np.random.default_rng(0).normal(size=(2, 96, 64)).astype(np.float32)
    write_image(path, image)
    array = read_image(path).data
    assert (array[0, 3:50] == image[0, 3:50]).all()
    os.truncate(path, 5000)
    with pytest.raises(FileFormatError, match=rf"a\{suffix}: truncated"):
        hush.denoise(array, "general")


def test_a_mapped_array_cut_short_during_a_run_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 96, 64), np.float32))
    mapped: Any = np.load(tmp_path / "a.npy", mmap_mode="r")
    for part in (Planes(mapped), Planes(mapped[1:, ::2])):
        assert part.read((0,), [0], slice(0, 9), slice(0, 9)).shape == (1, 9, 9)
    os.truncate(tmp_path / "a.npy", 5000)
    for part in (Planes(mapped), Planes(mapped[1:, ::2])):
        with pytest.raises(InputError, match=r"a\.npy: has become shorter"):
            part.read((0,), [0], slice(0, 9), slice(0, 9))


def test_frames_come_first_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_array, "EAGER_BELOW", 1000)
    frames = np.random.default_rng(0).normal(size=(30, 40, 5)).astype(np.float32)
    np.save(tmp_path / "a.npy", np.asfortranarray(frames))
    image = read_image(tmp_path / "a.npy", axes="YXT").time_first()
    assert image.axes == "TYX" and isinstance(image.data, FileArray)
    assert (image.data[3] == frames[..., 3]).all()
