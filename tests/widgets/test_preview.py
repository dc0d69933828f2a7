"""The preview: a part of one plane, exactly where it belongs and with the pixels of a run."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.widgets.denoise import dock as module
from napari_hush.widgets.parts.layer_source import visible_part

POSE = {"translate": (3, 4), "scale": (0.5, 0.25), "rotate": 20, "shear": [0.2], "affine": np.diag([2, 3, 1])}


@pytest.fixture
def part(monkeypatch):
    """Choose what is seen."""

    def choose(plane, region):
        monkeypatch.setattr(module, "visible_part", lambda layer, dims: (plane, region))

    return choose


def test_preview_equals_the_crop_of_the_full_result(make_widget, finish, image, part):
    part((), (20, 60, 30, 100))
    viewer, widget = make_widget(image, **POSE)
    widget.run()
    finish(widget)
    widget.preview()
    finish(widget)
    source, full, preview = viewer.layers
    assert preview.name == "noisy preview"
    np.testing.assert_allclose(preview.data, full.data[20:60, 30:100], rtol=1e-5, atol=1e-4)
    for corner in ((0, 0), (39, 69), (0, 69)):
        np.testing.assert_allclose(
            preview.data_to_world(corner), source.data_to_world((corner[0] + 20, corner[1] + 30)), atol=1e-9
        )


def test_preview_of_a_stack_lies_in_its_plane(make_widget, finish, part):
    data = np.random.default_rng(0).normal(5, 1, (4, 40, 50)).astype(np.float32)
    part((2,), (0, 40, 10, 50))
    viewer, widget = make_widget(data, scale=(3, 0.5, 0.5))
    widget.preview()
    finish(widget)
    preview = viewer.layers[1]
    assert preview.data.shape == (1, 40, 40)
    np.testing.assert_allclose(preview.data_to_world((0, 0, 0)), viewer.layers[0].data_to_world((2, 0, 10)))


def test_preview_of_rgb(make_widget, finish, part):
    data = np.random.default_rng(0).integers(0, 255, (40, 50, 4), dtype=np.uint8)
    part((), (5, 25, 10, 40))
    viewer, widget = make_widget(data, rgb=True)
    widget.preview()
    finish(widget)
    assert viewer.layers[1].data.shape == (20, 30, 4)
    np.testing.assert_array_equal(viewer.layers[1].data[..., 3], data[5:25, 10:40, 3])


def test_second_preview_updates_the_first(make_widget, finish, image, part):
    viewer, widget = make_widget(image)
    for region in ((0, 20, 0, 30), (10, 50, 20, 90)):
        part((), region)
        widget.preview()
        finish(widget)
    assert len(viewer.layers) == 2
    assert viewer.layers[1].data.shape == (40, 70)
    np.testing.assert_array_equal(viewer.layers[1].translate, (10, 20))


def test_what_is_seen_is_within_the_image_and_shrinks_with_the_zoom(make_widget, image, qtbot):
    viewer, _ = make_widget(image, window=True, scale=(0.1, 0.1))
    layer = viewer.layers[0]
    whole = visible_part(layer, viewer.dims)
    assert whole == ((), (0, 96, 0, 128))
    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: visible_part(layer, viewer.dims) != whole, timeout=300_000)
    _, (y0, y1, x0, x1) = visible_part(layer, viewer.dims)
    assert 0 <= y0 < y1 <= 96
    assert 0 <= x0 < x1 <= 128


def test_current_plane(make_widget):
    viewer, _ = make_widget(np.zeros((4, 3, 8, 9), np.float32), scale=(5, 2, 1, 1), translate=(7, 0, 0, 0))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 1)
    assert visible_part(viewer.layers[0], viewer.dims)[0] == (2, 1)
    viewer.dims.ndisplay = 3
    assert visible_part(viewer.layers[0], viewer.dims) == ((2, 1), (0, 8, 0, 9))
