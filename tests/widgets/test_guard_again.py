"""The guard is turned off and on in a result that is there, without running the network again."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QComboBox

import napari_hush as hush
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.widgets.parts.layer_record import read_record

TIMEOUT = 300
TORCH = {"engine": "torch", "device": "cpu"}
LATTICE = hush.sample("dented-lattice").noisy[:128, :128]


def choose(dock, qtbot, text):
    """As a hand does."""
    box = dock._form.findChild(QComboBox, "guard")
    index = [box.itemText(i) for i in range(box.count())].index(text)
    box.setCurrentIndex(index)
    box.activated.emit(index)
    qtbot.waitUntil(lambda: not dock.running, timeout=1000 * TIMEOUT)


@pytest.fixture
def no_network(monkeypatch):
    """From now on the network is an error."""

    def forbid():
        def refuse(*_):
            raise AssertionError("the network was run again")

        monkeypatch.setattr(TorchEngine, "__call__", refuse)
        monkeypatch.setattr(TorchEngine, "submit", refuse)

    return forbid


@pytest.mark.parametrize(
    ("data", "options"),
    [(LATTICE, {}), (np.stack([LATTICE[:96, :96], LATTICE[32:, 32:]]), {"frames": False, "strength": 0.5})],
    ids=["image", "stack at half strength"],
)
def test_guard_off_and_on_again(make_widget, qtbot, no_network, data, options):
    viewer, dock = make_widget(data)
    dock.model, dock.settings = "stem", DenoiseSettings(**TORCH, **options)
    layer = dock.run().wait(TIMEOUT)
    guarded, count = layer.data, len(viewer.layers)
    unguarded = hush.denoise(data, "stem", **TORCH, **options, guard=False)
    assert np.abs(guarded - unguarded).max() > 0.05 * data.std()
    layer.gamma = 0.5  # a hand's choice
    no_network()
    choose(dock, qtbot, "off")
    np.testing.assert_allclose(layer.data, unguarded, rtol=0, atol=2e-5 * data.std())
    assert read_record(layer.metadata)["settings"]["guard"] is False and not read_record(layer.metadata)["guard"]
    assert "from what the network gave before" in dock._progress.text
    choose(dock, qtbot, "automatic")
    np.testing.assert_array_equal(layer.data, guarded)
    assert (len(viewer.layers), layer.gamma) == (count, 0.5)
    qtbot.waitUntil(lambda: bool(read_record(layer.metadata).get("verdict")), timeout=1000 * TIMEOUT)


def test_a_run_without_guard_can_be_guarded(make_widget, qtbot, no_network):
    _, dock = make_widget(LATTICE)
    dock.model, dock.settings = "stem", DenoiseSettings(**TORCH, guard=False)
    layer = dock.run().wait(TIMEOUT)
    no_network()
    choose(dock, qtbot, "on")
    expected = hush.sample("dented-lattice")
    dent = expected.transmission[:128, :128] < 0.3
    assert read_record(layer.metadata)["guard"] and dent.shape == layer.data.shape


def test_why_it_counts_from_the_next_run_on(make_widget, qtbot):
    viewer, dock = make_widget(LATTICE)
    dock.model, dock.settings = "stem", DenoiseSettings(**TORCH)
    choose(dock, qtbot, "off")  # nothing is there yet
    layer = dock.run().wait(TIMEOUT)
    before = layer.data
    dock.settings = DenoiseSettings(**TORCH, dark=True)
    choose(dock, qtbot, "off")
    assert layer.data is before
    assert "counts from the next run on: other choices have changed" in dock._progress.text
    dock.settings = DenoiseSettings(**TORCH, guard=False)
    layer.data = before * 2
    doubled = layer.data
    choose(dock, qtbot, "automatic")
    assert layer.data is doubled and "the layer holds something else" in dock._progress.text
    viewer.layers.remove(layer)
    choose(dock, qtbot, "on")
    assert len(viewer.layers) == 1


def test_a_script_changes_no_result(make_widget):
    _, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH)
    layer = dock.run().wait(TIMEOUT)
    before = layer.data
    dock.settings = DenoiseSettings(**TORCH, guard=False)
    assert layer.data is before and not dock.running


def test_outputs_are_kept_of_one_layer(make_widget):
    viewer, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH)
    first, second = viewer.layers[0], viewer.add_image(LATTICE[:96, :96].copy(), name="second")
    dock.layer = first
    dock.run().wait(TIMEOUT)
    assert dock._known.of(first).has_outputs
    dock.layer = second
    dock.run().wait(TIMEOUT)
    assert dock._known.of(second).has_outputs and not dock._known.of(first).has_outputs
