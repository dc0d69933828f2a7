"""What edits one setting: each has a ``value`` and a signal ``changed``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import create_widget
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)
from superqt import QLargeIntSpinBox

from napari_hush.errors import InputError
from napari_hush.widgets.parts.devices_here import devices_here
from napari_hush.widgets.parts.labels import AUTOMATIC, said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_hush.declare import Declared

LARGEST = 1 << 20
LARGEST_INT = 2**31 - 1
START_OF_SERIES = 8  # frames
DIGITS = 30  # after the point: no number that a settings file can hold turns into another one


class NumberOrWord(QWidget):
    """A whole number, or one of the words that stand for None, ``False`` or a word of the field's own.

    Parameters
    ----------
    value : int, None, False or str
        What it shows at first.
    words : mapping of str to None, False or str
        What is shown, and what it stands for.
    start : int
        The number that is offered at first.
    low, high : int
        The smallest and the largest number.
    """

    changed = Signal(object)

    def __init__(
        self,
        value: int | str | None,
        words: Mapping[str, bool | str | None],
        start: int = 1,
        low: int = 1,
        high: int | None = None,
    ) -> None:
        super().__init__()
        self._combo, self._spin = QComboBox(), QSpinBox()
        for text, meaning in words.items():
            self._combo.addItem(text, meaning)
        self._combo.addItem("fixed", "number")
        self._combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._combo.setMinimumWidth(60)
        self._spin.setRange(low, LARGEST if high is None else min(high, LARGEST))
        self._spin.setValue(start)
        self._spin.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._spin.setMinimumWidth(90)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        layout.addWidget(self._spin)
        self.value = value
        self._combo.currentIndexChanged.connect(self._on_changed)
        self._spin.valueChanged.connect(self._on_changed)

    @property
    def value(self) -> int | str | None:
        """The number, or what the word stands for."""
        meaning = self._combo.currentData()
        return int(self._spin.value()) if meaning == "number" else meaning

    @value.setter
    def value(self, value: int | str | None) -> None:
        meanings = [self._combo.itemData(i) for i in range(self._combo.count())]
        if value is None or isinstance(value, bool | str):
            if value not in meanings[:-1]:
                raise ValueError(f"expected a number or one of {meanings[:-1]}, got {value!r}")
            index = meanings.index(value)
        else:
            self._spin.setValue(value)
            index = meanings.index("number")
        self._combo.setCurrentIndex(index)
        self._spin.setVisible(index == meanings.index("number"))

    def _on_changed(self, _: object = None) -> None:
        self._spin.setVisible(self._combo.currentData() == "number")
        self.changed.emit(self.value)


class Numbers(QWidget):
    """A number, or two side by side.

    Parameters
    ----------
    value : number or (number, number)
        What it shows at first.
    low, high : number
        The smallest and the largest value.
    whole : bool
        Whether only whole numbers are taken.
    """

    changed = Signal(object)

    def __init__(self, value: Any, low: float, high: float, *, whole: bool) -> None:
        super().__init__()
        self._single = not isinstance(value, tuple)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._spins: list[Any] = []
        for _ in range(1 if self._single else 2):
            # Qt's own box holds 32 bits, and a seed has 63
            spin: Any = DecimalBox() if not whole else QSpinBox() if high <= LARGEST_INT else QLargeIntSpinBox()
            spin.setRange(low, high)
            spin.setKeyboardTracking(False)  # a number that is half typed is not meant
            spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            spin.setStyleSheet(f"min-width: {70 if self._single else 50}px")  # napari's is wider than half a dock
            if not self._single:
                spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            layout.addWidget(spin)
            self._spins.append(spin)
        self.value = value
        for spin in self._spins:
            spin.valueChanged.connect(self._on_changed)

    @property
    def value(self) -> Any:
        """The number, or both."""
        values = tuple(spin.value() for spin in self._spins)
        return values[0] if self._single else values

    @value.setter
    def value(self, value: Any) -> None:
        for spin, number in zip(self._spins, (value,) if self._single else value, strict=True):
            spin.setValue(number)

    def _on_changed(self, _: object = None) -> None:
        self.changed.emit(self.value)


class DecimalBox(QDoubleSpinBox):
    """A decimal number with all its digits and no zeros at its end; it may be typed as 1e-5."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(DIGITS)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        """Show the shortest text that stands for this number."""
        return np.format_float_positional(value, trim="-").replace(".", self.locale().decimalPoint())

    def valueFromText(self, text: str | None) -> float:
        """Read what was typed."""
        number = _number(text or "")
        return self.value() if number is None else number

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Let everything be typed that can become a number."""
        number = _number(text or "")
        good = number is not None and self.minimum() <= number <= self.maximum()
        half = good or all(letter in "0123456789+-.,eE" for letter in text or "")
        state = QValidator.State.Acceptable if good else QValidator.State.Intermediate
        return (state if half else QValidator.State.Invalid), text or "", position


class PairOrEmpty(QLineEdit):
    """Two numbers, or nothing, which stands for None."""

    changed = Signal(object)

    def __init__(self, value: tuple[float, float] | None) -> None:
        super().__init__()
        self.setPlaceholderText("none; or two numbers, such as 8 24")
        self.value = value
        self.editingFinished.connect(self._on_edited)

    @property
    def value(self) -> tuple[float, float] | None:
        """Both numbers.

        Raises
        ------
        InputError
            If there are not two.
        """
        words = self.text().replace(";", " ").split()
        numbers = [number for word in words if (number := _number(word)) is not None]
        if not words:
            return None
        if len(numbers) != 2 or len(words) != 2:
            raise InputError(f"expected two numbers, such as 8 24, or nothing; got {self.text()!r}")
        return numbers[0], numbers[1]

    @value.setter
    def value(self, value: tuple[float, float] | None) -> None:
        self.setText("" if value is None else " ".join(f"{one:.15g}" for one in value))
        self._shown = self.text()

    def _on_edited(self) -> None:
        if self.text() != self._shown:
            self._shown = self.text()
            self.changed.emit(self._shown)


class NumberOrEmpty(QLineEdit):
    """A decimal number, or nothing, which stands for None."""

    changed = Signal(object)

    def __init__(self, value: float | None) -> None:
        super().__init__()
        self.setPlaceholderText(AUTOMATIC)
        self.value = value
        self.editingFinished.connect(self._on_edited)

    @property
    def value(self) -> float | None:
        """The number.

        Raises
        ------
        InputError
            If it is none.
        """
        text = self.text().strip()
        number = _number(text)
        if text and number is None:
            raise InputError(f"expected a number, or nothing for the automatic choice; got {text!r}")
        return number

    @value.setter
    def value(self, value: float | None) -> None:
        self.setText("" if value is None else f"{value:.15g}")
        self._shown = self.text()

    def _on_edited(self) -> None:
        if self.text() != self._shown:  # it is sent twice: for the key, and when the field is left
            self._shown = self.text()
            self.changed.emit(self._shown)


def make_field(about: Declared, value: Any, word: str) -> Any:
    """The widget of one field, with ``value`` and ``changed``."""
    if about.choices:
        here = devices_here() if about.name == "device" else about.choices
        names = dict.fromkeys([*here, value])  # a name may be known that is not listed
        choices = [(said(one), one) for one in names]
        return create_widget(value=value, widget_type="ComboBox", options={"choices": choices})
    if bool in about.kinds:
        if not about.values:
            return create_widget(value=value, annotation=bool)
        others = [(word, word) for word in about.values if word != "auto"]
        choices = [(AUTOMATIC, "auto"), ("on", True), ("off", False), *others]
        return create_widget(value=value, widget_type="ComboBox", options={"choices": choices})
    low, high = (about.bounds.low, about.bounds.high) if about.bounds is not None else (None, None)
    whole = int in about.kinds and float not in about.kinds
    if about.pair and about.optional:
        return PairOrEmpty(value)
    if whole and (about.optional or about.values):
        words: dict[str, bool | str | None] = {AUTOMATIC: None if about.optional else "auto"}
        if any(one is False for one in about.values):
            words[word] = False
        if not about.optional:
            return NumberOrWord(value, words, start=START_OF_SERIES, low=round(low or 1), high=round(high or LARGEST))
        return NumberOrWord(value, words, start=512 if len(words) > 1 else 1)
    if float in about.kinds and about.optional:
        return NumberOrEmpty(value)
    if low is not None and high is not None:
        return Numbers(value, low, high, whole=whole)
    if whole or float in about.kinds:
        raise TypeError(f"{about.name}: a number needs bounds to be edited, Annotated[..., Bounds(low, high)]")
    return create_widget(value=value, annotation=Path if Path in about.kinds else str)


def _number(text: str) -> float | None:
    """What was typed, with a point or a comma; None where it is no number."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def native(field: Any) -> QWidget:
    """The Qt widget of a field."""
    return field if isinstance(field, QWidget) else field.native
