"""Data sets: nothing is lost when a run is stopped, killed or out of disk, and the result is the same."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import napari_hush as hush
from napari_hush import InputError
from napari_hush.datasets import hdf5
from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import Layout, SynthesisSettings
from napari_hush.datasets.synthesize import synthesize, write_steps
from napari_hush.io import read_image
from napari_hush.leftovers import MACHINE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow  # processes are started and killed

SMALL: dict[str, Any] = {"kind": "filaments", "n": 6, "shape": (32, 40), "test_share": 0.34, "seed": 3}
LAYOUTS: dict[Layout, str] = {"paired": "", "unpaired": "", "hdf5": ".h5"}


def left_by_a_dead_process(path: Path) -> None:
    name = f".{path.name}.{MACHINE}-{2**22 + 1}-0123abcd.part"  # no process has such a number
    path.with_name(name).write_bytes(b"half")


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def steps(settings: dict[str, Any], out: Path) -> Any:
    return write_steps(Drawer(SynthesisSettings(**settings)), out)


def interrupt(settings: dict[str, Any], out: Path, events: int) -> None:
    started = steps(settings, out)
    assert len(list(islice(started, events))) == events
    started.close()


def wait_until(ready: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


COMMAND = """
import signal
import sys
from napari_hush.datasets import hdf5
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background of a shell ignore it
hdf5.EVERY = 0.0
if __name__ == "__main__":
    from napari_hush.cli import main
    sys.exit(main(["synthesize", *sys.argv[1:]]))
"""


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", COMMAND, str(out), *options]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Layout], Path]:
    """The data set of ``SMALL``, made in one go."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def make(layout: Layout) -> Path:
        if layout not in made:
            made[layout] = synthesize(SMALL | {"layout": layout}, folder / f"{layout}{LAYOUTS[layout]}")
        return made[layout]

    return make


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("events", [1, 2, 4])
def test_a_stopped_run_goes_on(layout: Layout, events: int, whole: Callable[[Layout], Path], tmp_path: Path) -> None:
    settings, out = SMALL | {"layout": layout}, tmp_path / f"data{LAYOUTS[layout]}"
    interrupt(settings, out, events)
    assert layout != "hdf5" or not out.exists()
    found = [event.step for event in steps(settings, out)]
    total = 12 if layout == "unpaired" else 6
    assert found == list(range(events - 1, total + 1))
    assert contents(out) == contents(whole(layout))
    assert [event.step for event in steps(settings, out)] == [total]
    assert sorted(path.name for path in tmp_path.iterdir()) == (
        ["data.h5", "data.toml"] if layout == "hdf5" else ["data"]
    )


@pytest.mark.parametrize("layout", ["paired", "hdf5"])
def test_two_workers_write_the_same_and_stop_between(
    layout: Layout, whole: Callable[[Layout], Path], tmp_path: Path
) -> None:
    settings, out = SMALL | {"layout": layout, "workers": 2}, tmp_path / f"data{LAYOUTS[layout]}"
    before = psutil.Process().children()
    interrupt(settings, out, 3)
    new = [child for child in psutil.Process().children() if child not in before]
    assert all("resource_tracker" in " ".join(child.cmdline()) for child in new)
    first, *_, last = [event.step for event in steps(SMALL | {"layout": layout}, out)]
    assert 2 <= first < last == 6
    assert contents(out) == contents(whole(layout))


def test_what_is_finished_is_not_made_again(whole: Callable[[Layout], Path], tmp_path: Path) -> None:
    out = tmp_path / "data"
    synthesize(SMALL, out)
    (out / "train" / "noisy" / "00001.tif").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    assert [event.step for event in steps(SMALL, out)] == [5, 6]
    assert contents(out) == contents(whole("paired"))
    changed = {path.name for path, stamp in before.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {"00001.tif", "00001.npz"}


def test_an_exception_in_the_report_stops_the_run(tmp_path: Path) -> None:
    def report(event: hush.Progress) -> None:
        if event.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(SMALL, tmp_path / "data", progress=report)
    assert len(list((tmp_path / "data").rglob("*.tif"))) == 4


@pytest.mark.nightly
@pytest.mark.parametrize(("layout", "workers"), [("paired", 1), ("hdf5", 2)])
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_run_goes_on_and_leaves_no_process(layout: Layout, workers: int, tmp_path: Path) -> None:
    options = ["--kind", "filaments", "--n", "80", "--shape", "64", "64", "--layout", layout]
    settings = {"kind": "filaments", "n": 80, "shape": (64, 64), "layout": layout}
    out = tmp_path / f"data{LAYOUTS[layout]}"
    part = out.with_name("data.h5.part")

    def some_are_finished() -> bool:
        if layout == "hdf5":
            return part.exists() and not part.read_bytes().endswith(hdf5.COUNT % 0)
        return len(list(out.glob("train/truth/*.npz"))) > 5

    process = start(out, *options, "--workers", str(workers))
    wait_until(some_are_finished, process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= (0 if workers == 1 else 2)
    process.kill()
    process.communicate()
    assert psutil.wait_procs(children, timeout=300)[1] == []
    events = [event.step for event in steps(settings, out)]
    assert 0 < events[0] < events[-1] == 80
    assert contents(out) == contents(synthesize(settings, tmp_path / f"whole{LAYOUTS[layout]}"))
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_worker_is_told(tmp_path: Path) -> None:
    out = tmp_path / "data"
    process = start(out, "--kind", "filaments", "--n", "9000", "--shape", "64", "64", "--workers", "2")
    wait_until(lambda: list(out.glob("train/truth/*.npz")), process)
    children = psutil.Process(process.pid).children()
    next(child for child in children if "spawn_main" in " ".join(child.cmdline())).kill()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "a worker process ended unexpectedly" in err.splitlines()[-1]
    assert psutil.wait_procs(children, timeout=300)[1] == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_ends_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "data"
    process = start(out, "--kind", "filaments", "--n", "9000", "--shape", "64", "64")
    wait_until(lambda: list(out.glob("train/truth/*.npz")), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert [line for line in err.replace("\r", "\n").splitlines() if line.startswith("napari-hush:")]
    assert "Traceback" not in err
    assert not list(out.rglob("*.part"))


FULL = """
import resource, signal, sys
from napari_hush.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(main(["synthesize", *sys.argv[2:]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of processes")
def test_a_file_that_cannot_grow_is_named_and_the_next_run_goes_on(tmp_path: Path) -> None:
    # The space of the HDF5 is laid out first, so a limit on it ends the run before an image; that of a TIFF, later.
    for name, limit in (("data", 5000), ("data.h5", 50_000)):
        out = tmp_path / name
        layout = ["--layout", "hdf5"] if name.endswith("h5") else []
        words = [str(out), "--kind", "filaments", "--n", "6", "--shape", "48", "48", *layout]
        done = subprocess.run([sys.executable, "-c", FULL, str(limit), *words], capture_output=True, text=True)
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"napari-hush: error: {out}")
        assert "cannot write: File too large" in last
        assert not list(tmp_path.rglob(".*"))
        settings = {"kind": "filaments", "n": 6, "shape": (48, 48), "layout": "hdf5" if layout else "paired"}
        assert [event.step for event in steps(settings, out)] == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_disk_that_fills_up_keeps_what_is_finished(
    layout: Layout, whole: Callable[[Layout], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, out = SMALL | {"layout": layout}, tmp_path / f"data{LAYOUTS[layout]}"
    started = steps(settings, out)
    for _ in islice(started, 4):
        pass

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        patched.setattr(hdf5, "EVERY", 0)
        with pytest.raises(OSError, match="No space left on device") as caught:
            list(started)
    assert str(caught.value.filename).startswith(str(out))
    assert not list(tmp_path.rglob(".*"))
    first, *_ = [event.step for event in steps(settings, out)]
    assert first == (0 if layout == "hdf5" else 3)  # one HDF5 counts only what is known to be safe
    assert contents(out) == contents(whole(layout))


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    out, other = tmp_path / "data", tmp_path / ".my.h5.x.part"
    interrupt(SMALL, out, 2)
    for name in ("train/noisy/00001.tif", "test/truth/00000.npz", "settings.toml"):
        left_by_a_dead_process(out / name)
    keep = [out / "train" / "noisy" / ".DS_Store", out / "notes.txt", other]
    for path in keep:
        path.write_bytes(b"mine")
    left_by_a_dead_process(tmp_path / "data.h5.part")
    synthesize(SMALL, out)
    synthesize(SMALL | {"layout": "hdf5"}, tmp_path / "data.h5")
    assert all(path.read_bytes() == b"mine" for path in keep)
    assert list(tmp_path.rglob("*.part")) == [other]
    assert {read_image(path).data.shape for path in out.rglob("*.tif")} == {(32, 40)}


def test_hdf5_that_was_finished_but_not_named_is_not_made_again(
    whole: Callable[[Layout], Path], tmp_path: Path
) -> None:
    settings, out = SMALL | {"layout": "hdf5"}, tmp_path / "hdf5.h5"
    interrupt(settings, out, 2)
    (tmp_path / "hdf5.h5.part").write_bytes(whole("hdf5").read_bytes())
    assert [event.step for event in steps(settings, out)] == [6, 6]
    assert out.read_bytes() == whole("hdf5").read_bytes()


@pytest.mark.parametrize("layout", ["paired", "hdf5"])
@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_two_runs_at_once_are_refused(layout: Layout, tmp_path: Path) -> None:
    settings, out = SMALL | {"layout": layout}, tmp_path / f"data{LAYOUTS[layout]}"
    first = steps(settings, out)
    next(first)
    with pytest.raises(InputError, match="another run is writing it"):
        synthesize(settings, out)
    assert [event.step for event in first][-1] == 6
    synthesize(settings, out)


def test_a_script_without_a_guard_is_not_run_again_by_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import napari_hush as hush\n"
        "print('run')\n"
        "hush.synthesize({'kind': 'cells', 'n': 4, 'shape': (32, 32), 'workers': 2}, 'data')\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "run\n"
    assert len(list((tmp_path / "data").rglob("*.tif"))) == 8
