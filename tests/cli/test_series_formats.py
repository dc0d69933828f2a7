"""A record is the same series in whatever file it lies: its frames are found along T, and come out as of the array."""

import struct

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from scipy import ndimage

import napari_hush as hush
from napari_hush import cli
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io import read_image

pytestmark = pytest.mark.slow

SIDE, FRAMES = 80, 5
SETTINGS = {"device": "cpu", "engine": "torch", "guard": False}


def record(seed=0):
    rng = np.random.default_rng(seed)
    clean = ndimage.gaussian_filter(rng.random((SIDE, SIDE)), 3)
    clean = 1000 * (clean - clean.min()) / np.ptp(clean)
    return (clean + rng.normal(0, 40, (FRAMES, SIDE, SIDE))).astype(np.float32)


def two():
    """(T, 2, Y, X): two series."""
    return np.stack([record(), 1500 - record(1)], axis=1)


def mrc(path, image):
    count, height, width = image.shape
    header = struct.pack("<10i", width, height, count, 1, 0, 0, 0, width, height, count)
    header += struct.pack("<6f", width, height, count, 90, 90, 90) + struct.pack("<3i", 1, 2, 3)
    header = (header.ljust(208, b"\0") + b"MAP \x44\x44\0\0").ljust(1024, b"\0")
    path.write_bytes(header + image.astype("<i2").tobytes())


def pages(path, image):
    with tifffile.TiffWriter(path) as file:
        for page in image:
            file.write(page, contiguous=False, metadata=None, photometric="minisblack")


def hdf5(path, image):
    with h5py.File(path, "w") as file:
        file["movie/data"] = image


FILES = {
    "pages.tif": (pages, record, None),
    "t.tif": (lambda path, image: tifffile.imwrite(path, image, imagej=True, metadata={"axes": "TYX"}), record, None),
    "tc.tif": (lambda path, image: tifffile.imwrite(path, image, imagej=True, metadata={"axes": "TCYX"}), two, 1),
    "tz.tif": (lambda path, image: tifffile.imwrite(path, image, imagej=True, metadata={"axes": "TZYX"}), two, None),
    "zt.ome.tif": (
        lambda path, image: tifffile.imwrite(path, image.swapaxes(0, 1), metadata={"axes": "ZTYX"}),
        two,
        None,
    ),
    "a.h5": (hdf5, record, None),
    "a.zarr": (lambda path, image: zarr.save(str(path), image), record, None),
    "a.mrc": (mrc, lambda: record().astype("<i2"), None),
}


@pytest.mark.parametrize("name", FILES)
def test_record_of_any_format_is_a_series(tmp_path, model_file, capsys, name):
    if name.endswith("mrc"):
        pytest.importorskip("rsciio")
    write, image, channel_axis = FILES[name][0], FILES[name][1](), FILES[name][2]
    write(tmp_path / name, image)
    out = tmp_path / ("out.zarr" if name.endswith("zarr") else "out.tif")
    arguments = [str(tmp_path / name), "-o", str(out), "--model", model_file, "--frames", "auto", "--no-verdict"]
    assert cli.main(["denoise", *arguments, "--engine", "torch", "--guard", "False"]) == 0
    assert "frames carry a pixel on average" in capsys.readouterr().out
    expected = hush.denoise(image, model_file, channel_axis=channel_axis, **SETTINGS)
    np.testing.assert_allclose(np.asarray(read_image(out).data), expected, rtol=1e-4, atol=0.05)


def test_axis_that_was_read_as_colours_can_count_frames(tmp_path, model_file, capsys):
    tifffile.imwrite(tmp_path / "rgb.tif", record()[:3], photometric="rgb", planarconfig="separate")
    arguments = ["denoise", str(tmp_path / "rgb.tif"), "-o", str(tmp_path / "a.tif"), "--model", model_file]
    arguments += ["--engine", "torch", "--guard", "False", "--no-verdict"]
    assert cli.main([*arguments, "--frames", "3"]) == 2
    said = capsys.readouterr().err
    assert "read as colours" in said and "--series" in said and "expected a stack" not in said
    assert cli.main([*arguments, "--series"]) == 0
    assert "frames carry a pixel on average" in capsys.readouterr().out
    assert read_image(tmp_path / "a.tif").axes == "TYX"
    tifffile.imwrite(tmp_path / "one.tif", record()[0])
    assert cli.main(["denoise", str(tmp_path / "one.tif"), "--model", model_file, "--series"]) == 2
    assert "expected frames along the first axis" in capsys.readouterr().err


def test_part_of_a_plane_takes_no_number_of_frames(model_file):
    options = {"plane": (0,), "region": (0, 32, 0, 32)}
    with pytest.raises(InputError, match="frames=4: only a part"):
        run_steps(denoise_steps(record(), model_file, DenoiseSettings(frames=4, **SETTINGS), **options))
    done = run_steps(denoise_steps(record(), model_file, DenoiseSettings(**SETTINGS), **options))
    assert done.image.shape == (32, 32) and done.series is None
