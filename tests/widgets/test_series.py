"""Series in the dock Denoise: the frame in sight first, a layer that grows, what is kept after a stop, the maps."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

SIDE, FRAMES = 96, 5


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    clean = ndimage.gaussian_filter(rng.random((SIDE, SIDE)), 3)
    clean = 1000 * (clean - clean.min()) / np.ptp(clean)
    return (clean + rng.normal(0, 40, (FRAMES, SIDE, SIDE))).astype(np.float32)


def test_result_comes_with_its_maps_and_words(make_widget, finish, frames):
    viewer, widget = make_widget(frames, scale=(1, 0.2, 0.2))
    widget.run()
    finish(widget)
    names = [layer.name for layer in viewer.layers]
    assert names == ["noisy", "noisy · tiny", "noisy · tiny · frames that carry", "noisy · tiny · what changed"]
    result, carried, changed = list(viewer.layers)[1:]
    assert np.isfinite(result.data).all() and result.visible
    assert carried.data.shape == changed.data.shape == frames.shape and not carried.visible and not changed.visible
    assert carried.data.mean() > 3
    np.testing.assert_allclose(carried.scale, (1, 0.2, 0.2))
    assert viewer.layers.selection.active is result
    assert widget._series.isVisibleTo(widget) and "frames carry a pixel on average" in widget._series.text()
    assert result.metadata["napari-hush"]["series"]["window"] == FRAMES


def test_frame_in_sight_comes_first_and_a_stop_keeps_what_is_done(make_widget, qtbot, frames):
    viewer, widget = make_widget(np.concatenate([frames] * 4))
    viewer.dims.set_current_step(0, 7)
    widget.run()
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=60000)
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=60000)
    layer = viewer.layers[1]
    done = np.isfinite(layer.data).all(axis=(1, 2))
    assert done[7] and not done[6] and not done.all()
    assert layer.name == f"noisy · {done.sum()} of 20 frames"
    assert "are kept in a layer" in widget._progress.text
    assert layer.metadata["napari-hush"]["cancelled"] == f"{done.sum()} of 20 frames"


def test_layer_that_was_removed_while_it_grew_comes_again(make_widget, qtbot, finish, frames):
    viewer, widget = make_widget(frames)
    widget.run()
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=60000)
    viewer.layers.remove(viewer.layers[1])
    finish(widget)
    assert "noisy · tiny" in [layer.name for layer in viewer.layers]


def test_frames_may_stand_alone(make_widget, finish, frames):
    viewer, widget = make_widget(frames)
    field = widget._form._fields["frames"]
    assert field.value == "auto" and widget._form.chosen("frames") == "auto"
    field.value = False
    widget.run()
    finish(widget)
    assert len(viewer.layers) == 2 and not widget._series.isVisibleTo(widget)
    field.value = 3
    assert widget._form.value.frames == 3


def test_single_images_have_no_frames_to_choose(make_widget, image, frames):
    _, widget = make_widget(image)
    assert not widget._form._fields["frames"].isVisibleTo(widget)
    _, widget = make_widget(frames)
    assert widget._form._fields["frames"].isVisibleTo(widget)


def test_preview_is_alone_whatever_number_of_frames_is_chosen(make_widget, finish, frames, monkeypatch):
    from napari_hush.widgets.denoise import dock

    monkeypatch.setattr(dock, "visible_part", lambda layer, dims: ((1,), (0, 40, 10, 50)))
    viewer, widget = make_widget(frames)
    widget._form.value = replace(widget._form.value, frames=4)
    widget.preview()
    finish(widget)
    assert viewer.layers[1].data.shape == (1, 40, 40)
    assert viewer.layers[1].metadata["napari-hush"]["settings"]["frames"] is False


def test_planes_that_stand_alone_grow_too_and_the_one_in_sight_is_wanted_next(make_widget, finish, qtbot):
    volume = np.random.default_rng(1).normal(100, 30, (40, SIDE, SIDE)).astype(np.float32)
    viewer, widget = make_widget(volume)
    widget._form.value = replace(widget._form.value, frames=False)
    viewer.dims.set_current_step(0, 2)
    widget.run()
    growing = widget._growing
    assert growing.wanted() == 2
    viewer.dims.set_current_step(0, 30)
    growing.show()
    assert growing.wanted() == 30
    finish(widget)
    places = [place[0] for place, _ in growing.finished]
    assert sorted(places) == list(range(40)) and places.index(30) < places.index(29)
    assert np.isfinite(viewer.layers["noisy · tiny"].data).all()


def test_the_noisy_layer_may_be_removed_while_its_result_grows(make_widget, finish, frames):
    viewer, widget = make_widget(np.concatenate([frames] * 3))
    widget._form.value = replace(widget._form.value, frames=False)
    widget.run()
    viewer.layers.remove(viewer.layers["noisy"])
    finish(widget)
    assert [layer.name for layer in viewer.layers] == ["noisy · tiny"] and not widget._message.text
