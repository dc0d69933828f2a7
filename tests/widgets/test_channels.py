"""The axis of channels in the dock Denoise: what the labels of a layer say, or a person."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush import denoise
from napari_hush.widgets.denoise import dock as module

CHANNELS = np.random.default_rng(0).poisson(40, (2, 3, 40, 44)).astype(np.float32) * np.array(
    [1, 9], np.float32
).reshape(2, 1, 1, 1)


@pytest.mark.parametrize("label", ["c", "Channels", "colour", "Dye"])
def test_labels_of_a_layer_name_the_channels(make_widget, finish, model_file, label):
    viewer, widget = make_widget(CHANNELS, axis_labels=(label, "z", "y", "x"))
    assert widget._channels.combo.currentText() == "axis 0 (2)"
    assert widget._words.text() == "3 planes of (z), 44 x 40 pixels, 2 channels"
    widget._form.value = type(widget._form.value)(engine="torch", device="cpu", frames=False)
    widget.run()
    finish(widget)
    expected = denoise(CHANNELS, model_file, channel_axis=0, engine="torch", device="cpu", frames=False)
    np.testing.assert_array_equal(viewer.layers[1].data, expected)
    assert viewer.layers[1].axis_labels == viewer.layers[0].axis_labels


def test_a_person_names_the_channels(make_widget, finish, model_file):
    viewer, widget = make_widget(np.moveaxis(CHANNELS, 0, -1)[0])
    combo = widget._channels.combo
    assert [combo.itemText(k) for k in range(combo.count())] == ["none", "axis 0 (40)", "axis 2 (2)"]
    assert widget._channels.axis is None
    widget._channels.axis = 2
    assert widget._words.text() == "44 x 40 pixels, 2 channels"
    widget._refresh()
    assert widget._channels.axis == 2  # stays
    widget.run()
    finish(widget)
    expected = denoise(CHANNELS[:, 0], model_file, channel_axis=0, engine="torch", device="cpu")
    np.testing.assert_allclose(viewer.layers[1].data, np.moveaxis(expected, 0, -1), rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_preview_has_all_channels_of_the_plane_in_sight(make_widget, finish, monkeypatch, axis):
    data = np.moveaxis(CHANNELS, 0, axis)
    plane = (1, 2) if axis == 0 else (2, 1)
    monkeypatch.setattr(module, "visible_part", lambda layer, dims: (plane, (4, 30, 10, 44)))
    viewer, widget = make_widget(data, scale=(5, 3, 0.5, 0.5))
    widget._channels.axis = axis
    widget._form.value = type(widget._form.value)(engine="torch", device="cpu", frames=False)
    widget.run()
    finish(widget)
    widget.preview()
    finish(widget)
    source, full, preview = viewer.layers
    part = np.take(full.data, [2], axis=1 - axis)[..., 4:30, 10:44]
    np.testing.assert_allclose(preview.data, part, rtol=1e-5, atol=1e-3)
    origin = (0, 2, 4, 10) if axis == 0 else (2, 0, 4, 10)
    np.testing.assert_allclose(preview.data_to_world((0,) * 4), source.data_to_world(origin))


def test_layers_without_channels_have_no_such_list(make_widget, image):
    _, widget = make_widget(image)
    assert not widget._channels.combo.isVisibleTo(widget)
    _, widget = make_widget(np.zeros((20, 20, 3), np.uint8), rgb=True)
    assert not widget._channels.combo.isVisibleTo(widget) and widget._channels.axis is None


def test_the_only_colour_at_the_end_is_no_width(make_widget, finish, image):
    viewer, widget = make_widget(image[..., None])
    for start in (widget.run, widget.preview):
        start()
        finish(widget)
    assert [layer.data.shape for layer in viewer.layers[1:]] == [(*image.shape, 1)] * 2
    np.testing.assert_allclose(viewer.layers[1].data, viewer.layers[2].data, rtol=1e-5)
