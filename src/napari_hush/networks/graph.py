"""A network that a list of layers describes, as data: what files of other programs bring in place of an architecture.

Layers are numbered from 1; 0 is the image. Each is a dict: ``op``, what it computes; ``of``, the numbers of the layers
that feed it, the one before it where nothing is said; and its own settings. Sizes, padding and reach follow from the
list alone, exactly, so that it can be tiled like any other network.

Padding ``same`` is that of TensorFlow: what the last window lacks is added, half before and half after, the odd pixel
after. With a stride it depends on the size of the image; here that is a multiple of ``stride``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_LAYERS = 1000
MAX_CHANNELS = 1 << 15
MAX_REACH = 4096  # px, of a kernel, a padding, the whole network
MAX_GROWTH = 16  # times the image's side
MAX_STRIDE = 1024
PLAIN = ({"op": "conv", "out": 1, "kernel": [3, 3]},)

# name: function of the values and of one number, and that number where nothing is said
ACTIVATIONS: dict[str, tuple[Callable[[torch.Tensor, float], torch.Tensor], float]] = {
    "relu": (lambda x, _: functional.relu(x), 0.0),
    "leaky_relu": (lambda x, slope: functional.leaky_relu(x, slope), 0.01),
    "elu": (lambda x, alpha: functional.elu(x, alpha), 1.0),
    "selu": (lambda x, _: functional.selu(x), 0.0),
    "sigmoid": (lambda x, _: torch.sigmoid(x), 0.0),
    "hard_sigmoid": (lambda x, slope: torch.clamp(x * slope + 0.5, 0.0, 1.0), 1 / 6),
    "tanh": (lambda x, _: torch.tanh(x), 0.0),
    "silu": (lambda x, _: functional.silu(x), 0.0),
    "mish": (lambda x, _: functional.mish(x), 0.0),
    "gelu": (lambda x, _: functional.gelu(x), 0.0),
    "gelu_tanh": (lambda x, _: functional.gelu(x, approximate="tanh"), 0.0),
    "softplus": (lambda x, _: functional.softplus(x), 0.0),
    "softsign": (lambda x, _: functional.softsign(x), 0.0),
    "exponential": (lambda x, _: torch.exp(x), 0.0),
    "at_most": (lambda x, highest: torch.clamp(x, max=highest), 6.0),
}
MERGES: dict[str, Callable[[Sequence[torch.Tensor]], torch.Tensor]] = {
    "concat": lambda parts: torch.cat(list(parts), dim=1),
    "add": lambda parts: sum(parts[1:], start=parts[0]),
    "subtract": lambda parts: parts[0] - parts[1],
    "multiply": lambda parts: math.prod(parts[1:], start=parts[0]),
    "average": lambda parts: sum(parts[1:], start=parts[0]) * (1 / len(parts)),
    "maximum": lambda parts: torch.stack(list(parts)).amax(0),
    "minimum": lambda parts: torch.stack(list(parts)).amin(0),
}


@dataclass(frozen=True)
class _Extent:
    """How long one axis of a layer's result is, and where its values come from.

    For an image of n px there are ``scale * n + shift`` values, of which the i-th depends on the pixels from
    ``i / scale + low`` to ``i / scale + high``.
    """

    scale: Fraction = Fraction(1)
    shift: int = 0
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)

    def padded(self, before: int, after: int) -> _Extent:
        """With values added, or taken away, at both ends."""
        moved = before / self.scale
        return replace(self, shift=self.shift + before + after, low=self.low - moved, high=self.high - moved)

    def windowed(self, reach: int, step: int) -> _Extent:
        """What windows of a length, every so many values, give."""
        return _Extent(
            self.scale / step, (self.shift - reach) // step + 1, self.low, self.high + (reach - 1) / self.scale
        )

    def same(self, reach: int, step: int) -> tuple[int, int]:
        """What TensorFlow adds before and after, so that windows begin at every ``step``-th value."""
        total = max((-(-self.shift // step) - 1) * step + reach - self.shift, 0)
        return total // 2, total - total // 2

    def spread(self, reach: int, step: int) -> _Extent:
        """What a transposed convolution gives, uncropped."""
        return _Extent(
            self.scale * step,
            (self.shift - 1) * step + reach + max(step - reach, 0),
            self.low - Fraction(reach - 1, step) / self.scale,
            self.high,
        )

    def enlarged(self, factor: int, mode: str) -> _Extent:
        """Of an upsampling."""
        if mode == "nearest":
            low, high = Fraction(1 - factor, factor), Fraction(0)
        else:
            centre = Fraction(1 - factor, 2 * factor)
            low, high = centre - 1, centre + 1
        return _Extent(
            self.scale * factor, self.shift * factor, self.low + low / self.scale, self.high + high / self.scale
        )


@dataclass(frozen=True)
class _Node:
    """A layer of the list, with what follows from those before it."""

    op: str
    of: tuple[int, ...]
    settings: dict[str, Any]
    channels: int
    extents: tuple[_Extent, _Extent]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, bottom, left, right
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def area(self) -> float:
        """Values per pixel of the image."""
        return float(self.channels * self.extents[0].scale * self.extents[1].scale)


class Graph(nn.Module):
    """The layers of a list, one after the other.

    Parameters
    ----------
    in_channels : int
        Channels of the input (B, in_channels, Y, X).
    layers : sequence of dict
        The list; the last one gives the result, as large as the image. ``conv`` and ``deconv`` take ``out``,
        ``kernel``, ``stride``, ``dilation``, ``groups``, ``padding`` (``same`` or ``valid``) and ``bias``;
        ``maxpool`` and ``avgpool`` take ``kernel``, ``stride`` and ``padding``; ``up`` takes ``factor`` and ``mode``;
        ``pad`` takes ``sides`` (top, bottom, left, right, negative to crop); ``affine`` and ``prelu`` have a number per
        channel; ``activation`` takes ``name`` and ``value``; those in ``MERGES`` take nothing.
    """

    def __init__(self, *, in_channels: int = 1, layers: Sequence[dict[str, Any]] = PLAIN) -> None:
        super().__init__()
        if not 1 <= len(layers) <= MAX_LAYERS:
            raise ValueError(f"{len(layers)} layers, expected 1 to {MAX_LAYERS}")
        _check(in_channels, "in_channels", 1, MAX_CHANNELS)
        nodes = [_Node("image", (), {}, in_channels, (_Extent(), _Extent()))]
        self.stride = 1
        for number, layer in enumerate(layers, 1):
            try:
                nodes.append(_plan(layer, nodes))
                # so that each result has a whole number of values
                self.stride = math.lcm(self.stride, *(extent.scale.denominator for extent in nodes[-1].extents))
                _check(self.stride, "stride", 1, MAX_STRIDE)
            except (KeyError, TypeError, ValueError) as error:
                what = f"{error} is missing" if isinstance(error, KeyError) else error
                raise ValueError(f"layer {number} ({str(layer)[:80]}): {what}") from error
        for axis, extent in zip("YX", nodes[-1].extents, strict=True):
            if extent.scale != 1:
                raise ValueError(
                    f"its result has {extent.scale} times the image's size along {axis}, expected the same"
                )
            if extent.shift:
                raise ValueError(
                    f"its result is {abs(extent.shift)} px {'longer' if extent.shift > 0 else 'shorter'} than the "
                    f"image along {axis}, expected the same size: pad what its convolutions lack"
                )
        self.nodes = nodes
        self.in_channels, self.out_channels = in_channels, nodes[-1].channels
        reach = max(max(-e.low, e.high) for e in nodes[-1].extents)
        self.halo = math.ceil(reach / self.stride) * self.stride
        _check(self.halo, "the reach", 0, MAX_REACH)
        shortest = max(Fraction(1 - e.shift) / e.scale for node in nodes for e in node.extents)
        self.smallest = max(math.ceil(shortest / self.stride), 1) * self.stride
        self.last_use = {source: number for number, node in enumerate(nodes) for source in node.of}
        self.live_channels = _count_live(nodes, self.last_use)
        for number, node in enumerate(nodes):
            for name, shape in node.weights.items():
                self.register_parameter(f"{name}{number}", nn.Parameter(torch.zeros(shape)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X); Y and X are multiples of ``stride``."""
        values: dict[int, torch.Tensor] = {0: x}
        for number, node in enumerate(self.nodes[1:], 1):
            values[number] = self._run(number, node, [values[source] for source in node.of])
            for source in set(node.of):
                if self.last_use[source] == number:
                    del values[source]
        return values[len(self.nodes) - 1]

    def _run(self, number: int, node: _Node, inputs: list[torch.Tensor]) -> torch.Tensor:
        x, settings = inputs[0], node.settings
        weight, bias = getattr(self, f"weight{number}", None), getattr(self, f"bias{number}", None)
        top, bottom, left, right = node.pads
        match node.op:
            case "conv":
                assert weight is not None
                if top == bottom and left == right:
                    padding = (top, left)
                else:
                    x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
                steps = {"stride": settings["stride"], "dilation": settings["dilation"]}
                return functional.conv2d(x, weight, bias, padding=padding, groups=settings["groups"], **steps)
            case "deconv":
                assert weight is not None
                more = [max(s - k, 0) for s, k in zip(settings["stride"], settings["kernel"], strict=True)]
                out = functional.conv_transpose2d(x, weight, bias, stride=settings["stride"], output_padding=more)
                return _crop(out, node.pads)
            case "maxpool":
                if any(node.pads):
                    x = functional.pad(x, (left, right, top, bottom), value=-math.inf)
                return functional.max_pool2d(x, settings["kernel"], settings["stride"])
            case "avgpool":
                if not any(node.pads):
                    return functional.avg_pool2d(x, settings["kernel"], settings["stride"])
                ones = functional.pad(torch.ones_like(x[:1, :1]), (left, right, top, bottom))
                x = functional.pad(x, (left, right, top, bottom))
                covered = functional.avg_pool2d(ones, settings["kernel"], settings["stride"])
                return functional.avg_pool2d(x, settings["kernel"], settings["stride"]) / covered
            case "up":
                factors = [float(factor) for factor in settings["factor"]]
                return functional.interpolate(x, scale_factor=factors, mode=settings["mode"])
            case "pad":
                x = _crop(x, tuple(max(-side, 0) for side in node.pads))
                return functional.pad(x, [max(side, 0) for side in (left, right, top, bottom)])
            case "affine":
                assert weight is not None and bias is not None
                scaled: torch.Tensor = x * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
                return scaled
            case "prelu":
                assert weight is not None
                bent: torch.Tensor = functional.relu(x) - functional.relu(x * -1.0) * weight.reshape(1, -1, 1, 1)
                return bent
            case "activation":
                return ACTIVATIONS[settings["name"]][0](x, settings["value"])
        return MERGES[node.op](inputs)


def _plan(layer: dict[str, Any], nodes: list[_Node]) -> _Node:
    """Check one layer and say what follows from it."""
    settings = dict(layer)
    op, of = settings.pop("op"), tuple(settings.pop("of", (len(nodes) - 1,)))
    if not of or not all(isinstance(source, int) and 0 <= source < len(nodes) for source in of):
        raise ValueError(f"is fed by {of}, expected numbers of layers before it")
    if op in MERGES:
        return _plan_merge(op, of, settings, [nodes[source] for source in of])
    if len(of) != 1:
        raise ValueError(f"is fed by {len(of)} layers, expected one")
    source = nodes[of[0]]
    node = _Node(op, of, settings, source.channels, source.extents)
    match op:
        case "conv" | "deconv":
            return _plan_convolution(node)
        case "maxpool" | "avgpool":
            kernel = settings["kernel"] = _pair(settings["kernel"], "kernel")
            stride = settings["stride"] = _pair(settings.get("stride", kernel), "stride")
            return _pad_and_window(node, kernel, stride, settings.get("padding", "valid"))
        case "up":
            factor = settings["factor"] = _pair(settings["factor"], "factor", MAX_GROWTH)
            mode = settings.setdefault("mode", "nearest")
            if mode not in ("nearest", "bilinear"):
                raise ValueError(f"upsamples by {mode!r}, expected nearest or bilinear")
            return _grown(node, tuple(e.enlarged(f, mode) for e, f in zip(node.extents, factor, strict=True)))
        case "pad":
            sides = tuple(_check(side, "a side", -MAX_REACH, MAX_REACH) for side in settings["sides"])
            top, bottom, left, right = sides
            y, x = node.extents
            return replace(
                node, extents=(y.padded(top, bottom), x.padded(left, right)), pads=(top, bottom, left, right)
            )
        case "affine":
            return replace(node, weights={"weight": (node.channels,), "bias": (node.channels,)})
        case "prelu":
            return replace(node, weights={"weight": (node.channels,)})
        case "activation":
            name = settings["name"]
            if name not in ACTIVATIONS:
                raise ValueError(f"unknown activation {str(name)[:40]!r}, expected one of {', '.join(ACTIVATIONS)}")
            value = settings["value"] = float(settings.get("value", ACTIVATIONS[name][1]))
            if not math.isfinite(value):
                raise ValueError(f"an activation with {value}")
            return node
    raise ValueError(f"unknown operation {str(op)[:40]!r}")


def _plan_merge(op: str, of: tuple[int, ...], settings: dict[str, Any], sources: list[_Node]) -> _Node:
    sizes = [tuple((e.scale, e.shift) for e in source.extents) for source in sources]
    counts = [source.channels for source in sources]
    if len(set(sizes)) > 1 or (op != "concat" and len(set(counts)) > 1) or (op == "subtract" and len(of) != 2):
        shapes = [
            f"{c} x " + " x ".join(f"({s} n{t:+})" for s, t in size) for c, size in zip(counts, sizes, strict=True)
        ]
        raise ValueError(f"brings together what differs in size: {', '.join(shapes[:4])}")
    channels = _check(sum(counts) if op == "concat" else counts[0], "channels", 1, MAX_CHANNELS)
    axes = zip(*(source.extents for source in sources), strict=True)
    y, x = (replace(e[0], low=min(i.low for i in e), high=max(i.high for i in e)) for e in axes)
    return _Node(op, of, settings, channels, (y, x))


def _plan_convolution(node: _Node) -> _Node:
    settings = node.settings
    out = _check(settings["out"], "out", 1, MAX_CHANNELS)
    kernel = settings["kernel"] = _pair(settings["kernel"], "kernel")
    stride = settings["stride"] = _pair(settings.get("stride", (1, 1)), "stride")
    dilation = settings["dilation"] = _pair(settings.get("dilation", (1, 1)), "dilation")
    groups = settings["groups"] = _check(settings.get("groups", 1), "groups", 1, MAX_CHANNELS)
    padding = settings.get("padding", "same")
    if node.channels % groups or out % groups:
        raise ValueError(f"{groups} groups of {node.channels} channels and {out} features")
    bias = {"bias": (out,)} if settings.get("bias", True) else {}
    if node.op == "conv":
        reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        shape = (out, node.channels // groups, *kernel)
        return replace(_pad_and_window(node, reach, stride, padding), channels=out, weights={"weight": shape, **bias})
    if groups != 1 or dilation != (1, 1):
        raise ValueError(f"a transposed convolution with {groups=} and {dilation=}, expected none of either")
    extents = tuple(e.spread(k, s) for e, k, s in zip(node.extents, kernel, stride, strict=True))
    sides: list[int] = []
    for k, s in zip(kernel, stride, strict=True):
        cut = max(k - s, 0) if padding == "same" else 0
        sides += [cut // 2, cut - cut // 2]
    top, bottom, left, right = sides
    extents = (extents[0].padded(-top, -bottom), extents[1].padded(-left, -right))
    weights = {"weight": (node.channels, out, *kernel), **bias}
    return _grown(replace(node, channels=out, pads=(top, bottom, left, right), weights=weights), extents)


def _pad_and_window(node: _Node, reach: tuple[int, ...], stride: tuple[int, ...], padding: object) -> _Node:
    if padding not in ("same", "valid"):
        raise ValueError(f"padding {str(padding)[:40]!r}, expected same or valid")
    pads: list[int] = []
    extents = []
    for extent, k, s in zip(node.extents, reach, stride, strict=True):
        _check(k, "a window", 1, MAX_REACH)
        before, after = extent.same(k, s) if padding == "same" else (0, 0)
        pads += [before, after]
        extents.append(extent.padded(before, after).windowed(k, s))
    top, bottom, left, right = pads
    return replace(node, extents=(extents[0], extents[1]), pads=(top, bottom, left, right))


def _grown(node: _Node, extents: tuple[_Extent, ...]) -> _Node:
    if any(extent.scale > MAX_GROWTH for extent in extents):
        raise ValueError(f"is more than {MAX_GROWTH} times as large as the image")
    return replace(node, extents=(extents[0], extents[1]))


def _count_live(nodes: list[_Node], last_use: dict[int, int]) -> int:
    """The most channels at full resolution that are in memory at once, with as much again for what a layer needs."""
    live = most = 0.0
    for number, node in enumerate(nodes):
        live += node.area
        most = max(most, live)
        live -= sum(nodes[source].area for source in set(node.of) if last_use[source] == number)
    return math.ceil(2 * most)


def _crop(x: torch.Tensor, sides: tuple[int, ...]) -> torch.Tensor:
    top, bottom, left, right = sides
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right] if any(sides) else x


def _pair(value: Any, name: str, most: int = MAX_REACH) -> tuple[int, int]:
    y, x = value
    return _check(y, name, 1, most), _check(x, name, 1, most)


def _check(value: Any, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is {str(value)[:40]}, expected a whole number from {least} to {most}")
    return value
