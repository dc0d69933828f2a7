"""The reference: the network itself, in eager torch."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from napari_hush.inference.engines.process import PROCESS, raise_if_out_of_memory

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


class TorchEngine:
    """The network itself, in eager torch."""

    name = "torch"

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32") -> None:
        self.device, self.precision = device, precision
        self._network = network
        self._copy: nn.Module | None = None

    @classmethod
    def refusal(cls, device: str, precision: str) -> str:
        """It runs everywhere."""
        return ""

    @classmethod
    def suits(cls, network: nn.Module, precision: str, pixels: int | None) -> bool:
        """It runs every network."""
        return True

    @classmethod
    def best_precision(cls, device: str) -> str:
        """Float32: in eager torch bfloat16 is no faster on most processors."""
        return "float32"

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X) to float32 (B, C, Y, X)."""
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        PROCESS.check_torch()
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
            raise_if_out_of_memory(error)
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
