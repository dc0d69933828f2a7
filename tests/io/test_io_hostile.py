"""Files made to hang a reader, to eat its memory, or to lead it elsewhere, and what is not there."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import h5py
import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image, write_image
from napari_hush.io.formats import chunks as chunks_module
from napari_hush.io.formats.hdf5_links import read_note
from napari_hush.io.history import read_history
from napari_hush.training.data.open import open_data
from napari_hush.training.methods.registry import METHODS

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.random.default_rng(0).integers(1, 999, (64, 64)).astype(np.float32)


@pytest.fixture
def no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a chunk may grow to unseen, so small that the bombs of a test can be small."""
    monkeypatch.setattr(chunks_module, "HARMLESS", 1 << 12)


def spoil_heap(path: Path, how: str) -> None:
    """Make the heap of texts in an HDF5 file one that the HDF5 library runs around in."""
    content = bytearray(path.read_bytes())
    start = content.find(b"GCOL\x01")
    if how == "length":
        content[start + 24 : start + 32] = struct.pack("<Q", 0xFFFFFFFFFFFFFFF0)
    else:
        content[start + 16 : start + 18], content[start + 24 : start + 32] = b"\0\0", bytes(8)
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["length", "zero"])
@pytest.mark.parametrize("kind", ["a.h5", "a.emd"])
@pytest.mark.parametrize("behind", [0, 512])
def test_a_heap_without_end_is_refused(tmp_path: Path, how: str, kind: str, behind: int) -> None:
    if kind == "a.emd":
        pytest.importorskip("rsciio")
    path = tmp_path / kind
    with h5py.File(path, "w", userblock_size=behind) as file:
        file["data"] = IMAGE
        file["data"].attrs.update({"axes": "YX", "units": ["nm", "nm"], "pixel_size": [0.1, 0.1]})
        file.attrs["version_major"] = "a text of variable length"
    assert kind != "a.h5" or read_image(path).pixel_size == (0.1, 0.1)
    spoil_heap(path, how)
    with pytest.raises(FileFormatError, match=f"{kind}.*heap of texts"):
        read_image(path)
    assert read_history(path) is None


def test_a_data_set_with_such_a_heap_or_a_link_is_refused(tmp_path: Path) -> None:
    from napari_hush.datasets.drawing import Drawer
    from napari_hush.datasets.hdf5 import write_hdf5
    from napari_hush.datasets.settings import SynthesisSettings

    settings, rule = METHODS["supervised"].settings(), None
    path = tmp_path / "data.h5"
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(path, "w") as file:
        file["train_ns"], file["train_gt"] = IMAGE[None], IMAGE[None]
        file["test_ns"] = h5py.ExternalLink(str(tmp_path / "pipe"), "/x")
        file.attrs["settings"] = "n = 2"
    with pytest.raises(FileFormatError, match="another file, which is not followed"):
        open_data(path, "pairs", settings, rule)  # type: ignore[arg-type]
    spoil_heap(path, "zero")
    with pytest.raises(FileFormatError, match="heap of texts"):
        list(write_hdf5(Drawer(SynthesisSettings(n=2)), path))


def test_a_file_cut_short_while_it_is_read_gives_no_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hush.io.formats.hdf5.EAGER_BELOW", 1000)
    write_image(tmp_path / "a.h5", np.tile(IMAGE, (8, 8)))
    image = read_image(tmp_path / "a.h5")
    assert (image.data[:64, :64] == IMAGE).all()
    os.truncate(tmp_path / "a.h5", 9000)
    with pytest.raises(FileFormatError, match=r"a\.h5: truncated"):
        image.data[400:]


def h5_of(path: Path, levels: int, content: bytes, shape: tuple[int, int] = (64, 64)) -> None:
    """An HDF5 whose only chunk is packed so many times."""
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk(shape)
        for _ in range(levels):
            plan.set_deflate(9)
            content = zlib.compress(content, 9)
        space = h5py.h5s.create_simple(shape)
        h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_UINT8, space, plan).write_direct_chunk((0, 0), content)


@pytest.mark.usefixtures("no_harm")
def test_an_hdf5_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5_of(path, 1, bytes(4096))
    assert read_image(path).shape == (64, 64)
    h5_of(path, 1, bytes(1 << 24))
    with pytest.raises(FileFormatError, match=r"chunk at \(0, 0\): .* unpacks to more than the 4,096 bytes"):
        read_image(path)
    h5_of(path, 2, bytes(4096))
    with pytest.raises(FileFormatError, match=r"packed 2 times \(deflate, deflate\)"):
        read_image(path)
    for fill in (False, True):
        with h5py.File(path, "w") as file:
            file.create_dataset("d", (3000, 3000), "u1", chunks=(1, 1))
        with pytest.raises(FileFormatError, match=r"9,000,000 chunks of \(1, 1\)"):
            read_image(path, fill_missing=fill)


def test_chunks_of_an_hdf5_that_were_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (128, 64), "f4", chunks=(32, 64))[:64] = IMAGE
    with pytest.raises(
        FileFormatError, match=r"2 of 4 chunks read are not there \(\(64, 0\), \(96, 0\)\).*fill_missing=True"
    ):
        read_image(path)
    image = read_image(path, fill_missing=True)
    assert (image.data[:64] == IMAGE).all() and (image.data[64:] == 0).all()
    monkeypatch.setattr("napari_hush.io.formats.hdf5.EAGER_BELOW", 1000)
    image = read_image(path)
    assert (image.data[10:60, 3] == IMAGE[10:60, 3]).all() and (image.data[-70] == IMAGE[58]).all()
    for part in (np.s_[60:70], np.s_[..., 5], np.s_[-1], np.s_[:]):
        with pytest.raises(FileFormatError, match="not there"):
            image.data[part]
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (128, 64), "f4")
    with pytest.raises(FileFormatError, match="never written"):
        read_image(path)


def emd_of(path: Path, **options: Any) -> h5py.File:
    """A Berkeley EMD with an image of 64 x 64 px that is still to be written."""
    file = h5py.File(path, "w")
    group = file.create_group("experiments/a")
    group.attrs["emd_group_type"] = 1
    file.attrs.update({"version_major": 0, "version_minor": 2})
    group.create_dataset("data", (64, 64), "f4", **options)
    for number, name in enumerate("yx", start=1):
        group[f"dim{number}"] = np.arange(64.0)
        group[f"dim{number}"].attrs.update({"name": np.bytes_(name), "units": np.bytes_(b"nm")})
    return file


@pytest.mark.parametrize("options", [{}, {"chunks": (32, 32)}])
def test_an_emd_that_was_not_written_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    pytest.importorskip("rsciio")
    path = tmp_path / "a.emd"
    emd_of(path, **options).close()
    with pytest.raises(FileFormatError, match=r"experiments/a/data.*(never written|4 of 4 chunks)"):
        read_image(path)
    assert (np.asarray(read_image(path, fill_missing=True).data) == 0).all()
    with emd_of(path, **options) as file:
        file["experiments/a/data"][...] = IMAGE
    assert sorted(np.asarray(read_image(path).data).ravel()) == sorted(IMAGE.ravel())
    path.write_bytes(path.read_bytes()[:448])
    with pytest.raises(FileFormatError, match=r"a\.emd: truncated"):
        read_image(path)


def zarr_of(path: Path, files: dict[str, bytes], **note: Any) -> None:
    """A zarr of version 2 or 3 with these files as its chunks."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    if "codecs" in note:
        grid = {"name": "regular", "configuration": {"chunk_shape": [64, 64]}}
        keys = {"name": "default", "configuration": {"separator": "/"}}
        plain = {"zarr_format": 3, "node_type": "array", "shape": [64, 64], "data_type": "float32", "chunk_grid": grid}
        plain |= {"chunk_key_encoding": keys, "fill_value": 0, "attributes": {}}
        (path / "zarr.json").write_text(json.dumps(plain | note))
    else:
        plain = {"zarr_format": 2, "shape": [64, 64], "chunks": [64, 64], "dtype": "<f4", "compressor": None}
        plain |= {"fill_value": 0, "order": "C", "filters": None}
        (path / ".zarray").write_text(json.dumps(plain | note))
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def zstd_that_claims(nbytes: int) -> bytes:
    """A frame of zstandard with one block of zeros."""
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", nbytes) + (nbytes << 3 | 3).to_bytes(6, "little")[:3] + b"\0"


BYTES, GZIP = {"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip", "configuration": {"level": 1}}
BOMB = bytes(1 << 24)


@pytest.mark.usefixtures("no_harm")
@pytest.mark.parametrize(
    ("name", "content", "note", "match"),
    [
        (
            "c/0/0",
            gzip.compress(gzip.compress(BOMB)),
            {"codecs": [BYTES, GZIP, GZIP]},
            r"packed 2 times \(gzip, gzip\)",
        ),
        ("c/0/0", gzip.compress(BOMB), {"codecs": [BYTES, GZIP]}, "chunk c/0/0: unpacks to more"),
        ("0.0", gzip.compress(BOMB), {"compressor": {"id": "gzip", "level": 1}}, "chunk 0.0: unpacks to more"),
        ("0.0", gzip.compress(bytes(16384)) * 999, {"compressor": {"id": "gzip", "level": 1}}, "chunk 0.0: unpacks to"),
        ("0.0", zlib.compress(BOMB), {"filters": [{"id": "zlib", "level": 1}]}, "chunk 0.0: unpacks to more"),
        (
            "0.0",
            zstd_that_claims(5 << 30),
            {"compressor": {"id": "zstd", "level": 1}},
            "unpacks to 5,368,709,120 bytes",
        ),
        (
            "0.0",
            b"\2\1!\4" + struct.pack("<III", 2**31 - 1, 2**31 - 1, 16),
            {"compressor": {"id": "blosc"}},
            "unpacks to 2,1",
        ),
        ("0.0", struct.pack("<I", 2**31 - 1), {"compressor": {"id": "lz4"}}, "unpacks to 2,147"),
        ("0.0", IMAGE.tobytes(), {"chunks": [1, 1], "shape": [3000, 3000]}, r"9,000,000 chunks of \(1, 1\)"),
        ("0.0", IMAGE.tobytes(), {"chunks": [100_000, 100_000]}, "damaged or made up"),
        ("0.0", IMAGE.tobytes(), {"shape": [1_000_000, 1_000_000]}, "claims"),
    ],
    # named: what gzip packs tells the time, so that each worker had tests of other names
    ids="gzip-twice gzip gzip-2 gzip-parts zlib zstd blosc lz4 tiny-chunks wide-chunks wide".split(),
)
def test_a_zarr_that_unpacks_without_end_is_refused(
    tmp_path: Path, name: str, content: bytes, note: dict[str, Any], match: str
) -> None:
    zarr_of(tmp_path / "a.zarr", {name: content}, **note)
    with pytest.raises(FileFormatError, match=match):
        read_image(tmp_path / "a.zarr")


@pytest.mark.usefixtures("no_harm")
@pytest.mark.parametrize("packer", ["gzip", "zlib", "zstd", "blosc", "lz4", "bz2", "lzma", None])
def test_zarr_of_every_packing_is_read(tmp_path: Path, packer: str | None) -> None:
    options: dict[str, Any] = {"compressors": None}
    if packer is not None:
        import numcodecs

        options["compressors"] = numcodecs.get_codec({"id": packer})
    zarr.create_array(tmp_path / "a.zarr", data=IMAGE, chunks=(40, 40), zarr_format=2, **options)
    assert (read_image(tmp_path / "a.zarr").data[...] == IMAGE).all()


def test_zstd_that_does_not_tell_its_length_is_bounded(tmp_path: Path) -> None:
    told = imagecodecs.zstd_encode(bytes(16384))
    # without the length in its header: flags 0, then a window of 128 kB
    silent = told[:4] + b"\0\x38" + told[4:][1 + 2 if told[4] >> 6 == 1 else 1 :]
    zarr_of(tmp_path / "a.zarr", {"0.0": silent}, compressor={"id": "zstd", "level": 1})
    assert (read_image(tmp_path / "a.zarr").data[...] == 0).all()
    zarr_of(tmp_path / "a.zarr", {"0.0": silent}, compressor={"id": "zstd", "level": 1}, chunks=[8, 8], shape=[8, 8])
    with pytest.raises(FileFormatError, match="more than a chunk"):
        read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("shards", [False, True])
def test_chunks_of_a_zarr_that_are_not_there(tmp_path: Path, version: int, separator: str, shards: bool) -> None:
    if shards and version == 2:
        pytest.skip("zarr 2 has no shards")
    path, sparse = tmp_path / "a.zarr", np.tile(IMAGE, (2, 1))
    sparse[96:] = 0
    options: dict[str, Any] = {"shards": (64, 64)} if shards else {}
    options["chunk_key_encoding"] = {"name": "default" if version == 3 else "v2", "separator": separator}
    zarr.create_array(path, data=sparse, chunks=(32, 32), zarr_format=version, **options)
    with pytest.raises(FileFormatError, match=r"not there.*sparse.*fill_missing=True"):
        read_image(path)
    image = read_image(path, fill_missing=True)
    assert (image.data[...] == sparse).all() and image.data.read_only
    image = watched(path)
    assert (image.data[:96] == sparse[:96]).all() and (image.data[40, 3:50] == sparse[40, 3:50]).all()
    for part in (np.s_[90:100], np.s_[..., 5], np.s_[-1], np.s_[:]):
        with pytest.raises(FileFormatError, match="not there"):
            image.data[part]
    shutil.rmtree(path)
    with pytest.raises(FileFormatError, match="not there"):
        image.data[:32]


def watched(path: Path) -> Any:
    """An image above the size that is read at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_hush.io.formats.zarr_read.EAGER_BELOW", 100)
        return read_image(path)


def test_what_was_written_here_is_never_sparse(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", np.zeros((3, 64, 64), np.uint8))
    assert (read_image(tmp_path / "a.zarr").data[...] == 0).all()


def test_a_zarr_leads_nowhere_else(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret.zarr", tmp_path / "a.zarr"
    zarr_of(secret, {"0.0": IMAGE.tobytes()})
    for target in (str(secret), "/nowhere/else.zarr", "../secret.zarr", "x/../../secret.zarr"):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        attributes = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": target}]}]}
        (path / ".zattrs").write_text(json.dumps(attributes))
        with pytest.raises(FileFormatError, match="in another folder"):
            read_image(path)
    (path / ".zattrs").unlink()
    (path / "0").symlink_to(secret)
    with pytest.raises(FileFormatError, match="in another folder"):
        read_image(path)
    zarr_of(path, {})
    (path / "0.0").symlink_to(secret / "0.0")
    with pytest.raises(FileFormatError, match="in another folder"):
        read_image(path)
    (path / "0.0").unlink()
    (path / "inside").write_bytes(IMAGE.tobytes())
    (path / "0.0").symlink_to("inside")  # as git-annex has it
    assert (read_image(path).data[...] == IMAGE).all()
    (tmp_path / "link.zarr").symlink_to(path)  # what the user names may be a link
    assert (read_image(tmp_path / "link.zarr").data[...] == IMAGE).all()


def test_pipes_and_folders_in_a_zarr_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr_of(path, {})
    os.mkfifo(path / "0.0")
    with pytest.raises(FileFormatError, match="device or a pipe"):
        read_image(path)
    (path / "0.0").unlink()
    (path / "0.0").symlink_to("/dev/zero")
    with pytest.raises(FileFormatError, match="in another folder"):
        read_image(path)
    zarr_of(path, {"0.0/x": b""})
    with pytest.raises(FileFormatError, match=r"chunk 0\.0 is not there"):
        read_image(path)
    (path / ".zarray").unlink()
    os.mkfifo(path / ".zarray")
    with pytest.raises(InputError, match="no zarr"):
        read_image(path)


def ome_of(path: Path, other: str) -> None:
    """A TIFF whose second plane is in another file."""
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<Image ID="I:0"><Pixels DimensionOrder="XYZCT" ID="P:0" SizeC="1" SizeT="1" SizeX="64" SizeY="64" SizeZ="2" '
        'Type="float"><TiffData FirstZ="0" IFD="0"/><TiffData FirstZ="1" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{other}">urn:uuid:2</UUID></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, IMAGE, description=text, metadata=None)


@pytest.mark.parametrize("how", ["name", "link", "path", "entity"])
def test_a_tiff_whose_other_half_is_a_pipe_is_refused(tmp_path: Path, how: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    names = {"path": str(tmp_path / "pipe"), "entity": "&#112;ipe"}
    ome_of(tmp_path / "a.ome.tif", names.get(how, "pipe" if how == "name" else how))
    with pytest.raises(FileFormatError, match=r"a\.ome\.tif: refers to .*device or a pipe"):
        read_image(tmp_path / "a.ome.tif")


def test_a_tiff_takes_planes_from_its_own_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    path, other = tmp_path / "here" / "a.ome.tif", tmp_path / "b.tif"
    tifffile.imwrite(other, IMAGE + 1)
    for name in ("../b.tif", str(other)):
        ome_of(path, name)
        with pytest.raises(FileFormatError, match="in another folder"):
            read_image(path)
    ome_of(path, "b.tif")
    with pytest.raises(FileFormatError, match="plane 1 is missing"):
        read_image(path)
    shutil.copy(other, path.parent)
    assert (np.asarray(read_image(path).data) == [IMAGE, IMAGE + 1]).all()


def test_siblings_of_a_micromanager_stack_are_no_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a_MMStack.tif"
    tifffile.imwrite(path, IMAGE)
    monkeypatch.setattr(tifffile.TiffFile, "is_mmstack", True)
    os.mkfifo(tmp_path / "a_MMStack_1.tif")
    with pytest.raises(FileFormatError, match="device or a pipe"):
        read_image(path)


def test_pages_without_anything_in_them_are_refused(tmp_path: Path) -> None:
    content = b"II*\0" + struct.pack("<I", 8)
    for k in range(1, 400):
        content += struct.pack("<HHHIII", 1, 262, 3, 1, 1, 8 + 18 * k if k < 399 else 0)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(FileFormatError, match="page 1 has no size"):
        read_image(tmp_path / "a.tif")


def npz_of(path: Path, content: bytes, packing: int, name: str = "raw") -> None:
    """An NPZ with one member of these bytes."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr(f"{name}.npy", content)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_npz_that_python_unpacks_without_looking_is_refused(tmp_path: Path, packing: int) -> None:
    npz_of(tmp_path / "a.npz", npy_of((64, 64), IMAGE.tobytes()), packing)
    for name in ("a.npz", "a.npz:raw"):
        with pytest.raises(FileFormatError, match=r"raw: is packed with (bzip2|lzma).*savez_compressed"):
            read_image(tmp_path / name)


def test_an_npz_whose_members_are_larger_than_they_say_is_refused(tmp_path: Path) -> None:
    path, nested = tmp_path / "a.npz", zipfile.ZIP_DEFLATED
    npz_of(path, b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 24) + b" " * (1 << 24), nested)
    with pytest.raises(FileFormatError, match="header is damaged"):
        read_image(path)
    npz_of(path, npy_of((64, 64), IMAGE.tobytes() + bytes(1 << 24)), nested)
    with pytest.raises(FileFormatError, match="16384 bytes of pixels in 16793"):
        read_image(path)
    npz_of(path, npy_of((64, 64), IMAGE.tobytes()), nested, "data")
    with zipfile.ZipFile(path, "a", nested) as archive:
        for name in ("axes", "pixel_size", "units"):
            archive.writestr(f"{name}.npy", npy_of((1 << 24,), bytes(1 << 26)))
    image = read_image(f"{path}:data")
    assert image.axes == "YX" and (image.data == IMAGE).all()


def npy_of(shape: tuple[int, ...], values: bytes) -> bytes:
    """An NPY of float32."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + values


def mrc_of(path: Path, width: int, height: int = 40, depth: int = 3) -> None:
    """An MRC of uint16 that says this size, and holds 50 x 40 x 3 px."""
    head = bytearray(1024)
    struct.pack_into("<4i", head, 0, width, height, depth, 6)
    struct.pack_into("<3i3f", head, 28, 50, 40, 3, 5, 4, 1)
    struct.pack_into("<3i", head, 64, 1, 2, 3)
    head[208:214] = b"MAP DD"
    path.write_bytes(bytes(head) + np.arange(6000, dtype="<u2").tobytes())


def test_an_mrc_of_a_size_that_cannot_be_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("rsciio")
    path = tmp_path / "a.mrc"
    mrc_of(path, 50)
    assert read_image(path).shape == (3, 40, 50)
    for size in ((-206, 127), (-65486, 32767), (51,), (0,), (50, 40, 825032707)):
        mrc_of(path, *size)
        with pytest.raises(FileFormatError, match=r"a\.mrc: truncated or damaged"):
            read_image(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileFormatError, match="1024 bytes"):
        read_image(path)


def test_an_mrc_opens_nothing_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("rsciio")
    mrc_of(tmp_path / "20240101_00001_movie.mrc", 50)
    os.mkfifo(tmp_path / "20240101_00001_info.txt")
    assert read_image(tmp_path / "20240101_00001_movie.mrc").shape == (3, 40, 50)


def test_notes_that_are_sequences_of_variable_length_are_not_read(tmp_path: Path) -> None:
    """A damaged one ends libhdf5, and Python with it."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        attributes = file.create_dataset("d", data=np.ones((8, 9))).attrs
        letters = np.empty(1, object)
        letters[0] = np.array([ord("X"), ord("Y")], np.uint8)
        attributes.create("axes", letters, dtype=h5py.vlen_dtype(np.uint8))
        attributes["text"] = "of variable length"
        attributes["pairs"] = np.zeros((), dtype=("f8", (2,)))
        assert read_note(file["d"], "axes", "none") == "none"
        assert read_note(file["d"], "text", "none") == "of variable length"
        assert read_note(file["d"], "pairs", "none").tolist() == [0, 0]
    assert read_image(tmp_path / "a.h5").axes == "YX"
