"""PyTorch checkpoints (.pth) of the CycleGAN and pix2pix generators.

The files are pickles, which can run code: nothing in them is run, see `torch_file`. They hold weights alone: everything
about the network is found in the weights' names and shapes, see `cyclegan_keys`.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from typing import TYPE_CHECKING

import torch

from napari_hush.card import ModelCard
from napari_hush.errors import InputError, ModelFileError
from napari_hush.importers.keras_config import short
from napari_hush.importers.options import PyTorchOptions
from napari_hush.importers.pytorch.cyclegan_keys import (
    Generator,
    fill_counters,
    find_transposed,
    read_names,
    recognise,
)
from napari_hush.importers.pytorch.cyclegan_options import find_contradictions, read_options
from napari_hush.importers.pytorch.entries import choose
from napari_hush.importers.pytorch.folding import Fold, put_together, shape_of
from napari_hush.importers.pytorch.pickle_content import show
from napari_hush.importers.pytorch.torch_file import read_torch
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    from pathlib import Path

TARGET = (-1.0, 1.0)
DEFAULTS = PyTorchOptions()


def load_pytorch(path: Path, options: PyTorchOptions = DEFAULTS) -> Model:
    """Read a generator that pytorch-CycleGAN-and-pix2pix saved.

    Parameters
    ----------
    path : Path
        The file; it is opened read-only. An options file (``train_opt.txt``) beside it is read for the card.
    options : PyTorchOptions
        What the file does not say.

    Returns
    -------
    Model
        With the file's name and SHA-256 on its card.

    Raises
    ------
    InputError
        If an option has a value that it cannot have.
    ModelFileError
        If the file is damaged, could run code, or holds something other than such a generator.

    Warns
    -----
    UserWarning
        If the options beside the file contradict its weights; the weights are believed.
    """
    rule = _make_rule(options.percentiles, options.value_range)
    try:
        with path.open("rb") as file:
            content = read_torch(file)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        name, tensors = choose(content, options.entry)
        claimed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if claimed > size:  # the same numbers used again and again, each tensor small enough
            raise ModelFileError(f"its weights claim {claimed:,} bytes, the file has {size:,}; save the weights again")
        names = read_names(list(tensors))
        generator = recognise({new: shape_of(source, tensors) for new, source in names.items()})
        transposed = find_transposed(generator)
        state = {new: _take(new, source, tensors, new in transposed) for new, source in names.items()}
        fill_counters(state)
        role = _find_role(name) or _find_role(path.stem)
        options_file, training = read_options(path)
        card = _make_card(path, digest, name, role, generator, rule, training)
        model = Model.from_state(generator.architecture, generator.hyperparameters, state, rule, card)
    except InputError as error:
        kind = ModelFileError if isinstance(error, ModelFileError) else InputError
        raise kind(f"{path}: {error}") from error
    if wrong := find_contradictions(training, generator, backward=role == "G_B"):
        warnings.warn(
            f"{options_file} beside {path.name} contradicts its weights, which are believed: {'; '.join(wrong)}",
            UserWarning,
            stacklevel=3,
        )
    return model


def _make_rule(percentiles: tuple[float, float], value_range: tuple[float, float] | None) -> NormalizationRule:
    try:
        if value_range is not None:
            low, high = map(float, value_range)
            return NormalizationRule(method="range", source=(low, high), target=TARGET, clip=True)
        low, high = map(float, percentiles)
        return NormalizationRule(low=low, high=high, target=TARGET, clip=True)
    except (TypeError, ValueError) as error:
        name, value = ("percentiles", percentiles) if value_range is None else ("value_range", value_range)
        raise InputError(f"{name}={short(value)}: expected two increasing numbers ({error})") from error


def _take(name: str, source: str | Fold, tensors: dict[str, torch.Tensor], transposed: bool) -> torch.Tensor:
    """A weight as the network computes with it."""
    if isinstance(source, str):
        return _check_tensor(source, tensors[source])
    parts = {part: _check_tensor(part, tensors[part]) for part in source.parts}
    return _check_tensor(name, put_together(name, source, parts, transposed=transposed))


def _check_tensor(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A weight as float32, or a counter as it is."""
    what = f"the tensor {show(name)!r}"
    plain = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    if name.endswith("num_batches_tracked"):
        if not plain or tensor.is_floating_point() or tensor.is_complex():
            raise ModelFileError(f"{what} should be a whole number, got {tensor.dtype}; save the weights again")
        return tensor.detach().long()
    if not plain or not tensor.is_floating_point():
        raise ModelFileError(
            f"{what} should be made of floats, got {tensor.dtype}; save the float model's state_dict()"
        )
    values = tensor.detach().float().contiguous()
    if not bool(torch.isfinite(values).all()):
        raise ModelFileError(f"{what} has NaN or infinite weights, expected finite ones; did the training diverge?")
    if name.endswith("running_var") and bool((values < 0).any()):
        raise ModelFileError(f"{what} has negative variances; copy or download the file again")
    return values


def _find_role(name: str) -> str:
    """Which generator a name says that it is: "G_A", "G_B", "G", or "" where it does not say."""
    match = re.search(r"(?:^|_|\.|net)(G(?:_?[AB])?)$", name)
    return match[1].replace("GA", "G_A").replace("GB", "G_B") if match else ""


def _make_card(
    path: Path,
    digest: str,
    entry: str,
    role: str,
    generator: Generator,
    rule: NormalizationRule,
    options: dict[str, str],
) -> ModelCard:
    arguments = generator.hyperparameters
    network = "ResNet" if generator.architecture == "cyclegan_resnet" else "U-Net"
    directions = {
        "G_A": "G_A maps its training's domain A to B; the file does not say which of them is the denoised one.",
        "G_B": "G_B maps its training's domain B to A; the file does not say which of them is the denoised one.",
        "G": "It maps the input of its training to the target; the file does not say whether that denoises.",
        "": "The file does not say what it maps to what.",
    }
    if rule.source:
        values = f"Expects images with values from {rule.source[0]:g} to {rule.source[1]:g}"
    else:
        values = f"Maps an image's {rule.low:g} and {rule.high:g} percentiles to -1 and 1"
    limits = [
        f"{values}; what lies beyond is clipped.",
        "Expects images like those it was trained on, at the same number of pixels per feature.",
        "A generator trained without pairs may move, remove or invent structures: compare with the input.",
    ]
    if arguments["norm"] == "batch":
        limits.append(
            "Its batch normalisation uses the statistics of the training; the project's own test script takes those of "
            "each image unless it is told --eval."
        )
    name = _plain(path.name)
    return ModelCard(
        name=_plain(path.stem)[:200] or "pytorch",
        description=f"{network} generator of CycleGAN or pix2pix ({generator.net}, normalisation: "
        f"{arguments['norm']}), imported from PyTorch. {directions[role]}",
        source=f"{name}{f', entry {_plain(entry)}' if entry else ''}, SHA-256 {digest}",
        licence="unknown",
        training={"options": options} if options else {},
        limits=limits,
    )


def _plain(text: str) -> str:
    """A text that can be saved: file names may hold bytes that are none."""
    return text.encode("utf-8", "replace").decode()
