"""The dock widget *Denoise*."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QLineEdit, QPushButton

from napari_hush.errors import InputError
from napari_hush.fidelity.glance import given_back_words
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.memory import free_memory
from napari_hush.progress import Progress, within
from napari_hush.reports import SYMBOLS
from napari_hush.widgets.denoise.growing import GrowingLayer, planes_of, series_layers
from napari_hush.widgets.denoise.result import OutputType, result_layer
from napari_hush.widgets.denoise.verdict import Verdict
from napari_hush.widgets.evaluate.table import COLOURS
from napari_hush.widgets.parts import notify
from napari_hush.widgets.parts.bits import row, small_label
from napari_hush.widgets.parts.channels import Channels
from napari_hush.widgets.parts.dock import Dock
from napari_hush.widgets.parts.form import Form
from napari_hush.widgets.parts.layer_list import LayerCombo
from napari_hush.widgets.parts.layer_record import LayerRecord, as_metadata, is_preview, read_record
from napari_hush.widgets.parts.layer_source import Part, Source, describe, visible_part
from napari_hush.widgets.parts.model_list import ModelCombo, is_model_name
from napari_hush.widgets.parts.preferences import preference

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari
    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_hush.inference.told import SeriesResult

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
        self._pair: list[Any] = []  # the last run's image and result, by their unique names: they may be removed
        self._source: Source | None = None  # of the run under way
        self._growing: GrowingLayer | None = None  # the result of a stack, as far as it is done
        self._build()
        self._layers.changed.connect(self._refresh)
        self._channels.combo.currentIndexChanged.connect(self._refresh)
        self._models.changed.connect(self._refresh)
        self._models.refused.connect(notify.error)
        self._preview.clicked.connect(self.preview)
        self._run.clicked.connect(self.run)
        self._verdict.details.connect(self.show_details)
        self._verdict.found.connect(self._keep_verdict)
        self.setAcceptDrops(True)
        self._refresh()

    def run(self) -> None:
        """Denoise all planes of the chosen layer."""
        self._start(None)

    def preview(self) -> None:
        """Denoise what is seen of the current plane."""
        if self._layers.layer is not None:
            self._start(visible_part(self._layers.layer, self._viewer.dims))

    def show_details(self) -> None:
        """Open the dock *Evaluate* with the image and the result of the last run."""
        known = {layer.unique_id: layer for layer in self._viewer.layers}
        layers = [known[one] for one in self._pair if one in known]
        if len(layers) < 2:
            notify.warning("the image or its result has been removed: choose both in the dock Evaluate")
            return
        _, evaluate = self._viewer.window.add_plugin_dock_widget("napari-hush", "Evaluate", tabify=True)
        evaluate.choose(*layers)
        evaluate.run()

    def _build(self) -> None:
        self._layers, self._models = LayerCombo(self._viewer), ModelCombo()
        self._words, self._about = small_label(), small_label()
        chosen = {name: preference("denoise", name, "auto") for name in ("device", "engine")}
        self._form = Form(
            DenoiseSettings(**chosen),
            shown=("frames", "dark", "device", "tile"),
            words={"tile": "whole plane", "frames": "each alone"},
        )
        self._output = QComboBox()
        self._output.addItems(["float32", "same as input"])
        self._output.setCurrentText(preference("denoise", "output", "float32"))
        self._output.setToolTip("The result's number type; integers are clipped and rounded. RGB stays as it is.")
        self._form.rows.insertRow(0, "Image", self._layers)
        self._form.rows.insertRow(1, self._words)
        self._words.show()
        self._channels = Channels()
        self._form.rows.insertRow(2, "Channels", self._channels.combo)
        self._form.rows.insertRow(3, "Model", self._models)
        self._form.rows.insertRow(4, self._about)
        self._form.rows.addRow("Result", self._output)
        self._advice, self._series = small_label(), small_label()
        self._preview, self._run, self._verdict = QPushButton("Preview"), QPushButton("Run"), Verdict()
        self._cancel.setToolTip("Stop after the current tile; no layer is added")
        buttons = row(self._preview, self._run, self._cancel)
        self._lay_out(10, self._form, buttons, self._progress, self._series, self._advice, self._verdict)
        for line in self._form.findChildren(QLineEdit):  # those of numbers would take a dropped file as text
            line.setAcceptDrops(False)

    def _refresh(self) -> None:
        """Bring the texts and the buttons in line with what is chosen and what runs."""
        layer = self._layers.layer
        self._form.rows.setRowVisible(self._channels.combo, self._channels.offer(layer))
        self._words.setText("" if layer is None else describe(layer, self._channels.axis))
        frames = layer is not None and planes_of(layer) > 1 and self._channels.axis != 0
        self._form.show_field("frames", frames)
        about = self._models.description.partition(". ")[0].rstrip(".")
        self._about.setText(about)
        self._about.setVisible(bool(about))
        reason = ""
        if self._job.running:
            reason = "A run is under way"
        elif layer is None:
            reason = "Open an image first: there is no image layer"
            self._words.setText("no image layer: open or drop an image")
        self._run.setEnabled(not reason)
        self._preview.setEnabled(not reason)
        self._run.setToolTip(reason or "Denoise the whole layer into a new one")
        alone = "; frames do not look together in a preview" if frames else ""
        words = f"Denoise what is in sight of the current plane: the same pixels as in a run{alone}"
        self._preview.setToolTip(reason or words)
        self._cancel.setEnabled(self._job.running)
        self._cancel.setText("Cancel")

    def _start(self, part: Part | None) -> None:
        layer, model = self._layers.layer, self._models.choice
        if layer is None or self._job.running:
            return
        try:
            source, settings = Source.of(layer, self._channels.axis), self._form.value
            part = None if part is None else source.seen(part)
        except ValueError as error:
            notify.error(error)
            return
        self._series.hide()
        first = 0
        self._growing = None
        if part is None:
            self._source, self._pair = source, [layer.unique_id]
            self._verdict.clear()
            if planes_of(layer) > 1:
                first = next(iter(source.seen(visible_part(layer, self._viewer.dims))[0]), 0)
                self._growing = GrowingLayer(self._viewer, source)
        output: OutputType = "float32" if self._output.currentIndex() == 0 else "same as input"
        self._advise("")
        text = "starting…" if "torch" in sys.modules else "loading PyTorch…"
        finished = None if self._growing is None else self._growing.finished
        self._launch(partial(_denoise, source, model, settings, output, part, first, finished), text)

    def _advise(self, text: str) -> None:
        """Say that another model would suit the image; it stays until the next run."""
        self._advice.setText(f"{SYMBOLS['warn']} {text}" if text else "")
        self._advice.setStyleSheet(f"color: {COLOURS['warn']}")
        self._advice.setVisible(bool(text))

    def _finish(self, text: str) -> None:
        self._source = None  # it holds the image
        super()._finish(text)

    def _on_progress(self, event: Progress) -> None:
        super()._on_progress(event)
        if self._growing is not None:
            self._growing.show()

    def _on_cancelled(self) -> None:
        growing, self._growing = self._growing, None
        kept = "" if growing is None else growing.keep()
        self._finish(f"cancelled{kept}")

    def _on_returned(self, result: tuple[Any, dict[str, Any], SeriesResult | None]) -> None:
        data, options, maps = result
        record = read_record(options["metadata"])
        source = self._source
        self._finish(_summary(record, data, options["rgb"]))
        self._advise(record.get("advice") or "")
        if is_preview(record) and self._update_preview(data, options):
            return
        growing, self._growing = self._growing, None
        layer = None if growing is None else growing.replace(data, options)
        layer = layer or self._viewer.add_image(data, **options)
        if maps is not None:
            for values, style in series_layers(layer, maps):
                self._viewer.add_image(values, **style)
            self._viewer.layers.selection.active = layer
        said = record.get("series")
        if isinstance(said, dict):
            self._series.setText(said["words"])
            self._series.show()
        if source is not None and not is_preview(record):
            self._pair.append(layer.unique_id)
            if not preference("denoise", "verdict", True):
                return
            self._verdict.begin(
                source,
                data,
                source.seen(visible_part(layer, self._viewer.dims))[0],
                dark=record.get("dark", False),
                assumes=record.get("assumes"),
                series=isinstance(said, dict),
            )

    def _keep_verdict(self, words: str) -> None:
        """Write it into the record of the result, so that it is saved with it."""
        for layer in self._viewer.layers:
            if self._pair[1:] == [layer.unique_id]:
                layer.metadata = layer.metadata | as_metadata(read_record(layer.metadata) | {"verdict": words})

    def _update_preview(self, data: Any, options: dict[str, Any]) -> bool:
        """Show it in the preview layer of the same source, if there is one that can take it."""
        source = read_record(options["metadata"])["source_layer"]
        for layer in self._viewer.layers:
            record = read_record(layer.metadata)
            if not is_preview(record) or record.get("source_layer") != source:
                continue
            if layer.rgb != options["rgb"] or layer.data.ndim != data.ndim:
                continue
            layer.data = data
            for name in ("scale", "rotate", "shear", "translate", "affine", "metadata"):
                setattr(layer, name, options[name])
            return True
        return False

    def _stop(self) -> None:
        super()._stop()
        self._verdict.clear()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Accept a model file."""
        if event is not None and _dropped_model(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Choose the model file that was dropped."""
        if event is not None and (name := _dropped_model(event)):
            self._models.add(name)
            event.acceptProposedAction()


def _denoise(
    source: Source,
    model: str | Path,
    settings: DenoiseSettings,
    output: OutputType,
    part: Part | None,
    first: int = 0,
    finished: list[tuple[tuple[int, ...], np.ndarray]] | None = None,
) -> Generator[Progress, None, tuple[np.ndarray, dict[str, Any], SeriesResult | None]]:
    """The whole work, in the thread: torch is not loaded before it is needed. Frames are left in ``finished``."""
    yield Progress(0, 0, "starting…" if "torch" in sys.modules else "loading PyTorch…")
    from napari_hush.inference.denoise import denoise_steps

    image = source.colours
    plane, region = part or (None, None)
    if region is not None:
        settings = replace(settings, frames=False)  # a part is denoised alone
    yield Progress(0, 0, "loading the model…")
    if part is None:
        _check_size(image, free_memory("cpu"))
    steps = denoise_steps(
        image, model, settings, channel_axis=source.channel_axis, plane=plane, region=region, first=first
    )

    def noted(event: Progress) -> Progress:
        if finished is not None and event.preview is not None and event.place is not None:
            finished.append((event.place, event.preview))
        return event

    done = yield from within(steps, noted)
    given = done.given_back if part is None else None
    file = {"model_path": str(model)} if Path(model).is_file() else {}
    data, options = result_layer(
        source, done.image, done.provenance | file, output, plane=plane, region=region, given_back=given
    )
    return data, options, done.series


def _check_size(image: Any, free: int) -> None:
    """Refuse what would not fit into memory with some room to spare."""
    needed = 4 * int(np.prod(image.shape, dtype=np.int64))
    if needed > (free / 2 if isinstance(image, np.ndarray) else free / 4):
        raise InputError(
            f"the result needs {needed / 2**30:.1f} GB and {free / 2**30:.1f} GB of memory are free: denoise the file "
            "with the command 'napari-hush denoise IN -o OUT.zarr' and open OUT.zarr, or denoise a part of it"
        )


def _summary(record: LayerRecord, data: Any, rgb: bool) -> str:
    seconds = max(record["seconds"], 1e-3)
    how = f"{record['engine']} on {record['device']}, {record['precision']}"
    given = f"; {words}" if (words := given_back_words(record)) else ""
    why = f"{because}, so " if (because := record.get("chosen_because")) else ""
    if is_preview(record):  # mostly preparation: a speed would mislead
        return f"{why}preview by {record['model']}: {seconds:.1f} s ({how})"
    pixels = np.prod(data.shape[:-1] if rgb else data.shape)
    return f"{why}{record['model']}: {seconds:.1f} s, {pixels / seconds / 1e6:.2g} Mpx/s ({how}){given}"


def _dropped_model(event: QDropEvent) -> str:
    content = event.mimeData()
    names = [url.toLocalFile() for url in content.urls()] if content is not None else []
    return next((name for name in names if is_model_name(name)), "")
