"""The command line: every format in and out, one-line errors with exit code 2, nothing half-written."""

import errno
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import tifffile
import torch
import zarr

import napari_hush as hush
from napari_hush import cli, inference
from napari_hush.card import ModelCard
from napari_hush.io import read_image, write_image
from napari_hush.model import Model

IMAGE = np.random.default_rng(0).integers(100, 4000, (61, 83)).astype(np.uint16)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    Model.create("cnn", {"widths": [4]}, card=ModelCard(name="tiny")).save(path)
    return str(path)


@pytest.fixture
def run(model_file, capsys):
    """Run ``napari-hush denoise`` with a tiny model; gives (exit code, standard output, standard error)."""

    def denoise(*arguments, model=model_file):
        code = cli.main(["denoise", *map(str, arguments), "--model", model, "--engine", "torch"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return denoise


def expected(image, model_file, **options):
    return hush.denoise(image, model_file, engine="torch", **options)


def complaint(err):
    """The error lines; the progress bar shares the stream."""
    return [line for line in err.replace("\r", "\n").splitlines() if line.startswith("napari-hush:")]


@pytest.mark.parametrize("name", ["image.tif", "image.png", "image.npy", "image.h5", "image.zarr", "image.ome.tif"])
def test_every_format_is_read_and_tiff_written(run, model_file, tmp_path, name):
    source, target = tmp_path / name, tmp_path / "out.tif"
    scale = {} if name.endswith(("png", "npy")) else {"pixel_size": (0.05, 0.05), "units": ("nm", "nm")}
    write_image(source, IMAGE, axes="YX", **scale)
    code, out, err = run(source, "-o", target)
    assert code == 0, err
    assert "tiny on cpu with torch" in out
    done = read_image(target)
    assert done.data.dtype == np.float32
    np.testing.assert_allclose(done.data, expected(IMAGE, model_file), rtol=1e-5, atol=1e-2)
    if scale:
        assert done.pixel_size == pytest.approx((0.05, 0.05))
        assert done.units == ("nm", "nm")


@pytest.mark.parametrize("name", ["out.tif", "out.npy", "out.h5", "out.zarr", "out.png"])
def test_every_format_is_written_in_the_inputs_dtype(run, model_file, tmp_path, name):
    source = tmp_path / "image.tif"
    write_image(source, IMAGE, axes="YX", pixel_size=(0.1, 0.2), units=("nm", "nm"))
    code, _, err = run(source, "-o", tmp_path / name, "--dtype", "input")
    assert code == 0, err
    done = read_image(tmp_path / name)
    assert done.data.dtype == np.uint16
    clipped = np.clip(np.rint(expected(IMAGE, model_file)), 0, 65535)
    assert np.abs(np.asarray(done.data).astype(float) - clipped).max() <= 1
    if name not in ("out.npy", "out.png"):
        assert done.pixel_size == pytest.approx((0.1, 0.2))


def test_stacks_keep_their_axes(run, tmp_path):
    stack = np.stack([IMAGE] * 3)
    write_image(tmp_path / "stack.tif", stack, axes="TYX", pixel_size=(2.0, 0.05, 0.05), units=("s", "nm", "nm"))
    code, _, err = run(tmp_path / "stack.tif", "-o", tmp_path / "out.tif")
    assert code == 0, err
    done = read_image(tmp_path / "out.tif")
    assert (done.axes, done.data.shape) == ("TYX", stack.shape)
    assert done.pixel_size[1:] == pytest.approx((0.05, 0.05))


def test_colours_are_found_in_the_file(run, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    write_image(tmp_path / "rgb.png", rgb, axes="YXC")
    options = ["--dtype", "input", "--panel", tmp_path / "p.png"]
    code, _, err = run(tmp_path / "rgb.png", "-o", tmp_path / "out.png", *options)
    assert code == 0, err
    assert read_image(tmp_path / "out.png").data.shape == rgb.shape
    assert (tmp_path / "p.png").stat().st_size > 0


def test_several_inputs_go_on_after_a_stray_file(run, tmp_path):
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / name, IMAGE, axes="YX")
    (tmp_path / "c.tif").write_text("not an image")
    (tmp_path / "d.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:500])
    code, out, err = run(tmp_path / "*.tif", "-o", tmp_path / "results")
    assert code == 2
    assert sorted(p.name for p in (tmp_path / "results").iterdir()) == ["a_denoised.tif", "b_denoised.tif"]
    assert len(complaint(err)) == 3
    assert "2 of 4 inputs" in complaint(err)[-1]
    assert "a_denoised.tif" in out


def test_without_output_the_result_lies_beside_the_input(run, tmp_path):
    write_image(tmp_path / "a.png", IMAGE, axes="YX")
    assert run(tmp_path / "a.png")[0] == 0
    assert (tmp_path / "a_denoised.tif").exists()


def test_zarr_to_zarr_with_a_panel(run, model_file, tmp_path):
    write_image(tmp_path / "in.zarr", np.stack([IMAGE] * 2), axes="ZYX", pixel_size=(1, 2, 2), units=("nm",) * 3)
    code, _, err = run(tmp_path / "in.zarr", "-o", tmp_path / "out.zarr", "--tile", "40", "--panel", tmp_path / "p.png")
    assert code == 0, err
    done = read_image(tmp_path / "out.zarr")
    assert isinstance(done.data, zarr.Array)
    assert done.pixel_size == pytest.approx((1, 2, 2))
    np.testing.assert_allclose(done.data[1], expected(np.stack([IMAGE] * 2), model_file)[1], rtol=1e-4, atol=0.02)


def test_hdf5_dataset_is_selected_by_path(run, tmp_path):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["x/one"], file["x/two"] = IMAGE, IMAGE[:30]
    code, _, err = run(f"{tmp_path / 'two.h5'}:/x/two", "-o", tmp_path / "out.tif")
    assert code == 0, err
    assert tifffile.imread(tmp_path / "out.tif").shape == (30, 83)
    code, _, err = run(tmp_path / "two.h5", "-o", tmp_path / "out.tif")
    assert code == 2
    assert "x/one" in err


def _save_npy(path, array):
    with path.open("wb") as file:
        np.save(file, array)


def _files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_text("hello"), "text"),
        (lambda p: p.write_bytes(b""), "empty"),
        (lambda p: p.mkdir(), "folder"),
        (lambda p: None, "no such file"),
        (lambda p: tifffile.imwrite(p, np.full((20, 20), 5, np.uint8)), "constant"),
        (lambda p: tifffile.imwrite(p, np.full((20, 20), np.nan, np.float32)), "no finite value"),
        (lambda p: tifffile.imwrite(p, IMAGE.astype(np.complex64)), "complex"),
        (lambda p: tifffile.imwrite(p, np.zeros((2,) * 5, np.uint8), photometric="minisblack"), "5 dimensions"),
        (lambda p: _save_npy(p, np.array([[1, None]], object)), "object"),
        (lambda p: _save_npy(p, np.zeros((0, 4))), "no pixels"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(run, tmp_path, make, words):
    make(tmp_path / "in.tif")
    before = _files(tmp_path)
    code, out, err = run(tmp_path / "in.tif", "-o", tmp_path / "out.tif")
    assert code == 2
    assert len(complaint(err)) == 1
    assert words in err
    assert "Traceback" not in err + out
    assert _files(tmp_path) == before


def test_unusable_outputs_are_told_before_the_work(run, tmp_path):
    write_image(tmp_path / "in.tif", IMAGE, axes="YX")
    before = _files(tmp_path)
    for target, words in [
        (tmp_path / "missing" / "out.tif", "missing"),
        (tmp_path / "in.tif", "replace the input"),
        (tmp_path / "in.tif" / "out.tif", "in.tif"),
        (tmp_path / "out.docx", ".docx"),
    ]:
        code, _, err = run(tmp_path / "in.tif", "-o", target)
        assert (code, len(complaint(err))) == (2, 1), err
        assert words in err
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert run(tmp_path / "in.tif", "-o", locked / "out.tif")[0] == 2
    assert _files(tmp_path) == before


def test_floats_do_not_go_into_png_silently(run, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "denoise_steps", None)  # told before the work
    write_image(tmp_path / "in.tif", IMAGE, axes="YX")
    code, _, err = run(tmp_path / "in.tif", "-o", tmp_path / "out.png")
    assert code == 2
    assert "--dtype" in err
    assert not (tmp_path / "out.png").exists()


def test_a_full_disk_leaves_nothing_and_the_old_file(run, tmp_path, monkeypatch):
    write_image(tmp_path / "in.tif", IMAGE, axes="YX")
    (tmp_path / "out.tif").write_bytes(b"older")
    before = _files(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run(tmp_path / "in.tif", "-o", tmp_path / "out.tif")
    assert code == 2
    assert "No space left" in complaint(err)[0]
    assert _files(tmp_path) == before


def test_ctrl_c_leaves_nothing(run, tmp_path, monkeypatch):
    write_image(tmp_path / "in.zarr", IMAGE, axes="YX")

    def interrupt(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(inference.TileRunner, "_run_batch", interrupt)
    code, _, err = run(tmp_path / "in.zarr", "-o", tmp_path / "out.zarr")
    assert code == 130
    assert "cancelled" in err
    assert [p.name for p in tmp_path.iterdir()] == ["in.zarr"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\x89HDF\r\n\x1a\n garbage", "HDF5"), (b"PK\x03\x04", "PyTorch"), (b"hello", "model"), (b"", "empty")],
)
def test_a_bad_model_is_one_line(run, tmp_path, content, words):
    write_image(tmp_path / "in.tif", IMAGE, axes="YX")
    (tmp_path / "model.h5").write_bytes(content)
    code, _, err = run(tmp_path / "in.tif", "-o", tmp_path / "out.tif", model=str(tmp_path / "model.h5"))
    assert (code, len(complaint(err))) == (2, 1)
    assert words in err


def test_an_unknown_model_lists_the_bundled_ones(run, tmp_path):
    write_image(tmp_path / "in.tif", IMAGE, axes="YX")
    code, _, err = run(tmp_path / "in.tif", "-o", tmp_path / "out.tif", model="stm")
    assert code == 2
    assert "stem" in err


def test_a_wrong_option_ends_with_two():
    done = subprocess.run([sys.executable, "-m", "napari_hush.cli", "denoise", "--tile", "x"], capture_output=True)
    assert done.returncode == 2


def test_demo_prints_the_metrics_and_writes_its_files(tmp_path, capsys, model_file):
    arguments = ["demo", "-o", str(tmp_path / "demo"), "--sample", "stack", "--model", model_file, "--engine", "torch"]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    for word in ("PSNR", "SSIM", "MSE", "MAE", "napari", "stack_panel.png"):
        assert word in out
    names = {p.name for p in (tmp_path / "demo").iterdir()}
    assert names == {"stack_noisy.tif", "stack_denoised.tif", "stack_truth.tif", "stack_panel.png"}
    denoised = read_image(tmp_path / "demo" / "stack_denoised.tif")
    assert denoised.pixel_size[-1] == pytest.approx(0.03)


def test_the_bundled_model_beats_the_noise_by_far():
    truth = hush.sample("dented-lattice")
    done = hush.denoise(truth.noisy, "stem")
    from napari_hush.metrics import psnr

    assert psnr(truth.clean, done) > psnr(truth.clean, truth.noisy) + 8
    assert json.loads(hush.list_models()[0].model_dump_json())["licence"] == "BSD-3-Clause"
