"""Threads: progress, cancel, errors, warnings, closing, and a viewer that stays alive meanwhile."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import warnings
import weakref

import numpy as np
import pytest
from qtpy.QtCore import QTimer

import napari_hush.inference.denoise
from napari_hush.errors import InputError
from napari_hush.inference.denoise import Denoised
from napari_hush.progress import Progress

TIMEOUT = 300_000


@pytest.fixture
def slow(monkeypatch):
    """Replace the work by steps of 20 ms, and record what becomes of it."""
    record = {"steps": 0, "closed": False}

    def steps(image, model, settings, **_):
        try:
            for step in range(1, 501):
                time.sleep(0.02)
                record["steps"] = step
                yield Progress(step, 500, f"tile {step} of 500")
            return Denoised(np.zeros(image.shape, np.float32), {"model": "slow", "seconds": 1.0})
        finally:
            record["closed"] = True

    monkeypatch.setattr(napari_hush.inference.denoise, "denoise_steps", steps)
    return record


@pytest.fixture
def failing(monkeypatch):
    """Replace the work by an exception after one step."""

    def install(error):
        def steps(*_, **__):
            yield Progress(0, 1, "measuring the image")
            raise error

        monkeypatch.setattr(napari_hush.inference.denoise, "denoise_steps", steps)

    return install


def test_progress_is_shown_with_the_time_left(make_widget, image, qtbot, slow):
    _, widget = make_widget(image)
    texts = []
    widget._job.progressed.connect(lambda _: texts.append((time.monotonic(), widget._progress.text)))
    widget.run()
    qtbot.waitUntil(lambda: "left" in widget._progress.text, timeout=TIMEOUT)
    assert widget._progress.text.startswith("tile ")
    assert " of 500, 0:" in widget._progress.text
    assert widget._progress._bar.maximum() == 500
    qtbot.waitUntil(lambda: len(texts) > 8, timeout=TIMEOUT)
    rate = (len(texts) - 1) / (texts[-1][0] - texts[0][0])
    assert rate < 12


def test_cancel_leaves_no_layer(make_widget, image, qtbot, slow):
    viewer, widget = make_widget(image)
    widget.run()
    qtbot.waitUntil(lambda: slow["steps"] > 3, timeout=TIMEOUT)
    assert widget._cancel.isEnabled()
    widget.cancel()
    assert widget._cancel.text() == "Cancelling…"
    assert not widget._cancel.isEnabled()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    assert slow["closed"]
    assert slow["steps"] < 500
    assert len(viewer.layers) == 1
    assert widget._progress.text == "cancelled"
    assert widget._run.isEnabled()
    assert widget._cancel.text() == "Cancel"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (RuntimeError("CUDA error: device-side assert"), "RuntimeError: CUDA error: device-side assert"),
        (MemoryError(), "MemoryError: not enough memory: choose a smaller tile, or close other programs"),
        (InputError("the image is empty: give another"), "the image is empty: give another"),
        (KeyboardInterrupt("stop"), "KeyboardInterrupt: stop"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_become_notifications_and_the_widget_recovers(
    make_widget, image, finish, failing, messages, error, shown, monkeypatch
):
    viewer, widget = make_widget(image)
    with monkeypatch.context() as patch:
        failing(error)
        widget.run()
        finish(widget)
        assert messages() == [("error", shown)]
        assert len(viewer.layers) == 1
        patch.undo()
    monkeypatch.undo()
    widget.run()
    finish(widget)
    assert len(viewer.layers) == 2


def test_a_broken_model_file_is_explained(make_widget, image, finish, messages, tmp_path):
    path = tmp_path / "broken.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    _, widget = make_widget(image)
    widget._models.add(path)
    widget.run()
    finish(widget)
    assert [kind for kind, _ in messages()] == ["error"]
    assert "broken.h5" in messages()[0][1]


def test_warnings_become_notifications(make_widget, image, finish, messages, monkeypatch):
    def steps(image, *_, **__):
        for _ in range(3):
            warnings.warn("the values are unlike those of training", UserWarning, stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        yield Progress(1, 1)
        return Denoised(np.zeros(image.shape, np.float32), {"model": "m", "seconds": 1.0, "engine": "torch"} | HOW)

    monkeypatch.setattr(napari_hush.inference.denoise, "denoise_steps", steps)
    viewer, widget = make_widget(image)
    widget.run()
    finish(widget)
    assert messages() == [("warning", "the values are unlike those of training")]
    assert len(viewer.layers) == 2


HOW = {"device": "cpu", "precision": "float32"}


def test_closing_the_viewer_while_running(make_widget, image, qtbot, slow):
    viewer, widget = make_widget(image, window=True)
    widget.run()
    qtbot.waitUntil(lambda: slow["steps"] > 2, timeout=TIMEOUT)
    del widget
    viewer.close()
    qtbot.waitUntil(lambda: slow["closed"], timeout=TIMEOUT)
    assert slow["steps"] < 500


def test_closing_the_dock_while_running(make_napari_viewer, image, model_file, qtbot, slow):
    viewer = make_napari_viewer()
    viewer.add_image(image)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-hush", "Denoise")
    widget._models.add(model_file)
    widget.run()
    qtbot.waitUntil(lambda: slow["steps"] > 2, timeout=TIMEOUT)
    gone = weakref.ref(widget)
    del widget
    dock.destroyOnClose()
    qtbot.waitUntil(lambda: slow["closed"], timeout=TIMEOUT)
    assert slow["steps"] < 500
    del dock
    gc.collect()
    qtbot.waitUntil(lambda: gone() is None, timeout=TIMEOUT)
    viewer.layers[0].name = "still fine"
    viewer.layers.clear()


def test_the_viewer_lives_on_during_a_run(make_widget, image, qtbot, slow):
    """A run of 10 s returns at once and leaves the event loop free; benchmarks/dock.py measures how free."""
    _, widget = make_widget(image, window=True)
    turns = []
    timer = QTimer()
    timer.timeout.connect(lambda: turns.append(slow["steps"]))
    timer.start(1)
    widget.run()
    assert widget.running
    qtbot.waitUntil(lambda: len(set(turns)) > 5, timeout=TIMEOUT)  # it turned while the work went on
    assert widget.running
    timer.stop()


CLOSED = """
import time
from qtpy.QtWidgets import QApplication, QWidget
from napari_hush.widgets.parts.job import Job

app, dock = QApplication([]), QWidget()

def steps():
    yield None
    time.sleep(1)  # one long step

Job(dock).start(steps)
time.sleep(0.3)
dock.close()
print("closed")
"""


def test_a_process_that_ends_during_a_long_step_ends_well():
    done = subprocess.run([sys.executable, "-c", CLOSED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "closed"), done.stderr
