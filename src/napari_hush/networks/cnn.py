"""The plain convolutional denoiser of the tutorials: 3x3 convolutions with ReLU, no down-sampling.

The default widths (8, 16, 8, 4) are those of the AIScienceTutorial denoising exercise.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class CNN(nn.Module):
    """3x3 convolutions with ReLU, closed by one linear 3x3 convolution.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input (B, in_channels, Y, X) and of the output (B, out_channels, Y, X).
    widths : sequence of int
        Output channels of each hidden convolution.
    kernel_size : int
        Odd side of every kernel, px.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        widths: Sequence[int] = (8, 16, 8, 4),
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        if not widths or min(*widths, in_channels, out_channels) < 1 or kernel_size % 2 == 0 or kernel_size < 1:
            raise ValueError(
                f"a CNN needs positive widths and an odd kernel_size, got {widths=}, {in_channels=}, "
                f"{out_channels=}, {kernel_size=}"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        chain = [in_channels, *widths, out_channels]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, kernel_size, padding=kernel_size // 2) for a, b in pairwise(chain))
        self.stride = 1
        self.halo = (kernel_size // 2) * len(self.convs)
        self.live_channels = 2 * max(a + b for a, b in pairwise(chain))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X)."""
        for conv in self.convs[:-1]:
            x = torch.relu(conv(x))
        out: torch.Tensor = self.convs[-1](x)
        return out
