"""Which layers are offered, and as what: channels or planes, five axes, layers that are no images."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.train.dock import TrainWidget

RNG = np.random.default_rng(0)


def counts(*shape):
    return RNG.poisson(20, shape).astype(np.uint16)


@pytest.mark.parametrize("change", ["brighter", "shifted"])
def test_few_planes_of_other_ranges_are_proposed_as_channels(make_widget, change):
    data = counts(3, 80, 90)
    data[1] = data[1] * 5 if change == "brighter" else data[1] + 200
    _, widget = make_widget(data)
    assert widget._channels.axis == 0
    assert widget._words.text() == "90 x 80 pixels, 3 channels"
    widget._channels.axis = None  # a person knows better
    assert widget._words.text() == "3 planes, 90 x 80 pixels"


def test_channels_are_found_behind_time(make_widget):
    data = counts(2, 3, 80, 90)
    data[:, 2] *= 6
    _, widget = make_widget(data)
    assert widget._channels.axis == 1


@pytest.mark.parametrize(
    ("factors", "labels"),
    [((1, 1, 1), None), ((1, 1.1, 1.2), None), ((1, 5, 1), ("z", "y", "x")), ((1, 5, 1, 1, 1), None)],
    ids=["alike", "a little brighter", "named", "many"],
)
def test_frames_and_slices_stay_planes(make_widget, factors, labels):
    data = np.stack([counts(80, 90) * factor for factor in factors])
    _, widget = make_widget(data, **({} if labels is None else {"axis_labels": labels}))
    assert widget._channels.axis is None


@pytest.mark.parametrize(
    ("shape", "labels"),
    [
        ((1, 1, 3, 40, 44), "tczyx"),
        ((2, 3, 2, 40, 44), "tczyx"),
        ((2, 1, 3, 40, 44), "abcde"),
        ((1,) * 4 + (40, 44), "rtczyx"),
    ],
)
def test_five_axes_run_and_come_back(make_widget, finish, shape, labels):
    place = {"axis_labels": tuple(labels), "scale": [2.0] * (len(shape) - 2) + [0.5, 0.25]}
    place["units"] = ["s"] + ["um"] * (len(shape) - 3) + ["nm", "nm"]
    viewer, widget = make_widget(counts(*shape), **place)
    if labels == "abcde":
        widget._channels.axis = None
    for start in (widget.run, widget.preview):
        start()
        finish(widget)
    assert not widget._message.text
    source, result, preview = viewer.layers
    assert result.data.shape == shape
    for layer in (result, preview):
        assert layer.axis_labels == source.axis_labels
        np.testing.assert_array_equal(layer.scale, source.scale)
        assert layer.units == source.units


def test_five_long_axes_say_what_to_choose(make_widget):
    _, widget = make_widget(counts(2, 3, 2, 40, 44))
    assert "name its channels" in widget._words.text()
    assert "Channels" in widget._preview.toolTip()
    assert not widget._run.isEnabled()
    assert not widget._preview.isEnabled()
    widget.preview()  # by its key
    assert not widget.running
    widget._channels.axis = 1
    assert widget._run.isEnabled()
    assert widget._preview.isEnabled()


@pytest.mark.parametrize("kind", ["labels", "points", "shapes"])
def test_other_layers_say_why_they_are_not_offered(make_widget, image, kind, qtbot):
    viewer, widget = make_widget(image)
    train = TrainWidget(viewer)
    qtbot.addWidget(train)
    add = {"labels": lambda: viewer.add_labels(np.ones((9, 9), int), name="cells")}
    layer = add.get(kind, lambda: getattr(viewer, f"add_{kind}")(name="cells"))()
    viewer.layers.selection.active = layer
    for words in (widget._words.text(), train.data.words.text()):
        assert f"cells is a {kind} layer" in words
        assert "not offered" in words
    viewer.layers.selection.active = viewer.layers[0]
    for words in (widget._words.text(), train.data.words.text()):
        assert "not offered" not in words


def test_a_viewer_of_labels_alone_says_so(make_widget):
    viewer, widget = make_widget()
    viewer.add_labels(np.ones((9, 9), int), name="cells")
    assert "cells is a labels layer" in widget._words.text()


def test_train_follows_the_list_of_layers(make_widget, image, qtbot, tmp_path):
    viewer, _ = make_widget(image)
    train = TrainWidget(viewer)
    qtbot.addWidget(train)
    other = viewer.add_image(image, name="other")
    assert train.data.noisy.source == other
    viewer.layers.selection.active = viewer.layers[0]
    assert train.data.noisy.source == viewer.layers[0]
    train.data.noisy.source = tmp_path
    viewer.layers.selection.active = other
    assert train.data.noisy.source == tmp_path


def test_evaluate_takes_the_channels_that_a_result_was_made_by(make_widget, finish, qtbot):
    data = counts(3, 80, 90)
    data[1] *= 5
    viewer, widget = make_widget(data)
    widget.run()
    finish(widget)
    evaluate = EvaluateWidget(viewer)
    qtbot.addWidget(evaluate)
    choice = evaluate._choice
    assert choice.channels.axis == 0
    assert "3 channels" in choice.words.text()
    inputs = choice.inputs()
    assert inputs.noisy.channel_axis == inputs.denoised.channel_axis == 0
    assert inputs.planes == [()]
    evaluate.run()
    finish(evaluate)
    assert not evaluate._message.text
    choice.channels.axis = None
    assert [len(plane) for plane in choice.inputs().planes] == [1]


def test_train_counts_channels_as_channels(make_widget, qtbot):
    data = counts(3, 80, 90)
    data[1] *= 5
    viewer, _ = make_widget(data)
    train = TrainWidget(viewer)
    qtbot.addWidget(train)
    train.data.method = "noise2void"
    qtbot.waitUntil(lambda: "3 channels" in train.data.words.text(), timeout=60_000)
    assert train.data.parts()["noisy"].channel_axis == 0
    train.data._channels.axis = None
    qtbot.waitUntil(lambda: "3 noisy images" in train.data.words.text(), timeout=60_000)
