"""The dock widget *Train*."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QPushButton

from napari_hush.errors import InputError
from napari_hush.files import atomic_write
from napari_hush.training.process.parent import RemoteTraining, train_steps
from napari_hush.training.settings_file import train_settings_to_toml
from napari_hush.widgets.parts.bits import row, rule
from napari_hush.widgets.parts.dock import Dock
from napari_hush.widgets.parts.keys import RUN, KeyButton, order_tabs
from napari_hush.widgets.parts.layer_source import Source
from napari_hush.widgets.parts.model_list import ModelCombo
from napari_hush.widgets.parts.recent import remember
from napari_hush.widgets.parts.run import wait_until
from napari_hush.widgets.parts.tabs import raise_dock
from napari_hush.widgets.train.adaptation import Adaptation, AdaptationForm, FirstModel, adaptation_steps
from napari_hush.widgets.train.data import Data, Found
from napari_hush.widgets.train.form import SettingsForm
from napari_hush.widgets.train.order import make_order, summary
from napari_hush.widgets.train.place import Place, file_name
from napari_hush.widgets.train.repeat import command_of, python_of
from napari_hush.widgets.train.view import Curves, show_preview

if TYPE_CHECKING:
    from pathlib import Path

    import napari

    from napari_hush.progress import Progress
    from napari_hush.training.process.child import TrainingOutcome
    from napari_hush.training.settings import TrainSettings
    from napari_hush.widgets.parts.run import Run
    from napari_hush.widgets.parts.tabs import Chosen

MINIMUM_WIDTH = 300


class TrainWidget(Dock):
    """Adapt a model to a layer; or train one on layers, files and folders, in a process of its own.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are; napari gives it.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, MINIMUM_WIDTH)
        self._run = RemoteTraining()  # the latest one
        self._shown: Any = None  # its preview
        self._name = ""  # of the model that is trained
        self._reference: Image | None = None  # the layer that the preview lies beside
        self._model: Path | None = None  # the last one that was finished
        self._adapting = False  # and no training
        self._build()
        self.form.changed.connect(self._on_settings)
        self.data.changed.connect(self._refresh)
        self.place.changed.connect(self._refresh)
        self.adaptation.changed.connect(self._refresh)
        self.adaptation.wanted.connect(self.adapt)
        self.adaptation.models.refused.connect(self._tell)
        for button, action in (
            (self._start, self.start),
            (self._resume, self.resume),
            (self._pause, self.pause),
            (self._denoise, self.denoise),
        ):
            button.clicked.connect(action)
        self._refresh()

    def chosen(self) -> Chosen:
        """What both forms say, the method, and the model to adapt."""
        first = self.adaptation
        return {
            "adaptation": first.form.accepted,
            "model": first.models.path,
            "method": self.form.method,
            "training": self.form.form.accepted,
        }

    def choose_again(self, chosen: Chosen) -> None:
        """Choose it again."""
        self.adaptation.form.value = chosen["adaptation"]
        if chosen["model"] is not None:
            self.adaptation.models.add(chosen["model"])
        self.form.method = chosen["method"]
        self.form.form.value = chosen["training"]

    def learn_from(self, method: str, noisy: Any, clean: Any = None) -> None:
        """Choose a method and layers; nothing begins."""
        self.form.method = method
        self.data.noisy.source = noisy
        if clean is not None:
            self.data.clean.source = clean
        QTimer.singleShot(0, partial(self.ensureWidgetVisible, self._start))  # once it is laid out

    @property
    def paused(self) -> bool:
        """Whether the training waits."""
        return self.running and not self._adapting and self._run.paused

    @property
    def settings(self) -> TrainSettings:
        """What the form says; setting it takes those of any method, and chooses that."""
        return self.form.settings

    @settings.setter
    def settings(self, settings: TrainSettings) -> None:
        self.form.settings = settings

    def as_python(self) -> str:
        """See `Dock.as_python`: of *Start*."""
        return python_of(
            self.form.method, self.settings, self._chosen_images(), self._next_model(), self.data.channel_axis
        )

    def as_command(self) -> str:
        """See `Dock.as_command`: of *Start*."""
        return command_of(
            self.form.method, self.settings, self._chosen_images(), self._next_model(), self.data.channel_axis
        )

    def adapt(self) -> Run:
        """Fine-tune a model on one layer."""
        return self._followed(self._begin_adapt)

    def _begin_adapt(self) -> None:
        part = self.adaptation
        if part.refusal:
            self._tell(InputError(part.refusal))
            return
        try:
            source, settings = Source.of(part.layers.layer), part.settings
        except ValueError as error:
            self._tell(error)
            return
        path = self.place.file(".safetensors", self.place.free(name=file_name(part.stem)))
        self._adapting, self._model = True, None
        self.curves.hide()
        self._launch(partial(adaptation_steps, source, part.models.choice, settings, path))
        self.ensureWidgetVisible(self._progress)

    def start(self) -> Run:
        """Train a new model; what `run` does once the images have been looked at."""
        return self._followed(self._begin_run)

    def run(self) -> Run:
        """Train a new model, when the images have been looked at."""
        wait_until(lambda: not self.data.study.busy)
        return self.start()

    def _begin_run(self) -> None:
        if self.refusal:
            return
        self.place.name = self.place.free()
        self._begin(resume=False)

    def resume(self) -> Run:
        """Go on from the checkpoint of this name."""
        return self._followed(self._begin_resume)

    def _begin_resume(self) -> None:
        if not self.place.resumable:
            self._error = InputError(f"{self.place.name}: there is no checkpoint of this name in {self.place.folder}")
            return
        try:
            if self.place.file(".toml").is_file():
                self.form.take_up(self.place.file(".toml"))
        except (InputError, OSError) as error:
            self._tell(error)
            return
        if self.refusal:
            self._tell(InputError(self.refusal))
            return
        self._begin(resume=True)

    def pause(self) -> None:
        """Wait after the current step, or go on."""
        if not self._job.running or self._adapting:
            return
        self._run.pause(not self._run.paused)
        if self._run.paused:
            self._progress.finish(f"paused after step {self._run.step}")
        else:
            self._progress.start("going on…")
        self._refresh()

    def cancel(self) -> None:
        """Stop after the current step, with a checkpoint; asked a second time, stop at once."""
        if not self._job.running:
            return
        if self._adapting:
            super().cancel()
            return
        if self._cancel.text() != "Cancel":
            self._run.at_once.set()
            self._cancel.setEnabled(False)
            return
        self._cancel.setText("Stop at once")
        self._cancel.setToolTip("Do not wait for the step: what was learned since the last checkpoint is lost")
        self._pause.setEnabled(False)
        self._progress.start("Cancelling… the step is finished and the checkpoint written")
        self._job.cancel()

    def denoise(self) -> None:
        """Open the dock *Denoise* with the new model."""
        if self._model is None:
            return
        _, denoise = self._viewer.window.add_plugin_dock_widget("napari-hush", "Denoise", tabify=True)
        raise_dock(denoise)
        _offer(self._model)

    def _build(self) -> None:
        self.adaptation = AdaptationForm(self._viewer)
        self.form = SettingsForm()
        self.data = Data(self._viewer, self.form.method)
        self._layers, self._models = self.data.noisy.combo, self.adaptation.models
        self.place = Place(self.form.method)
        self._method = self.form.method
        self._start, self._resume = KeyButton("Start", RUN, "run"), QPushButton("Resume")
        self._pause, self._denoise = QPushButton("Pause"), QPushButton("Denoise with it")
        self._denoise.setToolTip("Open the dock Denoise with the new model")
        self._denoise.hide()
        self.curves = Curves(self._viewer)
        four = (self._start, self._resume, self._pause, self._cancel)
        for button in four:
            button.setStyleSheet("padding: 4px 2px")
        buttons = row(*four)
        buttons.setSpacing(4)
        choices = (self.adaptation, rule(), self.form, rule(), self.data, rule(), self.place)
        self._lay_out(6, *choices, buttons, self._progress, self._denoise, self.curves)

    @property
    def refusal(self) -> str:
        """Why there can be no training with these choices; empty where there can."""
        found = self.data.found
        if reason := self.form.refusal:
            return reason
        if not isinstance(found, Found):
            return "The images are being looked at" if found is None else str(found)
        settings = self.form.settings
        if found.side + 2 * settings.shift < settings.patch:
            return f"an image has a side of {found.side} px, less than a patch of {settings.patch} px: lower patch"
        return ""

    def _refresh(self) -> None:
        """Bring the buttons in line with what is chosen and what runs."""
        running = self._job.running
        busy = "A training is under way" if running else ""
        self.adaptation.allow(busy or self.adaptation.refusal)
        reason = busy or self.refusal
        self._start.setEnabled(not reason)
        self._start.setToolTip(reason or "Train a new model")
        can_resume = self.place.resumable
        self._resume.setEnabled(can_resume and not reason)
        self._resume.setToolTip(
            reason or ("Go on from the checkpoint" if can_resume else "There is no checkpoint of this name")
        )
        self._pause.setEnabled(running and not self._adapting)
        self._pause.setText("Continue" if running and self._run.paused else "Pause")
        self._pause.setToolTip("Wait after the current step; the processor is free meanwhile")
        self._cancel.setEnabled(running)
        self._cancel.setText("Cancel")
        left = "the model stays as it is" if self._adapting else "Resume goes on from there"
        self._cancel.setToolTip(f"Stop after the current step; {left}")
        for part in (self.adaptation, self.form, self.data, self.place):
            part.setEnabled(not running)
        shown = self._model is not None and not running and hasattr(self._viewer, "window")
        self._denoise.setVisible(shown)

    def _next_model(self) -> Path:
        """The file that a new training writes."""
        return self.place.file(".safetensors", self.place.free())

    def _chosen_images(self) -> dict[str, Any]:
        """Layers and paths, by name."""
        if isinstance(self.data.found, InputError):
            raise InputError(str(self.data.found))
        return self.data.chosen()

    def _begin(self, *, resume: bool) -> None:
        settings, parts = self.form.settings, self.data.parts()
        self._name = self.place.name
        model = self.place.file(".safetensors", self.place.free((".safetensors",)))
        noisy = self.data.noisy.source
        self._reference = noisy if isinstance(noisy, Image) else None
        try:
            self.place.folder.mkdir(parents=True, exist_ok=True)
            text = train_settings_to_toml(self.form.method, settings)
            atomic_write(self.place.file(".toml"), text.encode())
        except OSError as error:
            self._tell(InputError(f"{error.filename}: {error.strerror}; choose another folder"))
            return
        self._run, self._shown, self._model, self._adapting = RemoteTraining(), None, None, False
        self.curves.begin()
        order = partial(make_order, self.form.method, settings, parts, model, self.place.file(".ckpt"), resume)
        self._launch(partial(train_steps, order, self._run))
        self.ensureWidgetVisible(self._progress)

    def _on_settings(self) -> None:
        method = self.form.method
        if method != self._method:
            self._method = method
            self.place.suggest(method)
            self.data.method = method
            order_tabs(self)  # the form is another one
        self._refresh()

    def _on_progress(self, event: Progress) -> None:
        if self._adapting:
            super()._on_progress(event)
            return
        self._draw()
        if not self._run.paused:
            self._progress.show_progress(event)
        elif self._run.step:
            self._progress.finish(f"paused after step {self._run.step}")

    def _draw(self) -> None:
        self.curves.draw(self._run.curves)
        picture = self._run.preview
        if picture is not None and picture is not self._shown:
            first, self._shown = self._shown is None, picture
            reference = self._reference if self._reference in self._viewer.layers else None
            if show_preview(self._viewer, picture, self._run.step, reference) and first:
                self._viewer.reset_view()

    def _on_returned(self, outcome: TrainingOutcome | Adaptation) -> None:
        if isinstance(outcome, Adaptation):
            self._on_adapted(outcome)
            return
        self._model = self._made = outcome.model
        remember(outcome.model)
        _offer(outcome.model)
        self._finish(summary(outcome))

    def _on_adapted(self, outcome: Adaptation) -> None:
        self._model = self._made = outcome.model
        if outcome.model is None:
            self._finish(outcome.words)
            return
        remember(outcome.model)
        _offer(outcome.model)
        self._finish(f"{outcome.model.stem}: {outcome.words}. Chosen in Denoise")

    def _on_errored(self, error: BaseException) -> None:
        self._finish(f"stopped by an error{self._kept()}")
        self._tell(error)

    def _on_cancelled(self) -> None:
        if self._adapting:
            self._finish("cancelled: the model stays as it is")
            return
        self._finish(f"cancelled after step {self._run.step}{self._kept()}")

    def _kept(self) -> str:
        there = not self._adapting and self.place.file(".ckpt", self._name).is_file()
        return "; Resume goes on from the checkpoint" if there else ""

    def _finish(self, text: str) -> None:
        if self._adapting:
            self._adapting = False
            self.place.refresh()
            super()._finish(text)
            return
        self._draw()
        self._run.paused = False
        if not any(self.place.file(suffix, self._name).exists() for suffix in (".ckpt", ".safetensors")):
            self.place.file(".toml", self._name).unlink(missing_ok=True)  # the name is free again
        self.place.refresh()
        super()._finish(text)

    def _stop(self) -> None:
        super()._stop()
        self.data.study.stop()


def _offer(model: Path) -> None:
    """Choose a model in the docks *Denoise* that are open."""
    for widget in QApplication.allWidgets():
        if isinstance(widget, ModelCombo) and not isinstance(widget, FirstModel):
            widget.add(model)
