"""A progress bar with one line of text below it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Slot  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_hush.widgets.parts.calm_bar import CalmBar

if TYPE_CHECKING:
    from napari_hush.progress import Progress

GUESS_MS = 500  # between two looks at the clock while the time left is an estimate
FINE = 1000  # steps of the bar then
AT_MOST = 0.95  # of the bar, by an estimate alone


class ProgressLine(QWidget):
    """Shows how far a job is, and the time left; later what came of it.

    Before there are steps to count it goes by how long such jobs lasted, and says "about".
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bar, self._label = CalmBar(), QLabel()
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
        self._expected: float | None = None  # seconds of the whole job
        self._began, self._message = 0.0, ""
        self._guess = QTimer(self)
        self._guess.setInterval(GUESS_MS)
        self._guess.timeout.connect(self._show_guess)

    @property
    def text(self) -> str:
        """The line."""
        return str(self._label.text())

    def start(self, text: str, expected: float | None = None) -> None:
        """A job begins.

        Parameters
        ----------
        text : str
            What it does first.
        expected : float, optional
            How many seconds such a job lasted the last time.
        """
        self._clock, self._expected, self._began = Clock(), expected, time.monotonic()
        self._bar.show()
        self._wait(text)

    def show_progress(self, event: Progress) -> None:
        """Show where the job is."""
        if not event.step:
            self._wait(event.message)
            return
        self._guess.stop()
        self._bar.setRange(0, event.total)
        self._bar.setValue(event.step)
        left = self._clock.left(event, time.monotonic())
        self._label.setText(event.message + (f", {left} left" if left else ""))

    def _wait(self, text: str) -> None:
        """No step is done that counts."""
        self._message = text
        if self._expected:
            self._show_guess()
            self._guess.start()
            return
        self._bar.setRange(0, 0)
        self._label.setText(text)

    @Slot()  # type: ignore[untyped-decorator]
    def _show_guess(self) -> None:
        assert self._expected is not None
        passed = time.monotonic() - self._began
        self._bar.setRange(0, FINE)
        self._bar.setValue(round(FINE * min(passed / self._expected, AT_MOST)))
        left = self._expected - passed
        words = f"about {_minutes(left)} left" if left >= 1 else "nearly done" if left > 0 else "longer than last time"
        self._label.setText(f"{self._message.rstrip('…')}, {words}")

    def finish(self, text: str) -> None:
        """No job runs any more."""
        self._guess.stop()
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
        return _minutes((event.total - event.step) * (now - then) / (event.step - step))


def _minutes(seconds: float) -> str:
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"
