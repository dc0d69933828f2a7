"""The dock widget *Evaluate*."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_hush.fidelity.stacks import evaluate_steps, name
from napari_hush.progress import Progress
from napari_hush.widgets.evaluate.choice import Choice, Inputs
from napari_hush.widgets.evaluate.grid import SideBySide
from napari_hush.widgets.evaluate.layers import Evidences
from napari_hush.widgets.evaluate.table import FindingsTable, VerdictLabel
from napari_hush.widgets.evaluate.uncertainty import HINT, Uncertain, show_uncertain, uncertainty_of, why_not
from napari_hush.widgets.parts import notify
from napari_hush.widgets.parts.bits import small_label
from napari_hush.widgets.parts.job import Job
from napari_hush.widgets.parts.progress_line import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari
    from napari.layers import Image

    from napari_hush.fidelity.stacks import Evaluation

MINIMUM_WIDTH = 330


class EvaluateWidget(QScrollArea):
    """Check what a denoised layer kept, lost and made up, and show where.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are; napari gives it.

    Attributes
    ----------
    ask_path : callable or None
        Given the ending of a file, asks for its name, and gives "" to leave it; None opens a dialog.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        # not a method of its own: Python would delete a cycle in an order that Qt does not survive
        self.ask_path: Callable[[str], str] | None = None
        self._inputs: Inputs | None = None  # of the run under way or the last one
        self._evaluation: Evaluation | None = None
        self._uncertain: Uncertain | None = None  # the last map
        self._started = 0.0  # when the run began, s
        self._path: Path | None = None  # of the last report
        self._grid = SideBySide(napari_viewer)
        self._build()
        self._job = Job(self)
        self._job.progressed.connect(self._progress.show_progress)
        self._job.returned.connect(self._on_returned)
        self._job.errored.connect(self._on_errored)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.warned.connect(notify.warning)
        self._choice.changed.connect(self._refresh)
        self._evaluate.clicked.connect(self.run)
        self._cancel.clicked.connect(self.cancel)
        self._sides.toggled.connect(self._on_sides)
        self._map.clicked.connect(self.map_uncertainty)
        self._report.clicked.connect(self.save_report)
        self._csv.clicked.connect(self.save_csv)
        self._refresh()

    @property
    def running(self) -> bool:
        """Whether something is being checked or written."""
        return self._job.running

    @property
    def evaluation(self) -> Evaluation | None:
        """What was found last."""
        return self._evaluation

    def choose(self, noisy: Image, denoised: Image) -> None:
        """Choose the layers to compare."""
        self._choice.choose(noisy, denoised)

    def run(self) -> None:
        """Check the chosen layers."""
        if self._job.running:
            return
        try:
            inputs = self._choice.inputs()
        except ValueError as error:
            notify.error(error)
            return
        self._inputs = inputs
        self._started = time.monotonic()
        self._progress.start("starting…")
        self._job.start(partial(_evaluate, inputs))
        self._refresh()

    def map_uncertainty(self) -> None:
        """Map what the model of the denoised layer is unsure of, in the plane in sight."""
        if self._job.running:
            return
        try:
            inputs, index = self._choice.inputs(), self._choice.plane
            steps = uncertainty_of(inputs, self._choice.denoised.layer, index)
        except ValueError as error:
            notify.error(error)
            return
        self._started = time.monotonic()
        self._progress.start("starting…")
        self._job.start(lambda: steps)
        self._refresh()

    def cancel(self) -> None:
        """Stop after the current plane or tile and keep what was found before."""
        if self._job.running:
            self._cancel.setEnabled(False)
            self._cancel.setText("Cancelling…")
            self._job.cancel()

    def save_report(self) -> None:
        """Write a page with pictures."""
        self._save(".html")

    def save_csv(self) -> None:
        """Write a sheet with one row per plane."""
        self._save(".csv")

    def _build(self) -> None:
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(MINIMUM_WIDTH)
        self._choice = Choice(self._viewer)
        self._evaluate, self._cancel = QPushButton("Evaluate"), QPushButton("Cancel")
        self._cancel.setToolTip("Stop as soon as possible; what was found before is kept")
        self._progress, self._verdict, self._table = ProgressLine(), VerdictLabel(), FindingsTable()
        self._of = small_label()
        self._evidence = Evidences(self._viewer)
        self._sides = QPushButton("Side by side")
        self._sides.setCheckable(True)
        self._sides.setToolTip("Noisy, denoised, truth and residual in a grid, at one contrast; press again to go back")
        self._map = QPushButton("Uncertainty")
        self._report, self._csv = QPushButton("Report…"), QPushButton("CSV…")
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setSpacing(8)
        layout.addWidget(self._choice)
        layout.addLayout(_row(self._evaluate, self._cancel))
        for part in (self._progress, self._verdict, self._of, self._evidence):
            layout.addWidget(part)
        layout.addLayout(_row(self._sides, self._map))
        layout.addLayout(_row(self._report, self._csv))
        layout.addWidget(self._table)
        layout.addStretch(1)
        self.setWidget(inner)

    def _refresh(self) -> None:
        """Bring the buttons in line with what is chosen and what is known."""
        running, reason = self._job.running, self._choice.refusal
        self._evaluate.setEnabled(not running and not reason)
        self._evaluate.setToolTip("A job is under way" if running else reason or "Check every kind of damage")
        self._cancel.setEnabled(running)
        self._cancel.setText("Cancel")
        for button, does in (
            (self._report, "Save one HTML file with pictures"),
            (self._csv, "Save a sheet, one row per plane"),
        ):
            button.setEnabled(not running and self._evaluation is not None)
            button.setToolTip(does if self._evaluation is not None else "Evaluate first")
        self._sides.setEnabled(self._grid.active or not reason)
        reason = reason or why_not(self._choice.denoised.layer)
        self._map.setEnabled(not running and not reason)
        self._map.setToolTip("A job is under way" if running else reason or HINT)

    def _on_returned(self, result: Evaluation | Uncertain | Path) -> None:
        if isinstance(result, Path):
            self._progress.finish(f"saved: {result.name}")
        elif isinstance(result, Uncertain):
            self._uncertain = result
            self._progress.finish(f"8 poses of one plane denoised in {time.monotonic() - self._started:.1f} s")
            show_uncertain(self._viewer, result)
        else:
            self._show(result)
        self._refresh()

    def _show(self, evaluation: Evaluation) -> None:
        assert self._inputs is not None
        self._evaluation = evaluation
        count = len(evaluation.planes)
        what = f"{count} planes" if count > 1 else "one plane"
        self._progress.finish(f"{what} checked in {time.monotonic() - self._started:.1f} s")
        self._verdict.show_verdict(evaluation.status, evaluation.verdict)
        words = f"Table and evidence are of plane {name(evaluation.worst.index)}" if evaluation.worst.index else ""
        self._of.setText(words)
        self._of.setVisible(bool(words))
        self._table.show_findings(evaluation.evidence.findings)
        self._evidence.show_evaluation(evaluation, self._inputs.place)

    def _on_errored(self, error: BaseException) -> None:
        self._progress.finish("stopped by an error")
        self._refresh()
        notify.error(error)

    def _on_cancelled(self) -> None:
        self._progress.finish("cancelled")
        self._refresh()

    def _on_sides(self, pressed: bool) -> None:
        if not pressed:
            self._grid.restore()
            self._refresh()
            return
        chosen = (self._choice.noisy.layer, self._choice.denoised.layer, self._choice.truth.layer)
        layers = [layer for layer in chosen if layer is not None]
        residual = self._evidence.reveal("residual")
        self._grid.show(layers, [] if residual is None else [residual])
        self._refresh()

    def _save(self, ending: str) -> None:
        if self._evaluation is None or self._inputs is None or self._job.running:
            return
        path = (self.ask_path or self._ask_path)(ending)
        if not path:
            return
        self._path = Path(path if path.lower().endswith(ending) else path + ending)
        evaluation = self._evaluation
        if self._uncertain is not None and self._uncertain.belongs_to(self._inputs, evaluation):
            evaluation = replace(evaluation, uncertainty=self._uncertain.deviation)
        self._progress.start("writing…")
        self._job.start(partial(_write, self._path, evaluation, self._inputs))
        self._refresh()

    def _ask_path(self, ending: str) -> str:
        start = "" if self._path is None else str(self._path.with_suffix(ending))
        what = "Page (*.html)" if ending == ".html" else "Sheet (*.csv)"
        path, _ = QFileDialog.getSaveFileName(self, "Save", start, what)
        return str(path)

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when napari takes the widget out of its dock, which may be long before it is deleted."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._job.cancel()
            self._sides.setChecked(False)


def _evaluate(inputs: Inputs) -> Generator[Progress, None, Evaluation]:
    """The whole work, in the thread."""
    yield Progress(0, 0, "checking…")
    truth = inputs.truth
    colours, axis = inputs.noisy.colours, inputs.noisy.channel_axis
    if truth is not None and inputs.noisy.rgb and truth.shape[-1] == 4:
        truth = truth[..., :3]
    return (
        yield from evaluate_steps(
            colours, inputs.denoised.colours, truth, inputs.settings, channel_axis=axis, planes=inputs.planes
        )
    )


def _write(path: Path, evaluation: Evaluation, inputs: Inputs) -> Generator[Progress, None, Path]:
    """Write the report or the sheet, in the thread."""
    yield Progress(0, 0, "writing…")
    from napari_hush.files import atomic_write
    from napari_hush.reports.page import page
    from napari_hush.reports.sheet import sheet

    if path.suffix == ".csv":
        atomic_write(path, sheet(evaluation))
        return path
    settings = inputs.settings
    text = page(
        evaluation,
        title=f"{inputs.denoised.name} against {inputs.noisy.name}",
        files=inputs.files,
        date=time.strftime("%Y-%m-%d %H:%M"),
        made_by=f"the dock Evaluate of napari-hush, spacing {settings.spacing or 'measured'}, dark {settings.dark}",
    )
    atomic_write(path, text.encode())
    return path


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
