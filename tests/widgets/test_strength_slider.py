"""The slider for the strength blends results in memory at once, and says so honestly."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QSlider

import napari_hush as hush
import napari_hush.inference.denoise
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io.history import read_history
from napari_hush.widgets.denoise.blend import WHOLE, why_fixed
from napari_hush.widgets.denoise.growing import GrowingLayer
from napari_hush.widgets.files.writer import write_layer
from napari_hush.widgets.parts.layer_record import read_given_back, read_record
from napari_hush.widgets.parts.layer_source import Source

TIMEOUT = 300
TORCH = {"engine": "torch", "device": "cpu"}
LATTICE = hush.sample("dented-lattice").noisy[:128, :128]


def slide(dock, percent):
    dock._strength.findChild(QSlider).setValue(percent)


@pytest.fixture
def no_network(monkeypatch):
    """From now on denoising is an error."""

    def forbid():
        def steps(*_, **__):
            raise AssertionError("the network was run again")

        monkeypatch.setattr(napari_hush.inference.denoise, "denoise_steps", steps)

    return forbid


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (LATTICE, {}),
        (np.random.default_rng(0).poisson(40, (96, 128)).astype(np.uint16), {}),
        (np.stack([LATTICE[:96, :96], LATTICE[32:, 32:]]), {"frames": False}),
        (hush.sample("stack").noisy[:3, :64, :64], {"frames": 2}),
    ],
    ids=["floats", "integers", "stack", "series"],
)
def test_the_slider_gives_what_a_run_at_that_strength_gives(make_widget, model_file, no_network, data, options):
    _, dock = make_widget(data)
    dock.settings = DenoiseSettings(**TORCH, **options)
    layer = dock.run().wait(TIMEOUT)
    whole = layer.data
    expected = [hush.denoise(data, model_file, **TORCH, **options, strength=share) for share in (0.4, 0.0)]
    no_network()
    for share, values in zip((0.4, 0.0), expected, strict=True):
        slide(dock, round(100 * share))
        np.testing.assert_array_equal(layer.data, values)
        assert dock.settings.strength == share
        assert read_record(layer.metadata)["settings"]["strength"] == share
        assert f"strength {share:g}" in dock._progress.text
    slide(dock, 100)
    assert layer.data is whole


def test_a_run_at_a_strength_can_be_taken_back(make_widget, model_file, no_network):
    _, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH, strength=0.25)
    assert dock._strength.value == 0.25
    layer = dock.run().wait(TIMEOUT)
    expected = [hush.denoise(LATTICE, model_file, **TORCH, strength=share) for share in (0.25, 1.0)]
    np.testing.assert_array_equal(layer.data, expected[0])
    no_network()
    slide(dock, 100)
    np.testing.assert_array_equal(layer.data, expected[1])


def test_settings_of_a_script_change_no_result_that_is_there(make_widget):
    _, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH)
    layer = dock.run().wait(TIMEOUT)
    before = layer.data
    dock.settings = replace(dock.settings, strength=0.5)
    assert layer.data is before


def test_a_verdict_belongs_to_its_strength(make_widget, qtbot, tmp_path):
    _, dock = make_widget(LATTICE)
    dock.model, dock.settings = "stem", DenoiseSettings(**TORCH)
    layer = dock.run().wait(TIMEOUT)
    said = lambda: read_record(layer.metadata).get("verdict", "")  # noqa: E731
    qtbot.waitUntil(lambda: said() != "", timeout=1000 * TIMEOUT)
    first = said()
    slide(dock, 30)
    assert said() == "" and "at strength 0.3" in dock._verdict.text
    slide(dock, 31)  # while the first look may be under way
    qtbot.waitUntil(lambda: said() != "" and not dock._verdict.running, timeout=1000 * TIMEOUT)
    assert said() != first and "noise" in said()
    assert said().partition(": ")[2] in dock._verdict.text
    write_layer(str(tmp_path / "saved.tif"), layer.data, layer.as_layer_data_tuple()[1])
    history = read_history(tmp_path / "saved.tif")
    assert (history["settings"]["strength"], history["verdict"]) == (0.31, said())


def test_a_look_that_is_overtaken_says_nothing(make_widget, qtbot):
    _, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH)
    layer = dock.run().wait(TIMEOUT)
    found = []
    dock._verdict.found.connect(lambda *what: found.append(read_record(layer.metadata)["settings"]["strength"]))
    assert dock._verdict.running
    slide(dock, 50)
    qtbot.waitUntil(lambda: bool(found) and not dock._verdict.running, timeout=1000 * TIMEOUT)
    assert found == [0.5]


def test_a_result_is_judged_again_after_another_layer_was_chosen(make_widget, qtbot):
    viewer, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH)
    layer = dock.run().wait(TIMEOUT)
    slide(dock, 50)
    dock.layer = viewer.add_image(LATTICE[::-1], name="other")
    assert dock._verdict.text == "" and "verdict" not in read_record(layer.metadata)
    qtbot.waitUntil(lambda: "verdict" in read_record(layer.metadata), timeout=1000 * TIMEOUT)
    assert dock._verdict.isHidden()


def test_frames_of_a_series_come_at_the_strength():
    viewer = ViewerModel()
    source = Source.of(viewer.add_image(np.stack([LATTICE, LATTICE]), name="series"))
    growing = GrowingLayer(viewer, source, viewer.layers[0], 0.25)
    growing.finished.append(((1,), LATTICE[None] + 4))
    growing.show()
    np.testing.assert_allclose(viewer.layers[-1].data[1], LATTICE + 1, rtol=1e-5)


def test_a_preview_follows(make_widget, no_network):
    viewer, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH)
    preview = dock.preview().wait(TIMEOUT)
    whole = preview.data
    no_network()
    slide(dock, 0)
    np.testing.assert_array_equal(preview.data, viewer.layers["noisy"].data)
    slide(dock, 100)
    assert preview.data is whole


def test_what_was_given_back_follows(make_widget):
    _, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH, guard=True)
    layer = dock.run().wait(TIMEOUT)
    given = read_given_back(layer.metadata, layer.data.shape)
    assert given is not None
    slide(dock, 50)
    np.testing.assert_allclose(read_given_back(layer.metadata, layer.data.shape), given / 2)


@pytest.mark.parametrize("how", ["as input", "noisy changed", "result changed"])
def test_where_it_cannot_be_done_it_is_said(make_widget, qtbot, how):
    viewer, dock = make_widget((100 * LATTICE).clip(0).astype(np.uint16))
    dock.settings = DenoiseSettings(**TORCH)
    dock._output.setCurrentIndex(int(how == "as input"))
    layer = dock.run().wait(TIMEOUT)
    if how == "noisy changed":
        viewer.layers["noisy"].data = viewer.layers["noisy"].data + 1
        dock._verdict.clear()

        def forgotten():
            gc.collect()
            return why_fixed(layer) != ""

        qtbot.waitUntil(forgotten, timeout=60_000)  # a look at it may be under way
    elif how == "result changed":
        layer.data = layer.data + 1
    before = layer.data
    slide(dock, 50)
    assert layer.data is before
    assert "counts from the next run on" in dock._progress.text
    assert dock.settings.strength == 0.5


def test_integers_are_rounded_after_they_were_blended(make_widget, model_file):
    data = (100 * LATTICE).clip(0).astype(np.uint16)
    _, dock = make_widget(data)
    dock.settings = DenoiseSettings(**TORCH, strength=0.5)
    dock._output.setCurrentIndex(1)
    layer = dock.run().wait(TIMEOUT)
    expected = np.rint(hush.denoise(data, model_file, **TORCH, strength=0.5)).clip(0, 65535).astype(np.uint16)
    np.testing.assert_array_equal(layer.data, expected)


def test_nothing_is_kept_of_a_layer_that_is_gone(make_widget, qtbot):
    viewer, dock = make_widget(LATTICE)
    dock.settings = DenoiseSettings(**TORCH)
    layer = dock.run().wait(TIMEOUT)
    slide(dock, 50)
    whole = weakref.ref(layer.metadata[WHOLE].denoised)
    viewer.layers.remove(layer)
    viewer.layers.selection._current = None  # where napari keeps the layer that was chosen last
    del layer
    dock._verdict.clear()
    qtbot.waitUntil(lambda: not dock._verdict.running, timeout=1000 * TIMEOUT)

    def gone():
        gc.collect()
        return whole() is None

    qtbot.waitUntil(gone, timeout=10_000)


def test_copied_text_has_the_strength(make_widget, image):
    viewer, dock = make_widget(image)
    dock.settings = DenoiseSettings(**TORCH)
    layer = dock.run().wait(TIMEOUT)
    slide(dock, 35)
    namespace = {"viewer": viewer}
    exec(compile(dock.as_python(), "copied", "exec", dont_inherit=True), namespace)
    np.testing.assert_array_equal(namespace["result"], layer.data)
