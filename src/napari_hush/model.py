"""A model: a network with its normalisation and its card; one safetensors file that cannot run code.

The file's header holds the metadata as JSON (checked with pydantic) and one SHA-256 per tensor: a flipped bit loads
silently in plain safetensors. torch, which is slow to load, is not imported before a network is made or written.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter
from safetensors import safe_open

from napari_hush.card import COMPANIONS, HEADER_KEY, Companions, Header, ModelCard, Scale, first_line, read_header
from napari_hush.errors import InputError, ModelFileError
from napari_hush.files import atomic_write
from napari_hush.networks import check_known, find_network
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    import torch
    from torch import nn

MAX_HYPERPARAMETERS = 100_000  # characters of JSON; the list of an imported network's layers has the most


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready to denoise.

    Parameters
    ----------
    network : torch.nn.Module
        (B, C, Y, X) -> (B, C, Y, X), in normalised units; put into eval mode.
    architecture : str
        Its name in ``NETWORKS`` or ``IMPORTED``.
    hyperparameters : dict
        The arguments that build it, JSON-able.
    normalization : NormalizationRule
        How its input is normalised.
    card : ModelCard
        What a person should know of it.
    scale : Scale, optional
        Lattice periods that it was trained for, and the one to which images are brought; None where it has nothing to
        do with lattices, or where that is unknown.
    guard : bool
        Whether ``guard="auto"`` guards it: not where the noise has slow contrast of its own, as the streaks of
        tomography have, which the guard would bring back.
    companions : {"none", "lattice"}
        What the network takes beside the image: nothing, or what the other copies of each place in the crystal look
        like, two more channels (`napari_hush.inference.companions`).
    sha256 : str
        SHA-256 of the file that it was loaded from, as ``sha256sum`` says it; "" where there is none.
    """

    network: nn.Module
    architecture: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    normalization: NormalizationRule = field(default_factory=NormalizationRule)
    card: ModelCard = field(default_factory=lambda: ModelCard(name="unnamed"))
    scale: Scale | None = None
    guard: bool = True
    companions: Companions = "none"
    sha256: str = ""

    def __post_init__(self) -> None:
        check_known(self.architecture)
        if self.companions != "none" and self.image_channels != self.out_channels:
            raise InputError(
                f"a network with {self.companions} companions takes {COMPANIONS[self.companions]} channels more than "
                f"it gives, this one takes {self.in_channels} and gives {self.out_channels}"
            )
        self.network.eval().requires_grad_(False)

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {self.architecture}, {self.n_parameters:,} parameters)"

    @classmethod
    def create(cls, architecture: str, hyperparameters: dict[str, Any] | None = None, **metadata: Any) -> Model:
        """A model with freshly initialised weights."""
        hyperparameters = dict(hyperparameters or {})
        return cls(_build(architecture, hyperparameters), architecture, hyperparameters, **metadata)

    @property
    def in_channels(self) -> int:
        """Channels that the network takes."""
        return cast("int", self.network.in_channels)

    @property
    def image_channels(self) -> int:
        """Channels of an image that the network takes, without its companions."""
        return self.in_channels - COMPANIONS[self.companions]

    @property
    def out_channels(self) -> int:
        """Channels that the network gives."""
        return cast("int", self.network.out_channels)

    @property
    def stride(self) -> int:
        """Sizes and tile origins must be multiples of this, px."""
        return cast("int", self.network.stride)

    @property
    def smallest(self) -> int:
        """The smallest side that the network can take, px; smaller images are padded."""
        return int(getattr(self.network, "smallest", self.stride))

    @property
    def halo(self) -> int:
        """Context that a tile needs on each side to equal the whole-image pass, px."""
        return cast("int", self.network.halo)

    @property
    def depth(self) -> int:
        """Neighbouring slices of a stack that the network takes as its channels; 1 for single images."""
        return int(getattr(self.network, "depth", 1))

    @property
    def staged(self) -> bool:
        """Whether it runs in the pieces of ``network.stages()``: statistics of the whole image may take part."""
        return hasattr(self.network, "stages")

    @property
    def n_parameters(self) -> int:
        """Number of trained numbers."""
        return int(getattr(self.network, "n_weights", 0)) or sum(p.numel() for p in self.network.parameters())

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write one ``.safetensors`` file, atomically: a failure leaves an older file as it was.

        Parameters
        ----------
        path : str or Path
            The file; its name ends in ``.safetensors``.
        half : bool
            Round the weights to half precision, which makes the file half as large. Whoever loads it computes in
            single precision all the same.

        Raises
        ------
        InputError
            If the folder is missing, the name does not end in ``.safetensors``, or a weight is beyond half precision.
        OSError
            If the disk is full or the folder not writable.
        """
        import torch
        from safetensors.torch import save as to_safetensors

        path = Path(path)
        if path.suffix != ".safetensors":
            raise InputError(f"a model file ends in .safetensors, got {path.name!r}")
        state = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        if half:
            state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
            for name, tensor in state.items():
                if not bool(torch.isfinite(tensor).all()):
                    raise InputError(
                        f"{name!r} holds values above 65504, the largest of half precision: save with half=False"
                    )
        header = self.header({k: _sha256(v) for k, v in state.items()})
        atomic_write(path, to_safetensors(state, metadata={HEADER_KEY: header.model_dump_json()}))

    def header(self, sha256: dict[str, str]) -> Header:
        """All that a file says of the model beside its tensors, whose SHA-256 are given."""
        return Header(
            architecture=self.architecture,
            hyperparameters=self.hyperparameters,
            normalization=asdict(self.normalization),
            card=self.card,
            scale=self.scale,
            guard=self.guard,
            companions=self.companions,
            sha256=sha256,
        )

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a file written by `save`.

        Raises
        ------
        ModelFileError
            If the file is missing, truncated, of another project, tampered with, or of a newer version.
        """
        path = Path(path)
        header, state = _read(path)
        try:
            rule = TypeAdapter(NormalizationRule).validate_python(header.normalization)
            model = cls.from_state(header.architecture, header.hyperparameters, state, rule, header.card)
            return replace(model, scale=header.scale, guard=header.guard, companions=header.companions)
        except (ValueError, TypeError) as error:
            raise ModelFileError(f"{path}: damaged model file: {first_line(error)}; get the file again") from error

    @classmethod
    def from_state(
        cls,
        architecture: str,
        hyperparameters: dict[str, Any],
        state: dict[str, torch.Tensor],
        normalization: NormalizationRule,
        card: ModelCard,
    ) -> Model:
        """Build a model around weights from a file that may be hostile; no memory is claimed before all sizes fit.

        Parameters
        ----------
        architecture, hyperparameters, normalization, card
            As of the model.
        state : dict of str to tensor
            The weights under the names that the network gives them; converted to float32.

        Raises
        ------
        InputError
            If the architecture is unknown, its arguments are impossible, or the tensors are not those that it needs:
            missing, too many, of another shape, no finite floats.
        """
        import torch

        if len(json.dumps(hyperparameters)) > MAX_HYPERPARAMETERS:  # a million layers would be built first
            raise InputError("absurdly long hyperparameters")
        try:
            with torch.device("meta"):
                network = _build(architecture, hyperparameters)
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise InputError(first_line(error)) from error
        expected = network.state_dict()
        for name in sorted(expected.keys() | state.keys()):
            wanted, found = expected.get(name), state.get(name)
            if wanted is None or found is None or wanted.shape != found.shape:
                sizes = [None if v is None else tuple(v.shape) for v in (wanted, found)]
                raise InputError(
                    f"the tensors do not fit the network {architecture!r} (first: {name}, expected {sizes[0]}, got "
                    f"{sizes[1]})"
                )
            if wanted.is_floating_point() != found.is_floating_point() or not bool(torch.isfinite(found).all()):
                raise InputError(f"tensor {name!r} is not made of finite floats")
        state = {k: v.float().contiguous() if v.is_floating_point() else v for k, v in state.items()}
        network.load_state_dict(state, assign=True)
        return cls(network, architecture, dict(hyperparameters), normalization, card)


def _one_thread() -> None:
    """Let torch compute in one thread: those of the process that this one was forked from are not here."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_one_thread)


def _build(architecture: str, hyperparameters: dict[str, Any]) -> nn.Module:
    return find_network(architecture)(**hyperparameters)


def _read(path: Path) -> tuple[Header, dict[str, torch.Tensor]]:
    header, names = read_header(path)
    if set(names) != set(header.sha256):
        raise ModelFileError(f"{path}: tampered with: the tensors are not those that the header lists; get it again")
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in names}
    for name, tensor in state.items():
        if _sha256(tensor) != header.sha256[name]:
            raise ModelFileError(f"{path}: tensor {name!r} does not match its checksum: damaged or tampered with")
    return header, state


def _sha256(tensor: torch.Tensor) -> str:
    import torch

    # name-independent, but shape and dtype count: the same bytes in another shape are another tensor
    head = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    return hashlib.sha256(head + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
