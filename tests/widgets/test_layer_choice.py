"""Which layer is denoised: that which is chosen in napari's list, never a result, and several one after the other."""

from __future__ import annotations

import time

import numpy as np
import pytest

import napari_hush.inference.denoise
from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.parts.layer_record import identity, latest_result, read_record, source_in

TIMEOUT = 300_000


@pytest.fixture
def done(qtbot):
    """Wait until a dock has denoised and looked at what it made."""

    def wait(widget):
        qtbot.waitUntil(lambda: not widget.running and not widget._verdict.running, timeout=TIMEOUT)

    return wait


@pytest.mark.parametrize("window", [False, True])
def test_the_dock_follows_the_layer_list(make_widget, image, window):
    viewer, widget = make_widget(image, window=window)
    viewer.add_image(image, name="other")
    for name in ("noisy", "other", "noisy"):
        viewer.layers.selection.active = viewer.layers[name]
        assert widget._layers.currentText() == name
    viewer.add_labels(np.zeros((8, 8), int))  # is active now, and cannot be denoised
    assert widget._layers.currentText() == "noisy"


def test_a_result_stands_for_its_source_and_is_never_proposed(make_widget, done, image):
    viewer, widget = make_widget(image)
    viewer.add_image(image, name="other")
    widget._layers.layer = viewer.layers["noisy"]
    widget.run()
    widget._layers.layer = viewer.layers["other"]  # somebody goes on to the next one
    done(widget)
    result = viewer.layers["noisy · tiny"]
    assert widget._layers.currentText() == "other"
    viewer.layers.selection.active = viewer.layers["other"]
    viewer.layers.selection.active = result
    assert widget._layers.currentText() == "noisy"
    viewer.layers.remove("noisy")
    assert widget._layers.currentText() == "other"
    viewer.layers.remove("other")
    assert widget._layers.layer is None
    assert not widget._run.isEnabled() and widget._run.toolTip() == "Choose an image first"
    widget._layers.layer = result  # on purpose
    assert widget._run.isEnabled()


def test_selected_layers_are_denoised_one_after_the_other(make_widget, done, image):
    viewer, widget = make_widget(image)
    viewer.add_image(image[::-1], name="second")
    viewer.add_image(image[:, ::-1], name="third")
    assert widget._run.text() == "Run"
    viewer.layers.selection = {viewer.layers["noisy"], viewer.layers["third"]}
    assert widget._run.text() == "Run 2 layers"
    assert widget._run.toolTip() == "Denoise one after the other: third, noisy"
    widget._run.click()
    done(widget)
    results = [latest_result(viewer.layers[name], viewer.layers) for name in ("noisy", "second", "third")]
    assert [result and result.name for result in results] == ["noisy · tiny", None, "third · tiny"]
    assert all("verdict" in read_record(result.metadata) for result in results if result is not None)
    assert widget._progress.text.startswith("2 of 2 layers denoised in ")
    assert widget._run.isEnabled() and not widget._cancel.isEnabled()


def test_one_bad_layer_does_not_stop_the_others(make_widget, done, image):
    viewer, widget = make_widget(image)
    viewer.add_image(np.zeros((64, 64), np.float32), name="flat", contrast_limits=(0, 1))
    viewer.add_image(image, name="gone")
    viewer.layers.selection = set(viewer.layers)
    widget.run()
    viewer.layers.remove("noisy")
    done(widget)
    assert "1 of 3 layers denoised" in widget._progress.text
    assert "flat: " in widget._progress.text and "noisy: has been removed" in widget._progress.text
    assert "gone · tiny" in [layer.name for layer in viewer.layers]


def test_cancel_leaves_the_layers_that_wait(make_widget, done, image, qtbot, monkeypatch):
    def steps(*_, **__):
        for step in range(1, 1000):
            yield Progress(step, 1000, "tile")
            time.sleep(0.01)
        raise InputError("nobody cancelled")

    monkeypatch.setattr(napari_hush.inference.denoise, "denoise_steps", steps)
    viewer, widget = make_widget(image)
    viewer.add_image(image, name="second")
    viewer.layers.selection = set(viewer.layers)
    widget.run()
    qtbot.waitUntil(lambda: widget._progress.text.startswith("layer 1 of 2: tile"), timeout=TIMEOUT)
    widget.cancel()
    done(widget)
    qtbot.wait(50)
    assert not widget.running
    assert len(viewer.layers) == 2


def test_pairs_are_known_by_what_they_are_not_by_their_names(make_widget, done, image, qtbot):
    viewer, widget = make_widget(image)
    source = viewer.layers["noisy"]
    widget.run()
    done(widget)
    result = viewer.layers["noisy · tiny"]
    source.name, result.name = "before", "after"
    viewer.add_image(image, name="noisy")  # another one of the old name
    evaluate = EvaluateWidget(viewer)
    qtbot.addWidget(evaluate)
    evaluate._choice.denoised.layer = result
    assert evaluate._choice.noisy.currentText() == "before"
    assert read_record(result.metadata)["source_id"] == identity(source)
    viewer.layers.remove(source)
    assert source_in(read_record(result.metadata), viewer.layers) is None
    foreign = {"source_layer": "noisy", "source_id": "of another session:1", "model": "m"}
    assert source_in(foreign, viewer.layers).name == "noisy"


def test_a_verdict_stands_below_its_own_image_alone(make_widget, done, image):
    viewer, widget = make_widget(image)
    widget.run()
    done(widget)
    verdict = widget._verdict
    assert verdict.isVisibleTo(widget)
    said = verdict.text
    viewer.add_image(image, name="other")
    assert not verdict.isVisibleTo(widget)
    widget._layers.layer = viewer.layers["noisy"]
    assert verdict.isVisibleTo(widget) and verdict.text == said
    widget.preview()
    done(widget)
    assert not verdict.isVisibleTo(widget)  # the line above is about the preview
    viewer.layers.selection.active = viewer.layers["other"]
    viewer.layers.selection.active = viewer.layers["noisy"]
    assert verdict.isVisibleTo(widget)
    viewer.layers.remove("noisy · tiny")
    assert not verdict.isVisibleTo(widget)
