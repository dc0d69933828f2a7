"""Recognising one of our networks in the ``model_config`` of a Keras file.

The layers are brought to one line each, which are compared with those of the TomoGAN generator and of a plain CNN:
anything that differs is refused, so that no layer is ever dropped silently.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from napari_hush.errors import ModelFileError

MAX_CHANNELS = 4096
MAX_KERNEL = 31

# What a layer must say, or leave unsaid where the first value is Keras' default.
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


class _Layer(BaseModel):
    class_name: str = Field(max_length=100)
    config: dict[str, Any]
    inbound_nodes: list[Any] = Field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.config.get("name", ""))[:100]


class _Graph(BaseModel):
    layers: list[_Layer] = Field(min_length=2, max_length=100)
    input_layers: list[Any]
    output_layers: list[Any]


class _Config(BaseModel):
    class_name: Literal["Model", "Functional", "Sequential"]
    config: _Graph


@dataclass(frozen=True)
class Recognised:
    """What a ``model_config`` describes.

    Parameters
    ----------
    architecture : str
        Its name in ``NETWORKS``.
    hyperparameters : dict
        The arguments that build it.
    convolutions : list of str
        The names of the layers with weights, in the network's order.
    upsampling : str, optional
        The stored mode; None where the file is silent or the network does not upsample.
    """

    architecture: Literal["tomogan", "cnn"]
    hyperparameters: dict[str, Any]
    convolutions: list[str]
    upsampling: str | None = None


def recognise(text: str) -> Recognised:
    """Find the network that a ``model_config`` describes.

    Raises
    ------
    ModelFileError
        If it is none of ours; the message says which layer differs and how, but not which file.
    """
    layers = _parse(text)
    plan = _plan(layers)
    convolutions = [layer.name for layer in layers if layer.class_name == "Conv2D"]
    match layers[0].config.get("batch_input_shape"):
        case [_, _, _, int(in_channels)] if 0 < in_channels <= MAX_CHANNELS:
            pass
        case shape:
            raise ModelFileError(f"expected an input of (None, Y, X, channels), got {short(shape)}")
    if tuple(plan) == TOMOGAN:
        modes = {layer.config.get("interpolation") for layer in layers if layer.class_name == "UpSampling2D"}
        if len(modes) > 1:
            raise ModelFileError("its layers upsample in different ways, expected one way")
        return Recognised("tomogan", {"depth": in_channels}, convolutions, modes.pop())  # slices, as published
    if found := _match_cnn(plan):
        return Recognised("cnn", {"in_channels": in_channels, **found}, convolutions)
    if all(line.startswith(("input", "conv")) for line in plan):
        raise ModelFileError(
            "not a plain CNN: expected at least two convolutions of one odd size, relu but for a linear last one, got "
            f"{short('; '.join(plan[1:]), 300)}"
        )
    pairs = zip(plan, TOMOGAN, strict=False)
    number = next((i for i, (found, expected) in enumerate(pairs) if found != expected), None)
    if number is None:
        raise ModelFileError(f"not the TomoGAN generator: expected its {len(TOMOGAN)} layers, got {len(plan)}")
    raise ModelFileError(
        f"not the TomoGAN generator: layer {number} ({layers[number].name!r}) should be {TOMOGAN[number]!r}, is "
        f"{plan[number]!r}"
    )


def short(value: object, length: int = 80) -> str:
    """Show a value of unknown length in a message."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _parse(text: str) -> list[_Layer]:
    """Check the graph's form: one input first, one output last."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"model_config is not the JSON that it should be ({short(str(error))})") from error
    found = raw.get("class_name") if isinstance(raw, dict) else None
    try:
        graph = _Config.model_validate(_as_graph(raw) if found == "Sequential" else raw).config
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelFileError(f"model_config describes a {short(found)} ({where}: {first['msg'].lower()})") from error
    names = [layer.name for layer in graph.layers]
    ends = [graph.input_layers, graph.output_layers]
    if len(set(names)) < len(names) or ends != [[[names[0], 0, 0]], [[names[-1], 0, 0]]]:
        raise ModelFileError("expected one input (the first layer), one output (the last), and distinct names")
    return graph.layers


def _as_graph(raw: dict[str, Any]) -> dict[str, Any]:
    """Spell out what a Sequential leaves unsaid; anything unexpected is left for the validation to refuse."""
    config = raw.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    if not (isinstance(layers, list) and layers and all(isinstance(x, dict) for x in layers)):
        return raw
    configs = [x["config"] if isinstance(x.get("config"), dict) else {} for x in layers]
    classes = [x.get("class_name") for x in layers]
    if classes[0] != "InputLayer":
        classes.insert(0, "InputLayer")
        configs.insert(0, {"name": "input", "batch_input_shape": configs[0].get("batch_input_shape")})
    names = [c.get("name") for c in configs]
    nodes: list[Any] = [[], *([[[name, 0, 0, {}]]] for name in names[:-1])]
    graph = [
        {"class_name": name, "config": c, "inbound_nodes": n}
        for name, c, n in zip(classes, configs, nodes, strict=True)
    ]
    ends = {"input_layers": [[names[0], 0, 0]], "output_layers": [[names[-1], 0, 0]]}
    return {"class_name": "Sequential", "config": {"layers": graph, **ends}}


def _plan(layers: list[_Layer]) -> list[str]:
    """Say in one line per layer what it computes, from which."""
    plan: list[str] = []
    names = [layer.name for layer in layers]
    for number, layer in enumerate(layers):
        sources = _get_sources(layer)
        if not set(sources) <= set(names[:number]) or bool(sources) != (number > 0):
            raise ModelFileError(f"layer {layer.name!r} is fed by {short(sources)}, expected layers before it")
        arrow = " ".join(["", "<-", *(str(names.index(source)) for source in sources)]) if sources else ""
        plan.append(_describe(layer) + arrow)
    return plan


def _get_sources(layer: _Layer) -> list[str]:
    """Name the layers that feed one layer, which is used once and with nothing else passed."""
    match layer.inbound_nodes:
        case []:
            return []
        case [[*calls]]:
            names = [c[0] for c in calls if isinstance(c, list) and c[1:3] == [0, 0] and not any(c[3:])]
            if len(names) == len(calls) and all(isinstance(name, str) for name in names):
                return names
    raise ModelFileError(f"layer {layer.name!r} is connected in an unknown way, got {short(layer.inbound_nodes)}")


def _describe(layer: _Layer) -> str:
    """Say what one layer computes; refuse settings that the networks do not have."""
    config, where = layer.config, f"layer {layer.name!r}"
    if layer.class_name not in SETTINGS:
        raise ModelFileError(f"{where} is a {layer.class_name}, expected one of {', '.join(SETTINGS)}")
    for key, allowed in SETTINGS[layer.class_name].items():
        if key in config and config[key] not in allowed:
            expected = " or ".join(map(str, allowed))
            raise ModelFileError(f"{where}: expected {key} {expected}, got {short(config[key])}")
    if layer.class_name != "Conv2D":
        return {"InputLayer": "input", "MaxPooling2D": "pool", "UpSampling2D": "up", "Concatenate": "concat"}[
            layer.class_name
        ]
    match config:
        case {"filters": int(filters), "kernel_size": [int(height), int(width)]}:
            pass
        case _:
            raise ModelFileError(f"{where}: expected filters and a kernel_size of two integers")
    if not (0 < filters <= MAX_CHANNELS and 0 < height <= MAX_KERNEL and 0 < width <= MAX_KERNEL):
        size = f"{filters} filters of {height}x{width} px"
        raise ModelFileError(f"{where}: {size}, expected at most {MAX_CHANNELS} of {MAX_KERNEL}x{MAX_KERNEL}")
    if (padding := config.get("padding")) != "same" and (height, width) != (1, 1):
        raise ModelFileError(f"{where}: expected padding same, got {short(padding)}")
    return f"conv {filters} {height}x{width} {config.get('activation', 'linear')}"


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
    size = sizes.pop()
    if sizes or size % 2 == 0 or len(filters) < 2:
        return {}
    return {"out_channels": filters[-1], "widths": filters[:-1], "kernel_size": size}
