"""A list of models to choose from: the bundled ones and files."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFileDialog, QStyle, QStyleOptionComboBox, QStylePainter, QWidget

from napari_hush.card import ZOO
from napari_hush.errors import ModelFileError
from napari_hush.importers.registry import expected, look, suffixes
from napari_hush.inference.settings import AUTO
from napari_hush.widgets.parts.labels import AUTOMATIC
from napari_hush.widgets.parts.recent import recent_files, remember

if TYPE_CHECKING:
    from qtpy.QtGui import QDropEvent, QPaintEvent, QWheelEvent

FITTING = "stem where the image has a lattice, tomo where a slice has streaks, general elsewhere"
FROM_FILE = "From file…"
CONTROL = QStyle.ComplexControl.CC_ComboBox


class ModelCombo(QComboBox):
    """*automatic*, the bundled models, the files used lately, and *From file…*.

    Attributes
    ----------
    changed : Signal()
        Another model is chosen.
    refused : Signal(Exception)
        A file is no model; the choice is what it was.
    """

    changed = Signal()
    refused = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self._added: list[Path] = []  # in case that the settings cannot be written
        self._path: Path | None = None
        self._description = ""
        self._fill(None)
        self.activated.connect(self._on_activated)

    @property
    def choice(self) -> str | Path:
        """What `denoise` takes: the chosen model's file, or ``"auto"``."""
        return self._path or AUTO

    @property
    def path(self) -> Path | None:
        """The chosen model's file; None for the one that fits the image."""
        return self._path

    @property
    def description(self) -> str:
        """What the chosen model is for, as far as its file tells."""
        return self._description

    def add(self, path: str | Path) -> None:
        """Choose a file, and list it if it is new; one that is no model is refused."""
        try:
            self._take(Path(os.path.abspath(path)))
        except ModelFileError as error:
            self._choose(self._path)
            self.refused.emit(error)

    def choose(self, model: str | Path) -> None:
        """Choose a model as `denoise` takes it, for a script: ``"auto"``, the name of a bundled one, or a file.

        Raises
        ------
        ModelFileError
            If there is no such model.
        """
        bundled = {path.stem: path for path in _bundled()}
        if model == AUTO:
            self._choose(None)
        elif str(model) in bundled:
            self._choose(bundled[str(model)])
        elif not Path(model).suffix and not os.path.exists(model):
            raise ModelFileError(
                f"unknown model {model!r}: expected {AUTO!r}, {', '.join(map(repr, bundled))} or a file"
            )
        else:
            self._take(Path(os.path.abspath(model)))

    @property
    def name(self) -> str | Path:
        """What `choose` takes: ``"auto"``, the name of a bundled model, or a file."""
        return self._path.stem if self._path in _bundled() and self._path is not None else self.choice

    def _take(self, path: Path) -> None:
        """Choose a file, or say that it is no model."""
        try:
            look(path)
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
        if path not in _bundled():
            self._added = [path, *(other for other in self._added if other != path)]
            remember(path)
        self._choose(path)

    def choose_auto(self) -> None:
        """Choose the one that fits the image."""
        self._choose(None)

    def showPopup(self) -> None:
        """List what other docks have added meanwhile, and the last used first."""
        self._fill(self._path)
        super().showPopup()

    def paintEvent(self, _: QPaintEvent | None) -> None:
        """Shorten a long name in its middle; the style of napari would cut it off."""
        style, option, painter = cast("QStyle", self.style()), QStyleOptionComboBox(), QStylePainter(self)
        self.initStyleOption(option)
        room = style.subControlRect(CONTROL, option, QStyle.SubControl.SC_ComboBoxEditField, self).width() - 4
        option.currentText = self.fontMetrics().elidedText(option.currentText, Qt.TextElideMode.ElideMiddle, room)
        painter.drawComplexControl(CONTROL, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave the wheel to the dock's scrolling: turning it should not open a dialog."""
        if event is not None:
            event.ignore()

    def _fill(self, chosen: Path | None) -> None:
        """List the models anew and choose one."""
        bundled, files = _bundled(), recent_files()
        files += [path for path in self._added if path not in files and os.path.isfile(path)]
        if chosen is not None and chosen not in [*bundled, *files]:  # it was deleted, as its use will tell
            files.insert(0, chosen)
        self.clear()
        self._append(None, AUTOMATIC, FITTING)
        for path in bundled:
            self._append(path, path.stem, f"<qt>{escape(description(path))}</qt>")
        for path, name in zip(files, tell_apart(files), strict=True):
            self._append(path, name, f"<qt>{escape(description(path))}<br>{escape(str(path))}</qt>")
        self._append(None, FROM_FILE, expected())
        self._choose(chosen)

    def _choose(self, path: Path | None) -> None:
        listed = [self.itemData(index) for index in range(self.count() - 1)]
        if path not in listed:
            self._fill(path)
            return
        self.setCurrentIndex(listed.index(path))
        self.setToolTip(self.currentData(Qt.ItemDataRole.ToolTipRole) or "")
        before = self._path, self._description
        self._path, self._description = path, description(path) if path is not None else FITTING
        if before != (self._path, self._description):
            self.changed.emit()

    def _append(self, path: Path | None, name: str, tooltip: str) -> None:
        self.addItem(name, path)
        self.setItemData(self.count() - 1, tooltip, Qt.ItemDataRole.ToolTipRole)

    def _on_activated(self, index: int) -> None:
        if index == 0:
            self._choose(None)
            return
        path = self.itemData(index)
        if path is None:
            files = recent_files()
            folder = str(files[0].parent) if files else ""
            filters = f"Models ({' '.join(f'*{suffix}' for suffix in suffixes())});;All files (*)"
            path, _ = QFileDialog.getOpenFileName(self, "Choose a model file", folder, filters)
        if path:
            self.add(path)
        else:
            self._choose(self._path)


def is_model_name(path: str | Path) -> bool:
    """Whether a file's name is that of a model."""
    return Path(path).suffix.lower() in suffixes()


def dropped_model(event: QDropEvent) -> str:
    """The first model file that is dropped; empty where none is."""
    content = event.mimeData()
    names = [url.toLocalFile() for url in content.urls()] if content is not None else []
    return next((name for name in names if is_model_name(name)), "")


def tell_apart(paths: list[Path]) -> list[str]:
    """The files' names, with as many of their folders as it takes to tell equal names apart."""
    names = []
    for path in paths:
        parts, twins = path.parts, [other.parts for other in paths if other.name == path.name and other != path]
        length = 1
        while length < len(parts) and any(twin[-length:] == parts[-length:] for twin in twins):
            length += 1
        folder = "/".join(parts[-length:-1])
        names.append(f"{path.name} ({folder})" if folder else path.name)
    return names


def description(path: Path) -> str:
    """What can be told of a model; nothing where there is something wrong with the file."""
    try:
        return look(path)
    except (ModelFileError, OSError):
        return ""


def _bundled() -> list[Path]:
    return sorted(ZOO.glob("*.safetensors"))
