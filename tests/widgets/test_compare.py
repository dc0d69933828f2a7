"""The dock *Compare*: a curtain, blinking and a line of values over two layers."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_hush.widgets.compare.dock import CompareWidget
from napari_hush.widgets.compare.profile import values_along
from napari_hush.widgets.parts.layer_list import LayerCombo
from napari_hush.widgets.parts.layer_record import as_metadata

NOISY = np.random.default_rng(0).normal(100, 10, (60, 80)).astype(np.float32)
CLEAN = np.add.outer(np.arange(60.0), 2 * np.arange(80.0)).astype(np.float32)
MADE = as_metadata({"source_layer": "scan"})


@pytest.fixture
def make(qtbot):
    """Give a viewer with an image and its result, and the dock."""

    def build(noisy=NOISY, clean=CLEAN, viewer=None, **options):
        viewer = ViewerModel() if viewer is None else viewer
        viewer.add_image(noisy, name="scan", **options)
        viewer.add_image(clean, name="result", metadata=MADE, **options)
        widget = CompareWidget(viewer)
        qtbot.addWidget(widget)
        return viewer, widget

    return build


def test_a_result_is_compared_with_what_it_was_made_of(make):
    viewer, widget = make()
    viewer.add_image(NOISY, name="another")
    assert (widget._before.layer, widget._after.layer) == (viewer.layers["scan"], viewer.layers["result"])
    assert not widget.refusal


def test_the_curtain_shows_the_left_part_of_the_layer_before(make):
    viewer, widget = make(scale=(2, 3), translate=(5, 7))
    active = viewer.layers.selection.active
    widget._drawn.setChecked(True)
    curtain = viewer.layers["curtain"]
    np.testing.assert_array_equal(curtain.data, NOISY[:, :40])
    np.testing.assert_array_equal(curtain.extent.world[0], viewer.layers["scan"].extent.world[0])
    assert np.shares_memory(curtain.data, viewer.layers["scan"].data)
    assert viewer.layers.index(curtain) > viewer.layers.index(viewer.layers["result"])
    assert tuple(curtain.contrast_limits) == tuple(viewer.layers["result"].contrast_limits)
    assert viewer.layers.selection.active is active
    widget._slider.setValue(250)
    assert curtain.data.shape == (60, 20)
    for end, width in ((0, 1), (1000, 79)):
        widget._slider.setValue(end)
        assert curtain.data.shape == (60, width)
    widget._drawn.setChecked(False)
    assert [layer.name for layer in viewer.layers] == ["scan", "result"]


@pytest.mark.parametrize("kind", ["stack", "colours", "pyramid"])
def test_the_curtain_hangs_over_every_kind_of_layer(make, kind):
    noisy = {
        "stack": np.stack([NOISY] * 3),
        "colours": np.clip(np.stack([NOISY / 200] * 3, axis=-1), 0, 1),
        "pyramid": [NOISY, NOISY[::2, ::2]],
    }[kind]
    viewer, widget = make(noisy, noisy, rgb=kind == "colours", multiscale=kind == "pyramid")
    widget._drawn.setChecked(True)
    data = viewer.layers["curtain"].data
    if kind == "pyramid":
        assert [level.shape for level in data] == [(60, 40), (30, 20)]
    else:
        assert data.shape == {"stack": (3, 60, 40), "colours": (60, 40, 3)}[kind]


def test_other_axes_in_sight_turn_the_curtain(make):
    viewer, widget = make(np.stack([NOISY] * 10), np.stack([CLEAN] * 10))
    widget._drawn.setChecked(True)
    viewer.dims.order = (2, 1, 0)
    assert viewer.layers["curtain"].data.shape == (5, 60, 80)


def test_a_curtain_that_was_removed_by_hand_is_down(make):
    viewer, widget = make()
    widget._drawn.setChecked(True)
    viewer.layers.remove(viewer.layers["curtain"])
    assert not widget._drawn.isChecked() and widget._slider.isHidden()
    widget._drawn.setChecked(True)
    viewer.layers.remove(viewer.layers["scan"])
    assert not widget._drawn.isChecked() and [layer.name for layer in viewer.layers] == ["result"]


def test_other_docks_do_not_offer_the_curtain(make, qtbot):
    viewer, widget = make()
    widget._drawn.setChecked(True)
    combo = LayerCombo(viewer)
    qtbot.addWidget(combo)
    assert [combo.itemText(index) for index in range(combo.count())] == ["result", "scan"]


def test_the_key_and_the_button_swap_the_layers(make, qtbot):
    viewer, widget = make()
    extra = viewer.add_image(NOISY, name="over them")
    scan, result = viewer.layers["scan"], viewer.layers["result"]
    seen = [(scan.visible, result.visible) for _ in range(3) if widget._swap() is None]
    assert seen == [(True, False), (False, True), (True, False)] and not extra.visible
    widget._blinks.setChecked(True)
    qtbot.waitUntil(lambda: result.visible, timeout=5000)
    qtbot.waitUntil(lambda: scan.visible, timeout=5000)
    widget._blinks.setChecked(False)
    assert all(layer.visible for layer in viewer.layers)


def test_one_way_at_a_time(make):
    viewer, widget = make()
    widget._drawn.setChecked(True)
    widget._sides.setChecked(True)
    assert viewer.canvas.grid.enabled and "curtain" not in viewer.layers
    widget._drawn.setChecked(True)
    assert not viewer.canvas.grid.enabled


def test_what_cannot_be_compared_is_told(make):
    _, widget = make(NOISY, CLEAN[:50])
    assert "differ in shape: (60, 80) (before) and (50, 80) (after)" in widget._words.text()
    assert not widget._drawn.isEnabled() and not widget._words.isHidden()


def test_values_along_a_line_are_those_of_the_image(make):
    viewer, _ = make(scale=(2, 3), translate=(5, 7), units=("nm", "nm"))
    ends = (5 + 2 * 10, 7 + 3 * 20), (5 + 2 * 10, 7 + 3 * 50)
    found = values_along(viewer.layers["result"], viewer.dims, *ends, width=1)
    np.testing.assert_allclose(found.values, CLEAN[10, 20:51])
    np.testing.assert_allclose(found.distance, 3 * np.arange(31))
    assert found.unit == "nm"
    wide = values_along(viewer.layers["result"], viewer.dims, *ends, width=5)
    np.testing.assert_allclose(wide.values, CLEAN[8:13, 20:51].mean(axis=0))
    down = values_along(viewer.layers["result"], viewer.dims, (5, 7 + 9), (5 + 2 * 59, 7 + 9), width=1)
    np.testing.assert_allclose(down.values, CLEAN[:, 3])


def test_a_line_beside_the_image_has_no_values(make):
    viewer, _ = make()
    assert values_along(viewer.layers["result"], viewer.dims, (500, 500), (600, 600), width=1) is None
    half = values_along(viewer.layers["result"], viewer.dims, (10, 70), (10, 89), width=1)
    assert np.isfinite(half.values).sum() == 10 and np.isnan(half.values[10:]).all()


def test_the_profile_follows_its_line_and_the_plane_in_sight(make):
    viewer, widget = make(np.stack([NOISY, NOISY]), np.stack([CLEAN, CLEAN + 50]))
    widget._profile.setChecked(True)
    curve = widget._curves["after"]
    viewer.dims.set_current_step(0, 0)
    first = curve.yData.copy()
    viewer.dims.set_current_step(0, 1)
    np.testing.assert_allclose(curve.yData, first + 50)
    line = viewer.layers["profile"]
    line.data = [np.array([[0.0, 0.0], [0.0, 79.0]])]
    np.testing.assert_allclose(curve.yData, CLEAN[0] + 50)
    viewer.layers.remove(line)
    assert not widget._profile.isChecked() and widget._plot.isHidden()


def test_the_line_of_a_profile_is_hidden_and_used_again(make):
    viewer, widget = make()
    widget._profile.setChecked(True)
    line = viewer.layers["profile"]
    line.data = [np.array([[0.0, 0.0], [0.0, 79.0]])]
    widget._profile.setChecked(False)
    assert line in viewer.layers and not line.visible and widget._plot.isHidden()  # OpenGL may crash without it
    widget._profile.setChecked(True)
    assert [one for one in viewer.layers if one.name.startswith("profile")] == [line] and line.visible
    assert line.data[0][0, 0] > 0 and len(line.data) == 1


def test_without_pyqtgraph_it_says_how_to_install_it(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyqtgraph", None)
    viewer, widget = make()
    widget._profile.setChecked(True)
    assert "pip install pyqtgraph" in widget._shown_plot.text() and not widget._shown_plot.isHidden()
    assert "profile" in viewer.layers


def test_the_edge_is_dragged_with_the_mouse(make, make_napari_viewer):
    viewer, widget = make(viewer=make_napari_viewer(show=True))
    widget._drawn.setChecked(True)
    scan, canvas = viewer.layers["scan"], viewer.window._qt_viewer.canvas.native
    QApplication.processEvents()

    def place(row, column):
        world = np.array(scan.data_to_world((row, column))) - viewer.scene.camera.center[-2:]
        y, x = np.array([canvas.height(), canvas.width()]) / 2 + world * viewer.scene.camera.zoom
        return QPoint(round(x), round(y))

    before = viewer.scene.camera.center
    QTest.mouseMove(canvas, place(30, 39.5))
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place(30, 39.5))
    for column in range(39, 19, -1):
        QTest.mouseMove(canvas, place(30, column - 0.5))
        QApplication.processEvents()
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place(30, 19.5))
    assert abs(viewer.layers["curtain"].data.shape[1] - 20) <= 1
    assert abs(widget._slider.value() - 250) < 15
    assert viewer.scene.camera.center == before
    QTest.mouseMove(canvas, place(30, 60))
    QApplication.processEvents()
    assert viewer.scene.camera.mouse_pan


def test_a_closed_dock_leaves_nothing_behind(make, make_napari_viewer_proxy):
    viewer, widget = make(viewer=make_napari_viewer_proxy())
    dock = viewer.window.add_dock_widget(widget, name="Compare")
    widget._profile.setChecked(True)
    widget._drawn.setChecked(True)
    viewer.window.remove_dock_widget(dock)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["scan", "result"]
    assert "B" not in viewer.keymap
    viewer.layers.remove("scan")  # nobody is told who is no more
