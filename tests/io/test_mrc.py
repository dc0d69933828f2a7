"""MRC in all its dialects: byte order, stamp, signed bytes, stack or volume, packed."""

from __future__ import annotations

import bz2
import gzip
import struct
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image
from napari_hush.io.formats.file_array import FileArray

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.arange(3 * 8 * 9, dtype=np.int16).reshape(3, 8, 9) - 60
MODES = {"i1": 0, "u1": 0, "i2": 1, "f4": 2, "c8": 4, "u2": 6, "f2": 12}


def mrc_of(data: np.ndarray, **options: Any) -> bytes:
    """An MRC2014 file of 0.2 x 0.3 x 0.5 nm (X, Y, Z) with what differs in a field."""
    order, (z, y, x) = options.get("order", "<"), data.shape
    mode = options.get("mode", MODES[data.dtype.str[1:]])
    head = bytearray(1024)
    struct.pack_into(f"{order}10i", head, 0, x, y, z, mode, 0, 0, 0, x, y, options.get("mz", z))
    struct.pack_into(f"{order}3f", head, 40, 2.0 * x, 3.0 * y, 5.0 * options.get("mz", z))
    struct.pack_into(f"{order}3i", head, 64, *options.get("columns", (1, 2, 3)))
    struct.pack_into(f"{order}2f", head, 76, *options.get("range", (0, 0)))
    struct.pack_into(f"{order}2i", head, 88, options.get("group", 0), len(options.get("extended", b"")))
    struct.pack_into(f"{order}2i", head, 152, *options.get("imod", (0, 0)))
    head[208:212] = options.get("stamp", b"MAP ")
    head[212:214] = b"\x11\x11" if order == ">" else b"DD"
    return bytes(head) + options.get("extended", b"") + data.astype(data.dtype.newbyteorder(order)).tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i1", "i2", "f4", "u2", "f2"])
def test_each_mode_in_either_byte_order(tmp_path: Path, order: str, kind: str) -> None:
    data = (IMAGE % 100).astype(kind)
    (tmp_path / "a.mrc").write_bytes(mrc_of(data, order=order, extended=bytes(80)))
    image = read_image(tmp_path / "a.mrc")
    assert image.axes == "QYX" and image.dtype == np.dtype(kind) and (image.data == data).all()
    assert image.scales == {"Y": (0.3, "nm"), "X": (0.2, "nm")}


@pytest.mark.parametrize("stamp", [b"MAP ", b"MAP\0", bytes(4)])
def test_a_stamp_may_be_short_or_not_there(tmp_path: Path, stamp: bytes) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc_of(IMAGE[:1], stamp=stamp))
    image = read_image(tmp_path / "a.mrc")
    assert image.axes == "YX" and (image.data == IMAGE[0]).all()


def test_a_wrong_stamp_of_the_byte_order_is_seen(tmp_path: Path) -> None:
    content = bytearray(mrc_of(IMAGE, order=">"))
    content[212:214] = b"DD"
    (tmp_path / "a.mrc").write_bytes(content)
    assert (read_image(tmp_path / "a.mrc").data == IMAGE).all()


@pytest.mark.parametrize(
    ("options", "signed"),
    [
        ({}, True),  # MRC2014
        ({"range": (-26, 104)}, True),
        ({"range": (3, 200)}, False),
        ({"imod": (1146047817, 0)}, False),
        ({"imod": (1146047817, 1), "range": (3, 200)}, True),
    ],
)
def test_bytes_have_a_sign_where_the_file_says_so(tmp_path: Path, options: dict[str, Any], signed: bool) -> None:
    data = np.full((1, 4, 5), 200, np.uint8)
    (tmp_path / "a.mrc").write_bytes(mrc_of(data, **options))
    assert read_image(tmp_path / "a.mrc").data.max() == (-56 if signed else 200)


@pytest.mark.parametrize(
    ("name", "group", "axes"),
    [
        ("a.mrc", 0, "QYX"),
        ("a.mrc", 1, "ZYX"),
        ("a.map", 0, "ZYX"),
        ("a.rec", 0, "ZYX"),
        ("a.mrcs", 1, "QYX"),
        ("a.st", 1, "QYX"),
        ("a.ali", 1, "QYX"),
    ],
)
def test_planes_are_slices_or_images(tmp_path: Path, name: str, group: int, axes: str) -> None:
    (tmp_path / name).write_bytes(mrc_of(IMAGE, group=group))
    image = read_image(tmp_path / name)
    assert image.axes == axes and image.scales.get("Z") == ((0.5, "nm") if axes == "ZYX" else None)


def test_a_stack_of_volumes(tmp_path: Path) -> None:
    data = np.concatenate([IMAGE, IMAGE + 1])
    (tmp_path / "a.mrc").write_bytes(mrc_of(data, group=401, mz=3))
    image = read_image(tmp_path / "a.mrc")
    assert image.axes == "QZYX" and (image.data[1] == IMAGE + 1).all() and image.scales["Z"] == (0.5, "nm")


def test_steps_follow_the_edges_of_the_cell_that_the_header_names(tmp_path: Path) -> None:
    (tmp_path / "a.map").write_bytes(mrc_of(np.zeros((6, 6, 6), "f4"), columns=(3, 1, 2)))
    assert read_image(tmp_path / "a.map").scales == {"Z": (0.3, "nm"), "Y": (0.2, "nm"), "X": (0.5, "nm")}


def test_colours(tmp_path: Path) -> None:
    head = mrc_of(np.zeros((1, 4, 5), np.uint8), mode=16)[:1024]
    data = np.arange(60, dtype=np.uint8)
    (tmp_path / "a.mrc").write_bytes(head + data.tobytes())
    image = read_image(tmp_path / "a.mrc")
    assert image.axes == "YXC" and (image.data.ravel() == data).all()


@pytest.mark.parametrize(("mode", "reason"), [(4, "magnitude"), (3, "complex int16"), (101, "4 bits"), (77, "mode 77")])
def test_what_is_no_image_says_what_it_is(tmp_path: Path, mode: int, reason: str) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc_of(np.zeros((1, 4, 5), "c8"), mode=mode))
    with pytest.raises(FileFormatError, match=reason):
        read_image(tmp_path / "a.mrc")


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_packed(tmp_path: Path, ending: str, pack: Any) -> None:
    path = tmp_path / f"a.map.{ending}"
    path.write_bytes(pack(mrc_of(IMAGE, extended=b"x" * 3000)))
    image = read_image(path)
    assert image.axes == "ZYX" and (image.data == IMAGE).all()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        read_image(path)
    path.write_bytes(pack(mrc_of(IMAGE)[:-20]))
    with pytest.raises(FileFormatError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_a_packed_file_that_would_fill_the_memory_is_refused(tmp_path: Path, ending: str, pack: Any) -> None:
    content = bytearray(mrc_of(IMAGE))
    struct.pack_into("<3i", content, 0, 1 << 20, 1 << 20, 64)
    path = tmp_path / f"a.mrc.{ending}"
    path.write_bytes(pack(bytes(content)))
    with pytest.raises(FileFormatError, match="claims"):
        read_image(path)


def test_gzip_of_something_else_is_no_mrc(tmp_path: Path) -> None:
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress(b"x" * 2000))
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 2000))
    for name in ("a.mrc.gz", "a.gz"):
        with pytest.raises(FileFormatError):
            read_image(tmp_path / name)


def test_a_large_one_stays_on_disk_and_needs_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hush.io.formats.file_array.EAGER_BELOW", 100)
    monkeypatch.setitem(sys.modules, "rsciio", None)
    (tmp_path / "a.mrc").write_bytes(mrc_of(IMAGE, order=">"))
    data = read_image(tmp_path / "a.mrc").data
    assert isinstance(data, FileArray) and (data[1:, ::2] == IMAGE[1:, ::2]).all()


def test_a_selector_is_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc_of(IMAGE))
    with pytest.raises(InputError, match="leave out ':1'"):
        read_image(f"{tmp_path / 'a.mrc'}:1")
