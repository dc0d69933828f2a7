"""Errors and warnings in a dock: whole, with what to do, until the next job begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hush.reports import SYMBOLS
from napari_hush.widgets.parts.bits import StatusLabel

if TYPE_CHECKING:
    from napari_hush.fidelity.findings import Status


class Message(QWidget):
    """Lines that can be read, selected and copied; hidden while there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: list[StatusLabel] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self.hide()

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(line.text() for line in self._lines)

    def add(self, status: Status, text: str) -> None:
        """Say something, once.

        Parameters
        ----------
        status : {"warn", "fail"}
            A warning or an error.
        text : str
            As long as it is.
        """
        words = f"{SYMBOLS[status]} {text}"
        if any(line.text() == words for line in self._lines):
            return
        line = StatusLabel()
        line.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        line.show_status(status, words)
        self._lines.append(line)
        self._layout.addWidget(line)
        self.show()

    def clear(self) -> None:
        """Say nothing any more."""
        for line in self._lines:
            self._layout.removeWidget(line)
            line.deleteLater()
        self._lines.clear()
        self.hide()
