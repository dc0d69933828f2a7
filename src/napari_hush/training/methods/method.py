"""What every training method is made of: networks, their optimisers, and one step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn

from napari_hush.networks import Traits, find_network
from napari_hush.training.one_device import Mixed, OneDevice, precision_of
from napari_hush.training.streams import Purpose, stream_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lightning_fabric import Fabric
    from torch import Tensor

    from napari_hush.training.settings import TrainSettings


@dataclass(frozen=True)
class NetworkChoice:
    """An architecture of `NETWORKS` with the arguments that a person chose for it.

    Parameters
    ----------
    architecture : str
        A key of `NETWORKS`.
    options : dict
        Arguments.
    """

    architecture: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def traits(self) -> Traits:
        """What its class says of training it."""
        return Traits.of(find_network(self.architecture))


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches in network units.

    Parameters
    ----------
    noisy : Tensor, shape (B, C, Y, X)
        What the denoiser sees.
    clean : Tensor, shape (B, C, Y, X), optional
        What it should give; for unpaired data other fields; None for methods that train on noisy images alone.
    first : int
        Number of the first patch, which decides about what a step draws at random.
    """

    noisy: Tensor
    clean: Tensor | None
    first: int = 0

    def generators(self, seed: int) -> list[torch.Generator]:
        """One source of random numbers for each patch: they are the same in whatever batch and process it is."""
        seeds = [stream_seed(seed, Purpose.STEP, self.first + k) for k in range(len(self.noisy))]
        return [torch.Generator().manual_seed(one) for one in seeds]


class Method(ABC):
    """A way of training.

    Parameters
    ----------
    settings : TrainSettings
        Of the method's own class.
    denoiser : nn.Module
        The network that is wanted in the end.
    """

    validation_loss_decides: ClassVar[bool] = True
    """Whether the validation loss tells, where the truth is not known, which weights are best."""
    patch_stride: ClassVar[int] = 1
    """Patches have sides that are multiples of it, px, besides what the networks want."""

    def __init__(self, settings: Any, denoiser: nn.Module) -> None:
        self.settings = settings
        self.networks: dict[str, nn.Module] = {"denoiser": denoiser}
        self.build(denoiser)

    @classmethod
    def denoiser_of(cls, settings: Any) -> NetworkChoice:
        """Which network is wanted in the end."""
        return NetworkChoice(settings.network, settings.options())

    @classmethod
    def further_networks(cls, settings: Any) -> tuple[NetworkChoice, ...]:
        """Further networks of `NETWORKS` that are given the patches."""
        return ()

    @classmethod
    def value_range(cls, settings: Any) -> tuple[float, float]:
        """What the darkest and the brightest values of an image become for a new network."""
        return cls.denoiser_of(settings).traits.value_range

    def build(self, denoiser: nn.Module) -> None:  # noqa: B027 - most methods need none
        """Make the other networks; the order decides about their initial weights."""

    def optimizers(self) -> dict[str, Iterable[nn.Parameter]]:
        """Which parameters each optimiser has, by name; one per network unless a method says otherwise."""
        return {name: network.parameters() for name, network in self.networks.items()}

    def denoiser_steps(self, number: int) -> int:
        """How many updates the denoiser has had before step ``number``."""
        return number

    def patches(self, number: int) -> int:
        """How many patches each process has used before step ``number``."""
        return number * int(self.settings.batch_size)

    def betas(self) -> tuple[float, float]:
        """Of Adam."""
        return 0.9, 0.999

    def setup(self, fabric: Fabric | OneDevice) -> None:
        """Bring networks and optimisers to the device."""
        self.fabric = fabric
        # Fused is three times as fast; with a scaler for float16 gradients of it cannot be clipped.
        fused = fabric.device.type in ("cpu", "cuda") and self.settings.precision != "float16"
        self._optimizers: dict[str, Any] = {
            name: torch.optim.Adam(parameters, lr=self.settings.learning_rate, betas=self.betas(), fused=fused)
            for name, parameters in self.optimizers().items()
        }
        for name, network in self.networks.items():
            if _channels_last(fabric, network):
                network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.networks[name] = fabric.setup_module(network)
        for name, optimizer in self._optimizers.items():
            self._optimizers[name] = fabric.setup_optimizers(optimizer)

    @abstractmethod
    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Update the networks once; returns the losses by name."""

    def validation_loss(self, batch: Batch) -> Tensor:
        """What early stopping goes by where the truth is not known; lower is better."""
        loss: Tensor = ((self.networks["denoiser"](batch.noisy).float() - batch.noisy) ** 2).mean()
        return loss

    def update(self, name: str, loss: Tensor, number: int) -> None:
        """One step of Adam down a loss, with the scheduled learning rate."""
        optimizer = self._optimizers[name]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, number)
        optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not isinstance(self.fabric, OneDevice):
            average_gradients(self.fabric, parameters)
        if self.settings.clip:
            self.fabric.clip_gradients(
                self.networks["denoiser"], optimizer, max_norm=self.settings.clip, error_if_nonfinite=False
            )
        optimizer.step()

    def state(self) -> dict[str, Any]:
        """Everything that the next steps depend on, as tensors and plain values."""
        return {
            "networks": {name: plain(network).state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to where `state` was taken; call after `setup`."""
        for name, network in self.networks.items():
            plain(network).load_state_dict(state["networks"][name])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def _channels_last(fabric: Fabric | OneDevice, network: nn.Module) -> bool:
    """Whether a network computes faster with its channels innermost.

    On processors that is so for convolutions in bfloat16; InstanceNorm (which makes a network one of several stages)
    loses more than they gain, and without AVX-512 everything is a fifth slower.
    """
    if fabric.device.type == "cpu":
        return precision_of(fabric).precision == "bf16-mixed" and not hasattr(network, "stages")
    return fabric.device.type == "cuda"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside a block; what others draw outside of it stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def average_gradients(fabric: Fabric, parameters: list[nn.Parameter]) -> None:
    """Give all processes the mean of their gradients, in one message."""
    flat = torch.cat([p.grad.flatten() for p in parameters])  # type: ignore[union-attr]
    mean = fabric.all_reduce(flat, reduce_op="mean")
    start = 0
    for parameter in parameters:
        assert parameter.grad is not None and isinstance(mean, torch.Tensor)
        parameter.grad.copy_(mean[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()


def plain(network: nn.Module) -> nn.Module:
    """The network itself, without the wrapper for its precision, or of Fabric."""
    wrapped = isinstance(network, Mixed) or type(network).__name__ == "_FabricModule"
    return getattr(network, "module", network) if wrapped else network


def channels_of(network: nn.Module) -> tuple[int, int]:
    """Of its input and of its output."""
    return int(network.in_channels), int(network.out_channels)  # type: ignore[arg-type]


def learning_rate(settings: TrainSettings, number: int) -> float:
    """Of step ``number``: a linear warm-up, then the schedule."""
    if number < settings.warmup:
        return settings.learning_rate * (number + 1) / settings.warmup
    part = min((number - settings.warmup) / max(settings.steps - settings.warmup, 1), 1.0)
    if settings.schedule == "cosine":
        return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))
    return settings.learning_rate * (min(1.0, 2 * (1 - part)) if settings.schedule == "linear" else 1.0)


def initialise(network: nn.Module, weights: float | Literal["he", "own"] = "he") -> None:
    """New weights: He's for ReLU, normal ones of a given standard deviation, or those that it has; biases 0.

    K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015, https://doi.org/10.1109/ICCV.2015.123
    """
    if weights == "own":
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if weights == "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                nn.init.normal_(module.weight, 0.0, weights)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def freeze(network: nn.Module) -> None:
    """Let no gradient reach the parameters of a network, though it passes through."""
    network.requires_grad_(False)


def unfreeze(network: nn.Module) -> None:
    """Let gradients reach the parameters of a network again."""
    network.requires_grad_(True)
