"""A layer denoised into memory: the whole work, in the thread."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.planes import Planes
from napari_hush.progress import Progress, within
from napari_hush.widgets.denoise.blend import at_strength, can_blend
from napari_hush.widgets.denoise.result import OutputType, result_layer
from napari_hush.widgets.parts.lasted import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.inference.told import SeriesResult
    from napari_hush.widgets.parts.known_layers import KnownLayer
    from napari_hush.widgets.parts.layer_source import Part, Source

InMemory = tuple[np.ndarray, dict[str, Any], "SeriesResult | None"]  # data and arguments of a layer, and the maps


def denoise_to_memory(
    source: Source,
    model: str | Path,
    settings: DenoiseSettings,
    output: OutputType,
    part: Part | None,
    first: int | Callable[[], int] = 0,
    finished: list[tuple[tuple[int, ...], np.ndarray]] | None = None,
    known: KnownLayer | None = None,
) -> Generator[Progress, None, InMemory]:
    """Denoise a layer, or a part of it; torch is not loaded before it is needed.

    Parameters
    ----------
    source : Source
        The layer.
    model, settings, first
        As of `denoise_steps`.
    output : {"float32", "same as input"}
        The result's number type.
    part : tuple, optional
        A plane and a region of it, for a preview.
    finished : list, optional
        Planes are left there as they are done, with their places.
    known : KnownLayer, optional
        What was measured on the layer before.
    """
    yield Progress(0, 0, "starting…" if "torch" in sys.modules else "loading PyTorch…")
    from napari_hush.inference.denoise import denoise_steps

    plane, region = part or (None, None)
    if region is not None:
        settings = replace(settings, frames=False)  # a part is denoised alone
    strength, again = settings.strength, can_blend(source, output)
    if again:  # the result is kept whole, so that it can be blended anew
        settings = replace(settings, strength=1.0)
    yield Progress(0, 0, "loading the model…")
    steps = denoise_steps(
        source.colours,
        model,
        settings,
        channel_axis=source.channel_axis,
        plane=plane,
        region=region,
        first=first,
        known=None if known is None else known.now(),
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
    if again:
        data, options = at_strength(source, part, data, options, strength)
    return data, options, done.series


def kind_of_run(source: Source, model: str | Path, settings: DenoiseSettings, part: Part | None) -> Kind:
    """What lasts as long: the same model with the same settings, and PyTorch to be loaded first or not."""
    loaded = "loaded" if "torch" in sys.modules else "to be loaded"
    planes = Planes(source.data, source.channel_axis)
    pixels = planes.n_channels
    if part is None:
        pixels *= math.prod(planes.lead_shape) * math.prod(planes.plane_shape)
    else:
        y0, y1, x0, x1 = part[1]
        pixels *= (y1 - y0) * (x1 - x0)
    what = "run" if part is None else "preview"
    return Kind(f"denoise {what}, {model}, {settings}, {loaded}", pixels)
