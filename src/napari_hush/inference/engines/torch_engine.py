"""The reference: the network itself, in eager torch."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from napari_hush.inference.engines.at_once import AtOnce
from napari_hush.inference.engines.copy_streams import CopyStreams
from napari_hush.inference.engines.devices import is_cuda
from napari_hush.inference.engines.exact_float32 import exact_float32
from napari_hush.inference.engines.process import PROCESS, raise_if_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    import numpy as np
    from torch import nn

    from napari_hush.inference.engines.at_once import Handle


class TorchEngine(AtOnce):
    """The network itself, in eager torch; on a GPU of CUDA two batches are on their way at a time."""

    name = "torch"

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32") -> None:
        self.device, self.precision = device, precision
        self.ahead = int(is_cuda(device))
        self._network = network
        self._copy: Callable[..., torch.Tensor] | None = None

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
        """Bfloat16 on GPUs that have it natively, float32 elsewhere: eager torch is no faster with it on processors."""
        native = is_cuda(device) and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if native else "float32"

    @property
    def notes(self) -> dict[str, Any]:
        """On CUDA, that float32 was not rounded to TF32."""
        return {"tf32": False} if is_cuda(self.device) else {}

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X) to float32 (B, C, Y, X)."""
        if is_cuda(self.device):
            return self.submit(*inputs).result()
        PROCESS.check_torch()
        try:
            out: np.ndarray = (
                self._compute([torch.from_numpy(i).to(place_of(self.device)) for i in inputs]).cpu().numpy()
            )
            return out
        except (torch.OutOfMemoryError, RuntimeError) as error:
            raise_if_out_of_memory(error)
            raise

    def submit(self, *inputs: np.ndarray) -> Handle:
        """Queue a batch on a GPU; elsewhere it is computed now.

        Raises
        ------
        MemoryError
            If it does not fit into memory beside the one before it.
        """
        if not is_cuda(self.device):
            return super().submit(*inputs)
        try:
            return streams_of(self.device).submit(inputs, self._compute)
        except torch.OutOfMemoryError as error:
            streams_of(self.device).forget()  # what was kept for this size is in the way of a smaller one
            raise_if_out_of_memory(error)
            raise
        except RuntimeError as error:
            raise_if_out_of_memory(error)
            raise

    def another(self, network: nn.Module) -> Self:
        """An engine of the same device and precision for another network."""
        return type(self)(network, self.device, self.precision)

    def close(self) -> None:
        """Drop the copy and empty the GPU's cache."""
        used, self._copy = self._copy is not None, None
        if used and is_cuda(self.device):
            streams_of(self.device).forget()
        elif self.device == "mps":
            torch.mps.empty_cache()

    def _compute(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Tensors (B, C, Y, X) on the device to one, float32 and contiguous."""
        place = place_of(self.device)
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        if self._copy is None:
            # a copy: the caller's network stays where it is, whatever else runs with it meanwhile
            network = copy.deepcopy(self._network)
            self._copy = self._prepared(network.to(device=place, memory_format=torch.channels_last))  # type: ignore[call-overload]
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(torch.autocast(place.type, dtype, enabled=dtype != torch.float32))
            if is_cuda(self.device):
                stack.enter_context(exact_float32())
            tensors = [one.to(memory_format=torch.channels_last) for one in inputs]
            return self._copy(*tensors).float().contiguous()

    def _prepared(self, network: nn.Module) -> Callable[..., torch.Tensor]:
        """What computes, of the network on its device."""
        return network


def place_of(device: str) -> torch.device:
    """Where tensors of a device lie."""
    return torch.device(device)


@cache
def streams_of(device: str) -> CopyStreams:
    """The streams of a GPU, which all engines of a process share."""
    return CopyStreams(place_of(device))
