"""Bad input is refused in one line that says what to do."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import ImageData, read_image, write_image

NOISE = np.random.default_rng(0).integers(0, 255, (64, 48)).astype(np.uint8)


def refused(path: Path | str, match: str) -> None:
    """Reading fails in one line that names the file, and leaves it as it was."""
    file = Path(path)
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(InputError, match=match) as caught:
        read_image(path)
    assert "\n" not in str(caught.value) and file.name.partition(":")[0] in str(caught.value)
    if before is not None:
        assert file.read_bytes() == before


def test_missing_empty_foreign(tmp_path: Path) -> None:
    refused(tmp_path / "none.tif", "no such file")
    refused(tmp_path, "is a folder and no zarr")
    for name, content, match in (
        ("empty.tif", b"", "is empty"),
        ("lfs.tif", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        ("text.tif", b"x,y\n1,2\n", "its content is text"),
        ("text.csv", b"x,y\n1,2\n", "no image that can be read"),
        ("noise.png", bytes(NOISE[0] | 128), "starts with the bytes"),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, match)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", NOISE)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.png").read_bytes())
    assert (read_image(tmp_path / "a.tif").data == NOISE).all()


@pytest.mark.parametrize("suffix", [".png", ".npy", ".npz", ".h5", ".tif"])
def test_every_cut_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, NOISE)
    content = path.read_bytes()
    # the last tags of an ImageJ file lie behind the pixels, and HDF5 aligns its end
    for cut in range(0, len(content) - 60, max(len(content) // 40, 1)):
        path.write_bytes(content[:cut])
        refused(path, " ")


@pytest.mark.parametrize("cut", [2, 10, 500])
def test_a_cut_jpeg_is_refused(tmp_path: Path, cut: int) -> None:
    content = imagecodecs.jpeg_encode(NOISE)
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_image(tmp_path / "a.jpg").shape == NOISE.shape
    (tmp_path / "a.jpg").write_bytes(content[:-cut])
    refused(tmp_path / "a.jpg", "truncated")


def test_flipped_bits_are_noticed(tmp_path: Path) -> None:
    for suffix in (".png", ".npz"):
        path = tmp_path / f"a{suffix}"
        write_image(path, NOISE)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        refused(path, "damaged")


@pytest.mark.parametrize("data", [np.zeros((4, 4), complex), np.array([["a", "b"]]), np.zeros((2, 2), "f4,f4")])
def test_npy_that_is_no_image(tmp_path: Path, data: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", data)
    refused(tmp_path / "a.npy", "expected integers or floats|complex")


@pytest.mark.parametrize("shape", [(), (5,), (0, 4), (3, 0, 4), (1,) * 9])
def test_shapes_that_are_no_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    refused(tmp_path / "a.npy", "shape")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.zeros(shape, np.float32)
    refused(f"{tmp_path / 'a.h5'}:data", "shape")


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    data = np.array([[Trap(sprung)]], dtype=object)
    np.save(tmp_path / "a.npy", data, allow_pickle=True)
    np.savez(tmp_path / "a.npz", data=data)
    refused(tmp_path / "a.npy", "pickled")
    refused(tmp_path / "a.npz", "found 0")
    refused(f"{tmp_path / 'a.npz'}:data", "pickled")
    chunk = tmp_path / "a.zarr"
    write_image(chunk, NOISE)
    note = {"zarr_format": 2, "shape": [4, 4], "chunks": [4, 4], "dtype": "<u2", "fill_value": 0, "order": "C"}
    for where in (
        {"filters": [{"id": "pickle"}], "compressor": None},
        {"filters": None, "compressor": {"id": "pickle"}},
    ):
        (chunk / "zarr.json").unlink(missing_ok=True)
        (chunk / ".zarray").write_text(json.dumps(note | where))
        (chunk / "0.0").write_bytes(pickle.dumps(Trap(sprung)))
        refused(chunk, "pickled")
    assert not sprung.exists()


def test_npz_with_several_arrays_asks_for_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=NOISE, second=NOISE + 1, note=np.array("x"), points=np.zeros(3))
    refused(tmp_path / "a.npz", "found 2: first .* second .*choose one as 'a.npz:first'")
    refused(f"{tmp_path / 'a.npz'}:third", "has no array 'third'")
    assert (read_image(f"{tmp_path / 'a.npz'}:second").data == NOISE + 1).all()
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    refused(tmp_path / "b.zip", "without arrays")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\0" + struct.pack("<H", 118)
    header += b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", header + bytes(1000))
    refused(tmp_path / "a.npz", "claims")
    (tmp_path / "a.npy").write_bytes(header + bytes(1000))
    refused(tmp_path / "a.npy", "truncated")


def png_of(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_png_of_every_kind(tmp_path: Path) -> None:
    palette = (
        struct.pack(">I", 12) + b"PLTE" + bytes(range(12)) + struct.pack(">I", zlib.crc32(b"PLTE" + bytes(range(12))))
    )
    for name, content, axes, first in (
        ("bits", png_of(8, 1, 1, 0, b"\0\xa0"), "YX", [255, 0, 255, 0, 0, 0, 0, 0]),
        ("16", png_of(2, 1, 16, 0, b"\0\x12\x34\x56\x78"), "YX", [0x1234, 0x5678]),
        ("palette", png_of(2, 1, 8, 3, b"\0\1\3", palette), "YXC", [[3, 4, 5], [9, 10, 11]]),
        ("opaque", png_of(1, 1, 8, 6, b"\0\1\2\3\xff"), "YXC", [[1, 2, 3]]),
        ("grey alpha", png_of(2, 1, 8, 4, b"\0\1\xff\2\xff"), "YX", [1, 2]),
    ):
        path = tmp_path / f"{name}.png"
        path.write_bytes(content)
        image = read_image(path)
        assert image.axes == axes and image.data[0].tolist() == first
    (tmp_path / "clear.png").write_bytes(png_of(1, 1, 8, 6, b"\0\1\2\3\x80"))
    refused(tmp_path / "clear.png", "transparent")
    (tmp_path / "huge.png").write_bytes(png_of(900_000, 900_000, 8, 0, b"\0"))
    refused(tmp_path / "huge.png", "claims")


def test_image_data_checks_itself() -> None:
    for arguments in (
        ("YXC",),
        ("YY",),
        ("ZT",),
        ("yx",),
        ("YX", (1.0,)),
        ("YX", (0.0, 1.0)),
        ("YX", (float("nan"), 1.0)),
        ("YX", None, ("nm",)),
    ):
        with pytest.raises(InputError):
            ImageData(NOISE, *arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [np.zeros((4, 4), complex), np.zeros(5), np.zeros((0, 3)), np.array([[None]])])
def test_what_is_no_image_is_not_written(tmp_path: Path, data: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        write_image(tmp_path / "a.tif", data)
    assert not isinstance(caught.value, FileFormatError)
    assert not list(tmp_path.iterdir())
