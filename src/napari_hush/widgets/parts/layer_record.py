"""What a layer says of how it was made: one record in its metadata, read and written here alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast
from uuid import uuid4

import numpy as np
from napari.layers import Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.components import LayerList
    from napari.layers import Layer

KEY = "napari-hush"
FILE = "napari-hush file"  # beside the record: what the file of the layer said of it, see `file_notes`
GIVEN_BACK = "napari-hush given back"  # an array beside the record, which is for reading
SESSION = uuid4().hex[:12]  # napari numbers layers anew in each


class LayerRecord(TypedDict, total=False):
    """What a layer may say; each kind of layer says a part of it.

    A result of *Denoise* has all of `napari_hush.inference.denoise.Denoised.provenance`, of which these are read again,
    and its source; a preview has its place as well. Layers of *Evaluate*, *Synthesise* and *Train* say which they are.
    """

    # a result
    model: str  # name on the model's card
    model_source: str
    chosen_because: str | None  # why "auto" took this model
    assumes: str | None  # what the model takes for granted
    advice: str | None  # why the model that somebody named does not suit the image
    engine: str
    device: str
    precision: str
    guard: bool | dict[str, Any]  # False, or what it did
    given_back: dict[str, Any] | str | bool  # how much the guard gave back, why nothing, or False
    series: bool | dict[str, Any]  # False, or what the frames of a series said of each other
    cancelled: str  # how much of it was done when it was stopped
    unfinished: str  # the file that it is to become, of a layer that is still made or was stopped
    file: str  # that it was written to
    replayed: bool  # whether the network was not run again for it
    resumed: bool  # whether that went on with an unfinished one
    rescale: bool | dict[str, Any]  # False, or by which factor
    channel_axis: int  # of a result of channels
    dark: bool
    seconds: float  # that it took
    verdict: str  # what one look at it said
    source_layer: str  # name of the noisy layer, as it was then
    source_id: str  # its `identity`
    time: str  # ISO 8601
    # a preview of a result
    plane: list[int]  # place along the leading axes
    region: list[int]  # y0, y1, x0, x1, px
    # a map of a series
    series_map: str  # which
    # evidence
    evaluate: str  # a name in `EVIDENCE`, or "uncertainty"
    # what the dock *Compare* shows for a while
    compare: str
    # a target
    synthesise: str  # which of its layers
    number: int
    settings: dict[str, Any]
    truths: list[dict[str, Any]]  # of a stack, one each
    # the preview of a training
    train: str
    step: int
    shows: str  # the pictures in it, from left to right


def read_record(metadata: Mapping[str, Any]) -> LayerRecord:
    """The record in the metadata of a layer; empty where it has none.

    Parameters
    ----------
    metadata : mapping
        ``layer.metadata``, or what a layer will be given; strangers may have written it.
    """
    record = metadata.get(KEY)
    return cast("LayerRecord", record) if isinstance(record, dict) else LayerRecord()


def as_metadata(record: Mapping[str, Any], given_back: Any = None) -> dict[str, Any]:
    """A record as the metadata of a layer, and the array of what the guard gave back, if there is one."""
    return {KEY: dict(record)} | ({} if given_back is None else {GIVEN_BACK: given_back})


def read_given_back(metadata: Mapping[str, Any], shape: tuple[int, ...]) -> np.ndarray | None:
    """What the guard gave back in a layer of this shape; None where nobody kept it."""
    given = metadata.get(GIVEN_BACK)
    return given if isinstance(given, np.ndarray) and given.shape == tuple(shape) else None


def file_notes(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the file of a layer said of it besides what the layer shows: name, description, date, labels of planes.

    Parameters
    ----------
    metadata : mapping
        ``layer.metadata``; empty where it was not opened by napari-hush.
    """
    notes = metadata.get(FILE)
    return dict(notes) if isinstance(notes, dict) else {}


def is_preview(record: LayerRecord) -> bool:
    """Whether a layer shows the preview of a part, not a result."""
    return "region" in record


def is_result(record: LayerRecord) -> bool:
    """Whether a layer shows a finished result of a whole layer."""
    return "model" in record and "unfinished" not in record and not is_preview(record)


def is_noisy(layer: Layer) -> bool:
    """Whether a layer may be denoised: not one that shows a result, a preview or evidence."""
    record = read_record(layer.metadata)
    return not record or "noisy" in str(record.get("synthesise", ""))


def noisy_of(layer: Layer | None, layers: Iterable[Layer]) -> Any:
    """The image that is meant where somebody chose a layer: of a result its source; None where it says nothing."""
    if layer is None or not isinstance(layer, Image):
        return None
    return layer if is_noisy(layer) else source_in(read_record(layer.metadata), layers)


def identity(layer: Layer) -> str:
    """What tells a layer from all others, whatever it is called."""
    return f"{SESSION}:{layer.unique_id}"


def source_in(record: LayerRecord, layers: Iterable[Layer]) -> Any:
    """The layer that something was made of, if it is among these; None where it is not.

    Names can change and be given twice: they count where the record is of another session alone.
    """
    known = record.get("source_id", "")
    if known.startswith(f"{SESSION}:"):
        return next((layer for layer in layers if identity(layer) == known), None)
    name = record.get("source_layer")
    named = (layer for layer in layers if name and layer.name == name)
    return next((layer for layer in named if read_record(layer.metadata) != record), None)


def made_of(layer: Layer, layers: Iterable[Layer]) -> Any:
    """The layer that a result was made of, if it is among these; None for other layers, and for previews."""
    record = read_record(layer.metadata)
    return None if is_preview(record) else source_in(record, layers)


def result_in_sight(layers: LayerList) -> Any:
    """The active layer, or else the topmost one, that was made of another one of these; None where there is none."""
    candidates = [layers.selection.active, *reversed(layers)]
    return next((one for one in candidates if one is not None and made_of(one, layers) is not None), None)


def latest_result(source: Layer, layers: Iterable[Layer]) -> Any:
    """The newest result of a layer among these; None where there is none."""
    layers, made = list(layers), []
    for number, layer in enumerate(layers):
        record = read_record(layer.metadata)
        if is_result(record) and source_in(record, layers) == source:
            made.append((record.get("time", ""), number, layer))
    return max(made, key=lambda one: one[:2])[2] if made else None


def is_tool(record: LayerRecord) -> bool:
    """Whether a layer is no image of its own, but shows others."""
    return "compare" in record
