"""Previews that follow, that measure a layer once, and that are left at once."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from qtpy.QtWidgets import QWidget

from napari_hush.inference import planning
from napari_hush.progress import Progress
from napari_hush.widgets.denoise import choices
from napari_hush.widgets.denoise import dock as module
from napari_hush.widgets.parts.job import PATIENCE, Job

TIMEOUT = 60_000


@pytest.fixture
def sight(monkeypatch):
    """What is seen, which a test may move."""
    seen = [((), (20, 60, 30, 100))]
    for part in (module, choices):
        monkeypatch.setattr(part, "visible_part", lambda layer, dims: seen[0])
    return seen


@pytest.fixture
def measured(monkeypatch):
    """The images whose range was measured."""
    found, measure = [], planning.norms_steps
    monkeypatch.setattr(planning, "norms_steps", lambda *given: found.append(given) or measure(*given))
    return found


def test_a_layer_is_measured_once(make_widget, finish, image, sight, measured):
    _, widget = make_widget(image)
    for region in ((20, 60, 30, 100), (0, 40, 10, 50)):
        sight[0] = (), region
        widget.preview()
        finish(widget)
    assert len(measured) == 1
    widget.run()
    finish(widget)
    assert len(measured) == 1


@pytest.mark.parametrize("anew", [True, False])
def test_other_data_are_measured_anew(make_widget, finish, image, sight, measured, anew):
    viewer, widget = make_widget(image)
    widget.preview()
    finish(widget)
    if anew:
        viewer.layers[0].data = image * 2
    else:  # in their place, of which napari tells nobody
        image[40:, 70:] *= 3
        viewer.layers[0].refresh()
    widget.preview()
    finish(widget)
    assert len(measured) == 2


def test_live_preview_follows_once_the_camera_rests(make_widget, finish, image, sight, qtbot):
    viewer, widget = make_widget(image)
    camera = viewer.scene.camera
    camera.zoom = 2
    qtbot.wait(600)
    assert len(viewer.layers) == 1  # nobody has asked for it
    widget._live_preview.setChecked(True)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2 and not widget.running, timeout=TIMEOUT)
    preview = viewer.layers[1]
    sight[0] = (), (0, 30, 10, 60)
    camera.zoom = 3
    qtbot.waitUntil(lambda: preview.data.shape == (30, 50) and not widget.running, timeout=TIMEOUT)
    started = widget._progress.text
    camera.zoom = 2.9  # the same pixels
    qtbot.wait(600)
    assert not widget.running
    assert widget._progress.text == started
    widget._live_preview.setChecked(False)
    sight[0] = (), (0, 20, 10, 60)
    camera.zoom = 4
    qtbot.wait(600)
    assert preview.data.shape == (30, 50)


def test_live_preview_leaves_one_of_what_is_out_of_sight(make_widget, image, sight, qtbot, monkeypatch):
    begun = []

    def slow(*given, **_):
        begun.append(given[5])
        while True:
            time.sleep(0.02)
            yield Progress(0, 1, "slow")

    monkeypatch.setattr(module, "denoise_to_memory", slow)
    viewer, widget = make_widget(image)
    widget._live_preview.setChecked(True)
    qtbot.waitUntil(lambda: len(begun) == 1, timeout=TIMEOUT)
    sight[0] = (), (0, 30, 10, 60)
    viewer.scene.camera.zoom = 3
    qtbot.waitUntil(lambda: len(begun) == 2, timeout=TIMEOUT)
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    qtbot.wait(600)
    assert len(begun) == 2  # who cancels does not want it


def test_live_leaves_a_run_alone(make_widget, image, sight, qtbot, monkeypatch):
    begun = []

    def slow(*given, **_):
        begun.append(given)
        while True:
            time.sleep(0.02)
            yield Progress(0, 1, "slow")

    monkeypatch.setattr(module, "denoise_to_memory", slow)
    viewer, widget = make_widget(image)
    widget.run()
    widget._live_preview.setChecked(True)
    viewer.scene.camera.zoom = 3
    qtbot.wait(600)
    assert len(begun) == 1
    assert widget.running


def test_a_long_step_is_not_waited_for(qtbot):
    parent, go_on, ended = QWidget(), threading.Event(), []
    qtbot.addWidget(parent)
    job = Job(parent)

    def long():
        go_on.wait(30)
        yield Progress(0, 1)
        ended.append("long")

    def short():
        ended.append("short")
        yield Progress(1, 1)
        return "result"

    job.start(long)
    with qtbot.waitSignal(job.cancelled, timeout=TIMEOUT):
        begin = time.monotonic()
        job.cancel(at_once=True)
    assert time.monotonic() - begin < PATIENCE + 5
    assert not job.running
    results = []
    job.returned.connect(results.append)
    job.start(short)
    qtbot.wait(200)
    assert not ended  # it waits for the end of the other one
    with qtbot.waitSignal(job.settled, timeout=TIMEOUT):
        go_on.set()
    qtbot.waitUntil(lambda: results == ["result"], timeout=TIMEOUT)
    assert ended == ["short"]


def test_cancel_frees_the_dock_while_a_lazy_image_is_read(make_widget, qtbot):
    import dask.array as da

    go_on = threading.Event()

    def load(block_id=None):
        go_on.wait(30)
        return np.random.default_rng(0).poisson(20, (1, 64, 64)).astype(np.float32)

    data = da.map_blocks(load, chunks=((1,) * 4, (64,), (64,)), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    go_on.set()
    _, widget = make_widget(data, contrast_limits=(0, 40))
    go_on.clear()
    widget.preview()
    qtbot.wait(500)
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=5000)
    assert widget._preview.isEnabled()
    go_on.set()
