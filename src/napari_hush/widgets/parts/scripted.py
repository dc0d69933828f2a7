"""What a script does with a dock: choose, run, wait, and copy what would be done; one mechanism for all docks."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal, Slot  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_hush.errors import InputError
from napari_hush.widgets.parts.copy_button import CopyButton
from napari_hush.widgets.parts.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Scripted(QScrollArea):
    """The surface of a dock for scripts. A dock gives `_begin_run`, `as_python`, `as_command`, and its lists and form.

    Attributes
    ----------
    finished : Signal(object)
        A job has made something: a layer, or what the dock says; the dock is ready for the next one.
    """

    finished = Signal(object)
    _layers: Any  # a `LayerCombo`
    _models: Any  # a `ModelCombo`, of a dock that has one
    _form: Any  # a `Form`

    def __init__(self) -> None:
        super().__init__()
        self._script: Run | None = None  # that is under way
        self._made: Any = None  # by the job that has just ended
        self._results: list[Any] = []  # of the run, one for each job
        self._several = False  # whether a script gets all of them
        self._error: BaseException | None = None  # that was told last

    @property
    def running(self) -> bool:
        """Whether a job is under way."""
        raise NotImplementedError

    @property
    def layer(self) -> Any:
        """The chosen layer; setting it takes a layer of the viewer or its name, or raises an `InputError`."""
        return self._layers.layer

    @layer.setter
    def layer(self, layer: Any) -> None:
        self._layers.choose(layer)

    @property
    def model(self) -> str | Path:
        """The chosen model: a name or a file; setting it raises a `ModelFileError` where there is none."""
        choice: str | Path = self._models.name
        return choice

    @model.setter
    def model(self, model: str | Path) -> None:
        self._models.choose(model)

    @property
    def settings(self) -> Any:
        """What the form says, a frozen dataclass; setting it takes one of that kind."""
        return self._form.value

    @settings.setter
    def settings(self, settings: Any) -> None:
        self._form.value = settings

    @property
    def refusal(self) -> str:
        """Why there can be no run with what is chosen; empty where there can."""
        return ""

    def run(self) -> Run:
        """Do what the dock is for; what keeps it from beginning is raised by `Run.wait`, too."""
        return self._followed(self._begin_run)

    def as_python(self) -> str:
        """What a run would do, as Python that gives the same bits.

        Raises
        ------
        ValueError
            If it cannot be said so: an `InputError` tells why.
        """
        raise InputError("this dock shows layers and makes none: there is nothing to copy")

    def as_command(self) -> str:
        """The same for a POSIX shell.

        Raises
        ------
        ValueError
            As of `as_python`; above all where a layer has no file.
        """
        return self.as_python()

    def copy(self, way: str) -> None:
        """Put the text of `as_python` or `as_command` onto the clipboard, or tell why there is none."""
        try:
            text = getattr(self, way)()
        except (ValueError, OSError) as error:
            self._tell(error)
            return
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(text)
            for button in self.findChildren(CopyButton):
                button.show_copied()

    def _begin_run(self) -> None:
        """What the dock's main button does; nothing in a dock that shows layers and makes none."""

    def _followed(self, begin: Callable[[], object]) -> Run:
        """Begin something that a script can wait for."""
        run = Run(self)
        if self.running:
            run.end(None, InputError("a run is under way in this dock: wait for its end, or cancel it"))
            return run
        self._script, self._results, self._several = run, [], False
        self._made = self._error = None
        begin()
        if not self.running:
            self._error = self._error or InputError(self.refusal or "there is nothing to do with what is chosen")
            self._settle()
        return run

    def _after_job(self, _: object = None) -> None:
        """Hand on what a job has made, once the dock is ready for the next one."""
        made, self._made = self._made, None
        if made is not None:
            self._results.append(made)
        self._settle()
        if made is not None:
            self.finished.emit(made)

    def _after_return(self, _: object = None) -> None:
        self._error = None
        self._after_job()

    @Slot()  # type: ignore[untyped-decorator]
    def _after_cancel(self) -> None:
        if self._made is None and self._error is None:
            self._error = CancelledError("the run was cancelled")
        self._after_job()

    def _settle(self) -> None:
        """Tell the script that waits, unless more is to come."""
        if self.running or self._script is None:
            return
        run, self._script = self._script, None
        made, self._results = self._results, []  # nothing is kept of a layer that goes
        run.end(made if self._several else made[-1] if made else None, self._error)

    def _tell(self, error: BaseException) -> None:
        """Say what went wrong."""
        self._error = error
