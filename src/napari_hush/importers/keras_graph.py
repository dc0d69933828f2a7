"""Which network of ours the layers of a Keras model are: TomoGAN's generator, a plain CNN, a graph of known layers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_hush.importers.keras_config import Description, Layer, parse_text, sources_of
from napari_hush.importers.keras_layers import (
    MAX_CHANNELS,
    MAX_KERNEL,
    NOTHING,
    Arrays,
    Shape,
    Stored,
    channels_of,
    name_groups,
    translate,
)
from napari_hush.networks import find_network

if TYPE_CHECKING:
    from collections.abc import Callable

# What a layer of the two known networks says, or leaves unsaid where the first value is Keras' default.
SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "InputLayer": {},
    "Conv2D": {
        "strides": ([1, 1],),
        "dilation_rate": ([1, 1],),
        "groups": (1,),
        "use_bias": (True,),
        "data_format": ("channels_last",),
        "activation": ("linear", "relu"),
    },
    "MaxPooling2D": {"pool_size": ([2, 2],), "strides": (None, [2, 2]), "data_format": ("channels_last",)},
    "UpSampling2D": {
        "size": ([2, 2],),
        "data_format": ("channels_last",),
        "interpolation": ("nearest", "bilinear"),
    },
    "Concatenate": {"axis": (-1, 3)},
}
WRITTEN = 1e-3  # 255 may be written as 0.003922
WORDS = {"InputLayer": "input", "MaxPooling2D": "pool", "UpSampling2D": "up", "Concatenate": "concat"}

# In Keras' order; "<-" names the layers that feed one, and a skip comes before what is upsampled.
TOMOGAN = (
    "input",
    "conv 8 1x1 relu <- 0",
    *("conv 32 3x3 relu <- 1", "conv 32 3x3 relu <- 2", "pool <- 3"),
    *("conv 64 3x3 relu <- 4", "conv 64 3x3 relu <- 5", "pool <- 6"),
    *("conv 128 3x3 relu <- 7", "conv 128 3x3 relu <- 8", "pool <- 9"),
    "conv 128 3x3 relu <- 10",
    *("up <- 11", "concat <- 9 12", "conv 64 3x3 relu <- 13", "conv 64 3x3 relu <- 14"),
    *("up <- 15", "concat <- 6 16", "conv 32 3x3 relu <- 17", "conv 32 3x3 relu <- 18"),
    *("up <- 19", "concat <- 3 20", "conv 32 3x3 relu <- 21", "conv 32 3x3 relu <- 22"),
    "conv 16 1x1 relu <- 23",
    "conv 1 1x1 linear <- 24",
)


@dataclass(frozen=True)
class Recognised:
    """A network of ours that a file describes.

    Parameters
    ----------
    architecture : str
        Its name.
    hyperparameters : dict
        The arguments that build it.
    stored : list of Stored
        The arrays of the file that make its weights.
    upsampling : str, optional
        What the file says of it; None where it says nothing, or there is none.
    idle : tuple of str
        Names of layers that compute nothing in evaluation, whose arrays are not needed.
    value_range : (float, float), optional
        The values that it expects, as far as its own layers say so.
    """

    architecture: str
    hyperparameters: dict[str, Any]
    stored: list[Stored]
    upsampling: str | None = None
    idle: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None


def recognise(text: str, *, keras: int) -> Recognised:
    """Find the network that a description describes.

    Parameters
    ----------
    text : str
        The JSON of ``model_config`` or ``config.json``.
    keras : int
        The major version that wrote it.

    Raises
    ------
    ModelFileError
        If it has layers that are not known; the message says which and how, but not which file.
    """
    description = parse_text(text)
    if known := _recognise_known(description):
        return known
    translation = translate(description, keras=keras)
    hyperparameters = {"in_channels": translation.in_channels, "layers": translation.layers}
    idle = tuple(layer.name for layer in description.layers if layer.class_name in NOTHING)
    return Recognised("graph", hyperparameters, translation.stored, idle=idle, value_range=rescaled_range(description))


def rescaled_range(description: Description) -> tuple[float, float] | None:
    """From 0 to the value that a first layer ``Rescaling`` brings to 1, or as far above 0 as 0 comes below it.

    None where the image reaches another layer as it is, or that layer is of another kind.
    """

    def fed_by(image: str) -> list[Layer]:
        return [one for one in description.layers if any(name == image for of in sources_of(one) for name, _ in of)]

    behind = fed_by(description.input_layers[0][0])
    while len(behind) == 1 and behind[0].class_name in NOTHING:
        behind = fed_by(behind[0].name)
    if len(behind) != 1 or behind[0].class_name != "Rescaling":
        return None
    scale, offset = (behind[0].config.get(key, usual) for key, usual in (("scale", 1.0), ("offset", 0.0)))
    if not all(isinstance(one, int | float) for one in (scale, offset)) or not scale > 0 or not -1e30 < offset <= 0:
        return None
    highest = (1.0 if offset == 0 else -2 * offset) / scale
    near = round(highest)
    return 0.0, float(near) if near and abs(highest / near - 1) < WRITTEN else float(highest)


def _recognise_known(description: Description) -> Recognised | None:
    layers = description.layers
    plan = _plan(description)
    if not plan:
        return None
    channels = channels_of(description)
    if tuple(plan) == TOMOGAN:
        modes = {layer.config.get("interpolation") for layer in layers if layer.class_name == "UpSampling2D"}
        if len(modes) > 1:
            return None
        return _known("tomogan", {"depth": channels}, layers, modes.pop())  # slices, as published
    if found := _match_cnn(plan):
        return _known("cnn", {"in_channels": channels, **found}, layers)
    return None


def _known(
    architecture: str, hyperparameters: dict[str, Any], layers: list[Layer], upsampling: str | None = None
) -> Recognised:
    """One of the two networks, whose k-th convolution is the file's k-th."""
    with torch.device("meta"):  # gives the shapes, claims no memory
        network = find_network(architecture)(**hyperparameters)
    tensors, groups = list(network.state_dict().items()), name_groups(layers)
    names = [layer.name for layer in layers if layer.class_name == "Conv2D"]
    stored = []
    for layer, (kernel_name, kernel), (bias_name, bias) in zip(names, tensors[::2], tensors[1::2], strict=True):
        o, i, h, w = kernel.shape
        shapes: dict[str, Shape] = {"kernel": (h, w, i, o), "bias": tuple(bias.shape)}
        stored.append(Stored((layer,), groups[layer], shapes, _put_convolution(kernel_name, bias_name)))
    return Recognised(architecture, hyperparameters, stored, upsampling)


def _put_convolution(kernel: str, bias: str) -> Callable[[Arrays], Arrays]:
    return lambda found: {kernel: found["kernel"].transpose(3, 2, 0, 1), bias: found["bias"]}  # HWIO -> OIHW


def _plan(description: Description) -> list[str]:
    """Say in one line per layer what it computes, from which; nothing where that is not among what is known."""
    layers, plan = description.layers, []
    names = [layer.name for layer in layers]
    ends = [description.input_layers, description.output_layers]
    if ends != [[[names[0], 0, 0]], [[names[-1], 0, 0]]]:
        return []
    for number, layer in enumerate(layers):
        uses = sources_of(layer)
        sources = [name for name, _ in uses[0]] if uses else []
        line = _describe(layer)
        if not line or len(uses) > 1 or not set(sources) <= set(names[:number]) or bool(sources) != (number > 0):
            return []
        arrow = " ".join(["", "<-", *(str(names.index(source)) for source in sources)]) if sources else ""
        plan.append(line + arrow)
    return plan


def _describe(layer: Layer) -> str:
    """Say what one layer computes; nothing where the two networks have no such layer."""
    config = layer.config
    if layer.class_name not in SETTINGS or any(
        key in config and config[key] not in allowed for key, allowed in SETTINGS[layer.class_name].items()
    ):
        return ""
    if layer.class_name != "Conv2D":
        return WORDS[layer.class_name]
    match config:
        case {"filters": int(filters), "kernel_size": [int(height), int(width)]} if 0 < filters <= MAX_CHANNELS:
            plain = (height, width) == (1, 1) or config.get("padding") == "same"
            return f"conv {filters} {height}x{width} {config.get('activation', 'linear')}" if plain else ""
    return ""


def _match_cnn(plan: list[str]) -> dict[str, Any]:
    """Find a plain CNN's arguments, or nothing if it is none."""
    pattern = re.compile(r"conv (\d+) (\d+)x(\d+) (relu|linear) <- (\d+)")
    filters, sizes = [], set()
    for number, line in enumerate(plan[1:]):
        match = pattern.fullmatch(line)
        if not match or int(match[5]) != number or (match[4] == "linear") != (number == len(plan) - 2):
            return {}
        filters.append(int(match[1]))
        sizes |= {int(match[2]), int(match[3])}
    size = sizes.pop() if sizes else 0
    if sizes or size % 2 == 0 or len(filters) < 2 or size > MAX_KERNEL:
        return {}
    return {"out_channels": filters[-1], "widths": filters[:-1], "kernel_size": size}
