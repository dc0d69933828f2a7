"""Where the result of a layer is kept: in memory, or in a file, with its name and folder; nothing is overwritten."""

from __future__ import annotations

import os
import re
import shutil
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QStandardPaths, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QToolButton, QVBoxLayout, QWidget

from napari_hush.errors import InputError
from napari_hush.inference.ledger import peek
from napari_hush.inference.overlap import behind
from napari_hush.io.fingerprint import file_of
from napari_hush.io.inputs import split_selector
from napari_hush.io.outputs import actual_place
from napari_hush.names import stem
from napari_hush.widgets.parts import recent
from napari_hush.widgets.parts.bits import small_label
from napari_hush.widgets.parts.layer_record import file_notes
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

KEY = "denoise/folder"
FOLDER = "napari-hush results"
ENDING = ".zarr"


class FilePlace(QWidget):
    """The name of a result, and its folder.

    Attributes
    ----------
    changed : Signal()
        Another name or folder.
    ask_folder : callable or None
        Given where to begin, asks for a folder, and gives "" to leave it; None opens a dialog.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.ask_folder: Callable[[str], str] | None = None
        self._folder, self._size = Path(), 0
        self._unfinished = False
        self._line, self._words = QLineEdit(), small_label()
        self._line.setToolTip("The result's name; a number is appended where something has it already")
        self._line.setAcceptDrops(False)
        self._choose = QToolButton()
        self._choose.setText("…")
        self._choose.setToolTip("Choose the folder")
        self.anew = QCheckBox("Begin anew")
        self.anew.setToolTip("Throw away what an unfinished run to this file has done")
        row = QHBoxLayout()
        row.addWidget(self._line, 1)
        row.addWidget(self._choose)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self._words)
        column.addWidget(self.anew)
        self._line.textEdited.connect(self._on_edited)
        self.anew.toggled.connect(self._on_anew)
        self._choose.clicked.connect(self._on_choose)

    @property
    def named(self) -> Path:
        """As it is written in the line."""
        return self._folder / f"{file_name(str(self._line.text()))}{ENDING}"

    @property
    def target(self) -> Path:
        """The file that a run makes: the one that is named, or the next that is free."""
        named = self.named
        names = (named if number == 1 else named.with_name(f"{stem(named)}-{number}{ENDING}") for number in count(1))
        return next(one for one in names if not os.path.lexists(one))

    @property
    def resumes(self) -> bool:
        """Whether a run goes on with an unfinished one."""
        return self._unfinished and not self.anew.isChecked()

    @property
    def words(self) -> str:
        """What stands below the name."""
        return str(self._words.text())

    def suggest(self, layer: Image, size: int) -> None:
        """Begin with the name and the folder for a layer, whose result takes so many bytes."""
        file = file_behind(layer)
        self._folder, self._size = folder_for(file), size
        self._line.setText(file_name(suggested_name(layer, file)))
        self.anew.setChecked(False)
        self.refresh()

    def prepare(self) -> Path:
        """Make the folder, if it is the plugin's own one, and give the file that a run makes.

        Raises
        ------
        InputError
            If nothing can be written there.
        """
        if self._folder == default_folder():
            self._folder.mkdir(parents=True, exist_ok=True)
        if not _is_writable(self._folder):
            raise InputError(f"{self._folder}: cannot be written to, or is not there; choose another folder with '…'")
        self.refresh()
        return self.target

    def refresh(self) -> None:
        """Look what there is."""
        target = self.target
        self._unfinished = unfinished = peek(target) is not None
        where = str(self._folder).replace(os.sep, f"{os.sep}\u200b")  # so that it can be wrapped
        text = f"in {where}"
        free = _room(self._folder)
        if free is not None:
            short = ", which suffices only if it can be compressed so far" if free < self._size else ""
            text += f", up to {gigabytes(self._size)}; {gigabytes(free)} are free{short}"
        if unfinished:
            does = "Run throws it away" if self.anew.isChecked() else "Go on takes it up"
            text += f". An unfinished run to it is there: {does}"
        elif target != self.named:
            text += f". {self.named.name} is there already: Run makes {target.name}"
        self._words.setText(text)
        self._words.setVisible(True)
        self.anew.setVisible(unfinished)
        self.updateGeometry()

    def _on_edited(self, _: str) -> None:
        self.refresh()
        self.changed.emit()

    def _on_anew(self, _: bool) -> None:
        self.refresh()
        self.changed.emit()

    def _on_choose(self) -> None:
        if folder := (self.ask_folder or self._ask_folder)(str(self._folder)):
            self._folder = Path(folder)
            recent.make_settings().setValue(KEY, folder)
            self.refresh()
            self.changed.emit()

    def _ask_folder(self, start: str) -> str:
        return str(QFileDialog.getExistingDirectory(self, "Folder for the result", start))


def file_behind(layer: Image) -> Path | None:
    """The file, or the whole zarr, that a layer is read from; None where nobody knows."""
    named = file_notes(layer.metadata).get("source") or layer.source.path
    places = [split_selector(str(named))[0]] if named else []
    places += [file for one in behind(image_data(layer)) if (file := file_of(one)) is not None]
    return next((actual_place(one) for one in places if os.path.lexists(one)), None)


def folder_for(file: Path | None) -> Path:
    """The folder of a file where results can be written there, or the one that was chosen last, or the plugin's own."""
    if file is not None and _is_writable(file.parent):
        return file.parent
    stored = str(recent.make_settings().value(KEY, ""))
    return Path(stored) if stored and _is_writable(Path(stored)) else default_folder()


def default_folder() -> Path:
    """A folder that a person finds again."""
    documents = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
    return Path(documents or Path.home()) / FOLDER


def suggested_name(layer: Image, file: Path | None) -> str:
    """As commands name results, with the channel where the layer is one of several."""
    if file is None:
        return f"{layer.name}_denoised"
    base = stem(file)
    return f"{base}_{layer.name.rpartition(' · ')[2]}_denoised" if " · " in layer.name else f"{base}_denoised"


def file_name(text: str) -> str:
    """A name as files can have it, without its ending."""
    text = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "-", text.removesuffix(ENDING))
    return text.strip(" .")[:100] or "denoised"


def gigabytes(size: float) -> str:
    """A number of bytes for a person.

    Examples
    --------
    >>> gigabytes(4.29e9), gigabytes(5e6)
    ('4.3 GB', '5 MB')
    """
    return (
        f"{size / 1e9:.2g} GB"
        if size < 9.95e9 and size >= 1e9
        else f"{size / 1e9:.0f} GB"
        if size >= 1e9
        else (f"{size / 1e6:.2g} MB")
    )


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK)


def _room(folder: Path) -> int | None:
    """Bytes that the disk of a folder has left, whether it is there already or not; None where nobody knows."""
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    try:
        return None if there is None else shutil.disk_usage(there).free
    except OSError:
        return None
