"""The dock widget Denoise, as a user drives it."""

from __future__ import annotations

import subprocess
import sys

import dask.array
import numpy as np
import pytest

from napari_hush import denoise, sample


def test_run_adds_a_layer_that_lies_and_looks_like_its_source(make_widget, finish, image):
    viewer, widget = make_widget(
        image,
        window=True,
        scale=(0.2, 0.2),
        translate=(3, 4),
        rotate=15,
        shear=[0.1],
        affine=[[1, 0.1, 2], [0, 1, 1], [0, 0, 1]],
        units=("nm", "nm"),
        axis_labels=("y", "x"),
        colormap="magma",
        gamma=0.8,
        opacity=0.9,
        blending="additive",
        interpolation2d="linear",
    )
    widget.run()
    finish(widget)
    source, result = viewer.layers
    assert result.name == "noisy · tiny"
    assert result.data.dtype == np.float32
    assert not result.rgb
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(result, name), getattr(source, name), err_msg=name)
    np.testing.assert_allclose(result.affine.affine_matrix, source.affine.affine_matrix)
    for name in ("units", "axis_labels", "gamma", "opacity", "blending", "interpolation2d", "rendering"):
        assert getattr(result, name) == getattr(source, name), name
    assert result.colormap.name == "magma"
    record = result.metadata["napari-hush"]
    assert record["source_layer"] == "noisy"
    assert record["model"] == "tiny"
    assert {"time", "seconds", "normalization"} <= record.keys()
    assert "tiny" in widget._progress.text
    assert "Mpx/s" in widget._progress.text


def test_result_is_that_of_the_library(make_widget, finish, image, model_file):
    viewer, widget = make_widget(image)
    widget.run()
    finish(widget)
    np.testing.assert_array_equal(viewer.layers[1].data, denoise(image, model_file, engine="torch", device="cpu"))


def test_the_dock_says_which_model_fits_the_image(make_widget, finish):
    viewer, widget = make_widget(sample("cells").noisy[:96, :96])
    widget._models.setCurrentIndex(0)
    widget._models.activated.emit(0)
    assert widget._models.currentText() == "automatic"
    widget.run()
    finish(widget)
    assert viewer.layers[1].name == "noisy · general"
    assert widget._progress.text.startswith("no lattice was found (about ")
    assert " counts per pixel), so general: " in widget._progress.text
    assert not widget._advice.isVisibleTo(widget)


def test_a_model_that_does_not_suit_the_image_is_said_until_the_next_run(make_widget, finish):
    _, widget = make_widget(sample("dented-lattice").noisy[:96, :96])
    widget._models.setCurrentIndex(widget._models.findText("general"))
    widget._models.activated.emit(widget._models.currentIndex())
    widget.run()
    finish(widget)
    assert widget._advice.isVisibleTo(widget)
    assert widget._advice.text().startswith("! a lattice of ") and "'stem' is the model" in widget._advice.text()
    widget.run()
    assert not widget._advice.isVisibleTo(widget)
    widget.cancel()


def test_running_twice_adds_two(make_widget, finish, image):
    viewer, widget = make_widget(image)
    for _ in range(2):
        widget.run()
        assert not widget._run.isEnabled()
        finish(widget)
    assert [layer.name for layer in viewer.layers] == ["noisy", "noisy · tiny", "noisy · tiny [1]"]
    assert widget._layers.currentText() == "noisy"


def test_same_dtype_as_input(make_widget, finish, image):
    viewer, widget = make_widget(image)
    widget._output.setCurrentText("same as input")
    widget.run()
    finish(widget)
    assert viewer.layers[1].data.dtype == image.dtype


def test_labels_are_named_where_the_image_is_chosen(make_widget, image):
    labels = np.kron(np.arange(16).reshape(4, 4), np.ones((20, 20), int)).astype(np.uint16)
    _, widget = make_widget(labels)
    assert "80 x 80 pixels; it looks like labels of regions" in widget._words.text()
    _, widget = make_widget(image)
    assert "looks like" not in widget._words.text()


@pytest.mark.parametrize("channels", [3, 4])
def test_rgb_stays_what_it_was(make_widget, finish, channels):
    data = np.random.default_rng(0).integers(0, 255, (40, 50, channels), dtype=np.uint8)
    viewer, widget = make_widget(data, rgb=True)
    assert "3 colours" in widget._words.text()
    widget.run()
    finish(widget)
    result = viewer.layers[1]
    assert result.rgb
    assert result.data.shape == data.shape
    assert result.data.dtype == np.uint8
    assert not np.array_equal(result.data[..., :3], data[..., :3])
    if channels == 4:
        np.testing.assert_array_equal(result.data[..., 3], data[..., 3])


@pytest.mark.parametrize("lazy", [False, True])
def test_stack(make_widget, finish, lazy):
    data = np.random.default_rng(0).normal(5, 1, (3, 2, 40, 50)).astype(np.float32)
    given = dask.array.from_array(data, chunks=(1, 1, 40, 50)) if lazy else data
    viewer, widget = make_widget(given, axis_labels=("T", "Z", "Y", "X"), scale=(2, 1, 0.1, 0.1))
    assert widget._words.text() == "6 planes of (T, Z), 50 x 40 pixels"
    widget.run()
    finish(widget)
    result = viewer.layers[1]
    assert isinstance(result.data, np.ndarray)
    assert result.data.shape == data.shape
    assert tuple(result.axis_labels) == ("T", "Z", "Y", "X")
    np.testing.assert_array_equal(result.scale, (2, 1, 0.1, 0.1))


def test_multiscale_takes_the_finest_level(make_widget, finish, image):
    viewer, widget = make_widget([image, image[::2, ::2]], multiscale=True, scale=(0.5, 0.5))
    widget.run()
    finish(widget)
    result = viewer.layers[1]
    assert not result.multiscale
    assert result.data.shape == image.shape
    np.testing.assert_array_equal(result.scale, (0.5, 0.5))


def test_five_dimensions_become_a_notification(make_widget, finish, messages):
    viewer, widget = make_widget(np.zeros((2, 2, 2, 8, 8), np.float32))
    widget.run()
    finish(widget)
    assert len(viewer.layers) == 1
    assert any(kind == "error" and "5 dimensions" in text for kind, text in messages())


def test_without_an_image_the_buttons_tell_why(make_widget):
    viewer, widget = make_widget()
    assert not widget._run.isEnabled()
    assert not widget._preview.isEnabled()
    assert "image" in widget._run.toolTip()
    viewer.add_image(np.zeros((8, 8)), name="now")
    assert widget._run.isEnabled()


@pytest.mark.parametrize("window", [False, True])
def test_list_of_layers_follows_the_viewer(make_widget, image, window):
    viewer, widget = make_widget(image, window=window)
    viewer.add_labels(np.zeros((8, 8), int))
    viewer.add_image(image, name="other")
    combo = widget._layers
    assert [combo.itemText(i) for i in range(combo.count())] == ["other", "noisy"]
    assert combo.currentText() == "other"  # what was added last is active in napari's list
    viewer.layers.selection.active = viewer.layers["noisy"]
    assert combo.currentText() == "noisy"
    viewer.layers["noisy"].name = "renamed"
    assert combo.currentText() == "renamed"
    viewer.layers["renamed"].data = image[:10]
    assert widget._words.text() == "128 x 10 pixels"
    viewer.layers.remove("renamed")
    assert combo.currentText() == "other"


def test_layer_deleted_while_running(make_widget, finish, image):
    viewer, widget = make_widget(image, scale=(0.5, 0.5))
    widget.run()
    viewer.layers.clear()
    finish(widget)
    assert [layer.name for layer in viewer.layers] == ["noisy · tiny"]
    np.testing.assert_array_equal(viewer.layers[0].scale, (0.5, 0.5))


def test_contrast_limits_are_kept_where_they_fit(make_widget, finish):
    data = np.tile(np.linspace(0, 100, 64, dtype=np.float32), (64, 1))
    viewer, widget = make_widget(data, contrast_limits=(-1e6, 1e6))
    widget.run()
    finish(widget)
    limits = viewer.layers[1].contrast_limits
    assert limits[1] - limits[0] < 1e4


def test_importing_and_opening_load_no_torch():
    code = "import sys, napari_hush.widgets.denoise.dock; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=300).returncode == 0


def test_the_samples_open(make_napari_viewer):
    viewer = make_napari_viewer()
    for key in ("dented-lattice", "hexagonal-low-dose", "dumbbell", "stack"):
        viewer.open_sample("napari-hush", key)
    assert [layer.ndim for layer in viewer.layers] == [2, 2, 2, 3]


def test_the_menu_opens_the_widget(make_napari_viewer):
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-hush", "Denoise")
    assert type(widget).__name__ == "DenoiseWidget"
