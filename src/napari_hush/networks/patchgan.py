"""The PatchGAN discriminator of pix2pix and CycleGAN, with the key layout of their published checkpoints.

P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-image translation with conditional adversarial networks", CVPR
2017, https://doi.org/10.1109/CVPR.2017.632
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

Norm = Literal["instance", "batch", "none"]


class PatchGAN(nn.Module):
    """4x4 convolutions with leaky ReLU that judge every patch of an image by itself.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    width : int
        Channels of the first convolution; twice as many in each one that follows, at most eight times. 2,764,737
        parameters by default at 3 channels.
    layers : int
        Convolutions of stride 2; two of stride 1 follow. A judgement sees 16, 34, 70, 142 px for 1, 2, 3, 4.
    norm : {"instance", "batch", "none"}
        Normalisation of all convolutions but the first and the last. As published, these have a bias with instance
        normalisation only.

    Notes
    -----
    ``receptive_field`` is the side of the patch that one judgement sees, px. With instance normalisation the image's
    statistics enter as well.
    """

    def __init__(self, *, in_channels: int = 1, width: int = 64, layers: int = 3, norm: Norm = "instance") -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, got {norm!r}")
        if min(in_channels, width, layers) < 1:
            raise ValueError(f"a PatchGAN needs positive sizes, got {in_channels=}, {width=}, {layers=}")
        self.in_channels = in_channels
        self.receptive_field = 9 * 2**layers - 2  # two 4x4 of stride 1 see 7 px, each of stride 2 makes n to 2 n + 2
        modules: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        a = width
        for number in range(1, layers + 1):
            b = width * min(2**number, 8)
            stride = 2 if number < layers else 1
            modules.append(nn.Conv2d(a, b, 4, stride=stride, padding=1, bias=norm == "instance"))
            modules += [_norm(norm, b), nn.LeakyReLU(0.2)]
            a = b
        modules.append(nn.Conv2d(a, 1, 4, padding=1))
        self.model = nn.Sequential(*modules)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to logits (B, 1, Y / 2**layers - 2, X / 2**layers - 2): high for real."""
        out: torch.Tensor = self.model(x)
        return out


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()
