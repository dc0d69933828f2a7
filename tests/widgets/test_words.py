"""Words of the docks: a unit or a kind of number at every control that takes one, one plain word for each thing."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFormLayout

from napari_hush.widgets.compare.dock import CompareWidget
from napari_hush.widgets.denoise.dock import DenoiseWidget
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.parts.fields import NumberOrEmpty, PairOrEmpty
from napari_hush.widgets.synthesize.dock import SynthesizeWidget
from napari_hush.widgets.train.dock import TrainWidget

DOCKS = [DenoiseWidget, EvaluateWidget, CompareWidget, SynthesizeWidget, TrainWidget]
UNITS = (
    "px|pixels|nm|Å|counts|electrons|%|percentiles?|0 to (?:under )?1|shares?|degrees|minutes|steps|updates|patches|"
    "images|tiles|frames|slices|projections|processes|threads|validations|times|axis|weight|decay|millions|norm|periods|"
    "grey levels|image's unit"
)
UNIT = re.compile(rf"\b(?:{UNITS})\b|%", re.IGNORECASE)
PURE = {"seed", "learning_rate", "final_learning_rate", "checks"}  # what has no unit, whatever its text says
JARGON = {"N", "Guard", "Match", "Ema", "Clip", "auto"}


@pytest.fixture(params=DOCKS, ids=lambda dock: dock.__name__)
def dock(request, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((4, 64, 64)))
    widget = request.param(viewer)
    qtbot.addWidget(widget)
    return widget


def named(control, dock):
    """Tooltip and name of a control, or of the field that it is a part of."""
    while control is not dock:
        if control.toolTip():
            return SimpleNamespace(tip=control.toolTip(), name=control.objectName())
        control = control.parentWidget()
    return SimpleNamespace(tip="", name="")


def test_every_number_says_its_unit(dock):
    controls = [
        *dock.findChildren(QAbstractSpinBox),
        *dock.findChildren(NumberOrEmpty),
        *dock.findChildren(PairOrEmpty),
    ]
    for control in controls:
        about = named(control, dock)
        suffix = getattr(control, "suffix", str)()
        assert about.tip, control
        assert about.name in PURE or UNIT.search(about.tip) or suffix.strip(), (about.name, about.tip)


def test_no_label_and_no_choice_is_jargon(dock):
    labels = {
        form.itemAt(row, QFormLayout.ItemRole.LabelRole).widget().text()
        for form in dock.findChildren(QFormLayout)
        for row in range(form.rowCount())
        if form.itemAt(row, QFormLayout.ItemRole.LabelRole) is not None
    }
    choices = {combo.itemText(k) for combo in dock.findChildren(QComboBox) for k in range(combo.count())}
    assert not (labels | choices) & JARGON
