"""The TomoGAN discriminator: one judgement of a whole patch, without normalisation layers.

Z. Liu, T. Bicer, R. Kettimuthu, D. Gursoy, F. De Carlo, I. Foster, "TomoGAN: low-dose synchrotron x-ray tomography
with generative adversarial networks", J. Opt. Soc. Am. A 37, 422 (2020), https://doi.org/10.1364/JOSAA.375595
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class TomoGANDiscriminator(nn.Module):
    """TomoGAN's discriminator: six 3x3 convolutions with ReLU, every second one of stride 2, and two dense layers.

    Parameters
    ----------
    in_channels : int
        Channels of the patch.
    size : int
        Side of the patch, px, a multiple of 8; the dense layer grows with its square. 673,477 parameters at 256.
    """

    stride = 8  # px

    def __init__(self, *, in_channels: int = 1, size: int = 256) -> None:
        super().__init__()
        if in_channels < 1 or size < self.stride or size % self.stride:
            raise ValueError(
                f"a TomoGAN discriminator needs channels and a size that is a multiple of 8, got {in_channels=}, "
                f"{size=}"
            )
        self.in_channels, self.size = in_channels, size
        chain = [in_channels, 64, 64, 128, 128, 128, 4]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 + number % 2, padding=1) for number, (a, b) in enumerate(pairwise(chain))
        )
        self.dense = nn.Linear(4 * (size // 8) ** 2, 64)
        self.out = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map patches (B, in_channels, size, size) to logits (B, 1): high for real, low for fake.

        Raises
        ------
        ValueError
            If the patches are of another size.
        """
        if x.shape[1:] != (self.in_channels, self.size, self.size):
            raise ValueError(
                f"expected patches of {self.in_channels} channels and {self.size} x {self.size} px, got "
                f"{tuple(x.shape[1:])}"
            )
        for conv in self.convs:
            x = torch.relu(conv(x))
        x = x.flatten(1)  # (B, 4 Y/8 X/8)
        out: torch.Tensor = self.out(torch.relu(self.dense(x)))
        return out
