"""The command line: every format in and out, one-line errors with exit code 2, nothing half-written."""

import dataclasses
import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import h5py
import numpy as np
import pytest
import tifffile
import torch
import zarr

import napari_hush as hush
from keras_files import cnn_layers, make_config, tomogan_layers, write_keras
from napari_hush import cli
from napari_hush.card import ModelCard
from napari_hush.cli.importing import ImportOptions
from napari_hush.cli.models import normalization_text
from napari_hush.importers.options import KerasOptions
from napari_hush.importers.registry import IMPORTERS
from napari_hush.inference import denoise as inference
from napari_hush.inference.tiles.runner import TileRunner
from napari_hush.io import ImageData, read_image, write_image
from napari_hush.io.metadata import Channel, Metadata, ramp
from napari_hush.model import Model
from napari_hush.networks.cnn import CNN
from napari_hush.networks.cyclegan import CycleGANResNet
from napari_hush.networks.tomogan import TomoGAN, Upsampling
from napari_hush.normalize import NormalizationRule

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


def test_names_colours_ranges_and_white_zeros_go_with_the_result(run, tmp_path):
    stack = np.random.default_rng(0).integers(80, 160, (2, 2, 64, 64)).astype(np.uint8)
    channels = (Channel("DAPI", ramp(0, 0, 255), (90.0, 150.0)), Channel("GFP", ramp(0, 255, 0), (80.0, 160.0)))
    known = Metadata("n", "d", "2021-02-03T04:05:06", channels, tuple("abcd"), inverted=True)
    write_image(tmp_path / "in.tif", stack, like=ImageData(stack, "TCYX", metadata=known))
    for name in ("out.tif", "out.ome.tif"):
        code, _, err = run(tmp_path / "in.tif", "-o", tmp_path / name)
        assert code == 0, err
        assert read_image(tmp_path / name).metadata == known


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


@pytest.mark.parametrize("name", ["a.ome.tif", "a.ome.tiff", "a.ome.zarr", "a.zarr"])
def test_results_are_called_and_stored_as_their_inputs(run, tmp_path, name):
    start, _, end = name.partition(".")
    for number in (1, 2):
        write_image(tmp_path / f"{start}{number}.{end}", IMAGE, axes="YX")
    code, _, err = run(tmp_path / f"a*.{end}", "-o", tmp_path / "results")
    assert code == 0, err
    assert [one.name for one in sorted((tmp_path / "results").iterdir())] == [f"a{k}_denoised.{end}" for k in (1, 2)]
    assert run(tmp_path / f"a1.{end}")[0] == 0 and (tmp_path / f"a1_denoised.{end}").exists()
    if "tif" in end:
        with tifffile.TiffFile(tmp_path / f"a1_denoised.{end}") as tif:
            assert tif.is_ome


def test_what_ome_tiff_cannot_hold_is_told_before_the_work(run, tmp_path, monkeypatch):
    write_image(tmp_path / "a.npy", np.zeros((2, 2, 64, 64), np.float32))
    monkeypatch.setattr(TileRunner, "run", lambda *_: pytest.fail("it was computed"))
    code, _, err = run(tmp_path / "a.npy", "-o", tmp_path / "a.ome.tif")
    assert code == 2 and "OME-TIFF knows the axes" in err
    code, _, err = run(tmp_path / "a.npy", "-o", tmp_path / "a.ome.tif", "--dtype", "float16")
    assert code == 2 and "OME-TIFF knows" in err


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
    code, _, err = run(tmp_path / "two.h5", "-o", tmp_path / "other.tif")
    assert code == 2
    assert "x/one" in err


def test_a_zarr_that_lost_chunks_is_refused_or_allowed(run, tmp_path, capsys):
    source, out = tmp_path / "in.zarr", tmp_path / "out.tif"
    zarr.create_array(source, data=IMAGE, chunks=(32, 32))
    (source / "c" / "1" / "1").unlink()
    code, _, err = run(source, "-o", out)
    assert code == 2 and "c/1/1 is not there" in err and "--fill-missing" in err
    assert cli.main(["evaluate", str(source), str(source)]) == 2 and "--fill-missing" in capsys.readouterr().err
    code, _, err = run(source, "-o", out, "--fill-missing")
    assert code == 0 and read_image(out).shape == IMAGE.shape
    assert cli.main(["evaluate", str(source), str(source), "--fill-missing"]) != 2


def test_labels_are_warned_of(run, tmp_path):
    write_image(tmp_path / "labels.tif", np.kron(np.arange(16).reshape(4, 4), np.ones((20, 20))).astype(np.uint16))
    write_image(tmp_path / "image.tif", IMAGE)
    code, _, err = run(tmp_path / "labels.tif", "-o", tmp_path / "out.tif")
    assert code == 0 and "labels.tif: looks like labels of regions (16 different whole numbers in flat areas)" in err
    code, _, err = run(tmp_path / "image.tif", "-o", tmp_path / "other.tif")
    assert code == 0 and "looks like" not in err


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
    def too_late(*_, **__):
        raise AssertionError("it is told before the work")

    monkeypatch.setattr(inference, "denoise_steps", too_late)
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
    code, _, err = run(tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--overwrite")
    assert code == 2
    assert "No space left" in complaint(err)[0]
    assert _files(tmp_path) == before


def test_ctrl_c_leaves_nothing(run, tmp_path, monkeypatch):
    write_image(tmp_path / "in.zarr", IMAGE, axes="YX")

    def interrupt(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(TileRunner, "_begin", interrupt)
    code, _, err = run(tmp_path / "in.zarr", "-o", tmp_path / "out.zarr")
    assert code == 130
    assert "cancelled" in err
    assert [p.name for p in tmp_path.iterdir()] == ["in.zarr"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\x89HDF\r\n\x1a\n garbage", "HDF5"), (b"PK\x03\x04", "zip archive"), (b"hello", "model"), (b"", "empty")],
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


@pytest.mark.parametrize("depth", [1, 3])
def test_a_volume_is_denoised_from_any_format_and_from_its_slices(tmp_path, capsys, depth):
    torch.manual_seed(0)
    Model.create("tomogan", {"depth": depth}, card=ModelCard(name="slices")).save(tmp_path / "m.safetensors")
    model = str(tmp_path / "m.safetensors")
    volume = np.random.default_rng(1).normal(100, 10, (4, 24, 32)).astype(np.float32)
    (tmp_path / "scan").mkdir()
    for z, image in enumerate(volume):
        write_image(tmp_path / "scan" / f"slice{8 + z}.tif", image)
    sources = ["volume.tif", "volume.h5", "volume.zarr", "scan", "scan/slice*.tif"]
    for name in sources[:3]:
        write_image(tmp_path / name, volume, axes="ZYX")
    wanted = expected(volume, model)
    for source in sources:
        target = tmp_path / f"{source.partition('/')[0]}_out.zarr"
        options = ["--volume"] if source.startswith("scan") else []
        arguments = [str(tmp_path / source), "-o", str(target), "--model", model, "--engine", "torch", "--no-verdict"]
        assert cli.main(["denoise", *arguments, *options]) == 0, capsys.readouterr().err
        np.testing.assert_allclose(read_image(target).data[:], wanted, rtol=1e-5)
        assert read_image(target).axes == "ZYX"
    capsys.readouterr()
    assert cli.main(["denoise", str(tmp_path / "scan" / "*.tif"), "--volume", "--model", model, "--no-verdict"]) == 0
    np.testing.assert_allclose(read_image(tmp_path / "scan_denoised.tif").data, wanted, rtol=1e-5)
    if depth > 1:
        assert cli.main(["denoise", str(tmp_path / "scan" / "slice8.tif"), "--model", model]) == 2
        assert "3 neighbouring slices of a stack" in capsys.readouterr().err


def test_the_model_that_fits_the_image_is_taken_and_told(tmp_path, capsys):
    for name in ("cells", "dented-lattice"):
        write_image(tmp_path / f"{name}.tif", hush.sample(name).noisy[:128, :128], axes="YX")
    assert cli.main(["denoise", str(tmp_path / "*.tif"), "--engine", "torch"]) == 0
    out = capsys.readouterr().out
    assert "cells_denoised.tif: no lattice was found (about " in out and "counts per pixel), so general on cpu" in out
    assert (
        "dented-lattice_denoised.tif: a lattice of " in out
        and " px was found (about " in out
        and "), so stem on cpu" in out
    )


def test_a_model_that_does_not_suit_is_told(tmp_path, capsys):
    write_image(tmp_path / "a.tif", hush.sample("dented-lattice").noisy[:96, :96])
    assert cli.main(["denoise", str(tmp_path / "a.tif"), "--model", "general", "--engine", "torch"]) == 0
    assert "px was found: 'stem' is the model for lattices" in capsys.readouterr().out.splitlines()[1]


def test_each_result_has_its_verdict_under_it(run, tmp_path, monkeypatch):
    noisy = hush.sample("dented-lattice").noisy[:96, :96]
    write_image(
        tmp_path / "a.tif", np.stack([noisy] * 3), axes="TYX", pixel_size=(1, 0.03, 0.03), units=("", "nm", "nm")
    )
    code, out, _ = run(tmp_path / "a.tif")
    line, verdict, given = out.splitlines()  # copies of one frame know no more than it: nothing is said of a series
    assert code == 0 and line.startswith(f"{tmp_path / 'a_denoised.tif'}: tiny on cpu")
    assert verdict.startswith("  FAIL: ") and verdict.endswith("(plane 1)")  # the tiny model knows nothing
    assert "given back" in given
    assert run(tmp_path / "a.tif", "-o", tmp_path / "a.zarr")[1].splitlines()[1].startswith("  FAIL: ")
    assert len(run(tmp_path / "a.tif", "--no-verdict")[1].splitlines()) == 1

    def broken(*_, **__):
        raise RuntimeError("out of order")

    monkeypatch.setattr("napari_hush.fidelity.glance.judge_frame", broken)
    code, out, _ = run(tmp_path / "a.tif")
    assert code == 0 and out.splitlines()[1] == "  not checked: out of order"


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
    from napari_hush.fidelity.metrics import psnr

    assert psnr(truth.clean, done) > psnr(truth.clean, truth.noisy) + 8
    assert json.loads(hush.list_models()[0].model_dump_json())["licence"] == "BSD-3-Clause"


# models


@pytest.fixture
def command(capsys):
    """Run any command; gives (exit code, standard output, standard error)."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory):
    """A TomoGAN that does not say how it upsamples."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("keras") / "TomoGAN.h5"
    write_keras(path, TomoGAN(), make_config(tomogan_layers(), "Model"))
    return path


def test_the_bundled_models_are_listed(command):
    code, out, _ = command("models")
    assert code == 0
    (header, *lines) = out.splitlines()
    assert header.split() == ["name", "architecture", "parameters", "licence", "description"]
    networks = dict.fromkeys(("stem", "tomo", "stem-cyclegan"), ("tomogan", "694,897"))
    networks["general"] = ("unet", "1,059,553")
    for name, network in networks.items():
        (line,) = [line.split() for line in lines if line.startswith(f"{name} ")]
        assert line[:5] == [name, *network, "BSD-3-Clause", "Removes"]
    assert all(len(line) <= 120 for line in lines)
    _, out, _ = command("models", "--json")
    models = json.loads(out)
    assert [model["parameters"] for model in models if model["name"] == "stem"] == [
        hush.load_model("stem").n_parameters
    ]
    assert [model["description"] for model in models] == [card.description for card in hush.list_models()]


def test_all_that_is_known_of_a_model(command):
    code, out, _ = command("models", "stem")
    assert code == 0
    for words in (
        "tomogan (in_channels=1",
        "694,897",
        "1 in, 1 out",
        "single images",
        "40 px",
        "1 and 99 percentiles",
        "BSD-3-Clause",
        "lattices of 5 to 57 px per period, brought to 12 px and back",
        "scripts/train_bundled.py stem",
        "1.4 MB",
        "method: supervised",
        "| dose | PSNR noisy",
        "python benchmarks/quality.py stem --model stem",
        "Lattice periods from 5 to 57 px",
    ):
        assert words in out
    assert "statistics" not in out.partition("training")[0]
    _, out, _ = command("models", "stem", "--json")
    found = json.loads(out)
    model = hush.load_model("stem")
    assert found["hyperparameters"] == model.hyperparameters
    assert (found["stride"], found["halo"], found["depth"]) == (model.stride, model.halo, 1)
    assert model.card == ModelCard(**{name: found[name] for name in ModelCard.model_fields})
    assert hashlib.sha256(Path(found["file"]).read_bytes()).hexdigest() == found["file_sha256"]


def test_a_network_with_statistics_of_the_whole_image_says_so(command, tmp_path):
    for norm, words in (("instance", "16 px and the whole image's statistics"), ("none", "16 px\n")):
        path = tmp_path / f"{norm}.safetensors"
        options = {"width": 2, "blocks": 1, "norm": norm, "in_channels": 3, "out_channels": 3}
        model = Model.create("cyclegan_resnet", options)
        model.save(path)
        _, out, _ = command("models", path)
        assert words.replace("16", str(model.halo)) in out
        assert "3 in, 3 out" in out


def test_an_imported_model_with_its_warning_and_its_options(command, keras_file):
    code, out, err = command("models", keras_file)
    assert code == 0
    assert "upsampling='nearest'" in out
    assert "none for values that suit 0 to 255; for others the image's 0.1 and 99.9" in " ".join(out.split())
    assert err.startswith("napari-hush: warning: TomoGAN.h5 does not store how it upsamples")
    options = ["--upsampling", "bilinear_tf1", "--value-range", "-1", "1", "--normalization", "percentile", "--json"]
    code, out, err = command("models", keras_file, *options)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["hyperparameters"]["upsampling"] == "bilinear_tf1"
    assert (found["normalization"]["target"], found["normalization"]["method"]) == ([-1, 1], "percentile")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"low": 2}, "the image's 2 and 99 percentiles are mapped to 0 and 1; the result is mapped back"),
        ({"method": "identity", "target": (-1, 1)}, "none; trained on values from -1 to 1"),
        (
            {"method": "range", "source": (0, 255), "target": (-1, 1), "clip": True},
            "values from 0 to 255 are mapped to -1 and 1 and what lies beyond is clipped; the result is mapped back",
        ),
    ],
)
def test_normalisation_in_words(rule, words):
    assert normalization_text(NormalizationRule(**rule)) == words


def test_a_pytorch_checkpoint_takes_its_own_options(command, tmp_path):
    path = tmp_path / "latest_net_G_A.pth"
    torch.save(CycleGANResNet(in_channels=3, out_channels=3, width=4, blocks=6).state_dict(), path)
    code, out, err = command("models", path, "--value-range", "0", "255")
    assert (code, err) == (0, "")
    assert "values from 0 to 255 are mapped to -1 and 1" in " ".join(out.split())
    code, _, err = command("models", path, "--upsampling", "nearest")
    assert (code, len(complaint(err))) == (2, 1)
    assert "percentiles" in err
    target = tmp_path / "G_A.safetensors"
    assert command("convert", path, target, "--percentiles", "1", "99")[0] == 0
    rule = hush.load_model(target).normalization
    assert (rule.low, rule.high) == (1, 99)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_text("hello"), "text"),
        (lambda p: p.write_bytes(b""), "empty"),
        (lambda p: p.mkdir(), "folder"),
        (lambda p: None, "no such file"),
        (lambda p: write_image(p, IMAGE), "contents"),
    ],
)
def test_a_wrong_model_file_is_one_line_and_exit_code_two(command, tmp_path, make, words):
    path = tmp_path / "model.npy"
    make(path)
    for arguments in (["models", path], ["convert", path, tmp_path / "out.safetensors"]):
        code, out, err = command(*arguments)
        assert (code, out, len(complaint(err))) == (2, "", 1)
        assert words in err
    assert not (tmp_path / "out.safetensors").exists()


def test_a_card_cannot_steer_the_terminal(command, tmp_path):
    path = tmp_path / "m.safetensors"
    evil = "\x1b[2J\x07evil\r"
    card = ModelCard(name=evil, description=evil, source=evil, licence=evil, training={evil: evil + "\n" + evil})
    Model.create("cnn", {"widths": [2]}, card=card).save(path)
    code, out, _ = command("models", path)
    assert code == 0
    assert "evil" in out
    assert all(letter.isprintable() or letter == "\n" for letter in out)


def test_options_without_a_file_are_refused(command):
    code, _, err = command("models", "--value-range", "0", "1")
    assert (code, "--value-range" in err) == (2, True)


def test_options_are_those_of_the_importers():
    taken = {option for importer in IMPORTERS.values() for option in importer.option_names}
    given = {field.name for field in dataclasses.fields(ImportOptions)}
    assert taken == given
    assert get_args(get_type_hints(KerasOptions)["upsampling"]) == ("file", *get_args(Upsampling))


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise")
def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m napari_hush.cli models --json | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_help_and_the_list_need_no_torch():
    code = (
        "import sys\nfrom napari_hush.cli import main\n"
        "for words in (['--help'], ['convert', '--help'], ['models']):\n"
        "    try: main(words)\n"
        "    except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_denoising_an_image_loads_nothing_for_series_and_other_formats():
    code = (
        "import inspect, sys\n"
        "from napari_hush.cli import COMMANDS, _read\n"
        "command = COMMANDS['denoise']\n"
        "def source(of): raise AssertionError(f'the source of {of} was looked at')\n"
        "inspect.getsource, usual = source, inspect.getsource\n"
        "_read({'denoise': command}, ['denoise', 'x.tif'])\n"
        "inspect.getsource = usual\n"
        "import napari_hush.fidelity.glance, napari_hush.inference.denoise, napari_hush.io\n"
        "left = ('napari_hush.series', 'napari_hush.io.formats.hdf5_kinds', 'napari_hush.io.formats.czi')\n"
        "print([name for name in sys.modules if name.startswith(left)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_end_looks_for_no_cycles():
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0))\n"
        "from napari_hush.cli import main\n"
        "main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[1:] == ["True"]


# convert


def test_a_keras_model_becomes_a_model_file(command, keras_file, tmp_path):
    target = tmp_path / "m.safetensors"
    options = [
        "--upsampling",
        "bilinear_tf1",
        "--name",
        "TomoGAN",
        "--licence",
        "Apache-2.0",
        "--description",
        "For CT.",
    ]
    code, out, err = command("convert", keras_file, target, *options)
    assert (code, err) == (0, "")
    assert out == f"{target}: napari-hush model, tomogan, 694,897 parameters, 2.8 MB\n"
    model = hush.load_model(target)
    assert model.hyperparameters["upsampling"] == "bilinear_tf1"
    assert (model.card.name, model.card.licence, model.card.description) == ("TomoGAN", "Apache-2.0", "For CT.")
    assert "SHA-256" in model.card.source


def test_authors_and_licence_reach_the_package(command, model_file, tmp_path, monkeypatch):
    import napari_hush.exporters

    asked = []

    def export(model, path, **options):
        asked.append((model.card.licence, options))
        path.write_bytes(b"PK")

    monkeypatch.setattr(napari_hush.exporters, "export", export)
    options = ["--author", "Ada", "--author", "Bo", "--licence", "CC-BY-4.0"]
    code, out, _ = command("convert", model_file, tmp_path / "m.zip", *options)
    assert code == 0
    assert asked == [("CC-BY-4.0", {"authors": ["Ada", "Bo"]})]
    assert out == f"{tmp_path / 'm.zip'}: BioImage.IO package, cnn, 77 parameters, 2 bytes\n"


def test_a_package_without_a_licence_is_refused(command, model_file, tmp_path):
    pytest.importorskip("bioimageio.spec")
    code, out, err = command("convert", model_file, tmp_path / "m.zip")
    assert (code, out, len(complaint(err))) == (2, "", 1)
    assert "licence" in err
    assert _files(tmp_path) == {}


@pytest.mark.slow
def test_a_package_is_written(command, model_file, tmp_path):
    for name in ("onnx", "onnxscript", "bioimageio.spec"):
        pytest.importorskip(name)
    code, out, err = command("convert", model_file, tmp_path / "m.zip", "--licence", "MIT")
    assert code == 0, err
    assert out.startswith(f"{tmp_path / 'm.zip'}: BioImage.IO package, cnn, 77 parameters, ")


def test_a_bundled_model_is_converted_by_its_name(command, tmp_path):
    code, out, _ = command("convert", "stem", tmp_path / "copy.safetensors")
    assert code == 0, out
    assert hush.load_model(tmp_path / "copy.safetensors").card == hush.load_model("stem").card


def test_nothing_is_replaced_unasked(command, model_file, tmp_path):
    target = tmp_path / "out.safetensors"
    target.write_bytes(b"older")
    code, out, err = command("convert", model_file, target)
    assert (code, out, len(complaint(err))) == (2, "", 1)
    assert "--overwrite" in err
    assert target.read_bytes() == b"older"
    assert command("convert", model_file, target, "--overwrite")[0] == 0
    assert hush.load_model(target).card.name == "tiny"


@pytest.mark.parametrize("link", [False, True])
def test_the_input_is_never_replaced(command, model_file, tmp_path, link):
    source = tmp_path / "in.safetensors"
    source.write_bytes(Path(model_file).read_bytes())
    target = source
    if link:
        target = tmp_path / "link.safetensors"
        os.link(source, target)
    before = _files(tmp_path)
    code, _, err = command("convert", source, target, "--overwrite")
    assert code == 2
    assert "replace the input" in err
    assert _files(tmp_path) == before


def test_a_full_disk_leaves_the_older_model(command, model_file, tmp_path, monkeypatch):
    (tmp_path / "out.safetensors").write_bytes(b"older")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = command("convert", model_file, tmp_path / "out.safetensors", "--overwrite")
    assert code == 2
    assert "No space left" in complaint(err)[0]
    assert _files(tmp_path) == {(tmp_path / "out.safetensors").relative_to(tmp_path): b"older"}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.pb", [], ".safetensors"),
        ("out", [], ".safetensors"),
        ("missing/out.safetensors", [], "does not exist"),
        ("folder.zip", [], "is a folder"),
        ("out.safetensors", ["--upsampling", "nearest"], "takes no options; got upsampling"),
        ("out.safetensors", ["--author", "Ada"], "leave out --author"),
        ("out.safetensors", ["--name", ""], "--name"),
        ("out.safetensors", ["--name", "x" * 201], "--name"),
        ("out.safetensors", ["--licence", "a\nb"], "--licence"),
    ],
)
def test_what_cannot_be_converted_is_one_line(command, model_file, tmp_path, name, options, words):
    (tmp_path / "folder.zip").mkdir()
    code, out, err = command("convert", model_file, tmp_path / name, *options)
    assert (code, out, len(complaint(err))) == (2, "", 1), err
    assert words in err
    assert _files(tmp_path) == {}


def test_an_option_that_the_file_does_not_have_is_refused(command, tmp_path):
    write_keras(tmp_path / "cnn.h5", CNN(widths=(2,)), make_config(cnn_layers(CNN(widths=(2,)))))
    for options, words in [
        (
            ["--percentiles", "1", "99"],
            "the keras importer takes upsampling, value_range, normalization; got percentiles",
        ),
        (["--upsampling", "nearest"], "does not upsample"),
        (["--value-range", "5", "1"], "increasing"),
    ]:
        code, _, err = command("convert", tmp_path / "cnn.h5", tmp_path / "out.safetensors", *options)
        assert (code, len(complaint(err))) == (2, 1)
        assert words in err


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["models"], ["models", "--json"], ["train", "supervised", "--help"]]
)
@pytest.mark.parametrize("stream", ["a closed pipe", "nothing"])
def test_without_a_reader_no_traceback_is_printed(arguments, stream):
    code = "import sys; from napari_hush.cli import main; sys.exit(main(sys.argv[1:]))"
    if stream == "nothing":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
    assert done.stderr == b""
    assert done.returncode in (0, 141)
