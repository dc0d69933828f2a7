"""The network architectures, one self-contained file each; a new one adds its file and one line here.

Each declares what tiling needs to know of it: ``in_channels``, ``out_channels``, ``stride`` (sizes and tile origins
are multiples of it, px), ``halo`` (context for an exact tile, px) and ``live_channels`` (full-resolution channels that
are in memory at once, which sets the tile size).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.networks.cnn import CNN
from napari_hush.networks.cyclegan import CycleGANResNet, CycleGANUNet
from napari_hush.networks.tomogan import TomoGAN

if TYPE_CHECKING:
    from torch import nn

NETWORKS: dict[str, type[nn.Module]] = {
    "cnn": CNN,
    "tomogan": TomoGAN,
    "cyclegan_resnet": CycleGANResNet,
    "cyclegan_unet": CycleGANUNet,
}

__all__ = ["CNN", "NETWORKS", "CycleGANResNet", "CycleGANUNet", "TomoGAN"]
