"""Where a trained model goes: its name and folder; nothing is ever overwritten."""

from __future__ import annotations

import os
import re
from pathlib import Path

from qtpy.QtCore import QStandardPaths, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLineEdit, QToolButton, QWidget

from napari_hush.widgets.parts import recent
from napari_hush.widgets.parts.bits import small_label

KEY = "train/folder"
FOLDER = "napari-hush models"
SUFFIXES = (".safetensors", ".ckpt", ".toml")  # of the model, its checkpoint and its settings


class Place(QWidget):
    """The name of a model, and its folder.

    Attributes
    ----------
    changed : Signal()
        Another name or folder.
    """

    changed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self._line, self._words = QLineEdit(name), small_label()
        self._line.setToolTip("The model's name; a number is appended where there is one of that name already")
        self._line.setAcceptDrops(False)
        button = QToolButton()
        button.setText("…")
        button.setToolTip("Choose the folder")
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._line, 1)
        row.addWidget(button)
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addRow("Save as", row)
        rows.addRow(self._words)
        stored = str(recent.make_settings().value(KEY, ""))
        self._folder = Path(stored) if stored and os.path.isdir(stored) else default_folder()
        self._edited = False  # by hand
        self._line.textEdited.connect(self._on_edited)
        self._line.textChanged.connect(self._on_text)
        button.clicked.connect(self._on_button)
        self.refresh()

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return self._folder

    @folder.setter
    def folder(self, folder: Path) -> None:
        self._folder = folder
        self.refresh()
        self.changed.emit()

    @property
    def name(self) -> str:
        """The model's name, as far as files can have it."""
        return file_name(str(self._line.text()))

    @name.setter
    def name(self, name: str) -> None:
        self._line.setText(name)

    def suggest(self, name: str) -> None:
        """Take this name, unless a person has given one."""
        if not self._edited:
            self.name = name

    def file(self, suffix: str, name: str = "") -> Path:
        """The path of a file of this model."""
        return self._folder / f"{name or self.name}{suffix}"

    def free(self, suffixes: tuple[str, ...] = SUFFIXES, name: str = "") -> str:
        """The name, or another one, with a number where there are files of it already."""
        name = name or self.name
        base, number = name, 1
        if counted := re.fullmatch(r"(.+)-(\d{1,4})", base):
            base, number = counted[1], int(counted[2])
        while any(os.path.lexists(self.file(suffix, name)) for suffix in suffixes):
            number += 1
            name = f"{base}-{number}"
        return name

    @property
    def resumable(self) -> bool:
        """Whether there is a checkpoint of this name."""
        return self.file(".ckpt").is_file()

    def refresh(self) -> None:
        """Look what there is."""
        free = self.free()
        where = str(self._folder).replace(os.sep, f"{os.sep}\u200b")
        text = f"in {where}"
        if self.resumable:
            done = self.file(".safetensors").exists()
            text += f". {self.name} is {'finished' if done else 'unfinished'}: Resume trains it on, Start makes {free}"
        elif free != self.name:
            text += f". {self.name} is there already: Start makes {free}"
        self._words.setText(text)
        self._words.setVisible(True)

    def _on_edited(self, text: str) -> None:
        self._edited = bool(text)

    def _on_text(self, _: str) -> None:
        self.refresh()
        self.changed.emit()

    def _on_button(self) -> None:
        start = str(self._folder if self._folder.is_dir() else self._folder.parent)
        if folder := QFileDialog.getExistingDirectory(self, "Folder for models", start):
            self.folder = Path(folder)
            recent.make_settings().setValue(KEY, str(folder))


def file_name(text: str) -> str:
    """A name as files can have it."""
    text = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "-", text.removesuffix(".safetensors"))
    return text.strip(" .")[:100] or "model"


def default_folder() -> Path:
    """A folder that a person finds again."""
    documents = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
    return Path(documents or Path.home()) / FOLDER
