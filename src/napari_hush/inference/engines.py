"""What runs a network on a batch of tiles: torch, the reference everywhere, or OpenVINO, faster on CPUs."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import nn

from napari_hush.errors import InputError
from napari_hush.inference.settings import ENGINES

if TYPE_CHECKING:
    from napari_hush.inference.settings import Device, Precision


class Engine(Protocol):
    """Runs a network, or a piece of one, on batches of tiles.

    Attributes
    ----------
    name, device, precision : str
        For a person: what runs, where, and with which numbers.
    """

    name: str
    device: str
    precision: str

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X), one array for each argument of the network, to float32 (B, C, Y, X).

        Raises
        ------
        MemoryError
            If the batch does not fit into memory; a smaller one may.
        """
        ...

    def another(self, network: nn.Module) -> Engine:
        """An engine of the same kind, device and precision for another network."""
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


class TorchEngine:
    """The network itself, in eager torch."""

    name = "torch"

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32") -> None:
        self.device, self.precision = device, precision
        self._network = network
        self._copy: nn.Module | None = None

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X) to float32 (B, C, Y, X)."""
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        try:
            if self._copy is None:
                # a copy: the caller's network stays where it is, whatever else runs with it meanwhile
                network = copy.deepcopy(self._network)
                self._copy = network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.inference_mode(), torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
                tensors = [torch.from_numpy(i).to(self.device, memory_format=torch.channels_last) for i in inputs]
                out: np.ndarray = self._copy(*tensors).float().cpu().numpy()
                return out
        except (torch.OutOfMemoryError, RuntimeError) as error:
            _raise_if_out_of_memory(error)
            raise

    def another(self, network: nn.Module) -> TorchEngine:
        """An engine of the same device and precision for another network."""
        return TorchEngine(network, self.device, self.precision)

    def close(self) -> None:
        """Drop the copy and empty the GPU's cache."""
        self._copy = None
        if self.device == "cuda":
            torch.cuda.empty_cache()
        elif self.device == "mps":
            torch.mps.empty_cache()


class OpenVINOEngine:
    """OpenVINO on the CPU; the graph comes straight from torch, one for each tile size."""

    name = "openvino"
    device = "cpu"

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32") -> None:
        self.precision = precision
        self._network = network
        self._graphs: dict[tuple[tuple[int, ...], ...], Any] = {}

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X) to float32 (B, C, Y, X)."""
        shapes = tuple(array.shape for array in inputs)
        try:
            if shapes not in self._graphs:
                self._graphs.clear()  # each graph keeps its own working memory
                self._graphs[shapes] = self._compile(shapes)
            result = self._graphs[shapes]([np.ascontiguousarray(array) for array in inputs])[0]
            return np.array(result, dtype=np.float32)
        except RuntimeError as error:
            _raise_if_out_of_memory(error)
            raise

    def another(self, network: nn.Module) -> OpenVINOEngine:
        """An engine of the same precision for another network."""
        return OpenVINOEngine(network, self.device, self.precision)

    def close(self) -> None:
        """Drop the compiled graphs."""
        self._graphs.clear()

    def _compile(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        openvino = _openvino()
        # a small stand-in for images; what has one value per channel keeps its shape
        side = max(EXAMPLE_SIDE, int(getattr(self._network, "stride", 1)))
        examples = [torch.zeros(shape if shape[2:] == (1, 1) else (1, shape[1], side, side)) for shape in shapes]
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # openvino traces the network, which torch discourages
            # a copy: tracing runs the network, which another run may be using
            graph = openvino.convert_model(copy.deepcopy(self._network), example_input=tuple(examples))
        graph.reshape({number: list(shape) for number, shape in enumerate(shapes)})
        hint = {"float32": "f32", "bfloat16": "bf16"}[self.precision]
        options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        return _openvino_core().compile_model(graph, "CPU", options)


EXAMPLE_SIDE = 16  # px of the image that openvino traces a network with, which it does three times
SMALL = 500_000  # pixels; below, building OpenVINO's graph takes longer than it saves


def choose_engine(
    network: nn.Module,
    *,
    device: Device = "auto",
    engine: str = "auto",
    precision: Precision = "auto",
    pixels: int | None = None,
) -> Engine:
    """The fastest engine for a network on this machine.

    Parameters
    ----------
    network : torch.nn.Module
        In eval mode.
    device : {"auto", "cpu", "cuda", "mps"}
        ``auto`` takes CUDA, then Apple's MPS, then the CPU.
    engine : str
        ``auto`` takes OpenVINO on a CPU where it is installed and the work is not small, torch elsewhere.
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` takes bfloat16 with OpenVINO on processors that compute it natively, float32 elsewhere.
    pixels : int, optional
        How much there is to do; not given, it counts as much.

    Raises
    ------
    InputError
        If what was asked for is not on this machine.
    """
    here = available_devices()
    if device == "auto":
        device = here[0]
    elif device not in here:
        raise InputError(f"device {device!r} is not available: this machine and this torch offer {', '.join(here)}")
    if engine == "auto":
        small = pixels is not None and pixels < SMALL
        # in pieces, each of them a graph of its own, openvino gains nothing in float32
        slow = (small or (hasattr(network, "stages") and not native_bfloat16())) and precision != "bfloat16"
        engine = "openvino" if device == "cpu" and has_openvino() and not slow else "torch"
    elif engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}: expected auto, {' or '.join(ENGINES)}")
    elif engine == "openvino" and device != "cpu":
        raise InputError(f"the openvino engine runs on the CPU, got device {device!r}: use engine='torch'")
    elif engine == "openvino" and not has_openvino():
        raise InputError("openvino is not installed: 'pip install napari-hush[fast]', or use engine='torch'")
    if precision == "auto":
        precision = "bfloat16" if engine == "openvino" and native_bfloat16() else "float32"
    elif precision not in ("float32", "bfloat16"):
        raise InputError(f"unknown precision {precision!r}: expected auto, float32 or bfloat16")
    elif precision == "bfloat16" and engine == "openvino" and not native_bfloat16():
        raise InputError("this processor does not compute bfloat16: use precision='float32' (or engine='torch', slow)")
    return ENGINES[engine](network, device, precision)


def available_devices() -> list[Literal["cuda", "mps", "cpu"]]:
    """The devices of this machine, fastest first."""
    devices: list[Literal["cuda", "mps", "cpu"]] = ["cpu"]
    if torch.backends.mps.is_available():
        devices.insert(0, "mps")
    if torch.cuda.is_available():
        devices.insert(0, "cuda")
    return devices


def has_openvino() -> bool:
    """Whether the ``fast`` extra is installed."""
    return importlib.util.find_spec("openvino") is not None


@cache
def native_bfloat16() -> bool:
    """Whether OpenVINO finds bfloat16 arithmetic in this processor."""
    return has_openvino() and "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _openvino() -> Any:
    # openvino reports its import and each conversion over the network, unless its reporter is not installed
    reporter = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules["openvino_telemetry"]
        if reporter is not None:
            sys.modules["openvino_telemetry"] = reporter


@cache
def _openvino_core() -> Any:
    return _openvino().Core()


def _raise_if_out_of_memory(error: Exception) -> None:
    text = str(error).lower()
    signs = (
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "bad_alloc",
        "bad alloc",
        "failed to allocate",
    )
    if isinstance(error, torch.OutOfMemoryError) or any(sign in text for sign in signs):
        raise MemoryError(str(error).splitlines()[0]) from error
