"""A form made from the fields of a frozen dataclass; its ``value`` is an instance of it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_hush.declare import declared
from napari_hush.widgets.parts.fields import make_field, native
from napari_hush.widgets.parts.labels import label_of, said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Form(QWidget):
    """Edits one frozen dataclass instance.

    Parameters
    ----------
    value : dataclass instance
        What it shows at first; fields that are not shown keep its values.
    shown : sequence of str
        The fields in sight, in this order.
    hidden : sequence of str
        The fields that are not shown. All others are under a part that is closed at first, in their own order.
    words : mapping of str to str
        What to call ``False`` of a field that takes a number, ``False`` or None, for example
        ``{"tile": "whole plane"}``.
    made : mapping of str to QWidget
        Fields that are there already, with ``value`` and ``changed``.

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
        hidden: Sequence[str] = (),
        words: Mapping[str, str] | None = None,
        made: Mapping[str, Any] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._value = value
        self._fields: dict[str, Any] = {}
        self._rows_of: dict[str, QFormLayout] = {}
        about = declared(type(value))
        tooltips = {name: one.text for name, one in about.items()}
        advanced = [name for name in about if name not in (*shown, *hidden)]
        for name in (*shown, *advanced):
            if made is not None and name in made:
                field = made[name]
                field.value = getattr(value, name)
            else:
                field = make_field(about[name], getattr(value, name), (words or {}).get(name, "off"))
            native(field).setToolTip(tooltips[name])
            native(field).setObjectName(name)
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
                one = getattr(value, name)
                names = declared(type(value))[name].names
                if names is not None and one in names and one not in field.choices:
                    field.choices = [(said(other), other) for other in (*field.choices, one)]
                field.value = one
        finally:
            self.blockSignals(False)
        self._on_changed()

    @property
    def accepted(self) -> Any:
        """What the form shows; the last one that was given where the dataclass refuses that."""
        try:
            return self.value
        except ValueError:
            return self._value

    def chosen(self, name: str) -> Any:
        """What one field shows, also while the dataclass refuses the whole."""
        return self._fields[name].value

    def show_field(self, name: str, shown: bool) -> None:
        """Show or hide a field with its label; it keeps its value."""
        self._rows_of[name].setRowVisible(native(self._fields[name]), shown)

    def enable_field(self, name: str, enabled: bool) -> None:
        """Let a field be edited or not; it keeps its value."""
        native(self._fields[name]).setEnabled(enabled)

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
            label = QLabel(label_of(name))
            label.setToolTip(tooltips.get(name, ""))
            rows.addRow(label, native(self._fields[name]))
            self._rows_of[name] = rows


def _heading(text: str, part: QWidget) -> QToolButton:
    """A line that opens and closes what is below it."""
    heading = QToolButton()
    heading.setText(text)
    heading.setToolTip("Show or hide the settings that are seldom changed")
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
