"""``napari-hush denoise`` replaces nothing that was not given up, and a batch can be called again."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch

from napari_hush import cli
from napari_hush.card import ModelCard
from napari_hush.io import read_image, write_image
from napari_hush.io.history import read_history
from napari_hush.model import Model

IMAGE = np.random.default_rng(0).integers(100, 4000, (40, 48)).astype(np.uint16)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with two images and a model, as the working directory."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    Model.create("cnn", {"widths": [4]}, card=ModelCard(name="tiny")).save("tiny.safetensors")
    write_image("a.tif", IMAGE)
    write_image("b.tif", IMAGE[::-1])
    return tmp_path


@pytest.fixture
def run(desk, capsys):
    def denoise(*arguments):
        options = ["--model", "tiny.safetensors", "--engine", "torch", "--no-verdict"]
        code = cli.main(["denoise", *map(str, arguments), *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return denoise


def content(path):
    return {one: one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file()} or path.read_bytes()


@pytest.mark.parametrize("spelling", ["in.h5:/data", "in.npz:data", "in.zarr:/0", "in.zarr/0", "in.tif:0", "link.tif"])
def test_input_is_never_replaced(run, desk, spelling):
    name = spelling.partition(":")[0].partition("/")[0].replace("link", "in")
    write_image(name, IMAGE, pixel_size=0.1)
    if spelling == "link.tif":
        os.symlink("in.tif", "link.tif")
    before = content(desk / name)
    code, _, err = run(spelling, "-o", name, "--overwrite")
    assert code == 2 and "would replace the input" in err
    assert content(desk / name) == before


def test_panel_is_an_output_like_any_other(run, desk):
    write_image("p.png", IMAGE)
    before = content(desk / "p.png")
    for arguments in (["p.png", "-o", "o.tif", "--panel", "p.png"], ["a.tif", "-o", "o.png", "--panel", "o.png"]):
        assert run(*arguments, "--overwrite")[0] == 2
    assert content(desk / "p.png") == before and not (desk / "o.tif").exists()
    code, _, err = run("a.tif", "-o", "o.tif", "--panel", "p.png")
    assert code == 2 and "was not made by napari-hush" in err
    (desk / "other").mkdir()
    shutil.copy("a.tif", "other/a.png.tif")
    shutil.copy("a.tif", "other/a.tif")
    code, _, err = run("a.tif", "other/a.tif", "--panel", "panels")
    assert code == 2 and "two outputs" in err


def test_model_is_an_input(run, desk):
    before = content(desk / "tiny.safetensors")
    os.symlink("tiny.safetensors", "out.tif")
    code, _, err = run("a.tif", "-o", "out.tif", "--overwrite")
    assert code == 2 and "would replace the input" in err
    assert content(desk / "tiny.safetensors") == before


@pytest.mark.parametrize("name", ["o.tif", "o.png", "o.npy", "o.h5", "o.zarr"])
def test_own_result_is_made_again_and_others_stay(run, desk, name):
    options = ["--dtype", "uint16"]
    assert run("a.tif", "-o", name, *options)[0] == 0
    first = np.array(read_image(name).data)
    assert run("a.tif", "-o", name, *options)[0] == 0
    for changed in (["a.tif", "--dtype", "uint16", "--guard", "False"], ["b.tif", "--dtype", "uint16"]):
        code, _, err = run(*changed, "-o", name)
        assert code == 2 and "give --overwrite" in err
    np.testing.assert_array_equal(read_image(name).data, first)
    assert run("b.tif", "-o", name, "--overwrite", *options)[0] == 0
    assert not np.array_equal(read_image(name).data, first)


def test_parts_of_a_file_are_told_apart(run, desk):
    import h5py

    with h5py.File("two.h5", "w") as file:
        file["a"], file["b"] = IMAGE, IMAGE[::-1]
    assert run("two.h5:/a", "-o", "o.tif")[0] == 0
    code, _, err = run("two.h5:/b", "-o", "o.tif")
    assert code == 2 and "another part of it, /a" in err


def test_reasons_are_told(run, desk):
    assert run("a.tif", "-o", "o.tif")[0] == 0
    assert "guard auto then, False now" in run("a.tif", "-o", "o.tif", "--guard", "False")[2]
    assert "of another input, a.tif" in run("b.tif", "-o", "o.tif")[2]
    write_image("a.tif", IMAGE + 1)
    assert "its input has changed since" in run("a.tif", "-o", "o.tif")[2]
    write_image("o.tif", IMAGE)
    assert "was not made by napari-hush" in run("a.tif", "-o", "o.tif")[2]


def test_result_that_somebody_changed_is_kept(run, desk):
    assert run("a.tif", "-o", "o.tif")[0] == 0
    later = (desk / "o.tif").stat().st_mtime + 60
    os.utime("o.tif", (later, later))
    code, _, err = run("a.tif", "-o", "o.tif")
    assert code == 2 and "was changed after it was made" in err


def test_batch_that_is_called_again_does_what_is_left(run, desk):
    assert run("a.tif", "-o", "out/")[0] == 2  # no such folder for one file
    (desk / "out").mkdir()
    assert run("a.tif", "-o", "out")[0] == 0
    before = (desk / "out" / "a_denoised.tif").stat()
    code, out, _ = run("*.tif", "-o", "out", "--skip-existing")
    assert code == 0 and "1 of 2 results are there already" in out
    assert (desk / "out" / "b_denoised.tif").is_file()
    after = (desk / "out" / "a_denoised.tif").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    code, out, _ = run("*.tif", "-o", "out", "--skip-existing")
    assert code == 0 and "2 of 2 results are there already" in out
    code, _, err = run("*.tif", "-o", "out", "--skip-existing", "--guard", "False")
    assert code == 2 and "1 more older file" in err


@pytest.mark.parametrize("typed", [["*.tif"], ["a.tif", "a_denoised.tif", "b.tif", "b_denoised.tif"]])
def test_results_are_no_inputs_of_the_next_run(run, desk, typed):
    assert run("*.tif")[0] == 0
    code, _, err = run(*typed)  # by a pattern, or as the shell gives it
    assert code == 0 and "2 made by napari-hush (a_denoised.tif, b_denoised.tif)" in err
    assert not list(desk.glob("*denoised_denoised*"))
    assert run("a_denoised.tif")[0] == 0
    assert (desk / "a_denoised_denoised.tif").is_file()


def test_batch_does_not_write_over_its_own_inputs(run, desk):
    write_image("a_denoised.tif", IMAGE)  # somebody else's
    before = content(desk / "a_denoised.tif")
    code, _, err = run("a.tif", "a_denoised.tif", "--overwrite")
    assert code == 2 and "would replace the input" in err
    assert content(desk / "a_denoised.tif") == before


def test_slice_of_a_volume_is_not_replaced(run, desk):
    (desk / "scan").mkdir()
    for name in ("1.tif", "2.tif"):
        write_image(f"scan/{name}", IMAGE)
    before = content(desk / "scan")
    code, _, err = run("scan", "--volume", "-o", "scan/1.tif", "--overwrite")
    assert code == 2 and "would replace the input" in err
    assert content(desk / "scan") == before
    assert run("scan", "--volume", "-o", "v.tif")[0] == 0
    assert run("scan", "--volume", "-o", "v.tif", "--skip-existing")[1].startswith("1 of 1 results")


def test_history_says_how_it_was_made(run, desk):
    assert run("a.tif", "-o", "o.zarr", "--tile", "32")[0] == 0
    history = read_history("o.zarr")
    assert history["made"] == "denoised" and history["model"] == "tiny" and history["guard"] is not None
    assert history["request"]["input"]["name"] == str((desk / "a.tif").resolve())
    assert history["request"]["model_sha256"] and history["tile"]


def test_demo_makes_its_own_files_again_and_no_others(desk, capsys):
    demo = ["demo", "-o", "demo", "--model", "tiny.safetensors", "--engine", "torch"]
    assert cli.main(demo) == 0
    assert cli.main([*demo, "--seed", "1"]) == 0
    shutil.copy("a.tif", "demo/dented-lattice_truth.tif")
    capsys.readouterr()
    assert cli.main(demo) == 2 and "give --overwrite" in capsys.readouterr().err
    assert content(desk / "demo" / "dented-lattice_truth.tif") == content(desk / "a.tif")
