"""The network architectures, one self-contained file each; a new one adds its file and one line here.

Those in ``NETWORKS`` make an image of an image. Each declares what tiling needs to know of it: ``in_channels``,
``out_channels``, ``stride`` (sizes and tile origins are multiples of it, px), ``halo`` (context for an exact tile, px)
and ``live_channels`` (full-resolution channels that are in memory at once, which sets the tile size). One whose
normalisation needs statistics of the whole image, so that no halo makes a tile exact, also gives ``stages()``: itself
in pieces that can be tiled, each known before the next begins, see `Stage`. One that takes neighbouring slices as its
channels says how many in ``depth``.

Those in ``DISCRIMINATORS`` tell real from fake images in a training: logits of any shape behind the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.networks.autoencoder import Autoencoder
from napari_hush.networks.cnn import CNN
from napari_hush.networks.cyclegan import CycleGANResNet, CycleGANUNet, InstanceNorm, Stage
from napari_hush.networks.patchgan import PatchGAN
from napari_hush.networks.tomogan import TomoGAN
from napari_hush.networks.tomogan_discriminator import TomoGANDiscriminator
from napari_hush.networks.unet import UNet

if TYPE_CHECKING:
    from torch import nn

NETWORKS: dict[str, type[nn.Module]] = {
    "cnn": CNN,
    "autoencoder": Autoencoder,
    "unet": UNet,
    "tomogan": TomoGAN,
    "cyclegan_resnet": CycleGANResNet,
    "cyclegan_unet": CycleGANUNet,
}

DISCRIMINATORS: dict[str, type[nn.Module]] = {
    "tomogan": TomoGANDiscriminator,
    "patchgan": PatchGAN,
}

__all__ = [
    "CNN",
    "DISCRIMINATORS",
    "NETWORKS",
    "Autoencoder",
    "CycleGANResNet",
    "CycleGANUNet",
    "InstanceNorm",
    "PatchGAN",
    "Stage",
    "TomoGAN",
    "TomoGANDiscriminator",
    "UNet",
]
