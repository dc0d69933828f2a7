"""What the dock *Denoise* says of its result: one line, found in the background, and the way to the details."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.reports import SYMBOLS
from napari_hush.widgets.denoise.on_disk import keep_in_file
from napari_hush.widgets.evaluate.table import VerdictLabel
from napari_hush.widgets.parts.job import Job
from napari_hush.widgets.parts.layer_record import as_metadata, identity, read_record
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari.layers import Image

    from napari_hush.fidelity.findings import Status
    from napari_hush.widgets.parts.layer_source import Source

Outcome = tuple["Status", str]


class Verdict(QWidget):
    """A verdict on one plane, and a button for the details; hidden until there is a result.

    Attributes
    ----------
    details : Signal()
        The button was pressed.
    found : Signal(str, str)
        The `identity` of the result, and what the look said, as histories have it.
    ended : Signal()
        No look is under way or waits any more.
    """

    details = Signal()
    found = Signal(str, str)
    ended = Signal()

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
        self._next: tuple[str, partial[Any]] | None = None  # waits for the end of an older one
        self._checked = self._shown = ""  # the results that are looked at and that the line is about
        self._withdrawn = False  # whether the look under way is at what is no longer there
        self._lines: dict[str, tuple[str, str]] = {}  # of each result: status, or nothing, and words
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
        of: str = "result",
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
        of : str
            What tells this result from others.
        dark : bool
            Whether atom columns are dark.
        assumes : str, optional
            What the model takes for granted.
        series : bool
            Whether it was made of several frames.
        """
        make = partial(_check, source, image, plane, dark=dark, assumes=assumes, series=series)
        self._lines[of] = "", "checking what was kept…"
        self.show_of(of)
        if self._job.running:
            self._next = of, make
            self._job.cancel()
        else:
            self._start(of, make)

    def judge(self, source: Source, layer: Image, plane: tuple[int, ...]) -> None:
        """Check one plane of the layer with a result, as its record says how it was made."""
        record = read_record(layer.metadata)
        self.begin(
            source,
            image_data(layer),
            plane,
            of=identity(layer),
            dark=record.get("dark", False),
            assumes=record.get("assumes"),
            series=isinstance(record.get("series"), dict),
        )

    def show_of(self, result: str, kept: str = "") -> None:
        """Show the line of one result, or nothing where there is none.

        Parameters
        ----------
        result : str
            What tells it from others; empty for none.
        kept : str
            What an earlier look said, as `found` gave it.
        """
        self._shown = result
        if result and kept:
            status, _, words = kept.partition(": ")
            self._lines.setdefault(result, (status, words))
        status, words = self._lines.get(result, ("", ""))
        if status in SYMBOLS:
            self._label.show_verdict(cast("Status", status), words)
        else:
            self._label.show_words(words)
        self.setVisible(bool(words))

    def withdraw(self, result: str, words: str) -> None:
        """Say of a result that it is another one by now; what was or is being found is no longer true."""
        self._lines[result] = "", words
        if self._next is not None and self._next[0] == result:
            self._next = None
        if self._checked == result and self._job.running:
            self._withdrawn = True
            self._job.cancel()
        self.show_of(result)

    def clear(self) -> None:
        """Say nothing any more, and look no further."""
        self._next = None
        self._job.cancel()
        self.show_of("")

    def _start(self, of: str, make: partial[Any]) -> None:
        self._checked, self._withdrawn = of, False
        self._job.start(make)

    def _on_returned(self, outcome: Outcome) -> None:
        if not self._withdrawn:
            self._lines[self._checked] = outcome
            self.found.emit(self._checked, ": ".join(outcome))
        self._go_on()

    def _on_errored(self, error: BaseException) -> None:
        known = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        self._lines[self._checked] = "", f"not checked: {known}"
        self._go_on()

    def _on_cancelled(self) -> None:
        if not self._withdrawn and (self._next is None or self._next[0] != self._checked):
            del self._lines[self._checked]
        self._go_on()

    def _go_on(self) -> None:
        self.show_of(self._shown)
        if self._next is None:
            self.ended.emit()
            return
        (of, make), self._next = self._next, None
        self._start(of, make)


def keep_verdict(layers: Iterable[Image], result: str, words: str) -> None:
    """Write what a look said into the record of the result, so that it is saved with it.

    Parameters
    ----------
    layers : iterable of Image
        The result is among them, or has gone.
    result, words
        As of `Verdict.found`.
    """
    for layer in layers:
        if identity(layer) == result:
            record = read_record(layer.metadata) | {"verdict": words}
            layer.metadata = layer.metadata | as_metadata(record)
            if file := record.get("file"):
                keep_in_file(Path(file), verdict=words)


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
