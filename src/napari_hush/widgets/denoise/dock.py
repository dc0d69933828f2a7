"""The dock widget *Denoise*."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from qtpy.QtCore import QTimer, Slot  # type: ignore[attr-defined]

from napari_hush.batch.folder import FolderRun, is_folder_of_images
from napari_hush.errors import InputError
from napari_hush.memory import free_memory
from napari_hush.reports import SYMBOLS
from napari_hush.widgets.denoise.batch import Batch
from napari_hush.widgets.denoise.blend import can_blend
from napari_hush.widgets.denoise.choices import Choices
from napari_hush.widgets.denoise.folder import FolderButtons
from napari_hush.widgets.denoise.growing import GrowingLayer, planes_of, series_layers
from napari_hush.widgets.denoise.growing_file import GrowingFile
from napari_hush.widgets.denoise.in_memory import denoise_to_memory, kind_of_run
from napari_hush.widgets.denoise.live import Live
from napari_hush.widgets.denoise.live_guard import LiveGuard
from napari_hush.widgets.denoise.live_strength import LiveStrength
from napari_hush.widgets.denoise.order import disk_steps, make_order
from napari_hush.widgets.denoise.preview import renew, update_preview
from napari_hush.widgets.denoise.repeat import command_of, python_of
from napari_hush.widgets.denoise.size import limited
from napari_hush.widgets.denoise.summary import summary
from napari_hush.widgets.denoise.verdict import Verdict, keep_verdict
from napari_hush.widgets.parts.bits import StatusLabel, row, small_label
from napari_hush.widgets.parts.dock import Dock
from napari_hush.widgets.parts.keys import PREVIEW, RUN, KeyButton
from napari_hush.widgets.parts.known_layers import KnownLayers
from napari_hush.widgets.parts.layer_record import (
    identity,
    is_preview,
    latest_result,
    read_record,
)
from napari_hush.widgets.parts.layer_source import Part, Source, visible_part
from napari_hush.widgets.parts.model_list import is_model_name
from napari_hush.widgets.parts.preferences import preference
from napari_hush.widgets.parts.tabs import Chosen, raise_dock

if TYPE_CHECKING:
    import napari
    from napari.layers import Image
    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_hush.progress import Progress
    from napari_hush.widgets.denoise.in_memory import InMemory
    from napari_hush.widgets.parts.run import Run

MINIMUM_WIDTH = 270


class DenoiseWidget(Dock):
    """Denoise an image layer with a model; the result is a new layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are; napari gives it.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, MINIMUM_WIDTH)
        self._source: Source | None = None  # of the run under way
        self._batch: Batch | None = None  # layers that wait
        self._image = ""  # which layer is chosen
        self._known = KnownLayers()
        self._told = True  # whether what was done last is told by the line below the buttons
        self._growing: GrowingLayer | GrowingFile | None = None  # the result, as far as it is done
        self._left: GrowingFile | None = None  # that of a run which was cancelled and has not ended yet
        self._previewed: tuple[object, ...] = ()  # what the preview is of
        self._files: FolderRun | None = None  # of the run under way
        self._old: Any = None  # the result that the run under way makes anew
        self._again = False  # whether a preview is made at the end of the one that is cancelled
        self._build()
        self._live = LiveStrength(napari_viewer, self._verdict, self)
        self._live.told.connect(self._progress.finish)
        self._live.judged.connect(self._refresh)  # the line is about the chosen layer
        self._strength.changed.connect(self._on_strength)
        self._live_guard = LiveGuard(napari_viewer, self._choices, self._known, self)
        self._live_guard.told.connect(self._progress.finish)
        self._live_guard.due.connect(self._redo)
        self._choices.guard.activated.connect(self._live_guard.choose)  # by a hand, not by a script
        self._layers.changed.connect(self._on_layer)
        self._channels.combo.currentIndexChanged.connect(self._refresh)
        self._models.changed.connect(self._refresh)
        self._models.refused.connect(self._tell)
        self._keep.changed.connect(self._refresh)
        self._live_preview.due.connect(self._follow)
        self._folder.chosen.connect(self.run_folder)
        for changed in (self._layers.changed, self._models.changed, self._form.changed):
            changed.connect(self._live_preview.touch)
        self._channels.combo.currentIndexChanged.connect(self._live_preview.touch)
        self._preview.clicked.connect(self.preview)
        self._run.clicked.connect(self.run)
        self._verdict.details.connect(self.show_details)
        self._verdict.found.connect(self._keep_verdict)
        self._verdict.ended.connect(self._next)
        self._layers.several.connect(self._refresh)
        self._card.denoise.connect(self.run_auto)
        self.setAcceptDrops(True)
        self._refresh()

    @property
    def refusal(self) -> str:
        """Why there can be no run; empty where there can."""
        return self._choices.refusal

    @property
    def running(self) -> bool:
        """Whether a job is under way, or layers wait for theirs."""
        return self._job.running or self._batch is not None

    def _begin_run(self) -> None:
        """Denoise all planes of the chosen layer, or of each that is selected in napari's list."""
        if selected := self._layers.selected:
            self._batch = Batch(selected)
            self._next()
        else:
            self._start(None)

    @Slot(object)  # type: ignore[untyped-decorator]
    def _redo(self, result: Image) -> None:
        """Make a result anew, with another guard."""
        self._old = result
        self._start(None)
        if not self._job.running:
            self._old = None

    def run_auto(self) -> None:
        """Denoise all planes of the chosen layer with the model that fits it."""
        if not self.running:
            self._models.choose_auto()
            self._start(None)

    def run_folder(self, folder: Path) -> Run:
        """Denoise all images of a folder into files beside them."""
        return self._followed(partial(self._begin_folder, folder))

    def _begin_folder(self, folder: Path) -> None:
        try:
            settings = self._form.value
        except ValueError as error:
            self._tell(error)
            return
        dtype = "input" if self._choices.as_input else "auto"
        run = self._files = FolderRun(folder=folder, model=str(self._models.choice), settings=settings, dtype=dtype)
        self._told = False
        self._folder.offer(None)
        self._launch(run.steps)

    def cancel(self) -> None:
        """Stop after the current step; layers that wait are left as they are."""
        batch, self._batch = self._batch, None
        super().cancel()
        if batch is not None and not self._job.running:  # between two of them
            self._finish(f"cancelled; {batch.summary}")
            self._after_cancel()

    def preview(self) -> Run:
        """Denoise what is seen of the current plane."""
        return self._followed(self._begin_preview)

    def as_python(self) -> str:
        """See `Dock.as_python`; of layers that are selected together one after the other."""
        return "\n".join(map(python_of, self._choices.wanted))

    def as_command(self) -> str:
        """See `Dock.as_command`; of layers that are selected together one after the other."""
        return "\n".join(map(command_of, self._choices.wanted))

    def _begin_preview(self) -> None:
        if self._layers.layer is not None and not self.running and not self.refusal:
            self._previewed = self._choices.seen
            self._start(visible_part(self._layers.layer, self._viewer.dims))

    @Slot()  # type: ignore[untyped-decorator]
    def _follow(self) -> None:
        """Preview what is in sight now, instead of what was a moment ago."""
        if self._layers.layer is None or not self._live_preview.isChecked() or self._choices.seen == self._previewed:
            return
        if not self.running:
            self.preview()
        elif self._source is None and self._batch is None and self._files is None:  # what runs is a preview
            self._again = True
            self._job.cancel(at_once=True)

    def show_details(self) -> None:
        """Open the dock *Evaluate* with the image and its latest result."""
        result = self._result
        if result is None:
            self._warn("the image or its result has been removed: choose both in the dock Evaluate")
            return
        layers = self._layers.layer, result
        _, evaluate = self._viewer.window.add_plugin_dock_widget("napari-hush", "Evaluate", tabify=True)
        raise_dock(evaluate)
        evaluate.look_at(*layers)

    @property
    def _result(self) -> Any:
        """The latest result of the chosen layer, if it is still there."""
        layer = self._layers.layer
        return None if layer is None else latest_result(layer, self._viewer.layers)

    def chosen(self) -> Chosen:
        """Model, settings and number type."""
        return self._choices.chosen()

    def choose_again(self, chosen: Chosen) -> None:
        """Choose them again."""
        self._choices.choose_again(chosen)

    def _build(self) -> None:
        choices = self._choices = Choices(self._viewer, self._known)
        self._layers, self._models, self._channels = choices.layers, choices.models, choices.channels
        self._words, self._about, self._card = choices.words, choices.about, choices.card
        self._strength, self._form, self._output = choices.strength, choices.form, choices.output
        self._keep = choices.keep
        self._advice, self._series = StatusLabel(), small_label()
        self._advice.hide()
        self._preview, self._run = KeyButton("Preview", PREVIEW, "preview"), KeyButton("Run", RUN, "run")
        self._verdict = Verdict()
        self._live_preview, self._folder = Live(self._viewer), FolderButtons(self._viewer)
        buttons = row(self._preview, self._run, self._cancel)
        self._lay_out(
            10,
            choices,
            self._live_preview,
            buttons,
            self._folder,
            self._progress,
            self._series,
            self._advice,
            self._verdict,
        )

    def _refresh(self) -> None:
        """Bring the texts and the buttons in line with what is chosen and what runs."""
        running, choices = self.running, self._choices
        choices.refresh(running=self._job.running)
        self._folder.allow("A run is under way" if running else "")
        reason = "A run is under way" if running else choices.refusal
        self._run.setEnabled(not reason)
        self._preview.setEnabled(not reason)
        selected = [one.name for one in self._layers.selected]
        one = "Denoise the whole layer into a new one"
        self._run.setToolTip(reason or (f"Denoise one after the other: {', '.join(selected)}" if selected else one))
        goes_on = self._keep.on_disk and self._keep.place.resumes
        self._run.setText(f"Run {len(selected)} layers" if selected else "Go on" if goes_on else "Run")
        kept = "what is done is kept, and can be gone on with" if self._keep.on_disk else "no layer is added"
        self._cancel.setToolTip(f"Stop after the current tile; {kept}")
        alone = "; frames do not look together in a preview" if choices.has_frames else ""
        words = f"Denoise what is in sight of the current plane: the same pixels as in a run{alone}"
        self._preview.setToolTip(reason or words)
        self._cancel.setEnabled(self.running)
        self._cancel.setText("Cancel")
        result = self._result if self._told and not self._job.running else None
        kept = "" if result is None else read_record(result.metadata).get("verdict", "")
        self._verdict.show_of("" if result is None else identity(result), kept)

    def _on_layer(self) -> None:
        layer = self._layers.layer
        image = "" if layer is None else identity(layer)
        if image != self._image:
            self._image, self._told = image, True
        self._refresh()

    @Slot()  # type: ignore[untyped-decorator]
    def _next(self) -> None:
        """Begin with the next layer that waits, unless something runs; say so when none is left."""
        batch = self._batch
        if batch is None or self._job.running or self._verdict.running:
            return
        if not batch.waiting:
            self._batch = None
            self._finish(batch.summary)
            self._error = InputError(batch.summary) if batch.failed else None
            self._several = True
            self._settle()
            return
        layer = batch.waiting.pop(0)
        self._layers.layer = layer
        if self._layers.layer == layer:
            self._start(None)
        else:
            batch.failed.append(f"{layer.name}: has been removed")
        if not self._job.running:
            self._next()

    def _start(self, part: Part | None) -> None:
        layer, model = self._layers.layer, self._models.choice
        if layer is None or self._job.running:
            return
        try:
            source, settings = Source.of(layer, self._channels.axis), self._form.value
            part = None if part is None else source.seen(part)
            kind = kind_of_run(source, model, settings, part)
        except ValueError as error:
            self._refuse(layer.name, error)
            return
        self._series.hide()
        self._message.clear()
        self._advise("")
        self._told = part is None
        self._growing = None
        choices = self._choices
        first = choices.first(source, layer)
        if part is None:
            self._refresh()  # the free memory is another one by now
            self._source = source
            self._verdict.clear()
        if part is None and self._keep.on_disk:
            try:
                target = self._keep.place.prepare()
                resume = self._keep.place.resumes
                as_input = choices.as_input
                order = make_order(source, model, settings, target, as_input=as_input, first=first, resume=resume)
            except (ValueError, OSError) as error:
                self._refuse(layer.name, error)
                return
            self._growing = GrowingFile(self._viewer, source, target)
            self._launch(partial(disk_steps, source, order))
            return
        output = choices.output_type
        if part is not None:
            part = limited(part, source, free_memory("cpu"))
        elif planes_of(layer) > 1 and self._old is None:
            strength = settings.strength if can_blend(source, output) else 1.0
            self._growing = GrowingLayer(self._viewer, source, layer, strength)
        growing = self._growing
        finished, wanted = (None, first) if growing is None else (growing.finished, growing.wanted)
        if part is None:
            self._live_guard.begin()
        text = "starting…" if "torch" in sys.modules else "loading PyTorch…"
        known = self._known.before_a_run(layer)
        make = partial(denoise_to_memory, source, model, settings, output, part, wanted, finished, known)
        self._launch(make, text, kind)

    def _advise(self, text: str) -> None:
        """Say that another model would suit the image; it stays until the next run."""
        self._advice.show_status("warn", f"{SYMBOLS['warn']} {text}" if text else "")
        self._advice.setVisible(bool(text))

    def _finish(self, text: str) -> None:
        self._source = self._old = None  # they hold images
        files, self._files = self._files, None
        if files is not None:
            self._folder.offer(files)
        super()._finish(text)
        if self._again:
            self._again = False
            QTimer.singleShot(0, self._follow)
        if self._batch is not None:
            QTimer.singleShot(0, self._next)  # after a look at the result has begun

    def _on_progress(self, event: Progress) -> None:
        before = "" if self._batch is None else f"{self._batch.place}: "
        super()._on_progress(replace(event, message=f"{before}{event.message}"))
        if self._growing is not None:
            self._growing.show(event)

    def _on_cancelled(self) -> None:
        if self._files is not None:
            self._finish(f"cancelled; {self._files.summary}")
            return
        growing, self._growing = self._growing, None
        if isinstance(growing, GrowingFile) and (record := growing.finished_record()) is not None:
            self._growing = growing
            self._on_returned(record)  # it was done before it could be stopped
            return
        kept = "" if growing is None else growing.keep()
        self._left = growing if isinstance(growing, GrowingFile) else None
        self._finish(f"cancelled{kept}")

    def _on_settled(self) -> None:
        growing, self._left = self._left, None
        if growing is None or self._job.running:
            return
        if (record := growing.finished_record()) is not None:
            self._growing = growing
            self._on_returned(record)
        else:
            growing.keep()
            self._refresh()

    def _on_errored(self, error: BaseException) -> None:
        growing, self._growing = self._growing, None
        kept = growing.keep() if isinstance(growing, GrowingFile) else ""
        name = "" if self._source is None else self._source.name
        self._finish(f"stopped by an error{kept}")
        self._refuse(name, error)

    def _refuse(self, name: str, error: BaseException) -> None:
        """Tell why a layer was not denoised."""
        if self._batch is not None:
            self._batch.failed.append(f"{name}: {error}")
        self._tell(error)

    def _on_returned(self, result: InMemory | dict[str, Any] | FolderRun) -> None:
        if isinstance(result, FolderRun):
            self._finish(result.summary)
            return
        with self._layers.still():
            self._show(result)

    def _show(self, result: InMemory | dict[str, Any]) -> None:
        source, growing, maps, shown = self._source, self._growing, None, None
        if isinstance(growing, GrowingFile):
            assert isinstance(result, dict)
            layer = growing.finish(result)
        else:
            data, options, maps = cast("InMemory", result)
            if is_preview(read_record(options["metadata"])) and (shown := update_preview(self._viewer, data, options)):
                layer = None
            else:
                layer = None if growing is None else growing.replace(data, options)
                layer = layer or renew(self._old, self._viewer, data, options)
                layer = layer or self._viewer.add_image(data, **options)
        self._growing = None
        record = read_record(options["metadata"] if layer is None else layer.metadata)
        self._finish(summary(record, layer))
        self._advise(record.get("advice") or "")
        if layer is not None and not isinstance(growing, GrowingFile):
            self._live_guard.end(layer)
        self._made = shown if layer is None else layer
        if layer is None or is_preview(record):
            return
        if maps is not None:
            for values, style in series_layers(layer, maps):
                self._viewer.add_image(values, **style)
            self._viewer.layers.selection.active = layer
        said = record.get("series")
        if isinstance(said, dict):
            self._series.setText(said["words"])
            self._series.show()
        if source is not None and preference("denoise", "verdict", True):
            self._verdict.judge(source, layer, self._choices.plane_of(source, layer))

    def _on_strength(self, strength: float) -> None:
        if self._layers.layer is not None and not self.running:
            self._live.change(self._layers.layer, strength)

    def _keep_verdict(self, result: str, words: str) -> None:
        keep_verdict(self._viewer.layers, result, words)

    def _stop(self) -> None:
        self._batch = None
        super()._stop()
        self._card.stop()
        self._verdict.clear()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Accept a model file or a folder."""
        if event is not None and _dropped(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Choose the model file that was dropped, or denoise the folder."""
        if event is None or not (name := _dropped(event)):
            return
        event.acceptProposedAction()
        if is_model_name(name):
            self._models.add(name)
        else:
            self.run_folder(Path(name))


def _dropped(event: QDropEvent) -> str:
    content = event.mimeData()
    names = [url.toLocalFile() for url in content.urls()] if content is not None else []
    return next((name for name in names if is_model_name(name) or is_folder_of_images(name)), "")
