"""Evidence, findings and model formats that are registered by one entry are in the docks at once."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_hush import sample
from napari_hush.fidelity.findings import LIMITS, Limit
from napari_hush.importers.registry import IMPORTERS, Importer
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.evaluate.layers import EVIDENCE, EvidenceLayer
from napari_hush.widgets.parts.layer_record import read_record
from napari_hush.widgets.parts.model_list import FROM_FILE, ModelCombo, is_model_name

FIELD = sample("dented-lattice")
NOISY, CLEAN = (image[:96, :96] for image in (FIELD.noisy, FIELD.clean))
LIMIT_MEANING = "Brightness of the denoised image."


def brightest(evaluation, pose):
    """The brightest place of the denoised image; none in a flat one."""
    image = evaluation.images["denoised"]
    if np.ptp(image) == 0:
        return None
    at = np.array([np.unravel_index(image.argmax(), image.shape)], float)
    return pose.points(at), {"name": "brightest", **pose.style}, "points"


@pytest.fixture
def make(qtbot, monkeypatch):
    """Give a viewer and its dock, with one more kind of evidence and one more finding."""
    monkeypatch.setitem(
        EVIDENCE, "top", EvidenceLayer(label="Brightest", meaning="The brightest place", make=brightest)
    )
    limit = Limit("Brightness", "%", (None, 5), LIMIT_MEANING, measure=lambda compared: 100 * compared.denoised.mean())
    monkeypatch.setitem(LIMITS, "brightness", limit)
    widgets = []

    def build(denoised=CLEAN):
        viewer = ViewerModel()
        viewer.add_image(NOISY, name="scan")
        viewer.add_image(denoised, name="result")
        widget = EvaluateWidget(viewer)
        qtbot.addWidget(widget)
        widgets.append(widget)
        widget.choose(viewer.layers["scan"], viewer.layers["result"])
        return viewer, widget

    yield build
    for widget in widgets:
        widget.cancel()
        qtbot.waitUntil(lambda widget=widget: not widget.running, timeout=60_000)


def test_evidence_is_offered_shown_and_hidden(make, finish):
    viewer, widget = make()
    widget.run()
    finish(widget)
    box = widget._evidence._boxes["top"]
    assert (box.text(), box.toolTip(), box.isEnabled(), box.isChecked()) == (
        "Brightest", "The brightest place", True, False,
    )  # fmt: skip
    box.setChecked(True)
    layer = viewer.layers["brightest"]
    assert isinstance(layer, Points) and read_record(layer.metadata) == {"evaluate": "top"}
    np.testing.assert_array_equal(layer.data[0], np.unravel_index(CLEAN.argmax(), CLEAN.shape))
    box.setChecked(False)
    assert "brightest" not in viewer.layers


def test_evidence_that_is_not_there_is_not_offered(make, finish):
    _, widget = make(np.full_like(CLEAN, 3))
    widget.run()
    finish(widget)
    box = widget._evidence._boxes["top"]
    assert not box.isEnabled() and box.toolTip() == "there is none in this image"


def test_a_finding_is_in_the_table(make, finish):
    _, widget = make()
    widget.run()
    finish(widget)
    rows = {widget._table.item(row, 0).text(): row for row in range(widget._table.rowCount())}
    item = widget._table.item(rows["✗ Brightness"], 0)
    assert LIMIT_MEANING in item.toolTip() and "at most 5 %" in item.toolTip()
    assert "brightness" in widget._verdict.text()


def test_a_model_format_is_listed_offered_and_taken(qtbot, monkeypatch, tmp_path):
    importer = Importer(
        kind="Papyrus scroll",
        suffixes=(".scroll",),
        matches=lambda _path, head: head.startswith(b"SCROLL"),
        load="a_module_that_is_not_there:load",  # nothing here loads it
    )
    monkeypatch.setitem(IMPORTERS, "scroll", importer)
    path = tmp_path / "wisdom.scroll"
    path.write_bytes(b"SCROLL")
    combo, refused, asked = ModelCombo(), [], []
    qtbot.addWidget(combo)
    combo.refused.connect(refused.append)
    combo.add(path)
    assert combo.path == path and combo.description == "Papyrus scroll" and not refused
    assert "Papyrus scroll" in combo.toolTip()
    assert is_model_name("a.SCROLL")
    assert "Papyrus scroll (.scroll)" in combo.itemData(combo.findText(FROM_FILE), Qt.ItemDataRole.ToolTipRole)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *arguments: asked.extend(arguments) or ("", ""))
    combo.activated.emit(combo.findText(FROM_FILE))
    assert "*.scroll" in asked[3]
    path.write_bytes(b"PAPER")
    combo.add(path)
    assert "or Papyrus scroll (.scroll)" in str(refused[0])
