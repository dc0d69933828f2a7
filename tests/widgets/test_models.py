"""Choosing a model: bundled, from a file, dropped onto the dock, remembered."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import pytest
import torch
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QSpinBox

import napari_hush as hush
from napari_hush.card import ModelCard, list_models
from napari_hush.model import Model
from napari_hush.widgets.parts import model_list, recent
from napari_hush.widgets.parts.model_list import FROM_FILE, ModelCombo, description, tell_apart
from napari_hush.widgets.parts.recent import MOST, recent_files, remember

N_BUNDLED = 1 + len(list_models())  # with "auto"


@pytest.fixture
def make_combo(qtbot):
    def make():
        combo = ModelCombo()
        qtbot.addWidget(combo)
        return combo

    return make


@pytest.fixture
def copies(tmp_path, model_file):
    """Make copies of the small model."""

    def make(*names):
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(model_file.read_bytes())
        return paths

    return make


def texts(combo):
    return [combo.itemText(i) for i in range(combo.count())]


def tooltip(combo, name):
    return combo.itemData(combo.findText(name), Qt.ItemDataRole.ToolTipRole)


def activate(combo, name):
    """Choose as a person does."""
    combo.setCurrentIndex(combo.findText(name))
    combo.activated.emit(combo.findText(name))


def test_the_bundled_models_are_listed_with_their_cards(make_combo):
    combo = make_combo()
    cards = list_models()
    assert texts(combo) == ["automatic", *(card.name for card in cards), FROM_FILE]
    for card in cards:
        assert card.description in tooltip(combo, card.name)


def test_the_model_that_python_takes_by_default_is_chosen_first(make_combo):
    combo = make_combo()
    assert combo.currentText() == "automatic"
    assert combo.choice == inspect.signature(hush.denoise).parameters["model"].default == "auto"
    activate(combo, "tomo")
    assert combo.choice == combo.path == model_list.ZOO / "tomo.safetensors"
    activate(combo, "automatic")
    assert combo.choice == "auto" and combo.path is None and "lattice" in combo.description


def test_a_chosen_file_stays_in_the_list(make_combo, monkeypatch, model_file):
    combo = make_combo()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(model_file), ""))
    activate(combo, FROM_FILE)
    assert combo.path == model_file
    assert combo.description == "For tests. Not for science."
    assert str(model_file) in combo.toolTip()
    assert model_file.name in texts(make_combo())


def test_the_dialog_offers_what_can_be_read_where_the_last_file_was(make_combo, monkeypatch, model_file):
    asked = []
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *arguments: asked.extend(arguments) or ("", ""))
    remember(model_file)
    activate(make_combo(), FROM_FILE)
    assert asked[2] == str(model_file.parent)
    for suffix in (".safetensors", ".h5", ".hdf5", ".keras", ".onnx", ".pth", ".pt", ".zip"):
        assert f"*{suffix}" in asked[3]
    assert ".ckpt" not in asked[3]


def test_leaving_the_dialog_changes_nothing(make_combo, monkeypatch, model_file):
    combo = make_combo()
    combo.add(model_file)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    activate(combo, FROM_FILE)
    assert combo.path == model_file
    assert combo.currentText() == model_file.name


def test_without_bundled_models_a_file_can_be_chosen(make_combo, monkeypatch, tmp_path, model_file):
    monkeypatch.setattr(model_list, "ZOO", tmp_path)
    combo = make_combo()
    assert combo.path is None
    combo.add(model_file)
    assert combo.path == model_file


# what is remembered


def test_recent_files_are_listed_last_used_first(make_combo, copies):
    a, b, c = copies("a.safetensors", "b.safetensors", "c.safetensors")
    combo = make_combo()
    for path in (a, b, c):
        combo.add(path)
    activate(combo, "a.safetensors")
    assert combo.path == a
    assert recent_files() == [a, c, b]
    assert texts(make_combo())[N_BUNDLED:-1] == ["a.safetensors", "c.safetensors", "b.safetensors"]


def test_so_many_files_are_remembered_and_no_more(copies):
    paths = copies(*(f"{number}.safetensors" for number in range(MOST + 2)))
    for path in paths:
        remember(path)
    assert recent_files() == paths[:1:-1]


def test_a_missing_file_is_not_listed_but_comes_back_with_its_drive(make_combo, copies):
    a, b = copies("drive/a.safetensors", "b.safetensors")
    remember(a)
    a.parent.rename(a.parent.with_name("elsewhere"))
    remember(b)
    assert recent_files() == [b]
    assert a.name not in texts(make_combo())
    a.parent.with_name("elsewhere").rename(a.parent)
    assert recent_files() == [b, a]


def test_bundled_models_are_not_remembered(make_combo):
    combo = make_combo()
    activate(combo, "stem")
    combo.add(model_list.ZOO / "stem.safetensors")
    assert combo.currentText() == "stem"
    assert recent_files() == []
    assert len(texts(combo)) == N_BUNDLED + 1


def test_two_docks_lose_nothing_of_each_other(make_combo, copies, qtbot):
    a, b = copies("a.safetensors", "b.safetensors")
    one, two = make_combo(), make_combo()
    one.add(a)
    two.add(b)
    assert recent_files() == [b, a]
    one.showPopup()
    assert texts(one)[N_BUNDLED:-1] == ["b.safetensors", "a.safetensors"]
    assert one.path == a
    one.hidePopup()


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "null", '[1, null, "\\u0000", ["x"]]', "[" * 100_000])
def test_settings_that_somebody_edited_do_no_harm(make_combo, model_file, text):
    settings = recent.make_settings()
    settings.setValue(recent.KEY, text)
    settings.sync()
    assert recent_files() == []
    make_combo().add(model_file)
    assert recent_files() == [model_file]


def test_settings_that_cannot_be_written_do_no_harm(make_combo, monkeypatch, copies):
    monkeypatch.setattr(model_list, "remember", lambda _: None)
    combo = make_combo()
    for path in copies("a.safetensors", "b.safetensors"):
        combo.add(path)
    combo.showPopup()
    assert texts(combo)[N_BUNDLED:-1] == ["b.safetensors", "a.safetensors"]
    combo.hidePopup()


def test_the_tests_leave_a_persons_settings_alone(settings_file, model_file):
    remember(model_file)
    assert recent.make_settings().fileName() == str(settings_file)
    assert model_file.name in settings_file.read_text()


def test_equal_names_are_told_apart(make_combo, copies):
    paths = copies("one/m.safetensors", "two/m.safetensors", "n.safetensors")
    combo = make_combo()
    for path in paths:
        combo.add(path)
    assert texts(combo)[N_BUNDLED:-1] == ["n.safetensors", "m.safetensors (two)", "m.safetensors (one)"]
    assert str(paths[0]) in tooltip(combo, "m.safetensors (one)")
    deep = [Path("/a/x/m.h5"), Path("/b/x/m.h5"), Path("/m.h5")]
    assert tell_apart(deep) == ["m.h5 (a/x)", "m.h5 (b/x)", "m.h5 (/)"]


# what is in a file


def write_zip(path, *members):
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"")


def write_keras(path):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["image"] = torch.zeros(4, 4).numpy()


KINDS = {
    "keras.h5": (write_keras, "Keras model"),
    "checkpoint.pth": (lambda path: torch.save({"a": torch.zeros(1)}, path), "PyTorch checkpoint"),
    "old.pth": (
        lambda path: torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=False),
        "PyTorch checkpoint",
    ),
    "package.zip": (lambda path: write_zip(path, "rdf.yaml", "weights.pt"), "BioImage.IO package"),
    "silent.safetensors": (lambda path: Model.create("cnn", {"widths": (2,)}).save(path), "napari-hush model"),
}

FOREIGN = {
    "image.h5": (write_hdf5, "without a Keras model"),
    "images.zip": (lambda path: write_zip(path, "a.tif"), "a zip archive of something else (with 'a.tif')"),
    "folder.zip": (lambda path: write_zip(path, "unet/bioimageio.yaml"), "a zip archive of something else"),
    "values.pth": (lambda path: path.write_bytes(pickle.dumps([1, 2])), "none of torch.save"),
    "broken.zip": (lambda path: path.write_bytes(b"PK\x03\x04 and so on"), "damaged"),
    "cut.safetensors": (lambda path: path.write_bytes(bytes([100, *[0] * 7]) + b'{"a'), "damaged"),
    "noise.safetensors": (lambda path: path.write_bytes(b"nonsense"), "text that begins with 'nonsense'"),
    "text.pth": (lambda path: path.write_text("hello"), "text that begins with 'hello'"),
    "empty.h5": (lambda path: path.write_bytes(b""), "empty"),
    "folder.h5": (lambda path: path.mkdir(), "folder"),
    "missing.h5": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_line_below_tells_what_a_file_is(make_widget, tmp_path, name):
    make, words = KINDS[name]
    make(tmp_path / name)
    _, widget = make_widget()
    widget._models.add(tmp_path / name)
    assert widget._models.path == tmp_path / name
    assert widget._about.text() == words


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_refused_and_the_choice_stays(make_widget, messages, model_file, tmp_path, name):
    make, words = FOREIGN[name]
    make(tmp_path / name)
    _, widget = make_widget()
    widget._models.add(tmp_path / name)
    assert [(kind, words in text and name in text) for kind, text in messages()] == [("error", True)]
    assert widget._models.path == model_file
    assert widget._models.currentText() == model_file.name
    assert recent_files() == [model_file]
    assert description(tmp_path / name) == ""


def test_a_file_that_broke_since_it_was_chosen_is_explained(make_widget, image, finish, messages, copies):
    _, widget = make_widget(image)
    (path,) = copies("chosen.safetensors")
    widget._models.add(path)
    path.write_bytes(path.read_bytes()[:-8])
    widget.run()
    finish(widget)
    path.unlink()
    widget._models.showPopup()
    assert widget._models.path == path
    widget._models.hidePopup()
    widget.run()
    finish(widget)
    assert [(kind, "chosen.safetensors" in text) for kind, text in messages()] == [("error", True)] * 2


def test_a_card_from_a_stranger_is_text_not_html(make_widget, tmp_path):
    path = tmp_path / "<b>.safetensors"
    Model.create("cnn", {"widths": (2,)}, card=ModelCard(name="x", description="<img src=x>")).save(path)
    _, widget = make_widget()
    widget._models.add(path)
    assert widget._about.textFormat() == Qt.TextFormat.PlainText
    assert "<img" not in widget._models.toolTip()
    assert "&lt;img" in widget._models.toolTip()


def test_looking_into_files_loads_no_torch(tmp_path, model_file):
    names = [model_file]
    for name in KINDS:
        KINDS[name][0](tmp_path / name)
        names.append(tmp_path / name)
    code = (
        "import sys, pathlib; from napari_hush.widgets.parts.model_list import look\n"
        "assert all(look(pathlib.Path(name)) for name in sys.argv[1:]); sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, names)]
    assert subprocess.run(command, timeout=300).returncode == 0


# dropping


def dropped(*names):
    content = QMimeData()
    content.setUrls([QUrl.fromLocalFile(str(name)) for name in names])
    return content


HOW = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
COPY = Qt.DropAction.CopyAction


def test_a_dropped_file_is_chosen(make_widget, image, finish, tmp_path, copies):
    (path,) = copies("dropped.safetensors")
    viewer, widget = make_widget(image)
    content = dropped(tmp_path / "image.tif", path)  # an event does not keep it alive
    event = QDropEvent(QPointF(5, 5), COPY, content, *HOW)
    widget.dropEvent(event)
    assert event.isAccepted()
    assert widget._models.path == path
    widget.run()
    finish(widget)
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("suffix", [".safetensors", ".H5", ".hdf5", ".keras", ".onnx", ".pth", ".pt", ".zip"])
def test_a_model_by_its_name_may_be_dropped(make_widget, suffix):
    _, widget = make_widget()
    content = dropped(f"/models/m{suffix}")
    event = QDragEnterEvent(QPoint(5, 5), COPY, content, *HOW)
    widget.dragEnterEvent(event)
    assert event.isAccepted()


@pytest.mark.parametrize("name", ["image.tif", "model.txt", "folder", "zip"])
def test_something_else_is_not_taken(make_widget, name):
    _, widget = make_widget()
    content = dropped(f"/models/{name}")
    event = QDragEnterEvent(QPoint(5, 5), COPY, content, *HOW)
    event.ignore()
    widget.dragEnterEvent(event)
    assert not event.isAccepted()


def test_a_drop_is_taken_anywhere_on_the_dock(make_widget, qtbot, copies):
    _, widget = make_widget()
    widget._form.value = type(widget._form.value)(tile=64)  # its field takes text
    widget._form.advanced.setChecked(True)
    widget.resize(300, 600)
    widget.show()
    qtbot.waitExposed(widget)
    spin = next(spin for spin in widget.findChildren(QSpinBox) if spin.isVisible())
    places = [widget._models, widget._run, widget._about, spin, widget.viewport(), widget]
    for number, part in enumerate(places):
        (path,) = copies(f"{number}.safetensors")
        where = part.mapTo(widget, part.rect().center())
        if part is widget:
            where = QPoint(3, widget.height() - 3)
        content = dropped(path)
        window = widget.windowHandle()
        enter = QDragEnterEvent(where, COPY, content, *HOW)
        QApplication.sendEvent(window, enter)
        assert enter.isAccepted(), part
        move = QDragMoveEvent(where, COPY, content, *HOW)
        move.accept()  # as Qt does after an accepted entry
        QApplication.sendEvent(window, move)
        assert move.isAccepted(), part
        QApplication.sendEvent(window, QDropEvent(QPointF(where), COPY, content, *HOW))
        assert widget._models.path == path, part
    assert spin.value() == 64


def test_the_wheel_does_not_choose(make_combo, qtbot):
    combo = make_combo()
    combo.show()
    before = combo.currentIndex()
    turn = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(combo, turn)
    assert combo.currentIndex() == before
    assert not turn.isAccepted()


def test_a_file_that_may_not_be_read_is_refused(make_widget, messages, model_file, copies, monkeypatch):
    (path,) = copies("locked.safetensors")
    _, widget = make_widget()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(model_list, "look", refuse)
    widget._models.add(path)
    assert widget._models.path == model_file
    assert messages() == [("error", f"{path}: cannot be read (Permission denied)")]
