"""The small button of every dock that copies what the dock would do, as text that does it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMenu, QToolButton

if TYPE_CHECKING:
    from qtpy.QtGui import QAction  # type: ignore[attr-defined]

WAYS = {"Copy as Python": "as_python", "Copy as command": "as_command"}  # methods of a dock
SEEN_MS = 1500
TIP = "Copy what would be done with these choices, as Python or as a command: it gives the same bits"


class CopyButton(QToolButton):
    """A button with a menu of `WAYS`.

    Attributes
    ----------
    wanted : Signal(str)
        Which of them.
    """

    wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setText("Copy")
        self.setStyleSheet("QToolButton { padding: 3px 16px 3px 6px }")  # beside the arrow that napari draws
        self.setToolTip(TIP)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        for name, way in WAYS.items():
            action = menu.addAction(name)
            if action is not None:
                action.setData(way)
        menu.triggered.connect(self._on_action)
        self.setMenu(menu)
        self._back = QTimer(self)
        self._back.setSingleShot(True)
        self._back.setInterval(SEEN_MS)
        self._back.timeout.connect(self._say)

    def show_copied(self) -> None:
        """Say for a moment that it was done."""
        self._say("Copied")
        self._back.start()

    def _say(self, word: str = "Copy") -> None:
        self.setText(word)

    def _on_action(self, action: QAction) -> None:
        self.wanted.emit(action.data())
