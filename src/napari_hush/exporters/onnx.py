"""ONNX: the network as one graph for ONNX Runtime, DirectML, TensorRT and others, for images of any size."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_hush.card import HEADER_KEY
from napari_hush.errors import InputError
from napari_hush.exporters.describe import explain_companions, explain_rule, make_header
from napari_hush.files import atomic_write
from napari_hush.networks.onnx_network import ONNXNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_hush.model import Model

OPSET = 18
IR_VERSION = 8  # came with opset 18 in ONNX 1.13; ONNX Runtime reads both since 1.14
INPUT, OUTPUT = "noisy", "denoised"
TOLERANCE = 1e-5  # of the largest output, between ONNX Runtime and torch in float64
MAX_BYTES = 2_000_000_000  # of one protobuf message
TRACED_SIDE = 32  # px, at least


def export_onnx(model: Model, path: Path) -> None:
    """Write a model as one ``.onnx`` file, weights included.

    Parameters
    ----------
    model : Model
        Any; a network with instance normalisation takes its statistics from the whole of what it is given.
    path : Path
        The file to write.

    Raises
    ------
    InputError
        If onnx or onnxscript is not installed, or the model is too large for one file.
    """
    atomic_write(path, to_onnx(model))


def to_onnx(model: Model) -> bytes:
    """The bytes of an ONNX model that was checked, and compared with torch where ONNX Runtime is installed.

    The input "noisy" and the output "denoised" are float32 (B, C, Y, X) in normalised units. B is free, Y and X are
    any multiples of the network's stride. The model's whole header is in the metadata.

    Raises
    ------
    InputError
        If onnx or onnxscript is not installed, or the model is too large for one file.
    """
    require("onnx", "onnx", "onnxscript")
    if (size := 4 * model.n_parameters) > MAX_BYTES:
        raise InputError(
            f"the weights take {size:,} bytes, an ONNX file holds at most {MAX_BYTES:,}: save .safetensors"
        )
    onnx = importlib.import_module("onnx")
    network = copy.deepcopy(model.network).cpu().float()
    if isinstance(network, ONNXNetwork):  # it is one
        proto = onnx.load_model_from_string(network.content)
    else:
        proto = _trace(network, model)
        _strip(proto.graph)
        proto.ir_version = IR_VERSION
    proto.doc_string = _explain(model)
    onnx.helper.set_model_props(
        proto,
        {HEADER_KEY: make_header(model).model_dump_json(), "stride": str(model.stride), "halo": str(model.halo)},
    )
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString()
    if importlib.util.find_spec("onnxruntime") and not isinstance(network, ONNXNetwork):
        _compare(network, content, model)
    return content


def require(extra: str, *modules: str) -> None:
    """Check that the modules of an extra are installed.

    Raises
    ------
    InputError
        If not, with the command that installs them.
    """
    missing = [name for name in modules if not _is_installed(name)]
    if missing:
        raise InputError(f'{" and ".join(missing)} not installed: pip install "napari-hush[{extra}]"')


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def _trace(network: torch.nn.Module, model: Model) -> Any:
    stride = model.stride
    side = -(-TRACED_SIDE // stride) * stride
    example = torch.zeros(2, model.in_channels, side + stride, side + 2 * stride)
    if stride == 1:
        y, x = torch.export.Dim("y"), torch.export.Dim("x")
    else:
        y, x = stride * torch.export.Dim("y_blocks"), stride * torch.export.Dim("x_blocks")
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch"), 2: y, 3: x},),
            verbose=False,
        )
        return program.model_proto  # type: ignore[union-attr]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says of its own parts; its errors are exceptions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(graph: Any) -> None:
    """Remove the notes of the exporter, which name the folders of this machine."""
    graph.ClearField("value_info")
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")


def _explain(model: Model) -> str:
    whole = " Give it whole images: its normalisation takes statistics of what it is given." if model.staged else ""
    beside = explain_companions(model)
    return (
        f"{model.card.name}: {model.card.description}\n"
        f"Input {INPUT!r} (batch, {model.in_channels}, Y, X), output {OUTPUT!r} (batch, {model.out_channels}, Y, X), "
        f"float32; Y and X multiples of {model.stride} px.{whole}\n"
        f"Values must be normalised: {explain_rule(model.normalization)}" + (f"\n{beside}" if beside else "")
    )


def _compare(network: torch.nn.Module, content: bytes, model: Model) -> None:
    """Run both on noise; the copy of the network becomes float64."""
    runtime = importlib.import_module("onnxruntime")
    side = -(-2 * TRACED_SIDE // model.stride) * model.stride
    low, high = model.normalization.target
    shape = (1, model.in_channels, side, side + model.stride)
    image = np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run([OUTPUT], {INPUT: image})[0]
    with torch.inference_mode():
        rounded = network(torch.from_numpy(image)).numpy()
        exact = network.double()(torch.from_numpy(image).double()).numpy()
    largest = float(np.abs(exact).max())
    # instance normalisation of almost constant channels magnifies rounding: torch's own float32 was 2e-5 off
    allowed = max(TOLERANCE * largest, 4 * float(np.abs(rounded - exact).max()))
    difference = float(np.abs(found - exact).max())
    if not difference <= allowed:
        raise RuntimeError(
            f"ONNX Runtime's result is {difference:.2g} off torch's, whose largest value is {largest:.2g}; "
            "nothing was written; please report it with the versions of torch, onnxscript and onnxruntime"
        )
