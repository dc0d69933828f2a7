"""Docks as tabs of one column, and what a dock that was closed has left for the next one."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTabBar

from napari_hush.widgets.compare.dock import CompareWidget
from napari_hush.widgets.denoise.dock import DenoiseWidget
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.parts.tabs import frame_of
from napari_hush.widgets.synthesize.dock import SynthesizeWidget
from napari_hush.widgets.train.dock import TrainWidget

KINDS = (DenoiseWidget, EvaluateWidget, CompareWidget, SynthesizeWidget, TrainWidget)
TIMEOUT = 60_000


@pytest.fixture
def dock(make_napari_viewer_proxy, qtbot):
    """Open docks in one window, as its menu does."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(np.random.default_rng(0).poisson(40, (64, 64)).astype(np.uint16))

    def add(kind):
        widget = kind(viewer)
        viewer.window.add_dock_widget(widget, name=f"{kind.__name__} (napari-hush)")
        qtbot.waitUntil(lambda: widget._tab._frame() is not None, timeout=TIMEOUT)
        qtbot.waitUntil(lambda: not widget.visibleRegion().isEmpty(), timeout=TIMEOUT)
        return widget

    add.viewer = viewer
    return add


def in_front(widget):
    return widget.isVisible() and not widget.visibleRegion().isEmpty()


def test_docks_are_tabs_and_each_has_the_whole_height(dock, qtbot):
    alone = dock(DenoiseWidget)
    height = alone.height()
    others = [dock(kind) for kind in KINDS[1:]]
    assert [in_front(one) for one in (alone, *others)] == [False] * (len(KINDS) - 1) + [True]
    frame = frame_of(alone)
    assert len(frame.parentWidget().tabifiedDockWidgets(frame)) == len(KINDS) - 1
    qtbot.waitUntil(lambda: others[-1].height() > height - 60, timeout=TIMEOUT)  # the tabs take some of it
    for one in others[:-1]:
        frame_of(one).raise_()
        qtbot.waitUntil(lambda one=one: in_front(one), timeout=TIMEOUT)
        qtbot.waitUntil(lambda one=one: one.height() > height - 60, timeout=TIMEOUT)


def test_tabs_show_whole_names(dock):
    first, *_ = (dock(kind) for kind in KINDS)
    window = frame_of(first).parentWidget()
    names = {kind.__name__ for kind in KINDS}
    [bar] = [one for one in window.findChildren(QTabBar) if names & {one.tabText(k) for k in range(one.count())}]
    assert {bar.tabText(index) for index in range(bar.count())} == names
    assert bar.elideMode() == Qt.TextElideMode.ElideNone and bar.usesScrollButtons()


def test_a_dock_that_the_menu_names_comes_to_the_front(dock, qtbot):
    first, _ = dock(DenoiseWidget), dock(TrainWidget)
    frame = frame_of(first)
    assert not in_front(first)
    frame.setVisible(not frame.isVisible())  # what the menu does
    qtbot.waitUntil(lambda: in_front(first), timeout=TIMEOUT)
    frame.setVisible(not frame.isVisible())
    qtbot.wait(100)
    assert not first.isVisible()
    frame.setVisible(not frame.isVisible())
    qtbot.waitUntil(lambda: in_front(first), timeout=TIMEOUT)


def test_a_dock_that_was_dragged_away_is_left_where_it_is(dock, qtbot):
    first, second = dock(DenoiseWidget), dock(TrainWidget)
    frame_of(second).setFloating(True)
    frame_of(second).hide()
    frame_of(second).show()
    qtbot.wait(100)
    assert frame_of(second).isFloating()
    assert in_front(first)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dock_that_is_opened_again_has_the_choices_of_before(dock, qtbot, kind, model_file):
    first = dock(kind)
    if kind is DenoiseWidget:
        first._models.add(model_file)
        first._form.value = type(first._form.value)(tile=128, dark=True)
        first._output.setCurrentIndex(1)
    elif kind is EvaluateWidget:
        first._choice.form.value = type(first._choice.form.value)(spacing=7.5)
        first._choice.planes.setCurrentIndex(1)
    elif kind is SynthesizeWidget:
        first.choices.settings = type(first.choices.settings)(n=7)
    elif kind is CompareWidget:
        first._across.setValue(9)
    else:
        first.form.method = "noise2void"
        first.form.form.value = type(first.form.settings)(steps=77)
    chosen = first.chosen()
    dock.viewer.window.remove_dock_widget(first)
    again = dock(kind)
    assert again is not first
    qtbot.waitUntil(lambda: again.chosen() == chosen, timeout=TIMEOUT)
