"""Choosing a model: bundled, from a file, dropped onto the dock."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog

from napari_hush.card import list_models
from napari_hush.widgets import _models
from napari_hush.widgets._models import ModelCombo, description


def test_the_bundled_models_are_listed_with_their_cards(qtbot):
    combo = ModelCombo()
    qtbot.addWidget(combo)
    cards = list_models()
    assert [combo.itemText(i) for i in range(combo.count() - 1)] == [card.name for card in cards]
    for index, card in enumerate(cards):
        assert combo.itemData(index, Qt.ItemDataRole.ToolTipRole) == card.description


def test_a_chosen_file_stays_in_the_list(qtbot, monkeypatch, model_file):
    combo = ModelCombo()
    qtbot.addWidget(combo)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(model_file), ""))
    combo.setCurrentIndex(combo.count() - 1)
    combo.activated.emit(combo.count() - 1)
    assert combo.path == model_file
    assert combo.description == "For tests. Not for science."
    again = ModelCombo()
    qtbot.addWidget(again)
    assert model_file.name in [again.itemText(i) for i in range(again.count())]


def test_leaving_the_dialog_changes_nothing(qtbot, monkeypatch, model_file):
    combo = ModelCombo()
    qtbot.addWidget(combo)
    combo.add(model_file)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    combo.setCurrentIndex(combo.count() - 1)
    combo.activated.emit(combo.count() - 1)
    assert combo.path == model_file


def test_without_bundled_models_a_file_is_asked_for(qtbot, monkeypatch, tmp_path, model_file):
    monkeypatch.setattr(_models, "ZOO", tmp_path)
    combo = ModelCombo()
    qtbot.addWidget(combo)
    assert combo.path is None
    combo.add(model_file)
    assert combo.path == model_file


def test_a_dropped_file_is_chosen(make_widget, image, finish, tmp_path, model_file):
    dropped = tmp_path / "dropped.safetensors"
    dropped.write_bytes(model_file.read_bytes())
    viewer, widget = make_widget(image)
    content = QMimeData()
    content.setUrls([QUrl.fromLocalFile(str(tmp_path / "image.tif")), QUrl.fromLocalFile(str(dropped))])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, content, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    widget.dropEvent(event)
    assert event.isAccepted()
    assert widget._models.path == dropped
    widget.run()
    finish(widget)
    assert len(viewer.layers) == 2


def test_a_strange_file_has_no_description(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nonsense")
    assert description(path) == ""
    assert description(Path("missing.safetensors")) == ""
