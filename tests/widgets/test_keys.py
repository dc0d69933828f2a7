"""Docks by hand: keys, the way of the Tab key, and what a control says of itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_plugin_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QTableView, QWidget

from napari_hush.widgets.compare.dock import CompareWidget
from napari_hush.widgets.denoise.dock import DenoiseWidget
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.parts import devices_here
from napari_hush.widgets.parts.keys import CHANGEABLE, KeyButton, key_of
from napari_hush.widgets.parts.tabs import frame_of
from napari_hush.widgets.synthesize.dock import SynthesizeWidget
from napari_hush.widgets.train.dock import TrainWidget

KINDS = (DenoiseWidget, EvaluateWidget, CompareWidget, SynthesizeWidget, TrainWidget)
CONTROLS = (QComboBox, QAbstractSpinBox, QLineEdit, QAbstractButton)
TIMEOUT = 60_000


@pytest.fixture(params=KINDS)
def dock(request, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).poisson(40, (3, 64, 64)).astype(np.float32), name="scan")
    widget = request.param(viewer)
    qtbot.addWidget(widget)
    return widget


def controls(dock):
    found = [one for one in dock.widget().findChildren(QWidget) if isinstance(one, CONTROLS)]
    return [one for one in found if not isinstance(one.parent(), (QAbstractSpinBox, QComboBox, QTableView))]


def said(control, dock):
    """The tooltip that is shown over a control: its own, or that of what it is a part of."""
    while control is not dock.widget() and not control.toolTip():
        control = control.parentWidget()
    return control.toolTip()


def test_every_control_says_what_it_is_for(dock):
    assert len(controls(dock)) > 6
    silent = [
        (type(one).__name__, one.objectName())
        for one in controls(dock)
        if len(said(one, dock).replace("scan", "").split()) < 3
    ]
    assert not silent


def test_the_tab_key_goes_from_top_to_bottom(dock, qtbot):
    dock.resize(360, 700)
    with qtbot.waitExposed(dock):
        dock.show()
    stops = [one for one in controls(dock) if one.isVisible() and one.focusPolicy() & Qt.FocusPolicy.TabFocus]
    order, at = [], stops[0]
    for _ in range(500):
        if at in stops and at not in order:
            order.append(at)
        at = at.nextInFocusChain()
    first = order.index(min(stops, key=lambda one: one.mapTo(dock.widget(), QPoint()).y()))
    order = order[first:] + order[:first]
    places = [one.mapTo(dock.widget(), QPoint()) for one in order]
    rows = [place.y() + one.height() // 2 for place, one in zip(places, order, strict=True)]
    assert len(order) == len(stops)
    assert all(after >= before - 12 for before, after in itertools.pairwise(rows)), rows  # px


def test_keys_press_the_buttons_of_the_dock_in_front_alone(make_widget, image, qtbot):
    viewer, widget = make_widget(image, window=True)
    other = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(other, name="Evaluate")
    qtbot.waitUntil(lambda: widget.visibleRegion().isEmpty() and not other.visibleRegion().isEmpty(), timeout=TIMEOUT)
    for first, behind in ((widget, other), (other, widget)):
        frame_of(first).raise_()
        qtbot.waitUntil(lambda first=first: all(key.isEnabled() for key in first._tab.shortcuts), timeout=TIMEOUT)
        assert not any(key.isEnabled() for key in behind._tab.shortcuts)
    keys = {key.key().toString(): key for key in widget._tab.shortcuts}
    assert set(keys) == {"Alt+R", "Alt+E", "Alt+C"}
    keys["Alt+R"].activated.emit()
    assert widget.running
    keys["Alt+C"].activated.emit()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    assert widget._progress.text == "cancelled"


def test_keys_are_those_of_the_preferences(qtbot):
    chosen = get_plugin_settings("napari-hush").keys
    assert {name: getattr(chosen, name) for name in CHANGEABLE} == CHANGEABLE, "declared twice, and differently"
    chosen.run, chosen.cancel, chosen.blink = "F5", "no key at all", "Shift+B"
    try:
        viewer = ViewerModel()
        denoise, compare = DenoiseWidget(viewer), CompareWidget(viewer)
        for widget in (denoise, compare):
            qtbot.addWidget(widget)
        assert {key.key().toString() for key in denoise._tab.shortcuts} == {"F5", "Alt+E", "Alt+C"}
        assert QAbstractButton.text(denoise._run) == "Run" and "Shift+B" in compare._tips[compare._blinks]
        assert "Shift+B" in {str(key) for key in viewer.keymap} and key_of("cancel") == "Alt+C"
    finally:
        for name, key in CHANGEABLE.items():
            setattr(chosen, name, key)


def test_the_letter_of_a_key_is_underlined_whatever_the_button_says():
    button = KeyButton("Run", "R")
    assert QAbstractButton.text(button) == "&Run" and button.text() == "Run"
    button.setText("Preview")
    assert QAbstractButton.text(button) == "P&review"
    button.setText("Go on")
    assert QAbstractButton.text(button) == "Go on"


@pytest.mark.parametrize(
    ("platform", "gpu", "there"),
    [
        ("linux", False, ["automatic", "cpu"]),
        ("linux", True, ["automatic", "cpu", "cuda"]),
        ("darwin", True, ["automatic", "cpu", "mps"]),
    ],
)
def test_devices_that_are_not_there_are_no_choice(make_widget, image, monkeypatch, platform, gpu, there):
    monkeypatch.setattr(devices_here.sys, "platform", platform)
    monkeypatch.setattr(devices_here, "may_have_gpu", lambda: gpu)
    monkeypatch.setattr(devices_here, "DEVICES", ("cpu", "cuda", "mps"))
    _, widget = make_widget(image)
    combo = widget._form.findChild(QComboBox, "device")
    assert [combo.itemText(k) for k in range(combo.count())] == there
