"""What an ONNX file asks for, looked at before anything runs it: the file may come from an enemy.

An ONNX graph holds operations and no code, but it can name files elsewhere as its weights, operations of libraries that
are loaded for it, loops without end, and sizes that no memory holds.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 1 << 30
MAX_NODES = 20_000
MAX_FUNCTIONS = 200
MAX_DEPTH = 8  # of graphs inside of graphs
MAX_REACH = 4096  # px, of one operation
MAX_CHANNELS = 4096
MAX_VALUES = 1 << 28  # of one result, at the size that is looked at
LOOKED_AT = 64  # px
DOMAINS = ("", "ai.onnx")
ENDLESS = ("Loop", "Scan")
WINDOWS = ("kernel_shape", "pads", "strides", "dilations", "output_padding")
RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")
FLOATS = {1: "float32", 10: "float16", 11: "float64"}  # TensorProto's numbers


@dataclass(frozen=True)
class ONNXFile:
    """What is known of an ONNX network of one image to another.

    Parameters
    ----------
    content : bytes
        The file, with sides that are free.
    in_channels : int
        That it takes.
    channels_last : bool
        Whether images are (B, Y, X, C) instead of (B, C, Y, X).
    dtype : str
        Of the numbers that it takes.
    n_weights : int
        How many trained numbers it has.
    sides : tuple
        Y and X that the file itself states; None where it leaves them free.
    properties : dict
        The texts in its metadata.
    """

    content: bytes
    in_channels: int
    channels_last: bool
    dtype: str
    n_weights: int
    sides: tuple[int | None, int | None]
    properties: dict[str, str]


def examine(content: bytes) -> ONNXFile:
    """Look at a file that may be hostile; nothing of it is run.

    Raises
    ------
    InputError
        If onnx is not installed, or the file is damaged, unsafe, or no network of one image.
    """
    onnx = import_onnx()
    if len(content) > MAX_BYTES:
        raise InputError(f"{len(content):,} bytes, expected an ONNX network of at most {MAX_BYTES:,}")
    try:
        proto = onnx.load_model_from_string(content)  # opens no other file
    except Exception as error:  # protobuf's own, which it does not export
        raise InputError(f"a truncated or damaged ONNX file ({_line(error)}); get it again") from error
    if not proto.graph.node or not proto.opset_import:
        raise InputError("no ONNX network, or a damaged one: it has no operations; get it again")
    functions = {(function.domain, function.name) for function in proto.functions}
    _check_count(proto)
    for node in _nodes(proto):
        name = f"{node.domain}.{node.op_type}".lstrip(".")[:80]
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in functions:
            raise InputError(f"asks for the operation {name!r} of another library, expected those of ONNX alone")
        if node.op_type in ENDLESS:
            raise InputError(
                f"has a loop ({name}), which may never end; expected a network that is computed in one pass"
            )
        if node.op_type in RANDOM:
            raise InputError(
                f"draws random numbers ({name}): its result would differ each time; export it for inference"
            )
        if any(abs(n) > MAX_REACH for entry in node.attribute if entry.name in WINDOWS for n in entry.ints):
            raise InputError(
                f"has an operation ({name}) that reaches more than {MAX_REACH:,} px, far beyond a denoiser's"
            )
    n_weights = sum(_check_tensor(tensor, len(content)) for tensor in _tensors(proto))
    return _describe(proto, n_weights)


def import_onnx() -> Any:
    """The package.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise InputError('ONNX networks need onnx: pip install "napari-hush[onnx]"') from error


def count_live(content: bytes, shape: tuple[int, ...]) -> int:
    """The most channels at full resolution that are in memory at once, by the sizes of all results.

    Raises
    ------
    InputError
        If a result is larger than any network's.
    """
    onnx = import_onnx()
    proto = onnx.load_model_from_string(content)
    for dimension, side in zip(_image_input(proto).type.tensor_type.shape.dim, shape, strict=True):
        dimension.dim_value = side
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception as error:  # of its own kind, without a common base
        raise InputError(f"its operations do not fit each other ({_line(error)})") from error
    area = math.prod(sorted(shape)[-2:])
    sizes = {}
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        n_values = math.prod(max(d.dim_value, 1) for d in value.type.tensor_type.shape.dim)
        if n_values > MAX_VALUES:
            raise InputError(
                f"makes {n_values:,} values of an image of {shape} ({value.name[:40]!r}), far beyond a denoiser's"
            )
        sizes[value.name] = n_values / area
    last = {name: number for number, node in enumerate(inferred.graph.node) for name in node.input}
    live, most = 0.0, 1.0
    for number, node in enumerate(inferred.graph.node):
        live += sum(sizes.get(name, 0.0) for name in node.output)
        most = max(most, live)
        live -= sum(sizes.get(name, 0.0) for name in set(node.input) if last[name] == number)
    return math.ceil(2 * most)


def _describe(proto: Any, n_weights: int) -> ONNXFile:
    entry = _image_input(proto)
    if len(proto.graph.output) != 1:
        raise InputError(f"has {len(proto.graph.output)} outputs, expected one image")
    kind = entry.type.tensor_type
    if kind.elem_type not in FLOATS:
        raise InputError(f"takes no floats (type {kind.elem_type} of ONNX), expected images of float32")
    dims = kind.shape.dim
    if len(dims) != 4:
        what = "volumes" if len(dims) == 5 else f"arrays of {len(dims)} axes"
        raise InputError(f"takes {what}, expected images (batch, channels, Y, X)")
    first, last = dims[1].dim_value, dims[3].dim_value
    free_sides = not first and not dims[2].dim_value
    channels_last = bool(last) and (free_sides or last <= 4 < (first or 5))
    in_channels = last if channels_last else first
    if not 0 < in_channels <= MAX_CHANNELS:
        raise InputError("does not say how many channels it takes: export it with a fixed number of channels")
    free = (1, 2) if channels_last else (2, 3)
    sides = (dims[free[0]].dim_value or None, dims[free[1]].dim_value or None)
    for axis, name in zip(free, "yx", strict=True):
        dims[axis].dim_param = name
    dims[0].dim_param = "batch"
    if any(sides):  # what was inferred from them
        proto.graph.ClearField("value_info")
        for dimension in proto.graph.output[0].type.tensor_type.shape.dim:
            dimension.Clear()
    properties = {item.key: item.value for item in proto.metadata_props}
    content = proto.SerializeToString(deterministic=True)
    return ONNXFile(content, in_channels, channels_last, FLOATS[kind.elem_type], n_weights, sides, properties)


def _image_input(proto: Any) -> Any:
    weights = {tensor.name for tensor in proto.graph.initializer}
    entries = [entry for entry in proto.graph.input if entry.name not in weights]
    if len(entries) != 1:
        names = ", ".join(entry.name[:30] for entry in entries[:5])
        raise InputError(f"has {len(entries)} inputs ({names}), expected one image")
    return entries[0]


def _graphs(proto: Any) -> Iterator[Any]:
    """The graph, its functions, and all graphs inside of them."""
    return _inside(proto.graph, *proto.functions)


def _inside(*graphs: Any) -> Iterator[Any]:
    """Graphs, and all graphs inside of them."""
    pending = [(graph, 0) for graph in graphs]
    while pending:
        graph, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise InputError(f"has graphs inside of graphs, more than {MAX_DEPTH} deep")
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                inside = [attribute.g] if attribute.HasField("g") else []
                pending += [(g, depth + 1) for g in (*inside, *attribute.graphs)]


def _check_count(proto: Any) -> None:
    """Refuse more operations than a denoiser has, where functions are written out: each may call others twice."""
    if len(proto.functions) > MAX_FUNCTIONS:
        raise InputError(f"has {len(proto.functions):,} functions of its own, far beyond a denoiser's")
    counts: dict[tuple[str, str], int] = {}
    pending = {(function.domain, function.name): function for function in proto.functions}

    def count(graph: Any) -> int | None:
        """None where it calls a function that is not counted yet."""
        total = 0
        for inside in _inside(graph):
            for node in inside.node:
                name = (node.domain, node.op_type)
                if name in pending:
                    return None
                total = min(total + counts.get(name, 1), MAX_NODES + 1)
        return total

    while pending:
        found = {name: count(function) for name, function in pending.items()}
        known = {name: total for name, total in found.items() if total is not None}
        if not known:
            raise InputError("has functions that call each other, which would never end")
        counts |= known
        pending = {name: function for name, function in pending.items() if name not in known}
    if max(count(proto.graph) or 0, *counts.values(), sum(1 for _ in _nodes(proto))) > MAX_NODES:
        raise InputError(f"has more than {MAX_NODES:,} operations, far beyond a denoiser's")


def _nodes(proto: Any) -> Iterator[Any]:
    for graph in _graphs(proto):
        yield from graph.node


def _tensors(proto: Any) -> Iterator[Any]:
    for graph in _graphs(proto):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield from (sparse.values, sparse.indices)


def _check_tensor(tensor: Any, n_bytes: int) -> int:
    """How many numbers a tensor has, which must be in the file."""
    if tensor.external_data or tensor.data_location == 1:
        where = next((item.value for item in tensor.external_data if item.key == "location"), "another file")
        raise InputError(
            f"keeps weights in another file ({where[:80]!r}), which is not opened: export it as one file "
            "(onnx.save_model(..., save_as_external_data=False))"
        )
    if any(side < 0 for side in tensor.dims) or math.prod(tensor.dims) > 2 * n_bytes:
        raise InputError(f"has a tensor of shape {tuple(tensor.dims)[:6]}, larger than the file; get it again")
    return math.prod(tensor.dims) if tensor.dims else 1


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
