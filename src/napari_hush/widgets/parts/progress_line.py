"""A progress bar with one line of text below it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_hush.progress import Progress


class ProgressLine(QWidget):
    """Shows how far a job is, and the time left; later what came of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bar, self._label = QProgressBar(), QLabel()
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(8)
        keep = self._bar.sizePolicy()
        keep.setRetainSizeWhenHidden(True)  # the buttons must not jump
        self._bar.setSizePolicy(keep)
        self._bar.hide()
        self._label.setWordWrap(True)
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._bar)
        layout.addWidget(self._label)
        self._clock = Clock()

    @property
    def text(self) -> str:
        """The line."""
        return str(self._label.text())

    def start(self, text: str) -> None:
        """A job begins; how long it takes is not known yet."""
        self._clock = Clock()
        self._bar.setRange(0, 0)
        self._bar.show()
        self._label.setText(text)

    def show_progress(self, event: Progress) -> None:
        """Show where the job is."""
        self._bar.setRange(0, event.total if event.step else 0)
        self._bar.setValue(event.step)
        left = self._clock.left(event, time.monotonic())
        self._label.setText(event.message + (f", {left} left" if left else ""))

    def finish(self, text: str) -> None:
        """No job runs any more."""
        self._bar.hide()
        self._bar.setRange(0, 1)
        self._label.setText(text)


class Clock:
    """Time left, from the steps since the first one; the first one also pays for loading and compiling."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def left(self, event: Progress, now: float) -> str:
        """The time left as m:ss or h:mm:ss, or nothing while it is unknown."""
        if not event.step or event.step >= event.total:
            return ""
        if self._first is None:
            self._first = event.step, now
        step, then = self._first
        if event.step <= step:
            return ""
        seconds = round((event.total - event.step) * (now - then) / (event.step - step))
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
