"""What the dock *Train* would learn, as Python and as a command that give the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError
from napari_hush.repeat import call, literal
from napari_hush.training.repeat import train_call, train_command
from napari_hush.widgets.parts.layer_code import preamble, require_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_hush.training.settings import TrainSettings


def python_of(method: str, settings: TrainSettings, parts: Mapping[str, Any], model: Path) -> str:
    """Python that trains and writes the model.

    Parameters
    ----------
    method, settings
        What is chosen.
    parts : mapping of str to Image or Path
        The noisy images, and where they count the clean ones and the truth.
    model : Path
        The file.
    """
    layers = [(name, part) for name, part in parts.items() if not isinstance(part, Path)]
    axis = next((layer.channel_axis for _, layer in layers), None)
    code = {name: name for name, _ in layers} | {
        name: literal(part) for name, part in parts.items() if isinstance(part, Path)
    }
    code |= {name: f"{name}[..., :3]" for name, layer in layers if layer.rgb and layer.data.shape[-1] == 4}
    data = f"({code['noisy']}, {code['clean']})" if "clean" in code else code["noisy"]
    also = []
    if axis is not None or "truth" in code:
        also.append("from napari_hush.training.data.open import TrainingSource")
        named = {} if axis is None else {"channel_axis": -1 if layers[0][1].rgb else axis}
        truth = [f"truth={code['truth']}"] if "truth" in code else []
        data = call("TrainingSource", f"data={data}", *truth, **named)
    lines = [*preamble(layers, *also)]
    lines.append(f"model = {train_call(method, settings, data, checkpoint=model.with_suffix('.ckpt'))}")
    lines.append(f"model.save({literal(model)})")
    return "\n".join(lines) + "\n"


def command_of(method: str, settings: TrainSettings, parts: Mapping[str, Any], model: Path) -> str:
    """The command; parameters as of `python_of`.

    Raises
    ------
    InputError
        If no file holds what a layer shows.
    """
    named = {}
    for name, part in parts.items():
        if isinstance(part, Path):
            named[name] = str(part)
            continue
        if part.rgb and part.data.shape[-1] == 4:
            raise InputError(f"{part.name}: has an alpha channel, which a command takes for a colour: copy as Python")
        if part.channel_axis is not None and not part.rgb:
            raise InputError(f"{part.name}: no option says which axis counts channels in a training: copy as Python")
        named[name] = require_file(part).name
    data = [named[name] for name in ("noisy", "clean") if name in named]
    return train_command(method, settings, data, model, truth=named.get("truth"))
