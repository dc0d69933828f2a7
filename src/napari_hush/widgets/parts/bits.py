"""Small things that docks are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QGraphicsOpacityEffect,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_hush.widgets.parts.colours import colour

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QResizeEvent, QShowEvent

_CLEANINGS: set[Any] = set()  # Python's collector empties slots that only a dying widget holds


class NoWheel(QObject):
    """Keeps the wheel for scrolling: what is below the mouse changes only after a click into it."""

    def guard(self, widget: QWidget) -> None:
        """Guard a list or a number."""
        widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        widget.installEventFilter(self)

    def eventFilter(self, widget: QObject | None, event: QEvent | None) -> bool:
        """Hand the event on to what is around the widget."""
        if event is None or event.type() != QEvent.Type.Wheel or not isinstance(widget, QWidget) or widget.hasFocus():
            return False
        event.ignore()
        return True


def word_combo(words: Any) -> QComboBox:
    """A list of words that does not widen its dock."""
    combo = QComboBox()
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.addItems(list(words))
    return combo


def rule() -> QFrame:
    """A thin line across."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setStyleSheet("color: gray")
    return line


class Words(QLabel):
    """Words that wrap, as high as they are: a layout that runs out of room would cut off their first and last lines."""

    def setText(self, text: str | None) -> None:
        """Show other words."""
        super().setText(text)
        self._keep_height()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Wrap them anew."""
        super().resizeEvent(event)
        self._keep_height()

    def _keep_height(self) -> None:
        self.setMinimumHeight(0)  # which would count
        if self.text():
            self.setMinimumHeight(self.heightForWidth(self.width()))


class StatusLabel(Words):
    """Words in the colour of a status, on the dark theme and on the light one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._status = "open"
        self.setTextFormat(Qt.TextFormat.PlainText)  # the names of layers, the words of strangers
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)

    def show_status(self, status: str, text: str) -> None:
        """Say something; grey where the status is none of a traffic light.

        Parameters
        ----------
        status : str
            "pass", "warn", "fail" or "open".
        text : str
            Shown as it is.
        """
        self._status = status
        self.setText(text)
        self._paint()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.ParentChange):
            self._paint()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the theme of the window that it has got into meanwhile."""
        super().showEvent(event)
        self._paint()

    def _paint(self) -> None:
        sheet = f"color: {colour(self._status, self)}"
        if sheet != self.styleSheet():  # setting it is a change, too
            self.setStyleSheet(sheet)


def small_label() -> QLabel:
    """A line of explanation, hidden while it is empty."""
    label = Words()
    label.setTextFormat(Qt.TextFormat.PlainText)  # the names of layers, the words of strangers
    label.setWordWrap(True)
    faint = QGraphicsOpacityEffect(label)
    faint.setOpacity(0.75)
    label.setGraphicsEffect(faint)
    label.hide()
    return label


def row(*buttons: QPushButton) -> QHBoxLayout:
    """Buttons side by side."""
    layout = QHBoxLayout()
    for button in buttons:
        layout.addWidget(button)
    return layout


def when_deleted(widget: QObject, clean: Callable[[], None]) -> None:
    """Call a function when Qt deletes a widget; the function must not hold it."""

    def run(_: object = None) -> None:
        _CLEANINGS.discard(run)
        clean()

    _CLEANINGS.add(run)
    widget.destroyed.connect(run)
