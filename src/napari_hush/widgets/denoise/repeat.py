"""What the dock *Denoise* would do with a layer, as Python and as a command that give the same bits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.inference.repeat import denoise_call, denoise_command
from napari_hush.widgets.parts.layer_code import preamble, require_file
from napari_hush.widgets.parts.layer_source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image

    from napari_hush.inference.settings import DenoiseSettings


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is chosen in the dock.

    Parameters
    ----------
    layer : Image
        What would be denoised.
    channel_axis : int or None
        The axis of its channels, where it is no RGB.
    model : str or Path
        A name or a file.
    settings : DenoiseSettings
        How the model is run.
    first : int
        The frame that would be done first.
    as_input : bool
        Whether the result gets the number type of the input.
    target : Path or None
        The file for the result; None where it stays in memory.
    """

    layer: Image
    channel_axis: int | None
    model: str | Path
    settings: DenoiseSettings
    first: int
    as_input: bool
    target: Path | None

    @property
    def source(self) -> Source:
        """What would be taken from the layer."""
        return Source.of(self.layer, self.channel_axis)

    @property
    def converted(self) -> bool:
        """Whether the result gets another number type at its end."""
        kind = np.dtype(self.source.data.dtype).kind
        return kind != "b" and (self.as_input or (self.source.rgb and kind != "f"))


def python_of(wanted: Wanted) -> str:
    """Python whose ``result`` is the data of the layer that a run makes, or the file that it writes.

    Raises
    ------
    InputError
        If a result in a file gets another number type, which Python alone has no word for.
    """
    source, first = wanted.source, wanted.first or None
    transparent = source.rgb and source.data.shape[-1] == 4
    if wanted.target is not None and wanted.converted:
        raise InputError(
            "Python writes float32 into a file: choose Result float32, or copy the command, which knows number types"
        )
    also = ["from napari_hush.io import convert_dtype"] if wanted.converted else []
    also += ["import numpy as np"] if transparent and wanted.target is None else []
    lines = [*preamble([("image", wanted.layer)], *also)]
    out = None if wanted.target is None else str(wanted.target)
    options: dict[str, Any] = {"channel_axis": source.channel_axis, "first": first, "out": out}
    shown = "image[..., :3]" if transparent else "image"
    lines.append(f"result = {denoise_call(shown, wanted.model, wanted.settings, **options)}")
    if wanted.converted:
        lines.append("result = convert_dtype(result, image.dtype)")
    if transparent and wanted.target is None:
        lines.append("result = np.concatenate([result, image[..., 3:].astype(result.dtype)], axis=-1)")
    return "\n".join(lines) + "\n"


def command_of(wanted: Wanted) -> str:
    """The command, beside whose input the result lies where the dock keeps it in memory.

    Raises
    ------
    InputError
        If no file holds what the layer shows, or commands understand its axes in another way.
    """
    file, source = require_file(wanted.layer), wanted.source
    image, ndim = file.image, len(file.image.shape)
    known = None if image.channel_axis is None else image.channel_axis % ndim
    name = wanted.layer.name
    if source.rgb and image.shape[-1] == 4:
        raise InputError(f"{name}: has an alpha channel, which a command takes for a colour: copy as Python")
    if known is not None and source.channel_axis is None:
        raise InputError(
            f"{name}: axis {known} counts channels in its file: choose it under Channels, or copy as Python"
        )
    if wanted.settings.frames is not False and image.time_first().axes != image.axes:
        raise InputError(f"{name}: frames are along another axis than the first ({image.axes}): copy as Python")
    settings = asdict(wanted.settings) | {"first": wanted.first, "dtype": "input" if wanted.converted else "auto"}
    settings["channel_axis"] = None if source.channel_axis == known else source.channel_axis
    return denoise_command(file.name, wanted.model, settings, wanted.target)
