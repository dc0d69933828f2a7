"""What the model of a denoised layer is unsure of: a part of the dock *Evaluate*."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.card import ZOO, read_header
from napari_hush.errors import InputError, ModelFileError
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.progress import Progress
from napari_hush.widgets.evaluate.layers import put
from napari_hush.widgets.parts.layer_record import LayerRecord, read_record
from napari_hush.widgets.parts.recent import recent_files

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_hush.fidelity.stacks import Evaluation
    from napari_hush.widgets.evaluate.choice import Inputs

WHAT = "uncertainty"
HINT = (
    "A map of what the model is unsure of: how much its result for the plane in sight changes when the image is turned "
    "and mirrored before. It is not the error.\nTakes 8 times as long as denoising the plane."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertain:
    """What was found for one plane.

    Parameters
    ----------
    inputs : Inputs
        What was chosen.
    index : tuple of int
        The plane.
    deviation : ndarray, shape (Y, X)
        In the image's units; the mean over colours.
    """

    inputs: Inputs
    index: tuple[int, ...]
    deviation: np.ndarray

    def belongs_to(self, inputs: Inputs, evaluation: Evaluation) -> bool:
        """Whether it is of the images and of the plane that an evaluation shows."""
        same = all(a is b for a, b in zip(_images(self.inputs), _images(inputs), strict=True))
        return same and self.index == evaluation.worst.index


def why_not(layer: Any) -> str:
    """Why there can be no map for a denoised layer; empty where there can."""
    record = _record(layer)
    if record is None:
        return "The denoised layer does not say which model made it: choose a result of the dock Denoise"
    if _find_model(record) is None:
        return (
            f"The model {record['model']!r} is neither bundled nor among the files used lately: choose its file in the "
            "dock Denoise"
        )
    return ""


def uncertainty_of(inputs: Inputs, layer: Any, index: tuple[int, ...]) -> Generator[Progress, None, Uncertain]:
    """Prepare the work on one plane; it is done in the thread.

    Raises
    ------
    InputError
        If the layer's model is not known.
    """
    record = _record(layer)
    path = None if record is None else _find_model(record)
    if record is None or path is None:
        raise InputError(why_not(layer))
    return _steps(inputs, path, record.copy(), index)


def show_uncertain(viewer: ViewerModel, found: Uncertain) -> Layer:
    """Show the map over the denoised image, in place of an older one."""
    data, place = found.inputs.pose(found.index).image(found.deviation)
    finite = data[np.isfinite(data)]
    high = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    name = f"{found.inputs.denoised.name} uncertainty"
    options = {"name": name, "contrast_limits": (0.0, high or 1.0), "colormap": "magma"}
    return put(viewer, WHAT, (data, {**options, **place}, "image"))


def _steps(
    inputs: Inputs, path: Path, record: LayerRecord, index: tuple[int, ...]
) -> Generator[Progress, None, Uncertain]:
    yield Progress(0, 0, "starting…" if "torch" in sys.modules else "loading PyTorch…")
    from napari_hush.importers.registry import load_model
    from napari_hush.inference.uncertainty import uncertainty_steps

    yield Progress(0, 0, "loading the model…")
    model = load_model(path)
    if (model.card.name, model.card.source) != (record["model"], record.get("model_source", "")):
        raise InputError(f"{path}: is not the model {record['model']!r} that made the layer any more: denoise again")
    noisy = inputs.noisy
    spread = yield from uncertainty_steps(
        noisy.colours, model, _settings(record), channel_axis=noisy.channel_axis, plane=index
    )
    deviation = spread.deviation
    if noisy.channel_axis is not None:
        deviation = deviation.mean(axis=-1 if noisy.channel_axis == noisy.data.ndim - 1 else 0)
    return Uncertain(inputs=inputs, index=index, deviation=deviation)


def _record(layer: Any) -> LayerRecord | None:
    """How a layer was denoised, if it says so."""
    record = LayerRecord() if layer is None else read_record(layer.metadata)
    return record if isinstance(record.get("model"), str) else None


def _find_model(record: LayerRecord) -> Path | None:
    """The file of the model that a layer was made by, as far as can be known without loading it."""
    name, source = record["model"], str(record.get("model_source", ""))
    for path in [*sorted(ZOO.glob("*.safetensors")), *recent_files()]:
        if path.suffix.lower() != ".safetensors":
            if source.startswith(f"{path.name},"):  # so begins what the importers write
                return path
            continue
        try:
            card = read_header(path)[0].card
        except (ModelFileError, OSError):
            continue
        if (card.name, card.source) == (name, source):
            return path
    return None


def _settings(record: LayerRecord) -> DenoiseSettings:
    """How the layer was made: what was chosen, and what ``auto`` became."""
    known = {field.name for field in fields(DenoiseSettings)}
    record_of_run: dict[str, Any] = {**record}
    became: dict[str, Any] = {name: record_of_run[name] for name in ("device", "engine", "precision") if name in record}
    settings: dict[str, Any] = {**record.get("settings", {}), **became}
    return DenoiseSettings(**{name: value for name, value in settings.items() if name in known})


def _images(inputs: Inputs) -> tuple[Any, Any]:
    return inputs.noisy.data, inputs.denoised.data
