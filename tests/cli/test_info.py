"""``napari-hush info`` tells how a file was made, by a command that makes the same again."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict

import numpy as np
import pytest

from napari_hush import cli
from napari_hush.files import file_sha256
from napari_hush.inference.denoise import denoise
from napari_hush.inference.repeat import command
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io import read_image, write_image
from napari_hush.io.history import read_history

IMAGE = np.random.default_rng(0).integers(100, 4000, (3, 40, 48)).astype(np.uint16)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("my scan.tif", IMAGE, axes="ZYX", pixel_size=0.25, units="nm")
    return tmp_path


def said(capsys, *arguments):
    assert cli.main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("out.tif", []),
        ("out.npy", []),
        ("out.zarr", []),
        ("out.h5", ["--guard", "False", "--tile", "32", "--frames", "False"]),
        ("out.ome.tif", ["--guard", "True", "--dark", "--normalize", "plane", "--dtype", "uint16"]),
    ],
)
def test_the_command_makes_the_same_again(desk, capsys, model_file, target, options):
    said(capsys, "denoise", "my scan.tif", "-o", target, "--model", model_file, "--no-verdict", *options)
    first, data = read_history(target), np.asarray(read_image(target).data)
    words = said(capsys, "info", target)
    again = next(line.partition("again with")[2].strip() for line in words.splitlines() if "again with" in line)
    program, *arguments = shlex.split(again)
    assert program == "napari-hush" and ("--dark" in arguments) == ("--dark" in options)
    said(capsys, *arguments, "-o", f"again_{target}", "--no-verdict")
    second = read_history(f"again_{target}")
    assert second["request"] == first["request"]
    np.testing.assert_array_equal(read_image(f"again_{target}").data, data)


def test_everything_is_told(desk, capsys, model_file):
    said(capsys, "denoise", "my scan.tif", "--model", model_file, "--tile", "32")
    words = said(capsys, "info", "my scan_denoised.tif")
    assert "3 x 40 x 48 (ZYX), float32, pixel size Z 0.25 nm, Y 0.25 nm, X 0.25 nm" in words
    for part in ("denoised by napari-hush", "my scan.tif", "tiny (unet", file_sha256(desk / model_file), "32 x 32 px"):
        assert part in words
    for line in ("scaling", "guard", "engine", "verdict", "fingerprint"):
        assert line in words
    history = json.loads(said(capsys, "info", "--json", "my scan_denoised.tif"))["history"]
    assert history["verdict"].partition(":")[0] in ("pass", "warn", "FAIL", "open")
    assert history["verdict"] in words


def test_other_files(desk, capsys):
    words = said(capsys, "info", "my scan.tif")
    assert "uint16" in words and "not made by napari-hush" in words
    write_image("plain.npy", IMAGE)
    assert "pixel size not known" in said(capsys, "info", "plain.npy")
    assert cli.main(["info", "missing.tif"]) == 2
    (desk / "text.tif").write_text("no image")
    assert cli.main(["info", "plain.npy", "text.tif"]) == 2
    captured = capsys.readouterr()
    assert "3 x 40 x 48" in captured.out and "text.tif" in captured.err


def test_a_later_change_is_told(desk, capsys, model_file):
    said(capsys, "denoise", "my scan.tif", "--model", model_file, "--no-verdict")
    assert "since then" not in said(capsys, "info", "my scan_denoised.tif")
    os.utime("my scan_denoised.tif", (2e9, 2e9))
    assert "the file was changed" in said(capsys, "info", "my scan_denoised.tif")


def test_python_keeps_a_history_too(desk, model_file):
    denoise(IMAGE, model_file, out="out.zarr", frames=False)
    history = read_history("out.zarr")
    assert history["model"] == "tiny" and history["model_sha256"] == file_sha256(desk / model_file)


@pytest.mark.parametrize("how", ["--series", "--volume"])
def test_a_pattern_finds_the_same_files_again_from_anywhere(desk, capsys, model_file, monkeypatch, how):
    folder = desk / "scan [1]"
    folder.mkdir()
    for number, plane in enumerate((*IMAGE, IMAGE[0] + 7)):
        write_image(folder / f"{'dark' if number == 3 else 'frame'} {number}.tif", plane)
    monkeypatch.chdir(folder)
    options = ["--model", model_file, "--no-verdict"]
    said(capsys, "denoise", "frame*.tif", how, "-o", str(desk / "out.tif"), *options)
    monkeypatch.chdir(desk)
    words = said(capsys, "info", "out.tif")
    again = next(line.partition("again with")[2].strip() for line in words.splitlines() if "again with" in line)
    said(capsys, *shlex.split(again)[1:], "-o", "again.tif", "--no-verdict")
    assert read_image("out.tif").shape == IMAGE.shape
    np.testing.assert_array_equal(read_image("again.tif").data, read_image("out.tif").data)
    said(capsys, "denoise", "scan [1]", how, "-o", "all.tif", *options)  # a folder is no pattern
    assert read_image("all.tif").shape[0] == 4


def test_the_command_of_a_layer_that_was_saved():
    settings = asdict(DenoiseSettings(dark=True))
    layer = {"made": "denoised", "source_file": "/a b/c.tif", "model": "stem", "settings": settings}
    assert shlex.split(command(layer))[1:] == ["denoise", "/a b/c.tif", "--model", "stem", "--dark"]
    assert command(layer | {"output": "input"}).endswith("--dtype input")
    assert command(layer | {"channel_axis": 0}).endswith("--channel-axis 0")
    assert command(layer | {"first": 2}).endswith("--first 2")
    for part in ("one_of_channels", "region", "cancelled"):  # no command makes it of the file
        assert command(layer | {part: [2]}) == ""


def test_several_images_of_a_file_are_listed(desk, capsys):
    np.savez("two.npz", first=IMAGE[0], second=IMAGE)
    words = said(capsys, "info", "two.npz")
    assert "2 images" in words and "two.npz:first   40 x 48 (YX), uint16" in words and "two.npz:second  3 x 40" in words
    assert json.loads(said(capsys, "info", "--json", "two.npz"))["images"] == ["two.npz:first", "two.npz:second"]


@pytest.mark.parametrize(
    "history",
    [
        {"request": {"input": {"name": "a"}}, "made": "denoised"},
        {"written": 10**30},
        {"normalization": [{"offset": "a", "scale": 1}]},
        {"tile": 5},
        {"series": "x"},
        {"made": "denoised", "source_file": 5, "settings": 5},
    ],
)
def test_a_damaged_history_is_told(desk, capsys, history):
    write_image("a.npy", IMAGE)
    (desk / "a.npy.hush.json").write_text(json.dumps({"software": "napari-hush 1"} | history))
    words = said(capsys, "info", "a.npy")
    assert "3 x 40 x 48" in words and "damaged" in words


@pytest.mark.parametrize("request_", ["x", [1], {"input": "x"}])
def test_a_request_that_is_none_is_left_out(desk, request_):
    write_image("a.npy", IMAGE)
    (desk / "a.npy.hush.json").write_text(json.dumps({"software": "napari-hush 1", "request": request_}))
    assert read_history("a.npy") == {"software": "napari-hush 1"}


def test_measured_values_are_told_as_well(desk, capsys):
    plain = said(capsys, "info", "my scan.tif")
    words = said(capsys, "info", "my scan.tif", "--measure")
    assert "lattice" not in plain and "model" not in plain
    assert "not found: nothing repeats" in words and "general, because no lattice was found" in words
    measured = json.loads(said(capsys, "info", "--json", "--measure", "my scan.tif"))["measured"]
    assert measured["pixel_size"] == [0.25, 0.25] and measured["advice"]["model"] == "general"
