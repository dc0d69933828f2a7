"""From a layer to an order for its denoising into a file, which another process takes where it can."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_hush.inference.ledger import peek
from napari_hush.io.image import guess_axes
from napari_hush.widgets.denoise.on_disk import Order, denoise_to_disk, number_type
from napari_hush.widgets.denoise.result import origin_record
from napari_hush.widgets.files.layers import image_of
from napari_hush.widgets.parts.layer_record import FILE
from napari_hush.widgets.parts.portable import NotPortableError, packed
from napari_hush.widgets.parts.process import steps_apart

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.io import ImageData
    from napari_hush.progress import Progress
    from napari_hush.widgets.parts.layer_source import Source


def make_order(
    source: Source,
    model: str | Path,
    settings: DenoiseSettings,
    target: Path,
    *,
    as_input: bool,
    first: int,
    resume: bool,
) -> Order:
    """What is to be done; a run that goes on keeps the plane that it began with.

    Parameters
    ----------
    source : Source
        The layer.
    model, settings, target, first, resume
        As of `Order`.
    as_input : bool
        Whether the result gets the number type of the input.
    """
    image, begun = _described(source), peek(target) if resume else None
    return Order(
        target=target,
        model=model,
        settings=settings,
        dtype=number_type(source.data, rgb=source.rgb, as_input=as_input),
        channel_axis=source.channel_axis,
        first=first if begun is None else int(begun.head.get("first", first)),
        resume=resume,
        axes=image.axes,
        scales=image.scales,
        metadata=image.metadata,
        notes=origin_record(source)
        | ({"output": "input"} if as_input else {})
        | ({} if begun is None else {"resumed": True}),
    )


def disk_steps(source: Source, order: Order) -> Generator[Progress, None, dict[str, Any]]:
    """`denoise_to_disk` in a process of its own, or here where the image lies in the memory of this one."""
    try:
        content = packed(source.colours)
    except NotPortableError:
        return denoise_to_disk(source.colours, order)
    return steps_apart(partial(denoise_to_disk, content, order))


def _described(source: Source) -> ImageData:
    """The image with its axes, scales and colours, as a file of it has them."""
    labels, axis = [str(label) for label in source.style["axis_labels"]], source.channel_axis
    if axis is not None and not source.rgb:
        rest = [label for number, label in enumerate(labels) if number != axis]
        letters = {label[:1].lower() for label in rest}
        if len(letters) < len(rest) or not {"y", "x"} <= letters or "c" in letters:
            rest = list(guess_axes((64,) * len(rest)))
        labels = [*rest[:axis], "c", *rest[axis:]]
    notes = {"metadata": {FILE: source.notes}, "axis_labels": labels, "name": source.name, "rgb": source.rgb}
    return image_of([(source.colours, source.style | notes, "image")])
