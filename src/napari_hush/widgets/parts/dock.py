"""What every dock is: a column that scrolls, one job at a time, and a line that tells how far it is or how it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer, Slot  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLayout, QVBoxLayout, QWidget

from napari_hush.widgets.parts import notify
from napari_hush.widgets.parts.copy_button import CopyButton
from napari_hush.widgets.parts.job import Job
from napari_hush.widgets.parts.keys import CANCEL, KeyButton, make_shortcuts, order_tabs
from napari_hush.widgets.parts.lasted import Kind, expected, keep
from napari_hush.widgets.parts.message import Message
from napari_hush.widgets.parts.progress_line import ProgressLine
from napari_hush.widgets.parts.scripted import Scripted
from napari_hush.widgets.parts.tabs import Tab

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari
    from qtpy.QtGui import QShowEvent

    from napari_hush.progress import Progress
    from napari_hush.widgets.parts.tabs import Chosen

SETTLED = 50  # ms


class Dock(Scripted):
    """A dock with a job. It gives `_refresh` and `_on_returned`, and lays out its parts with `_lay_out`.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    minimum_width : int
        Px.
    """

    def __init__(self, viewer: napari.Viewer, minimum_width: int) -> None:
        super().__init__()
        self._viewer = viewer
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(minimum_width)
        self._progress, self._cancel, self._message = ProgressLine(), KeyButton("Cancel", CANCEL, "cancel"), Message()
        self._cancel.clicked.connect(self.cancel)
        self._kind: Kind | None = None  # of the job under way
        self._began = 0.0
        self._tab = Tab(self, Dock)
        self._scroll = QTimer(self)  # once the layout has made room for a message
        self._scroll.setSingleShot(True)
        self._scroll.setInterval(SETTLED)
        self._scroll.timeout.connect(self._show_message)
        self._job = Job(self)
        self._job.progressed.connect(self._on_progress)
        self._job.returned.connect(self._keep_time)
        self._job.returned.connect(self._on_returned)
        self._job.errored.connect(self._on_errored)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.warned.connect(self._warn)
        self._job.settled.connect(self._on_settled)
        self._job.returned.connect(self._after_return)
        self._job.errored.connect(self._after_job)
        self._job.cancelled.connect(self._after_cancel)

    @property
    def running(self) -> bool:
        """Whether a job is under way."""
        return self._job.running

    def cancel(self) -> None:
        """Stop the job; a step that takes long ends by itself, and the dock is free before it."""
        if self._job.running:
            self._cancel.setEnabled(False)
            self._cancel.setText("Cancelling…")
            self._job.cancel(at_once=True)

    def chosen(self) -> Chosen:
        """What is chosen besides layers, for the next dock of this kind once this one is closed."""
        return {}

    def choose_again(self, chosen: Chosen) -> None:
        """Choose what `chosen` of another dock of this kind gave."""

    def _lay_out(self, spacing: int, *parts: QWidget | QLayout) -> None:
        """Put the parts below each other, so many px apart."""
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setSpacing(spacing)
        for part in parts:
            if part is self._progress:
                layout.addLayout(self._progress_row())
                layout.addWidget(self._message)
            elif isinstance(part, QLayout):
                layout.addLayout(part)
            else:
                layout.addWidget(part)
        layout.addStretch(1)
        self.setWidget(inner)
        order_tabs(inner)
        self._tab.shortcuts = make_shortcuts(self)

    def _progress_row(self) -> QHBoxLayout:
        """The line that tells how far it is, and the button that copies what would be done, where the dock can tell."""
        line = QHBoxLayout()
        line.addWidget(self._progress, 1)
        self._copy_button = CopyButton()
        self._copy_button.wanted.connect(self.copy)
        line.addWidget(self._copy_button, 0, Qt.AlignmentFlag.AlignTop)
        return line

    def _launch(
        self, make: Callable[[], Generator[Progress, None, Any]], text: str = "starting…", kind: Kind | None = None
    ) -> None:
        """Start a job; ``make`` is called in its thread. Of a ``kind`` that is known the time left is estimated."""
        self._message.clear()
        self._kind, self._began = kind, time.monotonic()
        self._progress.start(text, None if kind is None else expected(kind))
        self._job.start(make)
        self._refresh()

    def _refresh(self) -> None:
        """Bring the texts and the buttons in line with what is chosen and what runs."""
        raise NotImplementedError

    def _finish(self, text: str) -> None:
        """Tell how the job ended, and be ready for the next one."""
        self._progress.finish(text)
        self._refresh()

    def _stop(self) -> None:
        """Stop whatever runs, because nobody sees it any more."""
        self._job.cancel()

    def _on_progress(self, event: Progress) -> None:
        self._progress.show_progress(event)

    def _keep_time(self, _: Any) -> None:
        if self._kind is not None:
            keep(self._kind, time.monotonic() - self._began)

    def _on_returned(self, result: Any) -> None:
        raise NotImplementedError

    def _on_errored(self, error: BaseException) -> None:
        self._finish("stopped by an error")
        self._tell(error)

    def _tell(self, error: BaseException) -> None:
        """Say what went wrong, here and in napari's notifications, which are gone in a moment and cut off."""
        super()._tell(error)
        self._message.add("fail", notify.error(error))
        self._scroll.start()

    @Slot()  # type: ignore[untyped-decorator]
    def _show_message(self) -> None:
        self.ensureWidgetVisible(self._message)

    def _warn(self, text: str) -> None:
        self._message.add("warn", notify.warning(text))
        self._scroll.start()

    def _on_cancelled(self) -> None:
        self._finish("cancelled")

    def _on_settled(self) -> None:
        """A job that was cancelled, and had been left to itself, has come to its end."""

    def showEvent(self, event: QShowEvent | None) -> None:
        """Join the tabs of the plugin's other docks."""
        super().showEvent(event)
        if event is not None and not event.spontaneous():  # as that of a window that was an icon
            self._tab.shown()

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when napari takes the widget out of its dock, which may be long before it is deleted."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._tab.keep(self.chosen())
            self._stop()
