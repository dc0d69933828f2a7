"""No file is lost: older ones are replaced where that was asked for, inputs never, and a full disk costs no model."""

from __future__ import annotations

import errno
import hashlib
import shutil
from typing import NamedTuple

import pytest
import tifffile
from training_images import TINY, clean_images, data_for, with_noise

import napari_hush as hush
from napari_hush import cli
from napari_hush.errors import InputError
from napari_hush.training import keep
from napari_hush.training.checkpoint import read_checkpoint
from napari_hush.training.process.child import Order, Stored, _save

OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in (TINY | {"steps": 2}).items()]
pytestmark = pytest.mark.slow  # networks are trained


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with pairs, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    clean = clean_images()
    tifffile.imwrite("noisy.tif", with_noise(clean))
    tifffile.imwrite("clean.tif", clean)
    return tmp_path


def run(capsys, *arguments, data=("noisy.tif", "clean.tif")):
    code = cli.main(["train", "supervised", *map(str, data), *OPTIONS, *map(str, arguments)])
    return code, capsys.readouterr().err


def kept(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", ["m.safetensors", "m.toml", "m-previews"])
def test_older_files_are_replaced_only_where_that_is_asked_for(desk, capsys, name):
    (desk / name).write_bytes(b"precious")
    before = kept(desk)
    code, err = run(capsys, "-o", "m.safetensors")
    assert (code, kept(desk)) == (2, before)
    assert f"{name}: is there already; choose another name, or give --overwrite" in err
    if name != "m-previews":
        assert run(capsys, "-o", "m.safetensors", "--overwrite")[0] == 0
        assert (desk / name).read_bytes() != b"precious"


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"], ["--resume", "--overwrite"]])
def test_inputs_are_never_replaced(desk, capsys, overwrite):
    (desk / "sim.toml").write_text("n = 3\nshape = [32, 32]\nlattice_share = 1.0\n")
    (desk / "mine.toml").write_text("patch = 16\n")
    shutil.copy("noisy.tif", "noisy.safetensors")
    hush.Model.create("unet", {"width": 4, "levels": 2}).save("old.safetensors")
    before = kept(desk)
    for data, arguments in (
        (["sim.toml"], ["-o", "sim.safetensors"]),
        (["noisy.tif", "clean.tif"], ["-o", "mine.safetensors", "--settings", "mine.toml"]),
        (["noisy.tif", "clean.tif"], ["-o", "old.safetensors", "--start", "old.safetensors"]),
        (["noisy.tif", "clean.tif"], ["-o", "m.safetensors", "--checkpoint", "clean.tif"]),
        (["noisy.safetensors", "clean.tif"], ["-o", "noisy.safetensors"]),
        (["*.tif", "clean.tif"], ["-o", "m.safetensors", "--checkpoint", "noisy.tif"]),
    ):
        code, err = run(capsys, *arguments, *overwrite, data=data)
        assert (code, kept(desk)) == (2, before)
        assert "replace" in err


def test_a_link_to_an_input_is_seen_through(desk, capsys):
    (desk / "link.toml").symlink_to(desk / "sim.toml")
    (desk / "sim.toml").write_text("n = 3\nshape = [32, 32]\n")
    code, err = run(capsys, "-o", "link.safetensors", "--overwrite", data=["sim.toml"])
    assert code == 2
    assert "the output would replace the input" in err


def test_resuming_replaces_its_own_model_and_no_other(desk, capsys):
    assert run(capsys, "-o", "m.safetensors")[0] == 0
    assert run(capsys, "-o", "m.safetensors", "--resume", "--steps=3")[0] == 0
    assert run(capsys, "-o", "m.safetensors", "--resume", "--settings", "m.toml", "--steps=4")[0] == 0
    assert hush.Model.load("m.safetensors").card.training["steps"] == 4
    (desk / "other.safetensors").write_bytes(b"precious")
    code, err = run(capsys, "-o", "other.safetensors", "--checkpoint", "m.ckpt", "--resume", "--steps=5")
    assert code == 2
    assert "give --overwrite" in err


def test_adapt_never_replaces_the_model_that_it_reads(desk, capsys):
    hush.Model.create("unet", {"width": 4, "levels": 2}).save("old.safetensors")
    before = kept(desk)
    code = cli.main(["adapt", "old.safetensors", "noisy.tif", "-o", "old.safetensors", "--overwrite"])
    assert (code, kept(desk)) == (2, before)
    assert "the output would replace the input" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint_is_not_taken_for_one(tmp_path):
    (tmp_path / "thesis.pdf").write_bytes(b"precious")
    with pytest.raises(InputError, match="there is a file of that name, and no checkpoint"):
        hush.train("supervised", data_for("supervised"), TINY, checkpoint=tmp_path / "thesis.pdf")
    assert (tmp_path / "thesis.pdf").read_bytes() == b"precious"


class Usage(NamedTuple):
    """What `shutil.disk_usage` gives."""

    total: int
    used: int
    free: int


def test_without_room_for_the_end_nothing_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(keep.shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))
    with pytest.raises(InputError, match=r"the disk has room for 0 MB, expected .* MB for checkpoint and model"):
        hush.train("supervised", data_for("supervised"), TINY, checkpoint=tmp_path / "a.ckpt")
    assert not list(tmp_path.iterdir())


def test_room_is_looked_for_before_each_checkpoint(tmp_path, monkeypatch):
    path, steps = tmp_path / "a.ckpt", []

    def usage(_):
        return Usage(10**9, 0, 10**9 if len(steps) < 2 else 1000)

    monkeypatch.setattr(keep.shutil, "disk_usage", usage)
    with pytest.warns(UserWarning, match="the checkpoint cannot be written .No space left"):
        hush.train("supervised", data_for("supervised"), TINY, checkpoint=path, progress=steps.append)
    assert read_checkpoint(path)["step"] == 2


@pytest.fixture
def full(tmp_path, monkeypatch):
    """A folder whose disk is full for models; and one for temporary files that has room."""
    folder, room = tmp_path / "full", tmp_path / "room"
    folder.mkdir(), room.mkdir()
    save = hush.Model.save

    def saved(model, path, **options):
        if str(path).startswith(str(folder)):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(model, path, **options)

    monkeypatch.setattr(hush.Model, "save", saved)
    monkeypatch.setattr(keep.tempfile, "gettempdir", lambda: str(room))
    return folder, room


def test_a_model_that_finds_no_room_is_kept_elsewhere(desk, full, capsys):
    folder, room = full
    code, err = run(capsys, "-o", folder / "m.safetensors")
    assert code == 2
    assert f"cannot be written (No space left on device); the model is kept as {room / 'm-kept.safetensors'}" in err
    assert hush.Model.load(room / "m-kept.safetensors").card.training["steps"] == 2
    assert read_checkpoint(folder / "m.ckpt")["step"] == 2


def test_where_nothing_has_room_the_checkpoint_is_named(full, monkeypatch):
    folder, _ = full
    monkeypatch.setattr(keep.tempfile, "gettempdir", lambda: str(folder))
    monkeypatch.setattr(keep.Path, "home", lambda: folder)
    with pytest.raises(InputError, match=r"a\.ckpt holds its weights: make room, and go on with resume=True"):
        keep.save_or_keep(hush.Model.create("cnn", {"widths": (2,)}), folder / "m.safetensors", folder / "a.ckpt")


def test_the_dock_takes_a_free_name_when_one_was_taken_meanwhile(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"precious")
    model = hush.train("supervised", data_for("supervised"), TINY | {"steps": 1})
    order = Order(
        method="supervised", settings=hush.train_settings("supervised"), noisy=Stored(path=tmp_path),
        model=tmp_path / "m.safetensors", checkpoint=tmp_path / "m.ckpt", folder=tmp_path,
    )  # fmt: skip
    assert _save(model, order).model == tmp_path / "m-2.safetensors"
    assert (tmp_path / "m.safetensors").read_bytes() == b"precious"
