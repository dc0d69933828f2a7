"""OpenVINO on the CPU."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.inference.engines.at_once import AtOnce
from napari_hush.inference.engines.kept_graphs import has_graph, keep_graph, read_graph
from napari_hush.inference.engines.process import PROCESS, raise_if_out_of_memory
from napari_hush.inference.kept_network import KeptNetwork, whole_network
from napari_hush.threads import thread_count

if TYPE_CHECKING:
    from torch import nn

SMALL = 500_000  # pixels; below, building OpenVINO's graph takes longer than it saves
TINY = 16_384  # pixels; the same of a graph that is kept from one process to the next


class OpenVINOEngine(AtOnce):
    """OpenVINO on the CPU; the graph comes straight from torch, or from the cache, one for each tile size."""

    name = "openvino"
    device = "cpu"

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32") -> None:
        self.precision = precision
        self._network = network
        self._graphs: dict[tuple[tuple[int, ...], ...], Any] = {}
        self._lock = threading.Lock()  # of several threads with one engine; each engine has its own graphs and memory

    @classmethod
    def refusal(cls, device: str, precision: str) -> str:
        """It wants a CPU, its package, and a process of its own."""
        if device != "cpu":
            return f"the openvino engine runs on the CPU, got device {device!r}: use engine='torch'"
        if not has_openvino():
            return "openvino is not installed: pip install 'napari-hush[fast]', or use engine='torch'"
        if precision == "bfloat16" and not native_bfloat16():
            return "this processor does not compute bfloat16: use precision='float32' (or engine='torch', slow)"
        return PROCESS.openvino_refusal

    @classmethod
    def suits(cls, network: nn.Module, precision: str, pixels: int | None) -> bool:
        """Not where building its graphs takes longer than they save, nor for networks that it does not know."""
        stands: Any = network
        kept = isinstance(stands, KeptNetwork)
        small = pixels is not None and pixels < (TINY if kept else SMALL)
        # in pieces, each of them a graph of its own, openvino gains nothing in float32
        slow = (small or (hasattr(network, "stages") and not native_bfloat16())) and precision != "bfloat16"
        return not slow and ((kept and has_graph(stands.key)) or _knows(network))

    @classmethod
    def best_precision(cls, device: str) -> str:
        """Bfloat16 where the processor has it."""
        return "bfloat16" if native_bfloat16() else "float32"

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X) to float32 (B, C, Y, X)."""
        PROCESS.check_openvino()
        shapes = tuple(array.shape for array in inputs)
        try:
            with self._lock:
                if shapes not in self._graphs:
                    self._graphs.clear()  # each graph keeps its own working memory
                    self._graphs[shapes] = self._compile(shapes)
                request = self._graphs[shapes]
                result = request.infer([np.ascontiguousarray(array) for array in inputs], share_inputs=True)[0]
                return np.array(result, dtype=np.float32)
        except RuntimeError as error:
            raise_if_out_of_memory(error)
            raise

    def another(self, network: nn.Module) -> OpenVINOEngine:
        """An engine of the same precision for another network."""
        return OpenVINOEngine(network, self.device, self.precision)

    def close(self) -> None:
        """Drop the compiled graphs."""
        self._graphs.clear()

    def _compile(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        graph = self._graph(shapes)
        PROCESS.openvino_used = True
        hint = {"float32": "f32", "bfloat16": "bf16"}[self.precision]
        # pinned to cores, the threads of processes side by side would all be pinned to the same ones
        options = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": thread_count(),
            "ENABLE_CPU_PINNING": False,
        }
        request = _openvino_core().compile_model(graph, "CPU", options).create_infer_request()
        PROCESS.undying.add(request)
        return request

    def _graph(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        network: Any = self._network
        if not isinstance(network, KeptNetwork):
            return _built(network, shapes)
        found = read_graph(_openvino_core(), network.key, shapes)
        if found is not None:
            return found
        build = partial(_built, network.whole)
        return keep_graph(_openvino(), network.key, shapes, build, stride=network.stride)


def has_openvino() -> bool:
    """Whether the ``fast`` extra is installed."""
    return importlib.util.find_spec("openvino") is not None


@cache
def native_bfloat16() -> bool:
    """Whether OpenVINO finds bfloat16 arithmetic in this processor."""
    return has_openvino() and "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _openvino() -> Any:
    with PROCESS.lock:
        return _import_openvino()


@cache
def _import_openvino() -> Any:
    # openvino reports its import over the network, unless its reporter is not installed
    reporter = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules["openvino_telemetry"]
        if reporter is not None:
            sys.modules["openvino_telemetry"] = reporter


def _openvino_core() -> Any:
    with PROCESS.lock:
        return _make_core()


@cache
def _make_core() -> Any:
    core = _openvino().Core()
    PROCESS.undying.add(core)
    return core


def _built(network: nn.Module, shapes: tuple[tuple[int, ...], ...]) -> Any:
    from napari_hush.inference.engines.openvino_graph import UnknownOperationError, build_graph  # they import torch

    try:
        return build_graph(_openvino(), network, shapes)
    except UnknownOperationError as error:
        raise InputError(f"OpenVINO does not run this network, because of {error}: use engine='torch'") from error


def _knows(network: nn.Module) -> bool:
    """Whether every operation of a network has its counterpart."""
    from napari_hush.inference.engines.openvino_graph import UnknownOperationError, build_graph  # they import torch

    network = whole_network(network)
    side = max(16, int(getattr(network, "stride", 1)))
    try:
        build_graph(_openvino(), network, [(1, int(getattr(network, "in_channels", 1)), side, side)])
    except UnknownOperationError:
        return False
    return True
