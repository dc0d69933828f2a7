"""The dock widget *Evaluate*."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_hush.inference.planes import Planes
from napari_hush.progress import Progress
from napari_hush.widgets.evaluate.choice import Choice, Inputs
from napari_hush.widgets.evaluate.grid import SideBySide
from napari_hush.widgets.evaluate.layers import Evidences, shown
from napari_hush.widgets.evaluate.repeat import command_of, python_of
from napari_hush.widgets.evaluate.table import FindingsTable, VerdictLabel
from napari_hush.widgets.evaluate.uncertainty import HINT, Uncertain, show_uncertain, uncertainty_of, why_not
from napari_hush.widgets.parts.bits import row, small_label
from napari_hush.widgets.parts.dock import Dock
from napari_hush.widgets.parts.keys import KeyButton

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari
    from napari.layers import Image

    from napari_hush.fidelity.stacks import Evaluation
    from napari_hush.widgets.parts.run import Run
    from napari_hush.widgets.parts.tabs import Chosen

MINIMUM_WIDTH = 330


class EvaluateWidget(Dock):
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
        super().__init__(napari_viewer, MINIMUM_WIDTH)
        # not a method of its own: Python would delete a cycle in an order that Qt does not survive
        self.ask_path: Callable[[str], str] | None = None
        self._inputs: Inputs | None = None  # of the run under way or the last one
        self._evaluation: Evaluation | None = None
        self._uncertain: Uncertain | None = None  # the last map
        self._started = 0.0  # when the run began, s
        self._path: Path | None = None  # of the last report
        self._grid = SideBySide(napari_viewer)
        self._again = False  # whether another check begins once this one has stopped
        self._lent = False  # whether the residual is shown for the grid alone
        self._build()
        self._choice.changed.connect(self._refresh)
        self._evaluate.clicked.connect(self.run)
        self._sides.toggled.connect(self._on_sides)
        self._map.clicked.connect(self.map_uncertainty)
        self._report.clicked.connect(self.save_report)
        self._csv.clicked.connect(self.save_csv)
        self._refresh()

    @property
    def evaluation(self) -> Evaluation | None:
        """What was found last."""
        return self._evaluation

    def choose(self, noisy: Image, denoised: Image) -> None:
        """Choose the layers to compare."""
        self._choice.choose(noisy, denoised)

    @property
    def noisy(self) -> Any:
        """The layer before denoising; one that is chosen as `layer` brings its own."""
        return self._choice.noisy.layer

    @noisy.setter
    def noisy(self, layer: Any) -> None:
        self._choice.noisy.choose(layer)

    @property
    def refusal(self) -> str:
        """Why nothing can be compared; empty where it can."""
        return self._choice.refusal

    def as_python(self) -> str:
        """See `Dock.as_python`."""
        return python_of(self._choice.layers, self._choice.inputs())

    def as_command(self) -> str:
        """See `Dock.as_command`."""
        return command_of(self._choice.layers, self._choice.inputs())

    def look_at(self, noisy: Image, denoised: Image) -> None:
        """Check two layers, instead of what is being checked."""
        self.choose(noisy, denoised)
        self._again = self._job.running
        if self._again:
            self.cancel()
        else:
            self.run()

    def chosen(self) -> Chosen:
        """Settings and planes."""
        return {"form": self._choice.form.accepted, "planes": self._choice.planes.currentIndex()}

    def choose_again(self, chosen: Chosen) -> None:
        """Choose them again."""
        self._choice.form.value = chosen["form"]
        self._choice.planes.setCurrentIndex(chosen["planes"])

    def _begin_run(self) -> None:
        """Check the chosen layers."""
        try:
            inputs = self._choice.inputs()
        except ValueError as error:
            self._tell(error)
            return
        self._inputs = inputs
        self._started = time.monotonic()
        self._launch(partial(_evaluate, inputs))

    def map_uncertainty(self) -> Run:
        """Map what the model of the denoised layer is unsure of, in the plane in sight."""
        return self._followed(self._begin_map)

    def _begin_map(self) -> None:
        try:
            inputs, index = self._choice.inputs(), self._choice.plane
            steps = uncertainty_of(inputs, self._choice.denoised.layer, index)
        except ValueError as error:
            self._tell(error)
            return
        self._started = time.monotonic()
        self._launch(lambda: steps)

    def save_report(self) -> None:
        """Write a page with pictures."""
        self._save(".html")

    def save_csv(self) -> None:
        """Write a sheet with one row per plane."""
        self._save(".csv")

    def _build(self) -> None:
        self._choice = Choice(self._viewer)
        self._layers, self._form = self._choice.denoised, self._choice.form
        self._evaluate = KeyButton("Evaluate", "E")
        self._cancel.setToolTip("Stop as soon as possible; what was found before is kept")
        self._verdict, self._table = VerdictLabel(), FindingsTable()
        self._of = small_label()
        self._evidence = Evidences(self._viewer)
        self._sides = QPushButton("Side by side")
        self._sides.setCheckable(True)
        self._sides.setToolTip("Noisy, denoised, truth and residual in a grid, at one contrast; press again to go back")
        self._map = QPushButton("Uncertainty")
        self._report, self._csv = QPushButton("Report…"), QPushButton("CSV…")
        self._lay_out(
            8,
            self._choice,
            row(self._evaluate, self._cancel),
            self._progress,
            self._verdict,
            self._of,
            self._evidence,
            row(self._sides, self._map),
            row(self._report, self._csv),
            self._table,
        )

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
            button.setToolTip(does if self._evaluation is not None else f"Evaluate first. {does}")
        self._sides.setEnabled(self._grid.active or not reason)
        reason = reason or why_not(self._choice.denoised.layer)
        self._map.setEnabled(not running and not reason)
        self._map.setToolTip("A job is under way" if running else reason or HINT)

    def _on_returned(self, result: Evaluation | Uncertain | Path) -> None:
        self._made = result
        if isinstance(result, Path):
            self._finish(f"saved: {result.name}")
        elif isinstance(result, Uncertain):
            self._uncertain = result
            self._finish(f"8 poses of one plane denoised in {time.monotonic() - self._started:.1f} s")
            show_uncertain(self._viewer, result)
        else:
            self._show(result)

    def _on_cancelled(self) -> None:
        super()._on_cancelled()
        if self._again:
            self._again = False
            self._begin_run()

    def _on_errored(self, error: BaseException) -> None:
        super()._on_errored(error)
        self._of.setText("" if self._evaluation is None else "verdict and table are of the run before")
        self._of.setVisible(self._evaluation is not None)

    def _show(self, evaluation: Evaluation) -> None:
        from napari_hush.fidelity.repeats.compare import summary
        from napari_hush.fidelity.stacks import name

        assert self._inputs is not None
        self._evaluation = evaluation
        count = len(evaluation.planes)
        what = f"{count} planes" if count > 1 else "one plane"
        self._finish(f"{what} checked in {time.monotonic() - self._started:.1f} s")
        self._verdict.show_verdict(evaluation.status, evaluation.verdict)
        index, match = evaluation.worst.index, evaluation.match
        parts = [f"Table and evidence are of plane {name(index)}"] if index else []
        words = "; ".join([*parts, *([] if match is None else [match.text])])
        if evaluation.repeats is not None:
            words = "\n".join([words, summary(evaluation.repeats, aligned=False)]).strip()
        self._of.setText(words)
        self._of.setVisible(bool(words))
        self._table.show_findings(evaluation.evidence.findings)
        self._evidence.show_evaluation(evaluation, self._inputs.pose(index))

    def _on_sides(self, pressed: bool) -> None:
        if not pressed:
            self._grid.restore()
            if self._lent:
                self._evidence.put_away("residual")
            self._lent = False
            self._refresh()
            return
        chosen = (self._choice.noisy.layer, self._choice.denoised.layer, self._choice.truth.layer)
        layers = [layer for layer in chosen if layer is not None]
        self._lent = shown(self._viewer, "residual") is None
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
        self._launch(partial(_write, self._path, evaluation, self._inputs), "writing…")

    def _ask_path(self, ending: str) -> str:
        start = "" if self._path is None else str(self._path.with_suffix(ending))
        what = "Page (*.html)" if ending == ".html" else "Sheet (*.csv)"
        path, _ = QFileDialog.getSaveFileName(self, "Save", start, what)
        return str(path)

    def _stop(self) -> None:
        super()._stop()
        self._sides.setChecked(False)


def _evaluate(inputs: Inputs) -> Generator[Progress, None, Evaluation]:
    """The whole work, in the thread."""
    yield Progress(0, 0, "checking…")
    from napari_hush.fidelity.stacks import evaluate_steps, read_plane

    truth = inputs.truth
    colours, axis = inputs.noisy.colours, inputs.noisy.channel_axis
    if truth is not None and inputs.noisy.rgb and truth.shape[-1] == 4:
        truth = truth[..., :3]
    found = yield from evaluate_steps(
        colours,
        inputs.denoised.colours,
        truth,
        inputs.settings,
        channel_axis=axis,
        planes=inputs.planes,
        pixel_size=inputs.noisy.pixel_size,
        repeats=inputs.repeats,
    )
    given = inputs.given_back
    return found if given is None else replace(found, given_back=read_plane(Planes(given, axis), found.worst.index))


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
        made_by=f"the dock Evaluate of napari-hush, spacing {settings.spacing or 'measured'}, "
        f"dark {settings.dark}, truth matched {settings.match}",
    )
    atomic_write(path, text.encode())
    return path
