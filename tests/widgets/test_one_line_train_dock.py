"""A network or a method that is added by one line of a registry is offered and trained by the dock Train."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hush.model import Model
from napari_hush.training.presets import PRESETS, Preset
from napari_hush.widgets.train.dock import TrainWidget
from training_dummies import LINES, DummySettings

TIMEOUT = 120_000
SMALL = {"steps": 2, "validate_every": 1, "batch_size": 1, "patch": 16, "picture_every": 0, "device": "cpu"}


@pytest.fixture
def widget(monkeypatch, qtbot, tmp_path):
    for registry, entry in LINES.values():
        monkeypatch.setitem(registry, "dummy", entry)
    monkeypatch.setitem(PRESETS, "weak", Preset("dummy", DummySettings(pull=0.1), "a weak dummy"))
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((6, 48, 64), dtype=np.float32), name="noisy")
    widget = TrainWidget(viewer)
    qtbot.addWidget(widget)
    widget.place.folder = tmp_path / "models"
    yield widget
    widget.data.study.stop()
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running and not widget.data.study.busy, timeout=TIMEOUT)


def test_a_network_is_in_the_lists(widget):
    for method, names in (("supervised", ["network"]), ("two-stage", ["network", "final_network"])):
        widget.form.method = method
        for name in names:
            field = widget.form.form._fields[name]
            assert "dummy" in field.choices
            field.value = "dummy"
            assert getattr(widget.form.settings, name) == "dummy"


def test_a_method_is_offered_with_its_words_settings_and_presets(widget):
    combo = widget.form.methods
    names = [combo.itemText(index) for index in range(combo.count())]
    assert combo.itemData(names.index("dummy"), 3) == "from noise"
    widget.form.method = "dummy"
    assert combo.toolTip() == "from noise"
    assert widget.form.settings == DummySettings()
    assert widget.data.needs == "noisy"
    assert widget.place.name == "dummy"
    widget.form._on_preset("weak")
    assert widget.form.settings == DummySettings(pull=0.1)
    assert widget.form.presets.currentText() == "weak"
    widget.form.form._fields["pull"].value = 2.5
    assert widget.form.settings.pull == 2.5


def test_a_method_is_trained_with_a_network_of_its_own(widget, qtbot, tmp_path):
    widget.form.settings = replace(DummySettings(), **SMALL)
    qtbot.waitUntil(lambda: not widget.data.study.busy, timeout=TIMEOUT)
    assert widget.data.words.text() == "6 noisy images of 64 x 48 px"
    widget.start()
    assert widget.running
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    model = Model.load(tmp_path / "models" / "dummy.safetensors")
    assert model.architecture == "dummy"
    assert model.card.training["method"] == "dummy"
    assert {"loss", "distance"} <= widget._run.curves.keys()
