"""From an image of a file to layers of napari and back, so that what the file said of it is saved with it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap
from napari.utils.colormaps.colormap_utils import ensure_colormap

from napari_hush.errors import InputError
from napari_hush.io import Channel, ImageData, Metadata
from napari_hush.io.image import guess_axes, make_image
from napari_hush.io.metadata import COLOURS, ramp
from napari_hush.io.units import LONG_NAMES, canonical
from napari_hush.widgets.parts.layer_record import FILE, as_metadata, file_notes, read_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEPT = ("name", "description", "date", "labels")  # of `Metadata`; the rest is in the layer itself
BLOCK = 512  # px: about the least side of a part that is read at once
MOST_CHANNELS = 16  # more are a spectrum, which stays in one layer
CYCLE = ("cyan", "magenta", "yellow", "red", "green", "blue")  # of channels without a colour, as napari has it

Layer = tuple[Any, dict[str, Any], str]


def layers_of(
    image: ImageData,
    name: str,
    *,
    levels: Sequence[ImageData] = (),
    history: Mapping[str, Any] | None = None,
    split: bool = True,
) -> list[Layer]:
    """An image as layers: one, or one for each channel.

    Parameters
    ----------
    image : ImageData
        As it came from a file; what is read as it is indexed stays so.
    name : str
        Of the layer; those of channels have the channel's name, too.
    levels : sequence of ImageData
        The same image smaller and smaller.
    history : mapping, optional
        How the file was made, if napari-hush made it.
    split : bool
        Whether channels are layers of their own.

    Returns
    -------
    list of (data, dict, "image")
        As napari's readers give it.
    """
    rgb, axis = _is_rgb(image), image.axes.find("C")
    common: dict[str, Any] = {"metadata": _notes(image, history), "rgb": rgb, "multiscale": bool(levels)}
    arrays = [lazy(one) for one in (image, *levels)]

    def shown(*part: Any) -> Any:
        return [one[part] for one in arrays] if levels else arrays[0][part]

    channels = 1 if rgb or axis < 0 else image.shape[axis]
    if rgb or axis < 0 or channels > (MOST_CHANNELS if split else 1):
        common |= _place(image, without=image.axes[-1] if rgb else "")
        if axis >= 0 and not rgb:
            common["metadata"][FILE]["channels"] = image.metadata.channels
        return [(shown(...), common | ({} if rgb else _style(image.metadata, 0)) | {"name": name}, "image")]
    common |= _place(image, without="C")
    before = (slice(None),) * axis
    if channels == 1:
        return [(shown(*before, 0), common | _style(image.metadata, 0) | {"name": name}, "image")]
    common["metadata"][FILE]["one_of"] = channels
    return [
        (
            shown(*before, number),
            common
            | {"colormap": CYCLE[number % len(CYCLE)], "blending": "additive"}
            | _style(image.metadata, number)
            | {"name": f"{name} · {_channel(image.metadata, number).name or f'C{number}'}"},
            "image",
        )
        for number in range(channels)
    ]


def image_of(layers: Sequence[Layer]) -> ImageData:
    """Image layers as one image for a file: one layer, or several of one size as its channels.

    Parameters
    ----------
    layers : sequence of (data, dict, "image")
        As napari's writers get it.

    Raises
    ------
    InputError
        If several layers do not lie on each other.
    """
    parts = [_one(data, options) for data, options, _ in layers]
    first = parts[0]
    if len(parts) == 1:
        return first
    for part, (_, options, _) in zip(parts, layers, strict=True):
        if (part.axes, part.shape, part.scales) != (first.axes, first.shape, first.scales) or "C" in part.axes:
            raise InputError(
                f"the layer {options['name']!r} has shape {part.shape} and steps {part.scales}, the layer "
                f"{layers[0][1]['name']!r} shape {first.shape} and steps {first.scales}: layers become the channels of "
                "one file where they are alike and without colours of their own; save them one by one"
            )
    axes = first.axes.replace("Y", "CY", 1)
    at = axes.index("C")
    data = np.stack([np.asarray(part.data) for part in parts], axis=at)
    channels = tuple(part.metadata.channels[0] for part in parts)
    notes = {name: getattr(first.metadata, name) for name in KEPT}
    return make_image(data, axes, first.scales, first.source, Metadata(**notes, channels=channels))


def history_of(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """How a layer was made, to be kept in its file; None where napari-hush did not make it."""
    metadata = options.get("metadata", {})
    record = read_record(metadata)
    if "software" in record:
        return {"made": "denoised", **record}
    history = file_notes(metadata).get("history")
    return dict(history) if isinstance(history, dict) else None


def _is_rgb(image: ImageData) -> bool:
    """Colours of a photograph; napari takes bytes and 16 bit, and what has names is channels."""
    last = image.axes[-1] in "CS" and image.shape[-1] in (3, 4)
    return last and image.dtype in (np.uint8, np.uint16) and not any(one.name for one in image.metadata.channels)


def lazy(image: ImageData) -> Any:
    """The data of an image as an array that can be cut without reading it: numpy's own, or dask in planes."""
    if isinstance(image.data, np.ndarray):
        return image.data
    import dask.array

    stored = getattr(image.data, "chunks", None)
    if not isinstance(stored, tuple) or not all(isinstance(one, int) for one in stored):
        stored = tuple(n if axis in "YXS" else 1 for axis, n in zip(image.axes, image.shape, strict=True))
    # thousands of small chunks would keep dask busy with itself
    chunks = tuple(
        -(-BLOCK // one) * one if axis in "YX" else one for axis, one in zip(image.axes, stored, strict=True)
    )
    return dask.array.from_array(image.data, chunks=chunks, asarray=True)  # type: ignore[no-untyped-call]


def _place(image: ImageData, without: str) -> dict[str, Any]:
    """Where a layer lies: steps, units and names of its axes."""
    axes = [axis for axis in image.axes if axis != without]
    scales = image.scales
    return {
        "scale": [scales.get(axis, (1.0, ""))[0] for axis in axes],
        "units": [_unit(scales.get(axis, (1.0, "pixel"))[1]) for axis in axes],
        "axis_labels": [axis.lower() for axis in axes],
    }


def _unit(unit: str) -> str:
    """As napari takes it; one that it does not know counts as pixels."""
    import pint

    name = LONG_NAMES.get(unit, unit or "pixel")
    try:
        pint.get_application_registry().Unit(name)  # type: ignore[no-untyped-call]
    except (pint.errors.UndefinedUnitError, ValueError, TypeError, AttributeError, SyntaxError):
        return "pixel"
    return name


def _notes(image: ImageData, history: Mapping[str, Any] | None) -> dict[str, Any]:
    """For the metadata of a layer: what its file said of it, and where it is a result the record of that."""
    notes: dict[str, Any] = {name: getattr(image.metadata, name) for name in KEPT} | {"source": image.source}
    if history is None:
        return {FILE: notes}
    made_from = Path(str((history.get("request") or {}).get("input", {}).get("name", ""))).name.partition(".")[0]
    record = as_metadata({"source_layer": made_from, **history}) if history.get("made") == "denoised" else {}
    return {FILE: notes | {"history": dict(history)}} | record


def _channel(metadata: Metadata, number: int) -> Channel:
    return metadata.channels[number] if number < len(metadata.channels) else Channel()


def _style(metadata: Metadata, number: int) -> dict[str, Any]:
    """Colours and limits of a layer, where the file knows them."""
    channel = _channel(metadata, number)
    style: dict[str, Any] = {}
    if channel.lut is not None:
        named = [name for name, colour in COLOURS.items() if channel.lut == ramp(*colour)]
        style["colormap"] = named[0] if named else _colormap(channel.lut)
    elif metadata.inverted:
        style["colormap"] = "gray_r"
    if channel.limits is not None and channel.limits[1] > channel.limits[0]:
        style["contrast_limits"] = channel.limits
    return style


def _colormap(lut: bytes) -> Colormap:
    colours = np.frombuffer(lut, np.uint8).reshape(3, 256).T / 255
    return Colormap(np.column_stack([colours, np.ones(256)]), name=f"file {hash(lut) & 0xFFFF:04x}")


def _one(data: Any, options: Mapping[str, Any]) -> ImageData:
    """A layer as an image."""
    data = data[0] if options.get("multiscale") else data
    rgb, shape = bool(options.get("rgb")), tuple(int(n) for n in data.shape)
    axes = _letters([str(label) for label in options.get("axis_labels") or ()], shape, rgb=rgb)
    scale = options.get("scale")
    steps = [1.0] * len(shape) if scale is None else [abs(float(one)) for one in scale]
    units = [canonical(unit) for unit in options.get("units") or ["pixel"] * len(steps)]
    known = zip(axes, steps, units, strict=False)  # the colours of RGB have none
    scales = {axis: (step, unit) for axis, step, unit in known if unit not in ("pixel", "dimensionless")}
    kept = file_notes(options.get("metadata", {}))
    notes = {name: kept[name] for name in KEPT if name in kept}
    channels = () if rgb else kept.get("channels", ()) if "C" in axes else (_channel_of(options),)
    return make_image(data, axes, scales, str(options.get("name", "")), Metadata(**notes, channels=channels))


def _letters(labels: Sequence[str], shape: tuple[int, ...], *, rgb: bool) -> str:
    """One letter for each axis, from its label where that begins with one; unnamed ones are guessed."""
    ndim = len(shape) - rgb
    letters = "".join(label[:1].upper() for label in labels)
    if len(letters) != ndim or len(set(letters)) != ndim or not letters.isalpha() or not {"Y", "X"} <= set(letters):
        letters = guess_axes((64,) * ndim)
    return letters + "C" if rgb else letters


def _channel_of(options: Mapping[str, Any]) -> Channel:
    """How a layer is called and shown."""
    name, record = str(options.get("name", "")), read_record(options.get("metadata", {}))
    if name == f"{record.get('source_layer')} · {record.get('model')}":
        name = str(record["source_layer"])  # a result shows what its source shows
    name = name.rpartition(" · ")[2]
    limits = options.get("contrast_limits")
    shown = None if limits is None else (float(limits[0]), float(limits[1]))
    colormap = options.get("colormap")
    if colormap is None:
        return Channel(name, None, shown)
    colours = ensure_colormap(colormap).map(np.linspace(0, 1, 256))[:, :3]
    table = np.rint(255 * colours).astype(np.uint8).T.tobytes()
    return Channel(name, None if table == ramp(255, 255, 255) else table, shown)
