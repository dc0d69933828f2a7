"""Adapting a model in the dock Train, as a user drives it."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hush import load_model
from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.training.adapt import adapt as adapting
from napari_hush.training.adapt.adapt import Adapted
from napari_hush.training.adapt.settings import AdaptSettings
from napari_hush.widgets.parts.layer_record import as_metadata
from napari_hush.widgets.train import dock as train_dock
from napari_hush.widgets.train.adaptation import FirstModel
from napari_hush.widgets.train.dock import TrainWidget

TIMEOUT = 300_000


@pytest.fixture
def dock(qtbot, tmp_path, model_file):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).poisson(40, (96, 128)).astype(np.uint16), name="scan: a/b")
    widget = TrainWidget(viewer)
    qtbot.addWidget(widget)
    widget.place.folder = tmp_path / "models"
    widget.adaptation.models.add(model_file)
    return widget


def run(dock, qtbot):
    dock.adaptation._button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=TIMEOUT)


def test_a_result_is_never_proposed(dock):
    layers = dock._viewer.layers
    scan = layers[0]
    result = dock._viewer.add_image(scan.data, metadata=as_metadata({"model": "tiny", "source_layer": scan.name}))
    assert layers.selection.active is result and dock.adaptation.layers.layer is scan
    layers.remove(scan)
    assert dock.adaptation.refusal == "Choose an image first"


def answering(monkeypatch, *, kept):
    """Put something quick in the place of the training; gives what it was called with."""
    calls = []

    def steps(image, model, settings, *, name, names):
        calls.append((image, model, settings, name, names))
        yield Progress(1, 2, "held out: better")
        return Adapted(load_model(model), {"kept": kept, "words": "what came out"})

    monkeypatch.setattr(adapting, "adapt_steps", steps)
    return calls


def test_one_click_adapts_the_chosen_model_to_the_layer(dock, qtbot, monkeypatch):
    offered = []
    monkeypatch.setattr(train_dock, "_offer", offered.append)
    calls = answering(monkeypatch, kept=True)
    dock.adaptation.form.value = replace(AdaptSettings(), minutes=2.0)
    run(dock, qtbot)
    image, model, settings, name, names = calls[0]
    assert image.shape == (96, 128) and model.stem == "tiny" and settings.minutes == 2
    assert name == "tiny-scan- a-b" and names == ["scan: a/b"]
    assert offered == [dock.place.folder / "tiny-scan- a-b.safetensors"] and offered[0].is_file()
    run(dock, qtbot)
    assert offered[1].name == "tiny-scan- a-b-2.safetensors"  # nothing is overwritten


def test_model_that_stays_as_it_is_writes_no_file(dock, qtbot, monkeypatch):
    answering(monkeypatch, kept=False)
    run(dock, qtbot)
    assert not dock.place.folder.exists()
    assert dock._model is None and dock.adaptation._button.isEnabled()


def test_refusal_of_the_image_is_shown(dock, qtbot, monkeypatch, messages):
    def steps(*_, **__):
        yield Progress(0, 1)
        raise InputError("scan: expected noise that can be drawn anew")

    monkeypatch.setattr(adapting, "adapt_steps", steps)
    run(dock, qtbot)
    assert any("drawn anew" in text for _, text in messages())


def test_cancelling_leaves_nothing(dock, qtbot, monkeypatch):
    def steps(*_, **__):
        while True:
            yield Progress(1, 2, "on and on")

    monkeypatch.setattr(adapting, "adapt_steps", steps)
    dock.adaptation._button.click()
    assert dock.running and not dock._pause.isEnabled() and not dock.paused
    dock.cancel()
    qtbot.waitUntil(lambda: not dock.running, timeout=TIMEOUT)
    assert not dock.place.folder.exists() and dock._model is None


def test_without_an_image_there_is_nothing_to_adapt_to(qtbot):
    widget = TrainWidget(ViewerModel())
    qtbot.addWidget(widget)
    assert not widget.adaptation._button.isEnabled()
    assert "no image layer" in widget.adaptation._button.toolTip()


def test_new_model_is_not_chosen_to_begin_with(dock, model_file, tmp_path):
    path = tmp_path / "new.safetensors"
    load_model(model_file).save(path)
    train_dock._offer(path)
    assert isinstance(dock.adaptation.models, FirstModel) and dock.adaptation.models.path == model_file
