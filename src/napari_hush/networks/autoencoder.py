"""The convolutional autoencoder of the tutorials: down to a small bottleneck and up again, without skips.

G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313, 504 (2006),
https://doi.org/10.1126/science.1127647 (the idea; tutorials made its layers convolutions)
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_STRIDE = 4096  # px; images are padded to multiples of it


class Autoencoder(nn.Module):
    """Stages of a stride-2 convolution and max-pooling, mirrored by upsampling and transposed convolutions.

    It is here for comparison, and to run what people have. What does not fit through the bottleneck is lost: by
    default one pixel of 128 channels stands for 256 x 256 px, half a number for each thousand, so fine detail comes
    back blurred or invented. `UNet` and `TomoGAN`, whose skips go around the bottleneck, are the right choice.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input (B, in_channels, Y, X) and of the output (B, out_channels, Y, X).
    widths : sequence of int
        Output channels of each stage's convolution, from full resolution down.
    pooling : int
        Side of each max-pooling, px; 1 for none.
    kernel_size : int
        Side of every kernel, px; at least 2.

    Notes
    -----
    Y and X of the input must be multiples of ``stride``, ``(2 * pooling) ** len(widths)``: 256 by default. The network
    does not pad, `napari_hush.denoise` does. Transposed convolutions with kernels of an odd side leave a faint
    checkerboard.

    A Keras layer with ``padding="same"`` and an odd kernel sits one pixel to the right and below: it is the same as a
    kernel one px larger here, with zeros in its first row and column.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128),
        pooling: int = 2,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        if not widths or min(*widths, in_channels, out_channels, pooling) < 1 or kernel_size < 2:
            raise ValueError(
                f"an autoencoder needs positive widths, channels and pooling and a kernel_size of at least 2, got "
                f"{widths=}, {in_channels=}, {out_channels=}, {pooling=}, {kernel_size=}"
            )
        if (stride := (2 * pooling) ** len(widths)) > MAX_STRIDE:
            raise ValueError(
                f"(2 * pooling) ** stages must be at most {MAX_STRIDE}, got {pooling=} and {len(widths)} widths"
            )
        self.in_channels, self.out_channels, self.pooling, self.stride = in_channels, out_channels, pooling, stride
        self.halo = _halo(len(widths), pooling, kernel_size)
        # at full resolution the image and the result; of a stage what is convolved, its ReLU, and what grew or shrank
        areas = [w / (4 * (2 * pooling) ** (2 * stage)) for stage, w in enumerate(widths)]
        self.live_channels = in_channels + 2 * out_channels + ceil(4 * max(areas))

        def up(a: int, b: int) -> nn.ConvTranspose2d:
            padding = (kernel_size - 1) // 2
            return nn.ConvTranspose2d(a, b, kernel_size, 2, padding, output_padding=kernel_size % 2)

        down = pairwise([in_channels, *widths])
        self.down = nn.ModuleList(nn.Conv2d(a, b, kernel_size, 2, (kernel_size - 1) // 2) for a, b in down)
        self.up = nn.ModuleList(up(a, b) for a, b in pairwise([*reversed(widths), out_channels]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X); Y and X are multiples of ``stride``."""
        for conv in self.down:
            x = max_pool2d(torch.relu(conv(x)), self.pooling)  # (B, C, Y/2/pooling, X/2/pooling)
        for number, conv in enumerate(self.up, start=1):
            x = conv(interpolate(x, scale_factor=float(self.pooling), mode="nearest"))  # (B, C, 2 pooling Y, ... X)
            x = torch.relu(x) if number < len(self.up) else x
        return x


def _halo(stages: int, pooling: int, kernel_size: int) -> int:
    """How far an aligned tile looks beyond its edges, px, in whole strides."""
    before = (kernel_size - 1) // 2  # a convolution at 2 i looks from 2 i - before
    after = kernel_size - 2 - before  # to 2 i + 1 + after
    low = high = 0  # px beyond the lower and the higher edge, from the result to the bottleneck and back
    for _ in range(stages):
        low, high = (low + after + 1) // 2, (high + before + 1) // 2  # transposed: the roles are exchanged
        low, high = -(-low // pooling), -(-high // pooling)
    for _ in range(stages):
        low, high = 2 * pooling * low + before, 2 * pooling * high + after
    stride: int = (2 * pooling) ** stages
    return -(-max(low, high) // stride) * stride
