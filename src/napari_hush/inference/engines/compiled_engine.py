"""The network as torch.compile makes it faster on a GPU, for work that lasts longer than the compiling."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import torch

from napari_hush.inference.engines.devices import is_cuda
from napari_hush.inference.engines.torch_engine import TorchEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


class CompiledEngine(TorchEngine):
    """The network through torch.compile, once for each tile size; as it is where that fails, which the record says."""

    name = "compiled"

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32") -> None:
        super().__init__(network, device, precision)
        self.failed = ""

    @classmethod
    def refusal(cls, device: str, precision: str) -> str:
        """It wants CUDA, and triton, which writes the code."""
        if not is_cuda(device):
            return f"the compiled engine runs on GPUs of CUDA, got device {device!r}: use engine='auto'"
        if sys.platform == "win32" or importlib.util.find_spec("triton") is None:
            return "the compiled engine needs triton, which is not installed with this torch: use engine='torch'"
        return ""

    @classmethod
    def suits(cls, network: nn.Module, precision: str, pixels: int | None) -> bool:
        """Never by itself: compiling takes a minute, and how much that brings was not measured."""
        return False

    @property
    def notes(self) -> dict[str, Any]:
        """Whether it was compiled, or why not."""
        return super().notes | {"compiled": f"not compiled: {self.failed}" if self.failed else True}

    def _prepared(self, network: nn.Module) -> Callable[..., torch.Tensor]:
        compiled = torch.compile(network, dynamic=False)

        def run(*tensors: torch.Tensor) -> torch.Tensor:
            if not self.failed:
                try:
                    out: torch.Tensor = compiled(*tensors)
                    return out
                except torch.OutOfMemoryError:
                    raise
                except Exception as error:  # of the compilers, which have no common base
                    self.failed = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
            out = network(*tensors)
            return out

        return run
