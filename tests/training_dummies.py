"""A network and a method that a test adds, each as one line of a registry would."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import nn

from napari_hush.declare import Bounds
from napari_hush.networks import NETWORKS
from napari_hush.training.methods.method import Method
from napari_hush.training.methods.registry import METHODS, MethodEntry
from napari_hush.training.settings import Network, TrainSettings


class DummyNetwork(nn.Module):
    """One convolution that begins as the identity, for values from -2 to 2."""

    value_range = (-2.0, 2.0)
    initial_weights = "own"
    smallest = 20
    stride, halo, live_channels = 4, 4, 2

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        nn.init.dirac_(self.conv.weight)
        nn.init.constant_(self.conv.bias, 0.0)
        self.conv.weight.data.mul_(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, Y, X) to the same shape."""
        out: torch.Tensor = self.conv(x)
        return out


@dataclass(frozen=True, kw_only=True)
class DummySettings(TrainSettings):
    """A dummy.

    Parameters
    ----------
    pull : float
        How strongly the output is pulled to the mean of the patch.
    """

    network: Network = "dummy"
    pull: Annotated[float, Bounds(0, 3)] = 0.5


class DummyMethod(Method):
    """Pulls the output to the mean of the patch."""

    patch_stride = 12

    def step(self, batch: Any, number: int) -> dict[str, torch.Tensor]:
        """One update of the denoiser."""
        output = self.networks["denoiser"](batch.noisy).float()
        distance = ((output - batch.noisy.mean(dim=(-2, -1), keepdim=True)) ** 2).mean()
        loss = self.settings.pull * distance
        self.update("denoiser", loss, number)
        return {"loss": loss, "distance": distance}


LINES: dict[str, Any] = {
    "network": (NETWORKS, f"{__name__}:DummyNetwork"),
    "method": (
        METHODS,
        MethodEntry(settings=DummySettings, method=f"{__name__}:DummyMethod", needs="noisy", about="from noise"),
    ),
}

if multiprocessing.current_process().name != "MainProcess":  # that of the dock, where the lines would be as well
    for registry, entry in LINES.values():
        registry["dummy"] = entry
