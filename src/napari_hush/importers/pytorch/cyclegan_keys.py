"""Recognising a CycleGAN or pix2pix generator by the names and shapes of its weights.

A checkpoint of these projects is nothing but weights: their names tell the kind of network, the number of its blocks or
levels, its normalisation and its dropout, their shapes the channels and the width.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from napari_hush.errors import ModelFileError
from napari_hush.importers.pytorch.folding import Fold, fold_names
from napari_hush.importers.pytorch.pickle_content import show
from napari_hush.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    Shapes = Mapping[str, tuple[int, ...]]

MAX_SIZE = 4096  # channels, blocks
LEVELS = range(5, 11)
# what DataParallel, torch.compile, Lightning and Fabric put before the names of a network
WRAPPERS = ("module", "_orig_mod", "_forward_module", "_original_module")
PREFIX = re.compile(rf"(?:(?:{'|'.join(WRAPPERS)})\.)+")
BLOCK = re.compile(r"model\.(\d+)\.conv_block\.")
FIRST = re.compile(r"model\.model\.0\.(?:weight|parametrizations\.weight)")
BUFFER = re.compile(r"(.*\.)(?:running_mean|running_var|num_batches_tracked)")
EXPECTED = "a generator of CycleGAN or pix2pix (ResNet or U-Net)"


@dataclass(frozen=True)
class Generator:
    """A recognised generator.

    Parameters
    ----------
    architecture : str
        Its name in ``NETWORKS``.
    hyperparameters : dict
        The arguments that build it.
    """

    architecture: Literal["cyclegan_resnet", "cyclegan_unet"]
    hyperparameters: dict[str, Any]

    @property
    def net(self) -> str:
        """What the option ``netG`` of the training script calls it."""
        if self.architecture == "cyclegan_resnet":
            return f"resnet_{self.hyperparameters['blocks']}blocks"
        return f"unet_{2 ** self.hyperparameters['levels']}"


def clean_names(names: list[str]) -> dict[str, str]:
    """The names as the network gives them, to the file's: without wrappers and without buffers that nothing reads.

    Instance normalisation kept running statistics before PyTorch 0.4; where a norm has no weights, they are its.

    Raises
    ------
    ModelFileError
        If two names become one.
    """
    found = {PREFIX.sub("", name, count=1) if PREFIX.match(name) else name: name for name in names}
    if len(found) < len(names):
        raise ModelFileError("has the same weights twice, with and without 'module.'; save one network's state_dict()")
    legacy = [n for n in found if (m := BUFFER.fullmatch(n)) and f"{m[1]}weight" not in found]
    return {name: original for name, original in found.items() if name not in legacy}


def read_names(names: list[str]) -> dict[str, str | Fold]:
    """The names as the network gives them, to the file's or to the parts that a normalisation stores.

    Raises
    ------
    ModelFileError
        If two names become one, or weights are stored in parts that are not known.
    """
    return fold_names(clean_names(names))


def find_transposed(generator: Generator) -> set[str]:
    """The names of a generator's weights that are those of transposed convolutions."""
    with torch.device("meta"):
        network = NETWORKS[generator.architecture](**generator.hyperparameters)
    return {f"{name}.weight" for name, m in network.named_modules() if isinstance(m, torch.nn.ConvTranspose2d)}


def is_generator(names: Mapping[str, Any]) -> bool:
    """Whether cleaned names look like those of a generator."""
    return any(BLOCK.match(name) or FIRST.match(name) for name in names)


def is_discriminator(shapes: Shapes) -> bool:
    """Whether cleaned names and shapes are those of a PatchGAN or PixelGAN."""
    first = shapes.get("model.0.weight") or shapes.get("net.0.weight") or ()
    return len(first) == 4 and first[2:] in ((4, 4), (1, 1)) and not is_generator(shapes)


def recognise(shapes: Shapes) -> Generator:
    """Find the generator whose weights have these names and shapes.

    Raises
    ------
    ModelFileError
        If it is none, saying what differs.
    """
    resnet = any(BLOCK.match(name) for name in shapes)
    found = _recognise_resnet(shapes) if resnet else _recognise_unet(shapes)
    sizes = [found.hyperparameters[key] for key in ("in_channels", "out_channels", "width")]
    if not all(0 < size <= MAX_SIZE for size in sizes):
        raise ModelFileError(f"channels and width of {sizes}, expected at most {MAX_SIZE} each; check the file")
    with torch.device("meta"):  # gives the shapes, claims no memory
        expected = {
            name: tuple(tensor.shape)
            for name, tensor in NETWORKS[found.architecture](**found.hyperparameters).state_dict().items()
        }
    optional = {name for name in expected if name.endswith(".num_batches_tracked")}  # unknown before PyTorch 0.4.1
    title = f"nearly a {found.net} with norm {found.hyperparameters['norm']}"
    if missing := sorted(expected.keys() - shapes.keys() - optional):
        raise ModelFileError(f"{title}, but {_some(missing)} missing; copy the file again, or save the network whole")
    if extra := sorted(shapes.keys() - expected.keys()):
        raise ModelFileError(
            f"{title}, but {_some(extra)} not known there: a changed network, which cannot be imported"
        )
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape:
            raise ModelFileError(
                f"{title}, but {name} should have the shape {shape}, got {shapes[name]}; a changed network cannot be "
                "imported"
            )
    return found


def explain_foreign(shapes: Shapes) -> str:
    """Say what weights are that no generator has."""
    if is_discriminator(shapes):
        return "the weights of a discriminator (D, D_A or D_B), expected a generator; take the file of G, G_A or G_B"
    for architecture, network in NETWORKS.items():
        with torch.device("meta"):
            own = network().state_dict()
        if len(own.keys() & shapes.keys()) > len(own) / 2:
            return (
                f"the bare weights of napari-hush's own network {architecture!r}, without what a model needs besides; "
                "save it with model.save('name.safetensors')"
            )
    return f"weights of another project (such as {_first(list(shapes))}), expected {EXPECTED}"


def fill_counters(state: dict[str, torch.Tensor]) -> None:
    """Add the counters of batch normalisation that old files lack; nothing reads them in evaluation."""
    for name in [name for name in state if name.endswith(".running_mean")]:
        state.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))


def _recognise_resnet(shapes: Shapes) -> Generator:
    blocks = sorted({int(match[1]) for name in shapes if (match := BLOCK.match(name))})
    n = len(blocks)
    if blocks != list(range(10, 10 + n)) or n > MAX_SIZE:
        raise ModelFileError(
            f"a ResNet whose blocks are model.{blocks[0]} to model.{blocks[-1]}, expected model.10 and those that "
            "follow, without gaps; a changed network cannot be imported"
        )
    first, last = _kernel(shapes, "model.1.weight"), _kernel(shapes, f"model.{17 + n}.weight")
    return Generator(
        "cyclegan_resnet",
        {
            "in_channels": first[1],
            "out_channels": last[0],
            "width": first[0],
            "blocks": n,
            "norm": _find_norm(shapes, "model.1", "model.2"),
            "dropout": "model.10.conv_block.5.weight" not in shapes,  # a dropout moves the convolution to 6
        },
    )


def _recognise_unet(shapes: Shapes) -> Generator:
    inner, levels = "model.model.1.model.", 2
    while f"{inner}3.model.1.weight" in shapes and levels <= LEVELS.stop:
        inner, levels = f"{inner}3.model.", levels + 1
    if levels not in LEVELS:
        raise ModelFileError(
            f"a U-Net of {levels} levels, expected {LEVELS.start} to {LEVELS.stop - 1} (unet_128 has 7, unet_256 has 8)"
        )
    first, last = _kernel(shapes, "model.model.0.weight"), _kernel(shapes, "model.model.3.weight")
    return Generator(
        "cyclegan_unet",
        {
            "in_channels": first[1],
            "out_channels": last[1],  # a transposed convolution: (in, out, Y, X)
            "width": first[0],
            "levels": levels,
            "norm": _find_norm(shapes, "model.model.1.model.1", "model.model.1.model.2"),
        },
    )


def _find_norm(shapes: Shapes, convolution: str, norm: str) -> str:
    if f"{norm}.weight" in shapes and f"{norm}.running_mean" not in shapes:
        raise ModelFileError(
            f"its norms have weights ({norm}.weight) but no running statistics: an instance normalisation with trained "
            "weights; expected one without (the usual one), a batch normalisation, or none"
        )
    if f"{norm}.weight" in shapes:
        return "batch"
    return "instance" if f"{convolution}.bias" in shapes else "none"


def _kernel(shapes: Shapes, name: str) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None or len(shape) != 4:
        came = "it is missing" if shape is None else f"got the shape {shape}"
        raise ModelFileError(f"{name} should be the weights of a convolution, but {came}; copy the file again")
    return shape


def _some(names: list[str]) -> str:
    """The first names of a list, with their verb."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{_first(names)}{more} {'is' if len(names) == 1 else 'are'}"


def _first(names: list[str]) -> str:
    return ", ".join(show(name, 60) for name in names[:3])
