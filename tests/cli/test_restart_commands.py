"""Commands that are stopped: what is kept, how it goes on, and how they end."""

import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from napari_hush import cli
from napari_hush.errors import InputError
from napari_hush.inference.tiles.runner import TileRunner
from napari_hush.io import read_image, write_image
from napari_hush.io.formats import zarr_write
from napari_hush.io.room import check_room
from napari_hush.leftovers import MACHINE

IMAGE = np.random.default_rng(0).normal(100, 20, (256, 192)).astype(np.float32)
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.fixture
def run(model_file, capsys, tmp_path, monkeypatch):
    """Run ``napari-hush denoise`` in an empty folder; gives (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def denoise(*arguments):
        options = ["--model", model_file, "--engine", "torch", "--tile", "32", "--no-verdict", "--guard", "False"]
        code = cli.main(["denoise", *map(str, arguments), *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return denoise


@pytest.fixture
def at_tile(monkeypatch):
    """Do something before a tile is computed, once."""

    def set_up(number, action):
        count, compute = iter(range(10**6)), TileRunner._begin

        def acting(self, *arguments):
            if next(count) == number:
                action()
            return compute(self, *arguments)

        monkeypatch.setattr(TileRunner, "_begin", acting)

    return set_up


@pytest.fixture
def heeded():
    """Signals that the tests were started without, as after nohup or in the background of a shell."""
    usual = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
    before = {getattr(signal, name): signal.signal(getattr(signal, name), how) for name, how in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@needs_signals
@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_stopped_run_is_kept_and_goes_on(run, tmp_path, at_tile, name, code):
    write_image("in.tif", IMAGE)
    assert run("in.tif", "-o", "whole.zarr")[0] == 0
    at_tile(5, lambda: os.kill(os.getpid(), getattr(signal, name)))
    found, _, err = run("in.tif", "-o", "out.zarr")
    assert found == code
    assert "what is done is kept in .out.zarr.part" in err and "--resume" in err and "--no-resume" in err
    assert names(tmp_path) == [".out.zarr.part", "in.tif", "whole.zarr"]
    found, _, err = run("in.tif", "-o", "out.zarr")
    assert found == 2 and "unfinished run" in err
    assert run("in.tif", "-o", "out.zarr", "--resume", "--dtype", "uint16")[0] == 2
    assert run("in.tif", "-o", "out.zarr", "--resume")[0] == 0
    assert np.array_equal(read_image("out.zarr").data[...], read_image("whole.zarr").data[...])
    assert names(tmp_path) == ["in.tif", "out.zarr", "whole.zarr"]
    assert signal.getsignal(getattr(signal, name)) in (signal.SIG_DFL, signal.default_int_handler)


@needs_signals
@pytest.mark.parametrize("error", [ValueError, InputError])
@pytest.mark.parametrize("inputs", [["0.tif"], ["0.tif", "1.tif"]])
def test_a_signal_that_a_library_turns_into_an_error_ends_the_command(run, tmp_path, at_tile, inputs, error):
    for name in inputs:
        write_image(name, IMAGE)

    def disguised():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise error("could not determine the shape") from None

    at_tile(3, disguised)
    code, _, err = run(*inputs, "-o", "out" if len(inputs) > 1 else "out.tif")
    assert code == 143 and "ended" in err and "could not" not in err
    assert not list(tmp_path.rglob("*_denoised.tif")) and not list(tmp_path.rglob("out.tif"))


@needs_signals
def test_an_unfinished_run_can_be_thrown_away(run, tmp_path, at_tile):
    write_image("in.tif", IMAGE)
    at_tile(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    run("in.tif", "-o", "out.zarr")
    assert run("in.tif", "-o", "out.zarr", "--resume", "--no-resume")[0] == 2
    assert run("in.tif", "-o", "out.zarr", "--no-resume")[0] == 0
    assert names(tmp_path) == ["in.tif", "out.zarr"]


@needs_signals
def test_a_result_that_was_being_replaced_is_gone_on_with(run, tmp_path, at_tile):
    """The older one is of the same request, and yet not what was asked for."""
    write_image("in.tif", IMAGE)
    assert run("in.tif", "-o", "out.zarr")[0] == 0
    before = (tmp_path / "out.zarr").stat().st_ino
    at_tile(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert run("in.tif", "-o", "out.zarr", "--overwrite")[0] == 143
    assert names(tmp_path) == [".out.zarr.part", "in.tif", "out.zarr"]
    code, out, _ = run("in.tif", "-o", "out.zarr", "--overwrite", "--resume")
    assert code == 0 and "are there already" not in out
    assert names(tmp_path) == ["in.tif", "out.zarr"]
    assert (tmp_path / "out.zarr").stat().st_ino != before
    code, out, _ = run("in.tif", "-o", "out.zarr", "--overwrite", "--resume")
    assert code == 0 and "1 of 1 results are there already" in out


def test_a_result_that_somebody_changed_is_made_again_where_it_may_be_replaced(run, tmp_path):
    write_image("in.tif", IMAGE)
    assert run("in.tif", "-o", "out.tif")[0] == 0
    wanted = read_image("out.tif").data.copy()
    with open("out.tif", "r+b") as file:
        file.seek(-400, os.SEEK_END)
        file.write(bytes(300))
    os.utime("out.tif", (2e9, 2e9))
    code, out, _ = run("in.tif", "-o", "out.tif", "--overwrite", "--resume")
    assert code == 0 and "are there already" not in out
    assert np.array_equal(read_image("out.tif").data, wanted)


@needs_signals
def test_a_batch_goes_on_with_what_is_not_done(run, tmp_path, at_tile):
    for number in range(4):
        write_image(f"{number}.tif", IMAGE[: 64 + number])
    assert run("*.tif", "-o", "whole")[0] == 0
    at_tile(15, lambda: os.kill(os.getpid(), signal.SIGTERM))
    code, _, err = run("*.tif", "-o", "out")
    assert code == 143 and "--resume goes on with the inputs that are not done" in err
    done = {name for name in names(tmp_path / "out") if name.endswith(".tif")}
    assert 1 <= len(done) <= 3 and len(names(tmp_path / "out")) == len(done)
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in done}
    code, out, _ = run("*.tif", "-o", "out", "--resume")
    assert code == 0 and f"{len(done)} of 4 results are there already" in out
    assert names(tmp_path / "out") == names(tmp_path / "whole")
    for name in names(tmp_path / "whole"):
        assert ((tmp_path / "out" / name).stat().st_mtime_ns == times.get(name)) == (name in done)
    write_image("0.tif", IMAGE[:70])  # another one now
    code, _, err = run("*.tif", "-o", "out", "--resume")
    assert code == 2 and "0_denoised.tif: is there already and was made otherwise (its input has changed since)" in err
    assert run("*.tif", "-o", "out", "--resume", "--overwrite")[0] == 0
    assert read_image("out/0_denoised.tif").shape[0] == 70


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_what_a_killed_run_left_goes_with_the_next_one(run, tmp_path, suffix):
    write_image("in.tif", IMAGE)
    left = [tmp_path / f".{name}{suffix}.{MACHINE}-{2**22 + 1}-0123abcd.part" for name in ("out", "other")]
    for path in left:
        path.write_bytes(b"half")
    assert run("in.tif", "-o", f"out{suffix}")[0] == 0
    assert names(tmp_path) == sorted([left[1].name, "in.tif", f"out{suffix}"])


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_an_input_that_changes_is_told_and_nothing_written(run, tmp_path, at_tile, suffix):
    write_image("in.tif", IMAGE)
    at_tile(5, lambda: write_image("in.tif", IMAGE + 1))
    code, _, err = run("in.tif", "-o", f"out{suffix}")
    assert code == 2 and "changed during the run" in err and "time of the last change" in err
    assert run("in.tif", "-o", f"out{suffix}", "--no-resume")[0] == 0


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_what_takes_the_outputs_name_stays(run, tmp_path, at_tile, suffix):
    write_image("in.tif", IMAGE)
    target = tmp_path / f"out{suffix}"
    at_tile(5, lambda: target.write_text("mine") if suffix == ".tif" else (target / "mine").mkdir(parents=True))
    code, _, err = run("in.tif", "-o", target)
    assert code == 2 and f"the result is in {tmp_path / f'out-1{suffix}'}" in err
    assert read_image(tmp_path / f"out-1{suffix}").shape == IMAGE.shape
    assert target.read_text() == "mine" if suffix == ".tif" else names(target) == ["mine"]


def test_a_removed_folder_is_made_again_or_an_error(run, tmp_path, at_tile):
    write_image("in.tif", IMAGE)
    (tmp_path / "results").mkdir()
    at_tile(5, lambda: shutil.rmtree(tmp_path / "results"))
    code, _, err = run("in.tif", "-o", "results/out.tif")
    assert code == 0 and "it was made again" in err and read_image("results/out.tif").shape == IMAGE.shape
    at_tile(5, lambda: shutil.rmtree(tmp_path / "results"))
    code, _, err = run("in.tif", "-o", "results/out.zarr")
    assert code == 2 and "was removed while" in err and not (tmp_path / "results" / "out.zarr").exists()


def test_a_run_killed_when_its_result_was_there_leaves_nothing_after_resume(run, tmp_path, monkeypatch):
    write_image("in.tif", IMAGE)
    with monkeypatch.context() as patch:
        patch.setattr(zarr_write, "_put_in_place", lambda partial, place: killed(os.replace(partial, place.path)))
        assert run("in.tif", "-o", "out.zarr")[0] == 130
    assert names(tmp_path) == [".out.zarr.part", "in.tif", "out.zarr"]
    code, out, _ = run("in.tif", "-o", "out.zarr", "--resume")
    assert code == 0 and "1 of 1 results are there already" in out
    assert names(tmp_path) == ["in.tif", "out.zarr"]


def killed(*_):
    raise KeyboardInterrupt


def test_room_is_asked_for_before_the_work(run, tmp_path, monkeypatch):
    write_image("in.tif", IMAGE)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=IMAGE.nbytes - 1))
    monkeypatch.setattr(TileRunner, "_begin", None)
    code, _, err = run("in.tif", "-o", "out.tif")
    assert code == 2 and "the result takes 0.197 MB, and the disk of" in err and "make room" in err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=IMAGE.nbytes - 1))
    code, _, err = run("in.tif", "-o", "out.zarr")
    assert code == 0 and "it fits only if it can be compressed so far" in err


def test_room_is_asked_for_the_smaller_levels_too(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    check_room(tmp_path / "out.tif", (1024, 1024), "float32")
    with pytest.warns(UserWarning, match=r"takes 5\.59 MB"):
        check_room(tmp_path / "out.zarr", (1024, 1024), "float32")


def command(*arguments, model_file, **options):
    line = [sys.executable, "-m", "napari_hush.cli", "denoise", *map(str, arguments), "--model", model_file]
    return subprocess.Popen([*line, "--engine", "torch", "--no-verdict"], stderr=subprocess.PIPE, **options)


def test_a_batch_ends_where_nobody_reads(tmp_path, model_file):
    for number in range(3):
        write_image(tmp_path / f"{number}.tif", IMAGE[:64])
    child = command("?.tif", model_file=model_file, cwd=tmp_path, stdout=subprocess.PIPE)
    child.stdout.close()
    with child.stderr:
        err = child.stderr.read().decode()
    assert child.wait() == 141 and "Traceback" not in err and "Broken pipe" not in err
    assert len(names(tmp_path)) < 6


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")
def test_a_name_that_is_no_text_ends_no_batch(tmp_path, model_file):
    odd = os.fsdecode(b"odd\xff")
    for name in ("0", odd, "z"):
        write_image(tmp_path / f"{name}.tif", IMAGE[:64])
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    child = command("*.tif", model_file=model_file, cwd=tmp_path, stdout=subprocess.PIPE, env=environment)
    out, err = child.communicate()
    assert child.returncode == 0, err
    assert b"odd\\udcff_denoised.tif" in out and (tmp_path / f"{odd}_denoised.tif").is_file()
