"""What the dock *Denoise* says of its result: one line, found in the background, and the way to the details."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.widgets.evaluate.table import VerdictLabel
from napari_hush.widgets.parts.job import Job

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_hush.fidelity.findings import Status
    from napari_hush.widgets.parts.layer_source import Source

Outcome = tuple["Status", str]


class Verdict(QWidget):
    """A verdict on one plane, and a button for the details; hidden until there is a result.

    Attributes
    ----------
    details : Signal()
        The button was pressed.
    found : Signal(str)
        What the look said, as histories have it.
    """

    details = Signal()
    found = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label, self._button = VerdictLabel(), QPushButton("Details…")
        self._button.setToolTip("Open the dock Evaluate with this result: every check, and where it failed")
        self._button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._label)
        layout.addWidget(self._button)
        self._next: partial[Any] | None = None  # waits for the end of an older one
        self._job = Job(self)
        self._job.returned.connect(self._on_returned)
        self._job.errored.connect(self._on_errored)
        self._job.cancelled.connect(self._on_cancelled)
        self._button.clicked.connect(self.details)
        self.hide()

    @property
    def running(self) -> bool:
        """Whether the checks are under way."""
        return self._job.running

    @property
    def text(self) -> str:
        """The line."""
        return str(self._label.text())

    def begin(
        self,
        source: Source,
        image: Any,
        plane: tuple[int, ...],
        *,
        dark: bool = False,
        assumes: str | None = None,
        series: bool = False,
    ) -> None:
        """Check one plane of a result.

        Parameters
        ----------
        source : Source
            What was denoised.
        image : array_like
            The result, of the same shape.
        plane : tuple of int
            Which plane, along the leading axes.
        dark : bool
            Whether atom columns are dark.
        assumes : str, optional
            What the model takes for granted.
        series : bool
            Whether it was made of several frames.
        """
        make = partial(_check, source, image, plane, dark=dark, assumes=assumes, series=series)
        self._label.show_words("checking what was kept…")
        self.show()
        if self._job.running:
            self._next = make
            self._job.cancel()
        else:
            self._job.start(make)

    def clear(self) -> None:
        """Say nothing any more."""
        self._next = None
        self._job.cancel()
        self.hide()

    def _on_returned(self, outcome: Outcome) -> None:
        self._label.show_verdict(*outcome)
        if self._next is None:  # otherwise it is of an older result
            self.found.emit(": ".join(outcome))
        self._go_on()

    def _on_errored(self, error: BaseException) -> None:
        known = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        self._label.show_words(f"not checked: {known}")
        self._go_on()

    def _on_cancelled(self) -> None:
        self._go_on()

    def _go_on(self) -> None:
        if self._next is not None:
            make, self._next = self._next, None
            self._job.start(make)


def _check(
    source: Source, image: Any, plane: tuple[int, ...], *, dark: bool, assumes: str | None, series: bool
) -> Generator[Progress, None, Outcome]:
    """The work, in the thread."""
    yield Progress(0, 0, "checking what was kept…")
    from napari_hush.fidelity.glance import glance

    seen = glance(
        source.data,
        image,
        channel_axis=source.channel_axis,
        plane=plane,
        dark=dark,
        pixel_size=source.pixel_size,
        assumes=assumes,
        series=series,
    )
    return seen.status, seen.words
