"""What a run begins with: the network, new or from a model file, and the device."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from napari_hush.errors import InputError
from napari_hush.importers.registry import load_model
from napari_hush.inference.engines.registry import available_devices
from napari_hush.networks import NETWORKS
from napari_hush.normalize import NormalizationRule
from napari_hush.training.data.open import open_data
from napari_hush.training.methods.method import initialise, seeded
from napari_hush.training.settings import TomoGANSettings, TwoStageSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from napari_hush.training.data.simulated import SimulatedData
    from napari_hush.training.data.training_data import TrainingData
    from napari_hush.training.methods.method import Needs
    from napari_hush.training.settings import TrainSettings


PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}


@dataclass(frozen=True, eq=False)
class Beginning:
    """A denoiser before it is trained.

    Parameters
    ----------
    network : nn.Module
        In train mode.
    architecture : str
        Its name in `NETWORKS`.
    hyperparameters : dict
        The arguments that build it.
    rule : NormalizationRule
        What it will be used with.
    parent : str
        The name of the model that it was, or an empty text.
    """

    network: nn.Module
    architecture: str
    hyperparameters: dict[str, Any]
    rule: NormalizationRule
    parent: str = ""

    @property
    def channels(self) -> tuple[int, int]:
        """Of its input and of its output."""
        return int(self.network.in_channels), int(self.network.out_channels)  # type: ignore[arg-type]


def rule_of(settings: TrainSettings, architecture: str) -> NormalizationRule:
    """The normalisation of a new network: 0 to 1, or -1 to 1 for the networks of CycleGAN."""
    low, high = settings.percentiles
    target = (-1.0, 1.0) if architecture.startswith("cyclegan") else (0.0, 1.0)
    return NormalizationRule(method="percentile", low=low, high=high, target=target)


def begin(settings: TrainSettings, channels: int = 1) -> Beginning:
    """Make or read the denoiser.

    Parameters
    ----------
    settings : TrainSettings
        Network, options, start and seed.
    channels : int
        Of a new network; a model file has its own.

    Raises
    ------
    InputError
        If the options do not fit the network.
    ModelFileError
        If the model file cannot be read.
    """
    if settings.start:
        model = load_model(settings.start)
        network = copy.deepcopy(model.network).requires_grad_(True).train()
        return Beginning(network, model.architecture, dict(model.hyperparameters), model.normalization, model.card.name)
    architecture: str = settings.network
    if isinstance(settings, TwoStageSettings):
        architecture = settings.final_network
        options = replace(settings, network_options=settings.final_options).options()
    else:
        options = settings.options()
    options = {"in_channels": channels, "out_channels": channels, **options}
    with seeded(settings.seed):
        network = _build(architecture, options)
        if architecture != "unet":  # which begins as the identity
            initialise(network, 0.02 if architecture.startswith("cyclegan") else None)
    rule = rule_of(settings, settings.network)
    return Beginning(network.train(), architecture, options, rule)


def prepare(
    settings: TrainSettings, data: Any, needs: Needs
) -> tuple[Beginning, TrainingData | SimulatedData, TrainSettings]:
    """Make network and data, which depend on one another: the patch on the network, its channels on the data."""
    beginning = begin(settings)
    settings = fitting(settings, beginning.network)
    opened = open_data(data, needs, settings, beginning.rule)
    if beginning.channels == (opened.channels, opened.channels):
        return beginning, opened, settings
    if settings.start:
        raise InputError(
            f"{settings.start}: takes {beginning.channels[0]} channels and gives {beginning.channels[1]}, the images "
            f"have {opened.channels}; start from a model that fits, or from none"
        )
    return begin(settings, opened.channels), opened, settings


def fitting(settings: TrainSettings, network: nn.Module) -> TrainSettings:
    """The settings with a patch that the network can take."""
    networks = [network]
    if isinstance(settings, TwoStageSettings):
        networks.append(_build(settings.network, settings.options()))
    stride = max(int(getattr(one, "stride", 1)) for one in networks)  # powers of two
    smallest = max(int(getattr(one, "smallest", 1)) for one in networks)
    if isinstance(settings, TomoGANSettings):
        stride = max(stride, 8)  # of its discriminator
    patch = -(-max(settings.patch, smallest, stride) // stride) * stride
    return replace(settings, patch=patch)


def _build(architecture: str, options: dict[str, Any]) -> nn.Module:
    try:
        return NETWORKS[architecture](**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"the options do not fit the network {architecture}: {error}") from error


def make_fabric(settings: TrainSettings) -> Fabric:
    """Device, precision and, under torchrun, the other processes.

    Raises
    ------
    InputError
        If the device is not there.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    class Together(DDPStrategy):
        """Several processes that average their gradients themselves: a step may use a network more than once."""

        def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
            return module

    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    there = available_devices()
    device = there[0] if settings.device == "auto" else settings.device
    if device not in there:
        raise InputError(f"there is no {device} device that torch can use: take device auto or cpu")
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=max(world // local, 1),
        strategy=Together() if world > 1 else "auto",
        precision=PRECISIONS[_precision(settings, device)],
    )
    fabric.launch()
    return fabric


def _precision(settings: TrainSettings, device: str) -> str:
    if settings.precision != "auto":
        return settings.precision
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if device == "cpu" and native else "float32"
