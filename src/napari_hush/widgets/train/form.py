"""Method, preset and settings, as a part of the dock *Train*."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFormLayout, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from napari_hush.training.methods.registry import METHODS
from napari_hush.training.presets import PRESETS
from napari_hush.training.settings import FREE, TrainSettings
from napari_hush.training.settings_file import read_train_settings
from napari_hush.widgets.parts.bits import NoWheel, small_label, word_combo
from napari_hush.widgets.parts.form import Form

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = ("patch", "batch_size", "steps", "network", "learning_rate")
OWN = "own settings"
NARROWEST = 80  # field, px


class SettingsForm(QWidget):
    """A method, one of its presets, and a form of its settings, which is made anew for another method.

    Attributes
    ----------
    changed : Signal()
        Something else is chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.methods, self.presets = word_combo(METHODS), word_combo([OWN])
        for index, entry in enumerate(METHODS.values()):
            self.methods.setItemData(index, entry.about, Qt.ItemDataRole.ToolTipRole)
        self._words = small_label()
        self._guard = NoWheel(self)
        for combo in (self.methods, self.presets):
            self._guard.guard(combo)
        rows = QFormLayout()
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Method", self.methods)
        rows.addRow("Preset", self.presets)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addLayout(rows)
        self.form = self._make(self.method)
        self._layout.addWidget(self.form)
        self._layout.addWidget(self._words)
        self._follow()
        self.methods.currentTextChanged.connect(self._on_method)
        self.presets.textActivated.connect(self._on_preset)

    @property
    def method(self) -> str:
        """A key of `METHODS`."""
        return str(self.methods.currentText())

    @method.setter
    def method(self, method: str) -> None:
        self.methods.setCurrentText(method)

    @property
    def settings(self) -> TrainSettings:
        """What the form says.

        Raises
        ------
        ValueError
            If it cannot be.
        """
        value: TrainSettings = self.form.value
        return value

    @settings.setter
    def settings(self, value: TrainSettings) -> None:
        if type(value) is not METHODS[self.method].settings:
            self.method = next(name for name, entry in METHODS.items() if type(value) is entry.settings)
        self.form.value = value

    @property
    def refusal(self) -> str:
        """Why the settings cannot be; empty where they can."""
        try:
            _ = self.settings
        except ValueError as error:
            return str(error)
        return ""

    def preset(self, name: str) -> None:
        """Fill in a published set-up."""
        self.method = PRESETS[name].method
        self.settings = PRESETS[name].settings

    def take_up(self, path: Path) -> None:
        """Fill in what an unfinished run was begun with, unless only what may change is different.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        method = settings_method(path)
        old = read_train_settings(method, path)
        if method == self.method and not self.refusal:
            now = self.settings
            if replace(now, **{name: getattr(old, name) for name in FREE}) == old:
                return
        self.method, self.settings = method, old

    def _make(self, method: str) -> Form:
        form = Form(METHODS[method].settings(), shown=SHOWN)
        form.changed.connect(self._follow)
        form.refused.connect(self._follow)
        for rows in form.findChildren(QFormLayout):
            rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)  # a dock is narrow
        for part in (*form.findChildren(QComboBox), *form.findChildren(QLineEdit)):
            if not isinstance(part.parent(), QAbstractSpinBox):
                part.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                part.setMinimumWidth(NARROWEST)
        for field in (*form.findChildren(QComboBox), *form.findChildren(QAbstractSpinBox)):
            self._guard.guard(field)
        return form

    def _on_method(self, method: str) -> None:
        old, self.form = self.form, self._make(method)
        self._layout.replaceWidget(old, self.form)
        old.hide()
        old.deleteLater()
        self._follow()

    def _on_preset(self, name: str) -> None:
        if name in PRESETS:
            self.preset(name)

    def _follow(self, _: object = None) -> None:
        """Name the preset that these settings are, and tell what is wrong with them."""
        method, refusal = self.method, self.refusal
        names = [name for name, preset in PRESETS.items() if preset.method == method]
        same = [name for name in names if not refusal and PRESETS[name].settings == self.settings]
        self.presets.clear()
        self.presets.addItems([OWN, *names])
        self.presets.setCurrentText(same[0] if same else OWN)
        self.presets.setEnabled(bool(names))
        self.presets.setToolTip(PRESETS[same[0]].description if same else "Published set-ups of this method")
        self.methods.setToolTip(METHODS[method].about)
        self._words.setText(refusal)
        self._words.setVisible(bool(refusal))
        self.changed.emit()


def settings_method(path: Path) -> str:
    """The method that a settings file was written for; as its first line tells."""
    with path.open(encoding="utf-8") as file:
        found = re.search(r"napari-hush train (\S+)", file.readline())
    return found[1] if found and found[1] in METHODS else next(iter(METHODS))
