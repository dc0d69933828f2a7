"""A progress bar that moves four times a second while nobody knows how far a job is.

Qt's own redraws itself, and with it the dock, as often as the screen does: under napari's style it took 40 % of a core,
which the job wants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, Qt, QTimer, Slot  # type: ignore[attr-defined]
from qtpy.QtGui import QPainter, QPalette
from qtpy.QtWidgets import QProgressBar, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

EVERY_MS = 250
STEPS = 12  # from one end to the other and back
PART = 0.25  # of the bar that moves
FAINT, CLEAR = 45, 190  # of 255: the ground, and what is done


class CalmBar(QProgressBar):
    """As QProgressBar, without text; with the range (0, 0) a part of it goes to and fro."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextVisible(False)
        self._at = 0
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self._move)
        self._timer.start()

    @property
    def busy(self) -> bool:
        """Whether nobody knows how far the job is."""
        return bool(self.maximum() == self.minimum() == 0)

    def paintEvent(self, _: QPaintEvent | None) -> None:
        """Draw it without Qt's style, which would begin to animate it."""
        painter, room = QPainter(self), QRectF(self.rect())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        window = self.window()
        assert window is not None
        colour = window.palette().color(QPalette.ColorRole.WindowText)
        colour.setAlpha(FAINT)
        painter.setBrush(colour)
        round_off = room.height() / 2
        painter.drawRoundedRect(room, round_off, round_off)
        start, width = 0.0, self._share
        if self.busy:
            there = self._at if self._at <= STEPS // 2 else STEPS - self._at
            start, width = (1 - PART) * there / (STEPS // 2), PART
        if width <= 0:
            return
        colour.setAlpha(CLEAR)
        painter.setBrush(colour)
        done = QRectF(start * room.width(), 0, max(width * room.width(), room.height()), room.height())
        painter.drawRoundedRect(done, round_off, round_off)

    @property
    def _share(self) -> float:
        return (self.value() - self.minimum()) / max(self.maximum() - self.minimum(), 1)

    @Slot()  # type: ignore[untyped-decorator]
    def _move(self) -> None:
        if self.busy and self.isVisible():
            self._at = (self._at + 1) % STEPS
            self.update()
