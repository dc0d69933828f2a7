"""The dock widget *Synthesise*."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_hush.progress import Progress
from napari_hush.widgets.parts.bits import row, rule
from napari_hush.widgets.parts.dock import Dock
from napari_hush.widgets.parts.keys import PREVIEW, KeyButton
from napari_hush.widgets.synthesize.choices import Choices
from napari_hush.widgets.synthesize.materials import make_drawer, measure_steps
from napari_hush.widgets.synthesize.repeat import command_of, python_of
from napari_hush.widgets.synthesize.targets import Stack, beside, check_memory, show_stack, show_target, shown_noisy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari

    from napari_hush.datasets.drawing import Drawer, Target
    from napari_hush.datasets.settings import SynthesisSettings
    from napari_hush.widgets.parts.form import Form
    from napari_hush.widgets.parts.run import Run
    from napari_hush.widgets.parts.tabs import Chosen
    from napari_hush.widgets.synthesize.materials import Measured, ToMeasure

    Steps = Generator[Progress, None, Any]

MINIMUM_WIDTH = 280


class SynthesizeWidget(Dock):
    """Draw noisy and clean images with known truth, from settings and from the viewer's own layers.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are; napari gives it.

    Attributes
    ----------
    ask_path : callable or None
        Given the layout and where to begin, asks for the data set's folder or file, and gives "" to leave it; None
        opens a dialog.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, MINIMUM_WIDTH)
        # not a method of its own: Python would delete a cycle in an order that Qt does not survive
        self.ask_path: Callable[[str, str], str] | None = None
        self._number = 0  # of the next preview
        self._stack: Stack | None = None  # that is being drawn
        self._path: Path | None = None  # of the last data set
        self._saving = self._unfinished = False  # whether it is being written; whether it was cancelled
        self._build()
        self.choices.changed.connect(self._on_choices)
        self._preview.clicked.connect(self.preview)
        self._generate.clicked.connect(self.generate)
        self._save.clicked.connect(self.save)
        self._refresh()

    def chosen(self) -> Chosen:
        """What all the forms say."""
        return {name: form.accepted for name, form in self._forms().items()}

    def choose_again(self, chosen: Chosen) -> None:
        """Choose it again."""
        for name, form in self._forms().items():
            form.value = chosen[name]

    def _forms(self) -> dict[str, Form]:
        return {name: getattr(self.choices, name) for name in ("form", "transmission", "recipe")}

    @property
    def refusal(self) -> str:
        """Why there can be no targets; empty where there can."""
        return self.choices.refusal

    def as_python(self) -> str:
        """See `Dock.as_python`: of *Generate*."""
        return python_of(self.settings, self.choices.measured)

    def as_command(self) -> str:
        """See `Dock.as_command`: of *Save data set…*."""
        return command_of(self.settings, self.choices.measured, self._path)

    def preview(self) -> Run:
        """Draw the next target and show it with its truth."""
        return self._followed(partial(self._start, partial(_preview, number=self._number)))

    def generate(self) -> Run:
        """Draw all targets into layers; what `run` does."""
        return self.run()

    def _begin_run(self) -> None:
        stack = Stack()
        if self._start(partial(_generate, stack=stack)):
            self._stack = stack  # what is finished is shown even if the rest is cancelled

    def save(self) -> Run:
        """Write the data set to disk; one that was cancelled goes on where it was."""
        return self._followed(self._begin_save)

    def _begin_save(self) -> None:
        if self.refusal:
            return
        layout = self.choices.settings.layout
        if not self._unfinished or self._path is None:
            name = (self.ask_path or self._ask_path)(layout, str(self._path or ""))
            if not name:
                return
            if layout == "hdf5" and not name.lower().endswith((".h5", ".hdf5")):
                name += ".h5"
            self._path = Path(name)
        self._saving = self._start(partial(_save, out=self._path))

    def _build(self) -> None:
        self.choices = Choices(self._viewer)
        self._layers, self._form = self.choices.noise, self.choices.form
        self._preview, self._generate = KeyButton("Preview", PREVIEW, "preview"), KeyButton("Generate", "G")
        self._save = QPushButton("Save data set…")
        self._cancel.setToolTip("Stop after the current image; what is finished is kept")
        buttons = row(self._preview, self._generate), row(self._save, self._cancel)
        self._lay_out(8, self.choices, rule(), *buttons, self._progress)

    def _refresh(self) -> None:
        """Bring the buttons in line with what is chosen and what runs."""
        running = self._job.running
        reason = "A job is under way" if running else self.choices.refusal
        for button, does in (
            (self._preview, "Show one target with its truth; press again for the next one"),
            (self._generate, "Draw all targets into layers"),
            (self._save, "Write all targets to disk, for training"),
        ):
            button.setEnabled(not reason)
            button.setToolTip(reason or does)
        self._save.setText("Continue saving" if self._unfinished else "Save data set…")
        self._cancel.setEnabled(running)
        self._cancel.setText("Cancel")

    def _start(self, work: Callable[..., Steps]) -> bool:
        if self._job.running or self.choices.refusal:
            return False
        known, missing, settings = self.choices.known(), self.choices.measurements.missing(), self.choices.settings
        self._stack, self._saving = None, False
        self._launch(partial(_draw, settings, known, missing, work))
        return True

    def _place(self) -> dict[str, Any]:
        return beside(self._viewer, self.choices.reference)

    def _on_choices(self) -> None:
        if not self._job.running:
            self._unfinished = False
        self._refresh()

    def _finish(self, text: str) -> None:
        self._stack, self._saving = None, False
        super()._finish(text)

    def _on_returned(self, result: tuple[SynthesisSettings, Any]) -> None:
        settings, made = result
        if isinstance(made, Stack):
            self._finish(f"{show_stack(self._viewer, made, self._place())} targets as layers")
            self._made = shown_noisy(self._viewer, "targets noisy")
        elif isinstance(made, Path):
            self._unfinished, self._made = False, made
            self._finish(f"data set of {settings.n} images saved: {_breakable(made)}")
        else:
            show_target(self._viewer, made, settings, self._number, self._place())
            self._number += 1
            self._made = shown_noisy(self._viewer, "target noisy")
            self._finish(f"target {self._number - 1}: {_describe(made)}")

    def _on_errored(self, error: BaseException) -> None:
        self._unfinished = False
        super()._on_errored(error)

    def _on_cancelled(self) -> None:
        text = "cancelled"
        if self._saving and self._path is not None:
            self._unfinished = True
            text = f"cancelled; what is finished is kept in {_breakable(self._path)}"
        elif self._stack is not None and (count := show_stack(self._viewer, self._stack, self._place())):
            text = f"cancelled: {count} of {self._stack.n} targets as layers"
        self._finish(text)

    def _stop(self) -> None:
        super()._stop()
        self.choices.measurements.stop()

    def _ask_path(self, layout: str, start: str) -> str:
        if layout == "hdf5":
            name, _ = QFileDialog.getSaveFileName(
                self,
                "Data set",
                start,
                "HDF5 (*.h5 *.hdf5)",
                options=QFileDialog.Option.DontConfirmOverwrite,  # an unfinished one goes on, others are refused
            )
            return str(name)
        return str(QFileDialog.getExistingDirectory(self, "Empty or new folder for the data set", start))


def _draw(
    settings: SynthesisSettings, known: dict[str, Measured], missing: ToMeasure, work: Callable[..., Steps]
) -> Steps:
    """The whole work, in the thread: what is not measured yet is measured first."""
    found = known | (yield from measure_steps(missing))
    drawer = make_drawer(settings, found)
    made = yield from work(drawer)
    return drawer.settings, made


def _preview(drawer: Drawer, *, number: int) -> Steps:
    yield Progress(0, 0, "drawing…")
    return drawer("train", number)


def _generate(drawer: Drawer, *, stack: Stack) -> Steps:
    check_memory(drawer.settings)
    yield from stack.draw(drawer)
    return stack


def _save(drawer: Drawer, *, out: Path) -> Steps:
    from napari_hush.datasets.synthesize import write_steps

    with closing(write_steps(drawer, out)) as steps:
        for event in steps:
            yield replace(event, message=f"image {event.step} of {event.total}")
    return out


def _describe(target: Target) -> str:
    words = target.kind
    if np.isfinite(target.period):
        words += f", period {target.period:.1f} px"
    if len(target.positions):
        words += f", {len(target.positions)} atoms, {len(target.vacancies)} vacancies"
    if target.mask.any():
        words += f", {target.mask.mean():.0%} dented"
    return words


def _breakable(path: Path) -> str:
    """A path that a label can break into lines, at zero-width spaces."""
    return str(path).replace(os.sep, f"{os.sep}\u200b")
