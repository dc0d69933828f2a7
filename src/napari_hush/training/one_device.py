"""Training by one process on one device: what a training asks of Fabric, which several processes alone need."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
HALVES: dict[str, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class OneDevice:
    """Device and precision of the only process; its verbs are those of `lightning_fabric.Fabric`.

    Parameters
    ----------
    device : str
        As torch calls it.
    precision : {"32-true", "bf16-mixed", "16-mixed"}
        As Fabric calls it: mixed ones compute convolutions with 16 bits, and keep the weights with 32.
    """

    world_size = 1
    global_rank = 0

    def __init__(self, device: str, precision: Precision) -> None:
        self.device = torch.device(device)
        if precision == "16-mixed" and self.device.type == "cpu":
            warnings.warn("processors do not train in float16: bfloat16 is taken", UserWarning, stacklevel=2)
            precision = "bf16-mixed"
        self.precision: Precision = precision
        self._scaler = torch.amp.GradScaler(self.device.type) if precision == "16-mixed" else None

    def setup_module(self, network: nn.Module) -> nn.Module:
        """The network on the device, wrapped if it computes with fewer bits."""
        network = network.to(self.device)
        return Mixed(network, HALVES[self.precision]) if self.precision in HALVES else network

    def setup_optimizers(self, optimizer: torch.optim.Optimizer) -> Any:
        """The optimiser; its step leaves out gradients that overflowed in float16."""
        return optimizer if self._scaler is None else _Scaled(optimizer, self._scaler)

    def backward(self, loss: torch.Tensor) -> None:
        """Add gradients to the parameters, scaled for float16."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    def clip_gradients(
        self, network: nn.Module, optimizer: Any, *, max_norm: float, error_if_nonfinite: bool = True
    ) -> None:
        """Bring the gradients of an optimiser to a norm of at most ``max_norm``."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer.optimizer)
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        nn.utils.clip_grad_norm_(parameters, max_norm, error_if_nonfinite=error_if_nonfinite)

    def state_dict(self) -> dict[str, Any]:
        """The scale for float16, which the next step depends on."""
        return {} if self._scaler is None else self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was taken."""
        if self._scaler is not None:
            self._scaler.load_state_dict(state)


class Mixed(nn.Module):
    """A network that computes with 16 bits where torch's autocast does, and gives float32."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Call the network."""
        with torch.autocast(inputs[0].device.type, dtype=self.dtype):
            output = self.module(*(one.to(self.dtype) for one in inputs))
        return output.float()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


class _Scaled:
    """An optimiser whose gradients were scaled."""

    def __init__(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        self.optimizer, self._scaler = optimizer, scaler

    def step(self) -> None:
        """Unscale the gradients, and take the step if they are finite."""
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.optimizer, name)


def precision_of(fabric: Fabric | OneDevice) -> Any:
    """What knows the ``precision`` of a training, and has a state of its own."""
    return fabric if isinstance(fabric, OneDevice) else fabric.strategy.precision
