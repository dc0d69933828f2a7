"""A torch network as a graph of OpenVINO: its own ``forward`` runs once, with symbols in the place of images.

torch hands every function that meets something with ``__torch_function__`` over to it
(https://docs.pytorch.org/docs/stable/notes/extending.html). Here that is `Symbol`, which notes the operation as
OpenVINO's and computes nothing: a graph of fixed shapes takes milliseconds, and nothing of it stays behind in torch.

What is not in ``OPERATIONS`` is refused, and so is what would act on a value in place or ask for one: a graph is the
same computation as the network, or there is none.
"""

from __future__ import annotations

import copy
import importlib
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import EllipsisType

    Pair = int | Sequence[int]


class UnknownOperationError(NotImplementedError):
    """A network does something that is not known here as an operation of OpenVINO."""


def build_graph(openvino: Any, network: nn.Module, shapes: Sequence[Sequence[int]]) -> Any:
    """The graph of a network in eval mode, for inputs of these shapes.

    Parameters
    ----------
    openvino : module
        The package.
    network : torch.nn.Module
        It stays as it is, and the graph has a copy of its weights, in float32.
    shapes : sequence of shapes
        (B, C, Y, X) of each argument of the network.

    Returns
    -------
    openvino.Model

    Raises
    ------
    UnknownOperationError
        If the network does what is not known here.
    """
    opset = importlib.import_module("openvino.opset13")
    inputs = [opset.parameter(list(shape), np.float32) for shape in shapes]
    # a network of its own, because another run may be using this one: stages set statistics in their modules
    own = copy.deepcopy(network, {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())})
    with torch.no_grad():
        result = own(*(Symbol(opset, node.output(0)) for node in inputs))
    if not isinstance(result, Symbol):
        raise UnknownOperationError(f"a result of the type {type(result).__name__}")
    return openvino.Model([opset.result(result.output)], inputs, type(network).__name__)


class Symbol:
    """A value of a graph that has a shape and no numbers.

    Parameters
    ----------
    opset : module
        OpenVINO's functions that make operations.
    output : openvino.Output
        Of the operation that gives the value.
    """

    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self, opset: Any, output: Any) -> None:
        self.opset, self.output = opset, output

    @property
    def shape(self) -> torch.Size:
        """The sides."""
        return torch.Size(self.output.shape)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def dim(self) -> int:
        """How many axes there are."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """The sides, or one of them."""
        return self.shape if dim is None else self.shape[dim]

    def reshape(self, *shape: Any) -> Symbol:
        """The same values in another shape."""
        sides = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self.then("reshape", np.array(sides, np.int64), special_zero=False)

    def then(self, operation: str, *arguments: Any, **attributes: Any) -> Symbol:
        """What one of OpenVINO's operations makes of this value."""
        known = [self.constant(a) if isinstance(a, np.ndarray) else a for a in arguments]
        node = getattr(self.opset, operation)(self.output, *known, **attributes)
        return Symbol(self.opset, node.output(0))

    def constant(self, values: np.ndarray) -> Any:
        """A copy of values, for the graph."""
        return self.opset.constant(values, shared_memory=False)

    def operand(self, value: Symbol | torch.Tensor | float | None) -> Any:
        """What stands beside this value in an operation: another one, a tensor of the network, a number."""
        if isinstance(value, Symbol):
            return value.output
        if isinstance(value, torch.Tensor):
            return self.constant(value.detach().cpu().float().numpy())
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.constant(np.array(value, np.float32))
        raise UnknownOperationError(f"an operand of the type {type(value).__name__}")

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Symbol:
        """Note what torch was to do with symbols."""
        name = getattr(function, "__name__", str(function))
        if name not in OPERATIONS:
            raise UnknownOperationError(f"the operation {name!r}")
        try:
            return OPERATIONS[name](*args, **(kwargs or {}))
        except TypeError as error:  # arguments of torch's that the function here does not have
            raise UnknownOperationError(f"the operation {name!r} with other arguments ({error})") from error

    def __getitem__(self, key: Any) -> Symbol:
        """A part of every axis, by slices."""
        keys: list[slice | EllipsisType] = list(key) if isinstance(key, tuple) else [key]
        if not all(isinstance(k, slice) or k is ... for k in keys):
            raise UnknownOperationError(f"the index {key!r}")
        if ... in keys:
            place = keys.index(...)
            keys[place : place + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        parts = [k.indices(side) for k, side in zip(keys, self.shape, strict=False) if isinstance(k, slice)]
        start, stop, step = (np.array(column, np.int64) for column in zip(*parts, strict=True))
        return self.then("slice", start, stop, step)

    def __add__(self, other: Any) -> Symbol:
        """Sum."""
        return self.then("add", self.operand(other))

    def __sub__(self, other: Any) -> Symbol:
        """Difference."""
        return self.then("subtract", self.operand(other))

    def __mul__(self, other: Any) -> Symbol:
        """Product."""
        return self.then("multiply", self.operand(other))

    def __truediv__(self, other: Any) -> Symbol:
        """Quotient."""
        return self.then("divide", self.operand(other))

    def __rsub__(self, other: Any) -> Symbol:
        """Difference."""
        return self.then("multiply", self.operand(-1)).then("add", self.operand(other))

    __radd__, __rmul__ = __add__, __mul__

    def _refuse(self, *_: object) -> NoReturn:
        raise UnknownOperationError("in-place arithmetic, or a decision that depends on the image")

    # without these Python would make a new value of the first, where torch changes one that others hold, too
    __iadd__ = __isub__ = __imul__ = __itruediv__ = __setitem__ = _refuse
    # and without these it would compare two symbols by their identity, and take any for true
    __bool__ = __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = _refuse
    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse what a tensor has and a symbol has not."""
        if name.startswith("__"):  # Python's own questions
            raise AttributeError(name)
        raise UnknownOperationError(f"the operation {name!r}")


def _conv2d(
    x: Symbol,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Symbol:
    if isinstance(padding, str) or groups != 1:
        raise UnknownOperationError(f"a convolution with {padding=} and {groups=}")
    pads = _pair(padding)
    out = x.then("convolution", x.operand(weight), _pair(stride), pads, pads, _pair(dilation))
    return _add_bias(out, bias)


def _conv_transpose2d(
    x: Symbol,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Symbol:
    if groups != 1:
        raise UnknownOperationError(f"a transposed convolution with {groups=}")
    out = x.then(
        "convolution_backprop_data",
        x.operand(weight),
        _pair(stride),
        pads_begin=_pair(padding),
        pads_end=_pair(padding),
        dilations=_pair(dilation),
        output_padding=_pair(output_padding),
    )
    return _add_bias(out, bias)


def _add_bias(x: Symbol, bias: torch.Tensor | None) -> Symbol:
    return x if bias is None else x + bias.reshape(1, -1, 1, 1)


def _batch_norm(
    x: Symbol,
    mean: torch.Tensor | None,
    variance: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Symbol:
    if training or mean is None or variance is None:
        raise UnknownOperationError("batch normalisation in training")
    gamma = torch.ones_like(mean) if weight is None else weight
    beta = torch.zeros_like(mean) if bias is None else bias
    return x.then("batch_norm_inference", *(x.operand(t) for t in (gamma, beta, mean, variance)), eps)


def _instance_norm(
    x: Symbol,
    running_mean: torch.Tensor | None = None,
    running_var: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Symbol:
    if not use_input_stats:
        raise UnknownOperationError("instance normalisation with statistics of the training")
    out = x.then("mvn", np.array([2, 3], np.int64), True, eps, "inside_sqrt")
    out = out if weight is None else out * weight.reshape(1, -1, 1, 1)
    return _add_bias(out, bias)


def _max_pool2d(
    x: Symbol,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Symbol:
    if ceil_mode or return_indices:
        raise UnknownOperationError(f"pooling with {ceil_mode=} and {return_indices=}")
    pads, size = _pair(padding), _pair(kernel_size)
    return x.then("max_pool", _pair(stride) if stride else size, _pair(dilation), pads, pads, size)


def _avg_pool2d(
    x: Symbol,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Symbol:
    if ceil_mode or divisor_override is not None:
        raise UnknownOperationError(f"pooling with {ceil_mode=} and {divisor_override=}")
    pads, size = _pair(padding), _pair(kernel_size)
    return x.then("avg_pool", _pair(stride) if stride else size, pads, pads, size, not count_include_pad)


def _interpolate(
    x: Symbol,
    size: Pair | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Symbol:
    if mode not in ("nearest", "bilinear") or align_corners or antialias:
        raise UnknownOperationError(f"interpolation with {mode=}, {align_corners=} and {antialias=}")
    sides: np.ndarray
    if size is not None:
        sides = np.array(_pair(size), np.int64)
    else:  # by the factor, so that the graph holds for images of other sizes, too
        factors = scale_factor if not isinstance(scale_factor, int | float) else (scale_factor,) * 2
        if factors is None or any(factor != int(factor) for factor in factors):
            raise UnknownOperationError(f"interpolation by {scale_factor}")  # torch samples by the factor itself
        sides = np.array(factors, np.float32)
    # nearest: torch takes floor(place / factor); bilinear: pixels are squares, and their centres are what is known
    nearest = mode == "nearest"
    return x.then(
        "interpolate",
        sides,
        "nearest" if nearest else "linear_onnx",
        "sizes" if size is not None else "scales",
        coordinate_transformation_mode="asymmetric" if nearest else "half_pixel",
        nearest_mode="floor",
        axes=x.constant(np.array([2, 3], np.int64)),
    )


def _pad(x: Symbol, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Symbol:
    if mode not in ("constant", "reflect"):
        raise UnknownOperationError(f"padding with {mode=}")
    before, after = [0] * x.ndim, [0] * x.ndim
    for number, (low, high) in enumerate(zip(pad[::2], pad[1::2], strict=True)):  # torch begins at the last axis
        before[x.ndim - 1 - number], after[x.ndim - 1 - number] = low, high
    fill = x.operand(float(value or 0)) if mode == "constant" else None
    return x.then("pad", np.array(before, np.int64), np.array(after, np.int64), mode, fill)


def _relu(x: Symbol, inplace: bool = False) -> Symbol:
    _not_in_place(inplace)
    return x.then("relu")


def _leaky_relu(x: Symbol, negative_slope: float = 0.01, inplace: bool = False) -> Symbol:
    _not_in_place(inplace)
    return x.then("prelu", x.operand(negative_slope))


def _elu(x: Symbol, alpha: float = 1.0, inplace: bool = False) -> Symbol:
    _not_in_place(inplace)
    return x.then("elu", alpha)


def _silu(x: Symbol, inplace: bool = False) -> Symbol:
    _not_in_place(inplace)
    return x.then("swish")


def _gelu(x: Symbol, approximate: str = "none") -> Symbol:
    return x.then("gelu", "tanh" if approximate == "tanh" else "erf")


def _dropout(x: Symbol, p: float = 0.5, training: bool = True, inplace: bool = False) -> Symbol:
    if training:
        raise UnknownOperationError("dropout in training")
    return x


def _cat(tensors: Sequence[Any], dim: int = 0) -> Symbol:
    first = next(t for t in tensors if isinstance(t, Symbol))
    node = first.opset.concat([first.operand(t) for t in tensors], dim)
    return Symbol(first.opset, node.output(0))


def _stack(tensors: Sequence[Symbol], dim: int = 0) -> Symbol:
    if dim < 0 or not all(isinstance(t, Symbol) for t in tensors):
        raise UnknownOperationError(f"stacking with {dim=}, or of what is no image")
    return _cat([t.reshape(*t.shape[:dim], 1, *t.shape[dim:]) for t in tensors], dim)


def _pair(value: Any) -> list[int]:
    sides = list(value) if not isinstance(value, int) else [value, value]
    return [int(side) for side in (sides * 2 if len(sides) == 1 else sides)]


def _not_in_place(inplace: bool) -> None:
    if inplace:
        raise UnknownOperationError("an activation in place")


# by the names of torch's functions, with the arguments that these take
OPERATIONS: dict[str, Callable[..., Symbol]] = {
    "add": lambda input, other: input + other if isinstance(input, Symbol) else other + input,
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "cat": _cat,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "dropout": _dropout,
    "elu": _elu,
    "gelu": _gelu,
    "instance_norm": _instance_norm,
    "interpolate": _interpolate,
    "leaky_relu": _leaky_relu,
    "max_pool2d": _max_pool2d,
    "mul": lambda input, other: input * other if isinstance(input, Symbol) else other * input,
    "pad": _pad,
    "relu": _relu,
    "sigmoid": lambda input: input.then("sigmoid"),
    "silu": _silu,
    "stack": _stack,
    "tanh": lambda input: input.then("tanh"),
}
