"""Damage small files of every format at random, and look for tracebacks, hangs and memory.

Each reader gets good files of its own, in which bytes are flipped, cut off, put in, doubled or overwritten by what
parsers stumble over. What comes out must be an image or one of napari-hush's own errors, within seconds and within
little memory. A fork reads one file: a hang ends after 10 s, and 3 GB of address space are all that it gets. The same
seed tries the same files. (For .dm3 there is no good file: RosettaSciIO writes none.)

Usage: ``python benchmarks/fuzz_readers.py --seconds 120 --seed 0 [--reader hdf5 ...] [--keep FOLDER]``
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import logging
import os
import random
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import hdf5plugin
import imagecodecs
import nibabel
import numpy as np
import pydicom
import tifffile
import zarr
from PIL import Image
from pylibCZIrw.czi import create_czi

from napari_hush.errors import InputError
from napari_hush.io import ImageData, read_image, write_image
from napari_hush.io.formats import hdf5_kinds
from napari_hush.io.metadata import Channel, Metadata, ramp
from napari_hush.io.read import READERS

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = np.random.default_rng(0).integers(0, 999, (3, 40, 50)).astype(np.uint16)
BYTE = IMAGE[0].astype(np.uint8)
CHANNELS = tuple(Channel(name, ramp(255, 0, 9), (0.5, 900.0)) for name in "abc")
METADATA = Metadata("name", "description", "2021-02-03T04:05:06", CHANNELS, ("one", "two", "three"))
KNOWN = ImageData(IMAGE, "CYX", (1.0, 0.1, 0.1), ("", "nm", "nm"), metadata=METADATA)
HANG = 10  # seconds
ADDRESSES = 3 << 30  # bytes
MUCH = 1 << 30  # bytes of memory
ODD = [b"\0" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0\0\0\0\0", b"9" * 40, b"[" * 99, b"-1"]


def tiffs(folder: Path) -> None:
    write_image(folder / "imagej.tif", IMAGE, like=KNOWN)
    write_image(folder / "a.ome.tif", IMAGE, like=KNOWN)
    note = {"axes": "ZYX", "cf": 0, "c0": -32768.0, "c1": 1.0, "min": 1.0, "max": 2.0}
    tifffile.imwrite(folder / "line.tif", IMAGE, imagej=True, metadata=note)
    table = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite(folder / "palette.tif", BYTE, photometric="palette", colormap=table, metadata=None)
    for name in ("zlib", "lzw", "jpeg", "zstd", "packbits"):
        tifffile.imwrite(folder / f"{name}.tif", BYTE, compression=name, tile=(16, 16))


def pngs(folder: Path) -> None:
    write_image(folder / "grey.png", IMAGE[0], like=replace(KNOWN, data=IMAGE[0], axes="YX", pixel_size=None, units=()))
    (folder / "rgb.png").write_bytes(imagecodecs.png_encode(np.stack([BYTE] * 3, -1)))


def jpegs(folder: Path) -> None:
    (folder / "grey.jpg").write_bytes(imagecodecs.jpeg_encode(BYTE))
    (folder / "rgb.jpg").write_bytes(imagecodecs.jpeg_encode(np.stack([BYTE] * 3, -1)))


def npys(folder: Path) -> None:
    np.save(folder / "a.npy", IMAGE)
    np.save(folder / "fortran.npy", np.asfortranarray(IMAGE))


def npzs(folder: Path) -> None:
    write_image(folder / "a.npz", IMAGE, like=KNOWN)
    np.savez(folder / "plain.npz", x=IMAGE)


def hdf5s(folder: Path) -> None:
    write_image(folder / "a.h5", IMAGE, like=KNOWN)
    for version in ("earliest", "latest"):
        with h5py.File(folder / f"{version}.h5", "w", libver=version) as file:
            data = file.create_dataset("g/d", data=IMAGE, chunks=(1, 16, 16), compression="gzip", shuffle=True)
            data.attrs.update({"axes": "ZYX", "units": ["nm"] * 3, "pixel_size": [0.1] * 3, "axistags": '{"axes": []}'})
            file["g"].attrs["text"] = "of variable length"
    with h5py.File(folder / "a.hspy", "w") as file:
        file.attrs["file_format"] = "HyperSpy"
        file["Experiments/a/data"] = IMAGE
        for number, name in enumerate("zyx"):
            axis = file.create_group(f"Experiments/a/axis-{number}")
            axis.attrs.update({"name": name, "units": "nm", "scale": 0.1, "navigate": name == "z"})
    with h5py.File(folder / "swift.h5", "w") as file:
        file["data"] = IMAGE[0]
        file["data"].attrs["properties"] = json.dumps({"dimensional_calibrations": [{"scale": 0.1, "units": "nm"}] * 2})

    beamlines(folder)


def beamlines(folder: Path) -> None:
    """Filters of the plugin, NXtomo, Imaris and a virtual dataset."""
    for name in ("Bitshuffle", "Blosc", "Blosc2", "LZ4", "Zstd", "BZip2"):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.create_dataset("d", data=IMAGE, chunks=(1, 40, 50), **getattr(hdf5plugin, name)())
    with h5py.File(folder / "tomo.nxs", "w") as file:
        file.attrs["default"] = "entry/data"
        file["entry/detector/data"], file["entry/detector/image_key"] = IMAGE, np.array([1, 0, 0])
        file["entry/detector/x_pixel_size"] = 1e-6
        plot = file.create_group("entry/data")
        plot.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": [".", "y", "x"]})
        plot["data"], plot["y"] = h5py.SoftLink("/entry/detector/data"), np.arange(40.0)
    with h5py.File(folder / "virtual.h5", "w") as file:
        file["part"] = IMAGE[0]
        layout = h5py.VirtualLayout((2, 40, 50), "u2")
        layout[0] = layout[1] = h5py.VirtualSource(".", "part", shape=(40, 50))
        file.create_virtual_dataset("entry/data", layout)
        plot = file["entry"]
        plot.attrs.update({"NX_class": "NXdata", "signal": "data"})
    with h5py.File(folder / "a.ims", "w") as file:
        volume = file.create_group("DataSet/ResolutionLevel 0/TimePoint 0/Channel 0")
        volume["Data"] = IMAGE
        for axis, size in zip("XYZ", ("50", "40", "3"), strict=True):
            volume.attrs[f"ImageSize{axis}"] = np.array([one.encode() for one in size])
        file.create_group("DataSetInfo/Channel 0").attrs["Name"] = np.array([b"a"])


def emds(folder: Path) -> None:
    with h5py.File(folder / "a.emd", "w") as file:
        group = file.create_group("experiments/a")
        group.attrs["emd_group_type"] = 1
        file.attrs.update({"version_major": 0, "version_minor": 2})
        group.create_dataset("data", data=IMAGE[0])
        for number, (name, size) in enumerate(zip("yx", IMAGE.shape[1:], strict=True), start=1):
            group[f"dim{number}"] = np.arange(float(size))
            group[f"dim{number}"].attrs.update({"name": name, "units": "nm"})
    notes = {"BinaryResult": {"PixelSize": {"width": "1e-9", "height": "1e-9"}, "PixelUnitX": "m", "PixelUnitY": "m"}}
    text = np.frombuffer(json.dumps(notes).encode().ljust(500, b"\0"), np.uint8)[:, None]
    with h5py.File(folder / "velox.emd", "w") as file:
        file["Version"] = [json.dumps({"version": "11", "format": "Velox"})]
        file["Data/Image/a/Data"], file["Data/Image/a/Metadata"] = IMAGE[0][..., None], text
        file["Displays/ImageDisplay/a"] = [json.dumps({"title": "HAADF", "data": "/SharedProperties/a"})]
        file["SharedProperties/a"] = [json.dumps({"dataPath": "/Data/Image/a"})]
        file.create_group("Data/SpectrumImage")


def zarrs(folder: Path) -> None:
    write_image(folder / "ngff.zarr", IMAGE, like=KNOWN)
    write_image(folder / "turned.zarr", np.moveaxis(IMAGE, 0, -1), axes="YXC", pixel_size=0.1)
    for version in (2, 3):
        zarr.create_array(folder / f"v{version}.zarr", data=IMAGE, chunks=(1, 16, 16), zarr_format=version)
    plate = zarr.open_group(folder / "plate.zarr", mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}]}
    well = plate.create_group("A/1", attributes={"well": {"images": [{"path": "0"}]}})
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 0.1, 0.1]}]}
    channels = [{"label": "a", "color": "00FF00", "window": {"start": 1, "end": 9}}] * 3
    field = {"multiscales": [{"axes": list("tcyx"), "datasets": [level]}], "omero": {"channels": channels}}
    well.create_group("0", attributes=field).create_array("0", data=IMAGE[None], chunks=(1, 1, 40, 50))
    zarr.create_array(folder / "shards.zarr", data=IMAGE, chunks=(1, 16, 16), shards=(1, 48, 64))


def zspys(folder: Path) -> None:
    group = zarr.open_group(folder / "a.zspy", mode="w").create_group("Experiments/a")
    group.create_array("data", data=IMAGE)
    for number, name in enumerate("zyx"):
        notes = {"name": name, "units": "nm", "scale": 0.1, "navigate": name == "z", "size": IMAGE.shape[number]}
        group.create_group(f"axis-{number}").attrs.update(notes)


def mrcs(folder: Path) -> None:
    head = np.zeros(256, "<i4")
    head[:10] = (50, 40, 3, 6, 0, 0, 0, 50, 40, 3)
    head[10:16] = np.array([5, 4, 1, 90, 90, 90], "<f4").view("<i4")
    head[16:19], head[52] = (1, 2, 3), int.from_bytes(b"MAP ", "little")
    head[53] = 0x4444
    content = head.tobytes() + IMAGE.tobytes()
    (folder / "a.mrc").write_bytes(content)
    (folder / "a.map.gz").write_bytes(gzip.compress(content))
    (folder / "a.mrc.bz2").write_bytes(bz2.compress(content))
    big = np.frombuffer(content[:1024], "<i4").astype(">i4")
    big[52:54] = [int.from_bytes(b"MAP ", "big"), 0x11110000]
    (folder / "big.mrc").write_bytes(big.tobytes() + IMAGE.astype(">u2").tobytes())


def sers(folder: Path) -> None:
    head = b"II\x97\x01" + struct.pack("<HIIIIII", 0x210, 0x4122, 0x4152, 1, 1, 68, 1)
    head += struct.pack("<IddII6sI", 1, 0, 1, 0, 6, b"Number", 0)
    data = struct.pack("<ddiddiHii", 0, 1e-9, 0, 0, 1e-9, 0, 2, 50, 40) + IMAGE[0].tobytes()
    tag = struct.pack("<HHI", 0x4152, 0, 0)
    (folder / "a.ser").write_bytes(head + struct.pack("<II", 76, 76 + len(data)) + data + tag)


def dms(folder: Path) -> None:
    """One with a single tag: an image needs hundreds."""
    tag = b"\x15\0\4Data%%%%" + struct.pack(">IIII", 3, 20, 2, 4) + bytes(8)
    (folder / "a.dm3").write_bytes(struct.pack(">III", 3, 60, 1) + b"\1\0" + struct.pack(">I", 1) + tag)


def emis(folder: Path) -> None:
    """Only with a .ser beside it, which is not damaged here."""
    sers(folder)
    (folder / "a.ser").rename(folder / "a_1.ser")
    text = b"<ObjectInfo><Uuid>a</Uuid><AcquireDate>Mon Nov 30 10:00:00 2026</AcquireDate></ObjectInfo>"
    (folder / "a.emi").write_bytes(b"JK\0\2" + bytes(40) + text + bytes(40))


def ndatas(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.ndata", "w") as archive:
        with archive.open("data.npy", "w") as file:
            np.save(file, IMAGE[0])
        calibrations = [{"offset": 0, "scale": 0.1, "units": "nm"}] * 2
        archive.writestr("metadata.json", json.dumps({"dimensional_calibrations": calibrations}))


def przs(folder: Path) -> None:
    notes = json.dumps([{"device.calib": [{"value": 1e-11, "unit": "m", "pixel_factor": 2.0}] * 2}])
    with (folder / "a.prz").open("wb") as file:
        np.savez(file, data=IMAGE[0], meta_data_json=np.array(notes))


def bmps(folder: Path) -> None:
    Image.fromarray(BYTE).save(folder / "grey.bmp")
    Image.fromarray(np.stack([BYTE, BYTE.T.reshape(BYTE.shape), BYTE], -1)).save(folder / "rgb.bmp")


def of_signals(suffix: str, module: str, *shape: int) -> Callable[[Path], None]:
    """What RosettaSciIO itself writes."""

    def write(folder: Path) -> None:
        data = np.resize(BYTE, shape).astype(np.float32 if suffix == "unf" else np.uint8)
        names = "tyx"[-len(shape) :]
        axes = [
            {"name": name, "units": "nm", "scale": 1.0, "offset": 0.0, "size": size, "navigate": place < len(shape) - 2}
            for place, (name, size) in enumerate(zip(names, shape, strict=True))
        ]
        general = {"General": {"title": "a"}, "Signal": {"signal_type": ""}}
        rest = {"original_metadata": {}, "attributes": {"_lazy": False}}
        signal = {"data": data, "axes": axes, "metadata": general, **rest}
        import_module(f"rsciio.{module}").file_writer(str(folder / f"a.{suffix}"), signal)

    return write


def czis(folder: Path) -> None:
    with create_czi(str(folder / "a.czi")) as file:
        for time_point, plane in enumerate(IMAGE):
            file.write(data=plane[..., None], plane={"T": time_point})
        file.write_metadata("a", channel_names={0: "a"}, scale_x=1e-7, scale_y=1e-7)


def lifs(folder: Path) -> None:
    counts, strides = (50, 40, 3), (2, 100, 4000)
    axes = "".join(
        f'<DimensionDescription DimID="{k + 1}" NumberOfElements="{count}" Origin="0" Length="1" Unit="m" BitInc="0" '
        f'BytesInc="{stride}"/>'
        for k, (count, stride) in enumerate(zip(counts, strides, strict=True))
    )
    channel = (
        '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" Max="1" '
        'Unit="" LUTName="Green" IsLUTInverted="0" BytesInc="0" BitInc="0"/>'
    )
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="a"><Children><Element Name="b"><Data><Image>'
        f"<ImageDescription><Channels>{channel}</Channels><Dimensions>{axes}</Dimensions></ImageDescription></Image>"
        f'</Data><Memory Size="{IMAGE.nbytes}" MemoryBlockID="M"/></Element></Children></Element>'
        "</LMSDataContainerHeader>"
    )
    head = struct.pack("<IIBI", 0x70, 2 * len(xml) + 5, 0x2A, len(xml)) + xml.encode("utf-16-le")
    block = struct.pack("<IIBQBI", 0x70, 0, 0x2A, IMAGE.nbytes, 0x2A, 1) + b"M\0"
    (folder / "a.lif").write_bytes(head + block + IMAGE.tobytes())


def nd2s(folder: Path) -> None:
    """Its first chunk alone: nobody writes a whole one."""
    name = b"ND2 FILE SIGNATURE CHUNK NAME01!"
    (folder / "a.nd2").write_bytes(struct.pack("<IIQ", 0x0ABECEDA, len(name), 64) + name + b"Ver3.0".ljust(64, b"\0"))


def dicoms(folder: Path) -> None:
    for name in ("small", "packed", "colour"):
        found = pydicom.Dataset()
        found.file_meta = pydicom.dataset.FileMetaDataset()
        found.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
        found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID = "1.2.3"
        found.Rows, found.Columns, found.NumberOfFrames = 40, 50, 1 if name == "colour" else 3
        found.SamplesPerPixel, found.PhotometricInterpretation = (3, "RGB") if name == "colour" else (1, "MONOCHROME1")
        found.PlanarConfiguration, found.PixelRepresentation = 0, 0
        found.BitsAllocated = found.BitsStored = 8 if name == "colour" else 16
        found.HighBit, found.PixelSpacing, found.RescaleSlope = found.BitsStored - 1, [0.5, 0.5], 2
        found.PixelData = np.stack([BYTE] * 3, -1).tobytes() if name == "colour" else IMAGE.tobytes()
        if name == "packed":
            found.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
            found.PixelData = pydicom.encaps.encapsulate([imagecodecs.jpegls_encode(plane) for plane in IMAGE])
        found.save_as(folder / f"{name}.dcm", enforce_file_format=True)


def niftis(folder: Path) -> None:
    for kind, name in (
        (nibabel.Nifti1Image, "a.nii"),
        (nibabel.Nifti2Image, "b.nii"),
        (nibabel.Nifti1Image, "c.nii.gz"),
    ):
        volume = kind(IMAGE.astype(np.int16).T, np.eye(4))
        volume.header.set_xyzt_units("mm", "sec")
        nibabel.save(volume, folder / name)


SEEDS: dict[str, Callable[[Path], None]] = {
    "tiff": tiffs, "png": pngs, "jpeg": jpegs, "npy": npys, "npz": npzs, "hdf5": hdf5s, "emd": emds, "zarr": zarrs,
    "zspy": zspys, "mrc": mrcs, "ser": sers, "emi": emis, "dm": dms, "ndata": ndatas, "prz": przs, "bmp": bmps,
    "czi": czis, "lif": lifs, "nd2": nd2s, "dicom": dicoms, "nifti": niftis,
    "ripple": of_signals("rpl", "ripple", 40, 50), "semper": of_signals("unf", "semper", 40, 50),
    "tvips": of_signals("tvips", "tvips", 3, 40, 50),
}  # fmt: skip


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, most often near the beginning, where headers are."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not data:
            break
        at = min(int(len(data) * rng.random() ** rng.choice((1, 3))), len(data) - 1)
        how = rng.randrange(6)
        if how <= 1:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            del data[at:]
        elif how == 3:
            data[at:at] = rng.choice(ODD)
        elif how == 4:
            odd = rng.choice(ODD)
            data[at : at + len(odd)] = odd
        else:
            data[at:at] = data[at : at + rng.randrange(1, 200)]
    return bytes(data)


def read_in_fork(path: Path) -> str:
    """What came of it: "read", "refused", "hang", "memory", "died" or a traceback."""
    out_of, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out_of)
        said = _read(path)
        os.write(into, said.encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(into)
    with os.fdopen(out_of, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "hang" if os.WTERMSIG(status) == signal.SIGALRM else f"died of signal {os.WTERMSIG(status)}"
    return said


def _read(path: Path) -> str:
    signal.alarm(HANG)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        np.asarray(read_image(path).data[...])
        said = "read"
    except InputError:
        said = "refused"
    except BaseException:  # the point of it
        said = f"traceback {traceback.format_exc()}"
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return "memory" if used * 1024 > MUCH and not said.startswith("traceback") else said


def copy(source: Path, target: Path) -> None:
    """A file or a folder, with the folders that it lies in."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def fuzz(name: str, seconds: float, seed: int, keep: Path | None) -> Counter[str]:
    """Try damaged files of one format for some time."""
    rng, found = random.Random(f"{name} {seed}"), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        good, bad = Path(folder) / "good", Path(folder) / "bad"
        good.mkdir()
        SEEDS[name](good)
        seeds = sorted(good.iterdir())
        warm = [read_in_fork(path) for path in seeds]
        found["seeds refused"] = sum(said != "read" for said in warm)
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            source = rng.choice(seeds)
            target = bad / source.name
            shutil.rmtree(bad, ignore_errors=True)
            copy(good, bad)  # some formats have files that belong to each other
            parts = sorted(one for one in ([target] if target.is_file() else target.rglob("*")) if one.is_file())
            part = rng.choice(parts)
            part.write_bytes(damaged(part.read_bytes(), rng))
            said, number = read_in_fork(target), number + 1
            kind = said.split()[0] if said else "died"
            found[kind] += 1
            found["files"] += 1
            if kind not in ("read", "refused"):
                print(f"{name} {number}: {source.name} {said.strip()[-600:]}", flush=True)
                if keep is not None:
                    copy(target, keep / f"{name}-{number}-{source.name}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--keep", type=Path, help="a folder for the files that were not handled")
    options = parser.parse_args()
    assert set(SEEDS) == set(READERS), "a reader has no seeds"
    warnings.simplefilter("ignore")
    logging.disable()  # tifffile notes each damaged tag
    for module in ("tia", "digitalmicrograph", "ripple", "semper", "tvips"):
        import_module(f"rsciio.{module}")  # before the forks
    hdf5_kinds.kinds()
    for module in ("liffile", "nd2"):
        import_module(module)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    kinds = ("files", "refused", "traceback", "hang", "memory", "died")
    rows = []
    for name in options.reader:
        found = fuzz(name, options.seconds, options.seed, options.keep)
        rows.append(f"| {name} | {' | '.join(str(found[kind]) for kind in kinds)} |")
        print(json.dumps({name: found}), flush=True)
    print("\n| reader | files tried | refused | tracebacks | hangs | above 1 GB | crashes |")
    print(f"|{'---|' * 7}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
