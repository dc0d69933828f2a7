"""HDF5 filters: packed chunks are read where their filter is there, and refused where they would do harm."""

from __future__ import annotations

import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any

import h5py
import imagecodecs
import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image
from napari_hush.io.formats.hdf5_filters import PACKERS, Packer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STACK = np.random.default_rng(0).integers(0, 99, (3, 33, 45)).astype(np.uint16)
KINDS = ["Bitshuffle", "Blosc", "Blosc2", "BZip2", "LZ4", "Zstd", "bitshuffle of zstd", "bitshuffle alone"]


def options_of(kind: str) -> dict[str, Any]:
    plugin = pytest.importorskip("hdf5plugin")
    name, _, packer = kind.partition(" ")
    options = {"cname": packer.removeprefix("of ").replace("alone", "none")} if packer else {}
    return dict(getattr(plugin, name.capitalize() if packer else name)(**options))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def chunk_of(path: Path, change: Callable[[bytes], bytes], options: dict[str, Any]) -> None:
    """A file whose only chunk was changed after it was packed."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", data=STACK[0], chunks=STACK[0].shape, **options)
        content = dataset.id.read_direct_chunk((0, 0))[1]
        dataset.id.write_direct_chunk((0, 0), change(content))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fletcher32", [False, True])
def test_filters_of_the_plugin_are_read(path: Path, kind: str, fletcher32: bool) -> None:
    options = options_of(kind)
    for shape in (STACK.shape, (1, 33, 45)):
        with h5py.File(path, "w") as file:
            file.create_dataset("d", data=STACK, chunks=shape, fletcher32=fletcher32, **options)
        assert (np.asarray(read_image(path).data) == STACK).all()


@pytest.mark.parametrize(
    "options",
    [{"compression": "lzf", "fletcher32": True}, {"scaleoffset": 0}, {"shuffle": True, "fletcher32": True}, {}],
)
def test_filters_of_the_library_are_read(path: Path, options: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=STACK, chunks=(1, 33, 45), **options)
    assert (np.asarray(read_image(path).data) == STACK).all()


def test_a_chunk_that_could_not_be_made_smaller_is_read(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), np.uint8)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", data=noise, chunks=noise.shape, compression="gzip")
        dataset.id.write_direct_chunk((0, 0), noise.tobytes(), filter_mask=1)
    assert (np.asarray(read_image(path).data) == noise).all()


def test_without_the_plugin_the_filter_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=STACK, chunks=STACK.shape, **options_of("Bitshuffle"))
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    with pytest.raises(
        InputError, match=r"bitshuffle \(HDF5 filter 32008\).*pip install 'napari-hush\[beamline\]'"
    ) as it:
        read_image(path)
    assert "damaged" not in str(it.value)


@pytest.mark.parametrize(("code", "name"), [(401, "lossy"), (400, "an unnamed filter")])
def test_filters_that_cannot_be_bounded_are_named(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, name: str
) -> None:
    monkeypatch.setitem(PACKERS, 401, Packer("lossy"))
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((33, 45))
        plan.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (0, 4, 2, 0, 2))
        space = h5py.h5s.create_simple((33, 45))
        h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_UINT16, space, plan).write_direct_chunk((0, 0), b"x" * 99)
    with pytest.raises(InputError, match=rf"{name} \(HDF5 filter {code}\).*h5repack -f NONE") as caught:
        read_image(path)
    assert "damaged" not in str(caught.value)


def test_a_chunk_that_unpacks_to_too_little_is_refused(path: Path) -> None:
    """The library reads on behind its end: the process dies, or shows what was in its memory."""
    chunk_of(path, lambda content: zlib.compress(b"few"), {"compression": "gzip"})
    with pytest.raises(FileFormatError, match="unpacks to 3 bytes instead of 2,970"):
        read_image(path)
    chunk_of(path, lambda content: content[:40], {"shuffle": True})
    with pytest.raises(FileFormatError, match="unpacks to 40 bytes instead of 2,970"):
        read_image(path)
    chunk_of(path, lambda content: content[:20], {"compression": "lzf"})
    with pytest.raises(FileFormatError, match=r"chunk at \(0, 0\)"):
        read_image(path)


def larger(start: int, stop: int, order: Any) -> Callable[[bytes], bytes]:
    """A chunk that says that more comes out of it than there is room for."""
    return lambda content: content[:start] + (1 << 30).to_bytes(stop - start, order) + content[stop:]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Bitshuffle", larger(0, 8, "big")),
        ("Bitshuffle", larger(12, 16, "big")),  # the length of its first part
        ("Bitshuffle", lambda content: content[: len(content) // 2]),
        ("bitshuffle of zstd", larger(0, 8, "big")),
        ("bitshuffle alone", lambda content: content[:100]),
        ("Blosc", larger(4, 8, "little")),
        ("Blosc", lambda content: content[:30]),
        ("Blosc2", larger(58, 62, "big")),
        ("Blosc2", larger(30, 38, "big")),
        ("LZ4", larger(0, 8, "big")),
        ("LZ4", lambda content: content[:30]),
        ("Zstd", lambda content: imagecodecs.zstd_encode(bytes(1 << 20))),
        ("BZip2", lambda content: imagecodecs.bz2_encode(bytes(1 << 24))),
        ("BZip2", lambda content: content[:60]),
    ],
)
def test_a_chunk_that_claims_more_than_it_may_is_refused(
    path: Path, kind: str, change: Callable[[bytes], bytes]
) -> None:
    chunk_of(path, change, options_of(kind))
    with pytest.raises(FileFormatError, match=r"chunk at \(0, 0\)"):
        read_image(path)


def test_parameters_for_other_chunks_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=STACK, chunks=STACK.shape, **options_of("Bitshuffle"))
    content, values = path.read_bytes(), struct.pack("<5I", 0, 4, 2, 0, 2)
    assert content.count(values) == 1
    for itemsize in (0, 7):
        path.write_bytes(content.replace(values, struct.pack("<5I", 0, 4, itemsize, 0, 2)))
        with pytest.raises(FileFormatError, match="its filter bitshuffle is for other chunks"):
            read_image(path)
