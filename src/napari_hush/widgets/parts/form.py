"""A form made from the fields of a frozen dataclass; its ``value`` is an instance of it."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from inspect import getdoc
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from magicgui.widgets import create_widget
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST = 1 << 20


class Form(QWidget):
    """Edits one frozen dataclass instance.

    Parameters
    ----------
    value : dataclass instance
        What it shows at first; fields that are not shown keep its values.
    shown : sequence of str
        The fields in sight, in this order.
    advanced : sequence of str
        The fields under a part that is closed at first.
    words : mapping of str to str
        What to call ``False`` of a field that takes a number, ``False`` or None, for example
        ``{"tile": "whole plane"}``.
    ranges : mapping of str to (number, number)
        Smallest and largest value of whole numbers, decimal numbers and pairs of either.

    Attributes
    ----------
    changed : Signal(object)
        Sent with the new value.
    refused : Signal(Exception)
        What the dataclass says of a combination that it does not take.
    """

    changed = Signal(object)
    refused = Signal(object)

    def __init__(
        self,
        value: Any,
        *,
        shown: Sequence[str],
        advanced: Sequence[str] = (),
        words: Mapping[str, str] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._value = value
        self._fields: dict[str, Any] = {}
        self._rows_of: dict[str, QFormLayout] = {}
        hints, tooltips = get_type_hints(type(value)), parameter_texts(type(value))
        for name in (*shown, *advanced):
            field = _make_field(
                hints[name], getattr(value, name), (words or {}).get(name, "off"), (ranges or {}).get(name)
            )
            _native(field).setToolTip(tooltips.get(name, ""))
            _native(field).setObjectName(name)
            field.changed.connect(self._on_changed)
            self._fields[name] = field
        self.rows = _form_layout()
        self._add_rows(self.rows, shown, tooltips)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.rows)
        if advanced:
            rows = _form_layout()
            self._add_rows(rows, advanced, tooltips)
            inner = QWidget()
            inner.setLayout(rows)
            self.advanced = _heading("Advanced", inner)
            layout.addWidget(self.advanced)
            layout.addWidget(inner)

    @property
    def value(self) -> Any:
        """The dataclass instance that the form shows.

        Raises
        ------
        ValueError
            If the dataclass refuses what was chosen.
        """
        return replace(self._value, **{name: field.value for name, field in self._fields.items()})

    @value.setter
    def value(self, value: Any) -> None:
        known = [field.name for field in fields(self._value)]
        if [field.name for field in fields(value)] != known:
            raise TypeError(f"expected a {type(self._value).__name__}, got {type(value).__name__}")
        self._value = value
        self.blockSignals(True)
        try:
            for name, field in self._fields.items():
                field.value = getattr(value, name)
        finally:
            self.blockSignals(False)
        self._on_changed()

    def chosen(self, name: str) -> Any:
        """What one field shows, also while the dataclass refuses the whole."""
        return self._fields[name].value

    def show_field(self, name: str, shown: bool) -> None:
        """Show or hide a field with its label; it keeps its value."""
        self._rows_of[name].setRowVisible(_native(self._fields[name]), shown)

    def enable_field(self, name: str, enabled: bool) -> None:
        """Let a field be edited or not; it keeps its value."""
        _native(self._fields[name]).setEnabled(enabled)

    def _on_changed(self, _: object = None) -> None:
        if self.signalsBlocked():
            return
        try:
            value = self.value
        except ValueError as error:
            self.refused.emit(error)
            return
        self.changed.emit(value)

    def _add_rows(self, rows: QFormLayout, names: Sequence[str], tooltips: Mapping[str, str]) -> None:
        for name in names:
            label = QLabel(name.replace("_", " ").capitalize())
            label.setToolTip(tooltips.get(name, ""))
            rows.addRow(label, _native(self._fields[name]))
            self._rows_of[name] = rows


class NumberOrWord(QWidget):
    """A whole number, or one of the words that stand for None and ``False``."""

    changed = Signal(object)

    def __init__(self, value: int | bool | None, words: Mapping[str, bool | None], start: int = 1) -> None:
        super().__init__()
        self._combo, self._spin = QComboBox(), QSpinBox()
        for text, meaning in words.items():
            self._combo.addItem(text, meaning)
        self._combo.addItem("fixed", "number")
        self._combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._combo.setMinimumWidth(60)
        self._spin.setRange(1, LARGEST)
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
    def value(self) -> int | bool | None:
        """The number, or what the word stands for."""
        meaning = self._combo.currentData()
        return int(self._spin.value()) if meaning == "number" else meaning

    @value.setter
    def value(self, value: int | bool | None) -> None:
        meanings = [self._combo.itemData(i) for i in range(self._combo.count())]
        if value is None or isinstance(value, bool):
            if value not in meanings:
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
    """A number, or two side by side; whole ones where the range is given by whole numbers.

    Parameters
    ----------
    value : number or (number, number)
        What it shows at first.
    low, high : number
        The smallest and the largest value.
    """

    changed = Signal(object)

    def __init__(self, value: Any, low: float, high: float) -> None:
        super().__init__()
        self._single = not isinstance(value, tuple)
        whole = isinstance(low, int)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._spins: list[Any] = []
        for _ in range(1 if self._single else 2):
            spin: Any = QSpinBox() if whole else DecimalBox()
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
    """A decimal number without zeros at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(4)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        """Show no more digits than there are."""
        shown = f"{value:.{self.decimals()}f}".rstrip("0").rstrip(".")
        return shown.replace(".", self.locale().decimalPoint())


class NumberOrEmpty(QLineEdit):
    """A decimal number, or nothing, which stands for None."""

    changed = Signal(object)

    def __init__(self, value: float | None) -> None:
        super().__init__()
        self.setPlaceholderText("automatic")
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
        try:
            return float(text.replace(",", ".")) if text else None
        except ValueError:
            raise InputError(f"expected a number, or nothing for the automatic choice; got {text!r}") from None

    @value.setter
    def value(self, value: float | None) -> None:
        self.setText("" if value is None else f"{value:.6g}")
        self._shown = self.text()

    def _on_edited(self) -> None:
        if self.text() != self._shown:  # it is sent twice: for the key, and when the field is left
            self._shown = self.text()
            self.changed.emit(self._shown)


def parameter_texts(cls: type) -> dict[str, str]:
    """The text of each parameter in a numpydoc docstring."""
    texts: dict[str, str] = {}
    names: list[str] = []
    _, _, section = (getdoc(cls) or "").partition("Parameters\n----------\n")
    for line in section.splitlines():
        if re.match(r"[-=]{3,}$", line):  # the next section
            for name in names:
                texts.pop(name, None)
            break
        if head := re.match(r"([\w, ]+?) : ", line):
            names = head[1].split(", ")
        elif line.startswith("    "):
            for name in names:
                texts[name] = f"{texts.get(name, '')} {line.strip()}".strip().replace("``", "")
        elif line.strip():
            names = [line.strip()]
    return texts


def _make_field(hint: Any, value: Any, word: str, span: tuple[float, float] | None) -> Any:
    """The widget of one field, with ``value`` and ``changed``."""
    if span is not None:
        return Numbers(value, *span)
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if set(parts) == {float, type(None)}:
        return NumberOrEmpty(value)
    if int in parts and type(None) in parts:
        words: dict[str, bool | None] = {"automatic": None}
        if any(get_origin(part) is Literal and False in get_args(part) for part in parts):
            words[word] = False
        return NumberOrWord(value, words, start=512 if len(words) > 1 else 1)
    if bool in parts and any(get_origin(part) is Literal for part in parts):
        choices = [("automatic", "auto"), ("on", True), ("off", False)]
        return create_widget(value=value, widget_type="ComboBox", options={"choices": choices})
    return create_widget(value=value, annotation=hint)


def _native(field: Any) -> QWidget:
    return field if isinstance(field, QWidget) else field.native


def _heading(text: str, part: QWidget) -> QToolButton:
    """A line that opens and closes what is below it."""
    heading = QToolButton()
    heading.setText(text)
    heading.setCheckable(True)
    heading.setAutoRaise(True)
    heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    heading.setStyleSheet("QToolButton { background: transparent; border: none; padding: 2px }")

    def show(opened: bool) -> None:
        heading.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        part.setVisible(opened)

    heading.toggled.connect(show)
    show(False)
    return heading


def _form_layout() -> QFormLayout:
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout
