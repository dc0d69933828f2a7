"""ONNX Runtime, or OpenVINO where that alone is installed, for networks that are ONNX graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.errors import InputError
from napari_hush.inference.engines.at_once import AtOnce
from napari_hush.inference.engines.process import PROCESS, raise_if_out_of_memory
from napari_hush.networks.onnx_network import ONNXNetwork, runtime

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


class ONNXEngine(AtOnce):
    """What runs an imported ONNX graph as it is; it runs nothing else."""

    name = "onnx"
    device = "cpu"
    precision = "float32"

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32") -> None:
        if not isinstance(network, ONNXNetwork):
            raise InputError("the onnx engine runs imported ONNX networks alone: use engine='auto'")
        self._network = network

    @classmethod
    def refusal(cls, device: str, precision: str) -> str:
        """It wants a CPU, float32, and a program that runs ONNX."""
        if device != "cpu":
            return f"ONNX networks run on the CPU, got device {device!r}: use device='cpu'"
        if precision == "bfloat16":
            return "ONNX networks run in the numbers that they were exported with: use precision='auto'"
        if not runtime():
            return 'ONNX networks need a program that runs them: pip install "napari-hush[onnx]"'
        return "" if runtime() != "OpenVINO" else PROCESS.openvino_refusal

    @classmethod
    def suits(cls, network: nn.Module, precision: str, pixels: int | None) -> bool:
        """For ONNX graphs alone."""
        return isinstance(network, ONNXNetwork)

    @classmethod
    def best_precision(cls, device: str) -> str:
        """Float32."""
        return "float32"

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X) to float32 (B, C, Y, X)."""
        if runtime() == "OpenVINO":
            PROCESS.check_openvino()
            PROCESS.openvino_used = True
        try:
            return self._network.run(inputs[0])
        except InputError:
            raise
        except Exception as error:  # onnxruntime's errors have no common base
            raise_if_out_of_memory(error)
            raise

    def another(self, network: nn.Module) -> ONNXEngine:
        """An engine for another network."""
        return ONNXEngine(network)

    def close(self) -> None:
        """Nothing: the network keeps its session, which the next run needs."""
