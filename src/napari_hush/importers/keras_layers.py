"""The layers of a Keras model as those of our `Graph`, with the arrays that belong to each.

What a layer says is compared with what is known of its kind; a layer of another kind, or with a setting that would
change what it computes, is refused: nothing is left out silently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import ModelFileError
from napari_hush.importers.keras_config import MODELS, Description, Layer, parse, short, sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_CHANNELS = 4096
MAX_KERNEL = 31
MAX_DEPTH = 8  # of models inside of models
MAX_CALLS = 2000  # of layers: a model may hold another one many times, which may hold a third many times
Shape = tuple[int, ...]
Arrays = dict[str, np.ndarray]

NOTHING = ("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization")
MERGES = {
    "Concatenate": "concat",
    "Add": "add",
    "Subtract": "subtract",
    "Multiply": "multiply",
    "Average": "average",
    "Maximum": "maximum",
    "Minimum": "minimum",
}
POOLS = {"MaxPooling2D": "maxpool", "AveragePooling2D": "avgpool"}
# the names of Keras, to names and numbers of `Graph`
FUNCTIONS: dict[str, list[tuple[str, float | None]]] = {
    "linear": [],
    "relu6": [("relu", None), ("at_most", 6.0)],
    "leaky_relu": [("leaky_relu", 0.2)],
    "swish": [("silu", None)],
    **{
        name: [(name, None)]
        for name in "relu elu selu sigmoid tanh silu mish gelu softplus softsign exponential".split()
    },
}
HARD_SIGMOID = {2: 0.2, 3: 1 / 6}  # its slope, by Keras' version
ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU")
PADS = ("ZeroPadding2D", "Cropping2D")
CONVOLUTIONS = ("Conv2D", "Convolution2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose")
KNOWN = (*CONVOLUTIONS, *POOLS, "UpSampling2D", *MERGES, *ACTIVATIONS, "BatchNormalization", "Rescaling", *PADS)


@dataclass(frozen=True)
class Stored:
    """Which arrays of the file make the weights of some layers of the graph.

    Parameters
    ----------
    layers : tuple of str
        The Keras layer, inside of the layers that are models.
    group : str
        Its group in the weights of a ``.keras`` file.
    arrays : mapping of str to shape
        Their names, in the order of the file.
    make : callable
        Arrays to the graph's weights, by their names.
    """

    layers: tuple[str, ...]
    group: str
    arrays: Mapping[str, Shape]
    make: Callable[[Arrays], Arrays]


@dataclass
class Translation:
    """What has been translated so far.

    Parameters
    ----------
    in_channels : int
        Of the image.
    keras : int
        The major version that wrote the file.
    layers : list of dict
        Of the graph.
    stored : list of Stored
        Their arrays, one item for each layer of Keras that has a place in the file.
    """

    in_channels: int
    keras: int
    layers: list[dict[str, Any]] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    n_calls: int = 0

    def __post_init__(self) -> None:
        self.channels.append(self.in_channels)

    def add(self, op: str, of: list[int], channels: int | None = None, **settings: Any) -> int:
        """One layer more; its number."""
        number = len(self.channels)
        where = {} if of == [number - 1] else {"of": of}
        self.layers.append({"op": op, **where, **settings})
        self.channels.append(self.channels[of[0]] if channels is None else channels)
        return number


def translate(description: Description, *, keras: int) -> Translation:
    """The graph of a description, whose result is that of the last layer.

    Raises
    ------
    ModelFileError
        If a layer is not known, or says something that is not; the message lacks the path.
    """
    translation = Translation(channels_of(description), keras)
    last = _translate_model(translation, description, 0, (), "", 0)
    if last != len(translation.channels) - 1 or not translation.layers:
        translation.add("pad", [last], sides=[0, 0, 0, 0])
    return translation


def channels_of(description: Description) -> int:
    """Of the one image that a model takes."""
    first = next(layer for layer in description.layers if layer.name == description.input_layers[0][0])
    match first.config.get("batch_input_shape"):
        case [_, _, _, int(channels)] if 0 < channels <= MAX_CHANNELS:
            return channels
        case [_, _, _, _, _]:
            raise ModelFileError("takes volumes, expected a network of images (None, Y, X, channels)")
        case shape:
            raise ModelFileError(f"expected an input of (None, Y, X, channels), got {short(shape)}")


def _translate_model(
    translation: Translation, description: Description, image: int, path: tuple[str, ...], group: str, depth: int
) -> int:
    """Translate the layers of a model, which sees one layer of the graph; the number of its result."""
    if depth > MAX_DEPTH:
        raise ModelFileError(f"models inside of models, more than {MAX_DEPTH} deep")
    groups = name_groups(description.layers, group)
    done: dict[tuple[str, int], int] = {(description.input_layers[0][0], 0): image}
    waiting = [
        (layer, number, sources)
        for layer in description.layers
        if layer.class_name != "InputLayer"
        for number, sources in enumerate(sources_of(layer))
    ]
    translation.n_calls += len(waiting)
    if translation.n_calls > MAX_CALLS:
        raise ModelFileError(f"uses layers more than {MAX_CALLS:,} times, far beyond a denoiser's")
    while waiting:
        ready = next((call for call in waiting if all(source in done for source in call[2])), None)
        if ready is None:
            layer, _, sources = waiting[0]
            raise ModelFileError(
                f"layer {layer.name!r} is fed by {short([s for s, _ in sources])}, which nothing gives"
            )
        waiting.remove(ready)
        layer, number, sources = ready
        of, here = [done[source] for source in sources], (*path, layer.name)
        if layer.class_name in MODELS:
            inside = parse({"class_name": layer.class_name, "config": layer.config})
            if len(of) != 1 or channels_of(inside) != translation.channels[of[0]]:
                raise ModelFileError(f"layer {layer.name!r} is a model that takes something else than it is given")
            result = _translate_model(translation, inside, of[0], here, groups[layer.name], depth + 1)
        else:
            result = _translate_layer(translation, layer, of, here, groups[layer.name])
        done[layer.name, number] = result
    end = (description.output_layers[0][0], 0)
    if end not in done:
        raise ModelFileError(f"its output {end[0]!r} is not among what its layers give")
    return done[end]


def name_groups(layers: list[Layer], group: str = "") -> dict[str, str]:
    """The groups of layers in the weights of a ``.keras`` file: by their classes, counted."""
    counts: dict[str, int] = {}
    found = {}
    for layer in layers:
        plain = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", layer.class_name))
        name = re.sub(r"([a-z])([A-Z])", r"\1_\2", plain).lower()
        counts[name] = counts.get(name, -1) + 1
        found[layer.name] = f"{group}layers/{name}{f'_{counts[name]}' if counts[name] else ''}/"
    return found


def _translate_layer(translation: Translation, layer: Layer, of: list[int], path: tuple[str, ...], group: str) -> int:
    """Translate one layer; the number of its result."""
    config, kind = layer.config, layer.class_name
    say = _Settings(layer)
    if config.get("data_format", "channels_last") not in ("channels_last", None):
        raise say.refuse("data_format", "channels_last")

    def keep(arrays: Mapping[str, Shape], make: Callable[[Arrays], Arrays]) -> None:
        translation.stored.append(Stored(path, group, arrays, make))

    if kind in MERGES:
        if len(of) < 2:
            raise ModelFileError(f"layer {layer.name!r} is fed by {len(of)} layer, expected several")
        if kind == "Concatenate" and config.get("axis", -1) not in (-1, 3):
            raise say.refuse("axis", "-1, the channels")
        total = sum(translation.channels[source] for source in of)
        return translation.add(MERGES[kind], of, total if kind == "Concatenate" else None)
    if len(of) != 1:
        raise ModelFileError(f"layer {layer.name!r} is fed by {len(of)} layers, expected one")
    source, channels = of[0], translation.channels[of[0]]
    if kind in NOTHING:
        return source
    if kind in CONVOLUTIONS:
        number = _translate_convolution(translation, say, source, keep)
        return _activate(translation, say, config.get("activation"), number)
    if kind in POOLS:
        size = say.pair("pool_size", (2, 2))
        stride = size if config.get("strides") is None else say.pair("strides")
        return translation.add(POOLS[kind], of, kernel=size, stride=stride, padding=say.padding("valid"))
    if kind == "UpSampling2D":
        mode = config.get("interpolation", "nearest")
        if mode not in ("nearest", "bilinear"):
            raise say.refuse("interpolation", "nearest or bilinear")
        return translation.add("up", of, factor=say.pair("size", (2, 2)), mode=mode)
    if kind in PADS:
        (top, bottom), (left, right) = say.sides("padding" if kind == "ZeroPadding2D" else "cropping")
        sides = [top, bottom, left, right]
        return translation.add("pad", of, sides=sides if kind == "ZeroPadding2D" else [-side for side in sides])
    if kind == "Activation":
        return _activate(translation, say, config.get("activation"), source)
    if kind == "PReLU":
        if config.get("shared_axes") != [1, 2]:
            raise say.refuse("shared_axes", "[1, 2]: a slope for each place fits images of one size alone")
        number = translation.add("prelu", of)
        keep({"alpha": (1, 1, channels)}, lambda found: {f"weight{number}": found["alpha"].ravel()})
        return number
    if kind in ACTIVATIONS:
        return _activate(translation, say, {"class_name": kind, "config": config}, source)
    if kind == "BatchNormalization":
        if config.get("axis", -1) not in (-1, 3, [3], [-1]):
            raise say.refuse("axis", "-1, the channels")
        number, epsilon = translation.add("affine", of), say.number("epsilon", 1e-3)
        names = [name for name, on in (("gamma", "scale"), ("beta", "center")) if config.get(on, True)]
        shapes = dict.fromkeys([*names, "moving_mean", "moving_variance"], (channels,))
        keep(shapes, lambda found: _batch_norm(found, epsilon, number, layer.name))
        return number
    if kind == "Rescaling":
        number = translation.add("affine", of)
        scale, offset = say.per_channel("scale", channels), say.per_channel("offset", channels, 0.0)
        keep({}, lambda _: {f"weight{number}": scale, f"bias{number}": offset})
        return number
    code = ", which is code of its own" if kind in ("Lambda", "TFOpLambda", "SlicingOpLambda") else ""
    raise ModelFileError(f"layer {layer.name!r} is a {short(kind)}{code}, expected one of {', '.join(KNOWN)}")


def _translate_convolution(
    translation: Translation, say: _Settings, source: int, keep: Callable[[Mapping[str, Shape], Any], None]
) -> int:
    kind, config, channels = say.layer.class_name, say.layer.config, translation.channels[source]
    kernel, stride, dilation = say.pair("kernel_size"), say.pair("strides", (1, 1)), say.pair("dilation_rate", (1, 1))
    padding = say.padding("valid")
    bias = bool(config.get("use_bias", True))
    common: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
    common |= {} if dilation == [1, 1] else {"dilation": dilation}
    if max(kernel) > MAX_KERNEL:
        raise say.refuse("kernel_size", f"at most {MAX_KERNEL}")
    if kind in ("Conv2D", "Convolution2D"):
        out, groups = say.count("filters"), say.count("groups", 1)
        number = translation.add("conv", [source], out, out=out, **common, bias=bias, groups=groups)
        shapes = {"kernel": (*kernel, max(channels // groups, 1), out)}
        keep(shapes | _bias(out, bias), lambda found: _weights(number, found, "kernel", (3, 2, 0, 1)))
        return number
    if kind == "Conv2DTranspose":
        if config.get("output_padding") is not None:
            raise say.refuse("output_padding", "none")
        out = say.count("filters")
        number = translation.add("deconv", [source], out, out=out, **common, bias=bias)
        shapes = {"kernel": (*kernel, out, channels)}
        keep(shapes | _bias(out, bias), lambda found: _weights(number, found, "kernel", (3, 2, 0, 1)))
        return number
    many = channels * say.count("depth_multiplier", 1)
    if many > MAX_CHANNELS:
        raise say.refuse("depth_multiplier", f"at most {MAX_CHANNELS} channels")
    separable = kind == "SeparableConv2D"
    number = translation.add("conv", [source], many, out=many, **common, groups=channels, bias=bias and not separable)
    deep = (*kernel, channels, many // channels)

    def spread(found: Arrays, name: str) -> np.ndarray:
        return found[name].reshape(*kernel, 1, many).transpose(3, 2, 0, 1)

    if not separable:
        name = "depthwise_kernel"
        keep({name: deep} | _bias(many, bias), lambda f: {f"weight{number}": spread(f, name), **_bias_of(number, f)})
        return number
    out = say.count("filters")
    pointwise = translation.add("conv", [number], out, out=out, kernel=[1, 1], bias=bias)
    keep(
        {"depthwise_kernel": deep, "pointwise_kernel": (1, 1, many, out)} | _bias(out, bias),
        lambda found: {
            f"weight{number}": spread(found, "depthwise_kernel"),
            **_weights(pointwise, found, "pointwise_kernel", (3, 2, 0, 1)),
        },
    )
    return pointwise


def _activate(translation: Translation, say: _Settings, wanted: Any, number: int) -> int:
    """Add what an activation computes; the number of its result."""
    steps: list[tuple[str, float | None]] = []
    match wanted:
        case None:
            pass
        case "hard_sigmoid":
            steps = [("hard_sigmoid", HARD_SIGMOID[translation.keras])]
        case str() if wanted in FUNCTIONS:
            steps = FUNCTIONS[wanted]
        case {"class_name": "ReLU", "config": dict(config)}:
            inner = _Settings(Layer(class_name="ReLU", config={"name": say.layer.name, **config}))
            slope, most = inner.number("negative_slope", 0.0), config.get("max_value")
            if inner.number("threshold", 0.0) != 0:
                raise inner.refuse("threshold", "0")
            steps = [("leaky_relu", slope) if slope else ("relu", None)]
            steps += [] if most is None else [("at_most", inner.number("max_value", 0.0))]
        case {"class_name": "LeakyReLU", "config": dict(config)}:
            inner = _Settings(Layer(class_name="LeakyReLU", config={"name": say.layer.name, **config}))
            steps = [("leaky_relu", inner.number("alpha" if "alpha" in config else "negative_slope", 0.3))]
        case {"class_name": "ELU", "config": dict(config)}:
            inner = _Settings(Layer(class_name="ELU", config={"name": say.layer.name, **config}))
            steps = [("elu", inner.number("alpha", 1.0))]
        case _:
            raise say.refuse("activation", f"one of {', '.join((*FUNCTIONS, 'hard_sigmoid'))}")
    for name, value in steps:
        given: dict[str, Any] = {} if value is None else {"value": value}
        number = translation.add("activation", [number], name=name, **given)
    return number


def _bias(count: int, there: bool) -> dict[str, Shape]:
    return {"bias": (count,)} if there else {}


def _bias_of(number: int, found: Arrays) -> Arrays:
    return {f"bias{number}": found["bias"]} if "bias" in found else {}


def _weights(number: int, found: Arrays, kernel: str, axes: tuple[int, ...]) -> Arrays:
    return {f"weight{number}": found[kernel].transpose(axes), **_bias_of(number, found)}


def _batch_norm(found: Arrays, epsilon: float, number: int, name: str) -> Arrays:
    """The linear map of a batch normalisation in evaluation."""
    variance = found["moving_variance"].astype(np.float64) + epsilon
    if not (variance > 0).all():
        raise ModelFileError(f"layer {name!r} has negative variances; copy or download the file again")
    scale = found.get("gamma", np.ones_like(variance)) / np.sqrt(variance)
    offset = found.get("beta", np.zeros_like(variance)) - found["moving_mean"] * scale
    return {f"weight{number}": scale.astype(np.float32), f"bias{number}": offset.astype(np.float32)}


class _Settings:
    """What a layer says, checked as it is asked for."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def refuse(self, key: str, expected: str) -> ModelFileError:
        """An error about one setting."""
        got = short(self.layer.config.get(key))
        return ModelFileError(f"layer {self.layer.name!r}: expected {key} {expected}, got {got}")

    def pair(self, key: str, default: tuple[int, int] | None = None) -> list[int]:
        """Two sides of at least 1."""
        match self.layer.config.get(key, default):
            case [int(y), int(x)] | (int(y), int(x)) if 0 < y <= MAX_CHANNELS and 0 < x <= MAX_CHANNELS:
                return [y, x]
            case int(side) if 0 < side <= MAX_CHANNELS:
                return [side, side]
        raise self.refuse(key, "of two positive integers")

    def sides(self, key: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """What is added or taken away at top and bottom, left and right."""
        match self.layer.config.get(key):
            case [[int(top), int(bottom)], [int(left), int(right)]] if 0 <= min(top, bottom, left, right):
                return (top, bottom), (left, right)
        raise self.refuse(key, "of four integers")

    def count(self, key: str, default: int | None = None) -> int:
        """A number of channels."""
        value = self.layer.config.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_CHANNELS:
            raise self.refuse(key, f"from 1 to {MAX_CHANNELS}")
        return value

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self.layer.config.get(key, default)
        if not isinstance(value, int | float) or not abs(value) < 1e30:
            raise self.refuse(key, "to be a number")
        return float(value)

    def per_channel(self, key: str, channels: int, default: float = 1.0) -> np.ndarray:
        """One number for each channel, or one for all."""
        value = self.layer.config.get(key, default)
        values = value if isinstance(value, list) else [value]
        if len(values) not in (1, channels) or not all(isinstance(v, int | float) and abs(v) < 1e30 for v in values):
            raise self.refuse(key, "to be a number, or one per channel")
        return np.broadcast_to(np.array(values, np.float32), (channels,)).copy()

    def padding(self, default: str) -> str:
        """``same`` or ``valid``."""
        found = self.layer.config.get("padding", default)
        if found not in ("same", "valid"):
            raise self.refuse("padding", "same or valid")
        return str(found)
