"""What a run begins with: the network, new or from a model file, and the device."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from napari_hush.card import COMPANIONS, Companions
from napari_hush.errors import InputError
from napari_hush.importers.registry import load_model
from napari_hush.inference.engines.devices import chosen_device
from napari_hush.networks import NETWORKS, Traits, find_network
from napari_hush.normalize import NormalizationRule
from napari_hush.training.data.open import open_data
from napari_hush.training.methods.method import NetworkChoice, channels_of, initialise, seeded
from napari_hush.training.one_device import OneDevice
from napari_hush.training.processes import Processes
from napari_hush.training.streams import Purpose, stream_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from napari_hush.model import Model
    from napari_hush.training.data.patches import PatchSource
    from napari_hush.training.methods.method import Method
    from napari_hush.training.methods.registry import Needs
    from napari_hush.training.one_device import Precision
    from napari_hush.training.settings import TrainSettings


PRECISIONS: dict[str, Precision] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}


@dataclass(frozen=True, eq=False)
class InitialNetwork:
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
    companions : {"none", "lattice"}
        What it is given beside the image.
    """

    network: nn.Module
    architecture: str
    hyperparameters: dict[str, Any]
    rule: NormalizationRule
    parent: str = ""
    companions: Companions = "none"

    @property
    def channels(self) -> tuple[int, int]:
        """Of an image that it takes, and of its output."""
        taken, given = channels_of(self.network)
        return (taken - COMPANIONS[self.companions]) // self.depth, given

    @property
    def depth(self) -> int:
        """Neighbouring slices that it takes."""
        return int(getattr(self.network, "depth", 1))


def initial_network(method: type[Method], settings: TrainSettings, channels: int = 1) -> InitialNetwork:
    """Make or read the denoiser.

    Parameters
    ----------
    method : type of Method
        Says which of the networks in the settings is the denoiser, and which values it is given.
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
        if model.companions != settings.beside:
            model = _with_companions(model, settings)
        if settings.slab and model.depth != settings.slab:
            model = _with_neighbours(model, settings)
        return continued(model)
    chosen = method.denoiser_of(settings)
    taken = channels + COMPANIONS[settings.beside]
    options = {"in_channels": taken, "out_channels": channels, **chosen.options}
    if settings.slab:
        options["depth"] = _depth_of(chosen, settings.slab)
    with seeded(stream_seed(settings.seed, Purpose.DENOISER)):
        network = _build(NetworkChoice(chosen.architecture, options))
        initialise(network, chosen.traits.initial_weights)
    low, high = settings.percentiles
    rule = NormalizationRule(method="percentile", low=low, high=high, target=method.value_range(settings))
    return InitialNetwork(network.train(), chosen.architecture, options, rule, companions=settings.beside)


def continued(model: Model) -> InitialNetwork:
    """A model's network, to be trained on; the model itself stays as it is."""
    if hasattr(model.network, "engine"):
        raise InputError(
            f"{model.card.name}: is an ONNX network that is run as it is, which cannot be trained: take the model "
            "that it was exported from"
        )
    network = copy.deepcopy(model.network).requires_grad_(True).train()
    rule, parent = model.normalization, model.card.name
    return InitialNetwork(
        network, model.architecture, dict(model.hyperparameters), rule, parent, companions=model.companions
    )


def _with_companions(model: Model, settings: TrainSettings) -> Model:
    """A model whose network is given companions as well, to which it pays no heed before it is trained.

    Raises
    ------
    InputError
        If the model has companions already that the settings do not ask for, or its network cannot take more channels.
    """
    if model.companions != "none":
        raise InputError(
            f"{settings.start}: was trained with companions={model.companions!r}: choose the same, not "
            f"{settings.beside!r}, or start from another model"
        )
    options = {**model.hyperparameters, "in_channels": model.in_channels + COMPANIONS[settings.beside]}

    def unheeded(weights: Tensor, wide: Tensor) -> Tensor:
        wide[:, : weights.shape[1]] = weights
        return wide

    network = None if model.depth > 1 else _widened(model, options, unheeded)
    if network is None:
        raise InputError(
            f"{settings.start}: a network {model.architecture} of {model.in_channels} channels cannot be given "
            "companions: start from none, or from a model of single grey images"
        )
    return replace(model, network=network, hyperparameters=options, companions=settings.beside, sha256="")


def _widened(model: Model, options: dict[str, Any], fill: Callable[[Tensor, Tensor], Tensor]) -> nn.Module | None:
    """A network of more input channels with a model's weights; None where they do not fit otherwise.

    ``fill`` gives the weights (C, channels, Y, X) of the layer that sees the image, from the old ones and zeros.
    """
    network = _build(NetworkChoice(model.architecture, options))
    state, wanted = model.network.state_dict(), network.state_dict()
    for name, tensor in state.items():
        if tensor.ndim == 4 and wanted[name].shape[1] > tensor.shape[1]:
            state[name] = fill(tensor, tensor.new_zeros(wanted[name].shape))
    if any(state[name].shape != tensor.shape for name, tensor in wanted.items()):
        return None
    network.load_state_dict(state)
    return network


def _with_neighbours(model: Model, settings: TrainSettings) -> Model:
    """A model whose network sees neighbouring slices as well; of equal slices it gives what it gave of one.

    Half of the first layer's features see the slice in the middle, the others a mean of all with weights that fall to
    either side. Beside weights of 1 to 3, neighbours that begin at zero would hardly be looked at after some hundred
    steps.

    Raises
    ------
    InputError
        If the model sees other neighbours already, is for colours, or its network cannot take slices.
    """
    depth = settings.slab or 1
    if model.depth > 1:
        raise InputError(
            f"{settings.start}: takes {model.depth} neighbouring slices, not {depth}: leave depth at 0, or start from "
            "a model of single slices"
        )
    if model.companions != "none" or model.in_channels != 1:
        raise InputError(f"{settings.start}: is no model of single grey images, which alone can be given neighbours")
    options = {**model.hyperparameters, "depth": depth}

    def averaged(weights: Tensor, wide: Tensor) -> Tensor:
        wide[:, depth // 2 : depth // 2 + 1] = weights
        falling = depth // 2 + 1 - (torch.arange(depth, dtype=weights.dtype) - depth // 2).abs()
        wide[::2] = weights[::2] * (falling / falling.sum())[:, None, None]
        return wide

    network = _widened(model, _with_depth(model.architecture, options), averaged)
    assert network is not None  # one channel became several
    return replace(model, network=network, hyperparameters=options, sha256="")


def _depth_of(chosen: NetworkChoice, depth: int) -> int:
    """The depth of a new network, which its options must not contradict."""
    named = chosen.options.get("depth", depth)
    if named != depth:
        raise InputError(f"depth={depth}, but network_options say depth = {named}: leave one of them out")
    _with_depth(chosen.architecture, {"depth": depth})
    return depth


def _with_depth(architecture: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options with a depth, of a network that can have one."""
    if "depth" not in inspect.signature(find_network(architecture)).parameters:
        able = ", ".join(name for name, kind in NETWORKS.items() if "depth" in inspect.signature(kind).parameters)
        raise InputError(f"a network {architecture} takes single images: for neighbouring slices choose {able}")
    return options


def prepare(
    method: type[Method], needs: Needs, settings: TrainSettings, data: Any
) -> tuple[InitialNetwork, PatchSource, TrainSettings]:
    """Make network and data, which depend on one another: the patch on the network, its channels on the data."""
    initial = initial_network(method, settings)
    settings = _for_depth(fitting(method, settings, initial.network), initial.depth)
    opened = open_data(data, needs, settings, initial.rule)
    if initial.channels == (opened.channels, opened.channels):
        return initial, opened, settings
    if settings.start:
        raise InputError(
            f"{settings.start}: takes {initial.channels[0]} channels and gives {initial.channels[1]}, the images "
            f"have {opened.channels}; start from a model that fits, or from none"
        )
    return initial_network(method, settings, opened.channels), opened, settings


def _for_depth(settings: TrainSettings, depth: int) -> TrainSettings:
    """The settings with the number of slices that the network takes.

    Raises
    ------
    InputError
        If the method trains on single images only, or none of the slices lies in the middle.
    """
    if depth == 1:
        return settings
    if settings.slab is None:
        raise InputError(
            f"the network takes {depth} neighbouring slices, this method trains on single images: choose supervised, "
            "noise2noise or tomogan, or a network of depth 1"
        )
    return replace(settings, depth=depth)  # type: ignore[call-arg]


def fitting(method: type[Method], settings: TrainSettings, denoiser: nn.Module) -> TrainSettings:
    """The settings with a patch that the method and its networks can take."""
    networks = [denoiser, *(_build(choice) for choice in method.further_networks(settings))]
    stride = math.lcm(method.patch_stride, *(int(network.stride) for network in networks))  # type: ignore[arg-type]
    least = max(settings.patch, *(Traits.of(network).smallest for network in networks))
    return replace(settings, patch=-(-least // stride) * stride)


def _build(choice: NetworkChoice) -> nn.Module:
    try:
        return find_network(choice.architecture)(**choice.options)
    except (TypeError, ValueError) as error:
        raise InputError(f"the options do not fit the network {choice.architecture}: {error}") from error


def make_fabric(settings: TrainSettings) -> Fabric | OneDevice:
    """Device, precision and, under torchrun or srun, the other processes.

    Raises
    ------
    InputError
        If the device is not there, or the processes have nothing to join them.
    """
    processes = Processes.of()
    where = processes.accelerator(settings.device)
    precision = PRECISIONS[_precision(settings, where["accelerator"])]
    if processes.world == 1:
        return OneDevice(chosen_device(settings.device), precision)
    return _together(processes, where, precision)


def _together(processes: Processes, where: dict[str, Any], precision: Precision) -> Fabric:
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ModuleNotFoundError as error:
        raise InputError(
            f"{processes.world} processes train together, which needs lightning-fabric: install it with "
            "pip install 'napari-hush[train]', or train with one process"
        ) from error

    class Together(DDPStrategy):
        """Several processes that average their gradients themselves: a step may use a network more than once."""

        def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
            return module

    fabric = Fabric(
        **where, num_nodes=processes.nodes, strategy=Together(), precision=precision, plugins=processes.plugins()
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
