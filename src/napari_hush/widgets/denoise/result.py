"""From a denoised image to a layer that lies over its source and looks like it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_hush.io import convert_dtype
from napari_hush.widgets.parts.layer_record import FILE, as_metadata
from napari_hush.widgets.parts.layer_source import translated

if TYPE_CHECKING:
    from napari_hush.widgets.parts.layer_source import Source

OutputType = Literal["float32", "same as input"]
SAMPLE = 1 << 18  # pixels that the contrast limits are estimated from


def result_layer(
    source: Source,
    image: np.ndarray,
    provenance: dict[str, Any],
    output: OutputType = "float32",
    *,
    plane: tuple[int, ...] | None = None,
    region: tuple[int, int, int, int] | None = None,
    given_back: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """The data and the arguments of the new layer.

    Parameters
    ----------
    source : Source
        What was denoised.
    image : ndarray
        The result; without the leading axes where it is of one plane.
    provenance : dict
        How it was made.
    output : {"float32", "same as input"}
        The result's number type. RGB of integers is always given back as it came: napari takes colours of floats
        from 0 to 1.
    plane, region
        Which part was denoised, in a preview.
    given_back : ndarray, optional
        What the guard gave back, of the result's shape; kept in the layer's metadata for the dock *Evaluate*.
    """
    record = {**provenance, **origin_record(source)}
    style = dict(source.style)
    name = f"{source.name} · {provenance['model']}"
    part: tuple[Any, ...] = ()
    if plane is not None and region is not None:
        part, origin = source.place((plane, region))
        image = image.reshape([one.stop - one.start for one in part] + ([image.shape[-1]] if source.rgb else []))
        style["translate"] = translated(style, origin)
        name = f"{source.name} preview"
        record |= {"plane": list(plane), "region": list(region)}
    if source.rgb and source.data.shape[-1] == 4:
        alpha = np.asarray(source.data[part])[..., 3:]
        opaque = convert_dtype(image, source.data.dtype) if np.dtype(source.data.dtype).kind != "f" else image
        image = np.concatenate([opaque, alpha.astype(opaque.dtype)], axis=-1)
    integer_colours = source.rgb and np.dtype(source.data.dtype).kind != "f"
    if output == "same as input" or integer_colours:
        image = convert_dtype(image, source.data.dtype) if np.dtype(source.data.dtype).kind != "b" else image
        record["output"] = "input"
    if not source.rgb:
        style["contrast_limits"] = contrast_limits(image, style["contrast_limits"], 0.1 if part else 0.5)
    return image, {
        **style,
        "name": name,
        "rgb": source.rgb,
        "multiscale": False,
        "metadata": as_metadata(record, given_back) | ({FILE: source.notes} if source.notes and not part else {}),
    }


def origin_record(source: Source) -> dict[str, Any]:
    """What a result says of the layer that it is made of, and when that was."""
    record: dict[str, Any] = {"source_layer": source.name, "source_id": source.identity}
    record["time"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    if file := source.notes.get("source"):
        record["source_file"] = file
    if channels := source.notes.get("one_of"):
        record["one_of_channels"] = channels
    if source.channel_axis is not None and not source.rgb:
        record["channel_axis"] = source.channel_axis
    return record


def contrast_limits(image: np.ndarray, limits: tuple[float, float], share: float) -> tuple[float, float]:
    """The source's limits where the result fills this share of them, else from the result.

    A preview is compared with what is around it, so it changes them only where nothing could be seen.
    """
    step = max(int(np.ceil((image.size / SAMPLE) ** (1 / min(image.ndim, 2)))), 1)
    values = image[..., ::step, ::step] if image.ndim > 1 else image[::step]
    values = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.5))) if values.size else (0.0, 1.0)
    kept = min(high, limits[1]) - max(low, limits[0])
    if kept >= share * (limits[1] - limits[0]) and kept >= 0.75 * (high - low):
        return float(limits[0]), float(limits[1])
    return (low, high) if high > low else (low, low + 1)
