"""The network architectures, one self-contained file each; a new one adds its file and one line here.

Those in ``NETWORKS`` make an image of an image. Each declares what tiling needs to know of it: ``in_channels``,
``out_channels``, ``stride`` (sizes and tile origins are multiples of it, px), ``halo`` (context for an exact tile, px)
and ``live_channels`` (full-resolution channels that are in memory at once, which sets the tile size). One whose
normalisation needs statistics of the whole image, so that no halo makes a tile exact, also gives ``stages()``: itself
in pieces that can be tiled, each known before the next begins, see `napari_hush.networks.cyclegan.Stage`. One that
takes neighbouring slices as its channels says how many in ``depth``.

What a training needs to know stands at the class, where it is not what `Traits` says: ``value_range``,
``initial_weights`` and ``smallest``.

Those in ``IMPORTED`` are the same, for what files of other projects describe: nobody chooses them for a training.

Those in ``DISCRIMINATORS`` tell real from fake images in a training: logits of any shape behind the batch.

No architecture, and no torch, is imported before it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from napari_hush.declare import Registry
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from torch import nn

NETWORKS: Registry[type[nn.Module]] = Registry(
    {
        "cnn": "napari_hush.networks.cnn:CNN",
        "autoencoder": "napari_hush.networks.autoencoder:Autoencoder",
        "unet": "napari_hush.networks.unet:UNet",
        "tomogan": "napari_hush.networks.tomogan:TomoGAN",
        "cyclegan_resnet": "napari_hush.networks.cyclegan:CycleGANResNet",
        "cyclegan_unet": "napari_hush.networks.cyclegan:CycleGANUNet",
    }
)

# What files of others describe: run like the rest, saved and trained on, but never made from nothing.
IMPORTED: Registry[type[nn.Module]] = Registry(
    {
        "graph": "napari_hush.networks.graph:Graph",
        "onnx": "napari_hush.networks.onnx_network:ONNXNetwork",
    }
)

DISCRIMINATORS: Registry[type[nn.Module]] = Registry(
    {
        "tomogan": "napari_hush.networks.tomogan_discriminator:TomoGANDiscriminator",
        "patchgan": "napari_hush.networks.patchgan:PatchGAN",
    }
)


def find_network(architecture: str) -> type[nn.Module]:
    """The class of an architecture, of those that can be trained or of those that are imported.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    check_known(architecture)
    return (NETWORKS if architecture in NETWORKS else IMPORTED)[architecture]


def check_known(architecture: str) -> None:
    """Refuse an architecture that there is not; imports none.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if architecture not in NETWORKS and architecture not in IMPORTED:
        raise InputError(
            f"unknown architecture {architecture!r}: this version knows {', '.join((*NETWORKS, *IMPORTED))}; a newer "
            "napari-hush may know it"
        )


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a training asks of a network; a class attribute of the same name says it, the defaults hold elsewhere.

    Parameters
    ----------
    value_range : (float, float)
        What the darkest and the brightest values of an image become for it.
    initial_weights : {"he", "own"} or float
        Its weights before a training: He's for ReLU; those that ``__init__`` gives it, for example because it begins
        as the identity; or normal ones of this standard deviation.
    smallest : int
        Least side of what it takes, px.
    """

    value_range: tuple[float, float] = (0.0, 1.0)
    initial_weights: Literal["he", "own"] | float = "he"
    smallest: int = 1

    @classmethod
    def of(cls, network: nn.Module | type[nn.Module]) -> Traits:
        """What a network, or its class, says."""
        names = [field.name for field in fields(cls) if hasattr(network, field.name)]
        return cls(**{name: getattr(network, name) for name in names})
