"""The TomoGAN generator: a small U-Net without normalisation layers.

Z. Liu, T. Bicer, R. Kettimuthu, D. Gursoy, F. De Carlo, I. Foster, "TomoGAN: low-dose synchrotron x-ray tomography
with generative adversarial networks", J. Opt. Soc. Am. A 37, 422 (2020), https://doi.org/10.1364/JOSAA.375595
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

Upsampling = Literal["nearest", "bilinear", "bilinear_tf1"]


def upsample(x: torch.Tensor, mode: Upsampling) -> torch.Tensor:
    """Double Y and X of (B, C, Y, X).

    ``bilinear`` samples at half-pixel centres; ``bilinear_tf1`` is TensorFlow 1's legacy rule
    ``out[2i] = in[i]``, ``out[2i + 1] = (in[i] + in[min(i + 1, n - 1)]) / 2`` per axis.
    """
    if mode == "nearest":
        return interpolate(x, scale_factor=2.0, mode="nearest")
    if mode == "bilinear":
        return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    b, c, h, w = x.shape
    below = torch.cat([x[:, :, 1:], x[:, :, -1:]], dim=2)
    x = torch.stack([x, (x + below) / 2], dim=3).reshape(b, c, 2 * h, w)  # (B, C, 2Y, X)
    right = torch.cat([x[..., 1:], x[..., -1:]], dim=3)
    return torch.stack([x, (x + right) / 2], dim=4).reshape(b, c, 2 * h, 2 * w)  # (B, C, 2Y, 2X)


class TomoGAN(nn.Module):
    """TomoGAN's generator: three levels of 3x3 convolutions with ReLU, skips by concatenation, linear output.

    Parameters
    ----------
    in_channels : int
        Channels of the image. 694,897 parameters at 1.
    out_channels : int
        Channels of the output.
    depth : int
        Neighbouring slices of a stack, which take the place of channels: (B, depth, Y, X) gives the slice in the
        middle, ``depth // 2``. 1 for single images.
    upsampling : {"nearest", "bilinear", "bilinear_tf1"}
        How the decoder doubles the size, see `upsample`.

    Notes
    -----
    Y and X of the input must be multiples of ``stride`` (8).
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        depth: int = 1,
        upsampling: Upsampling = "nearest",
    ) -> None:
        super().__init__()
        if upsampling not in get_args(Upsampling):
            raise ValueError(f"upsampling must be one of {', '.join(get_args(Upsampling))}, got {upsampling!r}")
        if min(in_channels, out_channels, depth) < 1:
            raise ValueError(f"channels and depth must be at least 1, got {in_channels=}, {out_channels=}, {depth=}")
        if depth > 1 and in_channels > 1:
            raise ValueError(
                f"slices take the place of channels: depth or in_channels must be 1, got {depth=}, {in_channels=}"
            )
        in_channels *= depth
        self.in_channels, self.out_channels, self.depth, self.upsampling = in_channels, out_channels, depth, upsampling
        self.stride = 8
        self.halo = 40 if upsampling == "nearest" else 48
        self.live_channels = 160  # the last decoder block: E1, its upsampled partner, both joined, the output

        def conv(a: int, b: int, size: int = 3) -> nn.Conv2d:
            return nn.Conv2d(a, b, size, padding=size // 2)

        self.stem = conv(in_channels, 8, 1)
        self.enc1 = nn.ModuleList([conv(8, 32), conv(32, 32)])
        self.enc2 = nn.ModuleList([conv(32, 64), conv(64, 64)])
        self.enc3 = nn.ModuleList([conv(64, 128), conv(128, 128)])
        self.bottom = conv(128, 128)
        self.dec3 = nn.ModuleList([conv(256, 64), conv(64, 64)])
        self.dec2 = nn.ModuleList([conv(128, 32), conv(32, 32)])
        self.dec1 = nn.ModuleList([conv(64, 32), conv(32, 32)])
        self.head = conv(32, 16, 1)
        self.out = conv(16, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X); Y and X are multiples of 8."""
        e1 = self._block(self.enc1, torch.relu(self.stem(x)))  # (B, 32, Y, X)
        e2 = self._block(self.enc2, max_pool2d(e1, 2))  # (B, 64, Y/2, X/2)
        e3 = self._block(self.enc3, max_pool2d(e2, 2))  # (B, 128, Y/4, X/4)
        d = torch.relu(self.bottom(max_pool2d(e3, 2)))  # (B, 128, Y/8, X/8)
        d = self._block(self.dec3, torch.cat([e3, upsample(d, self.upsampling)], dim=1))  # (B, 64, Y/4, X/4)
        d = self._block(self.dec2, torch.cat([e2, upsample(d, self.upsampling)], dim=1))  # (B, 32, Y/2, X/2)
        d = self._block(self.dec1, torch.cat([e1, upsample(d, self.upsampling)], dim=1))  # (B, 32, Y, X)
        out: torch.Tensor = self.out(torch.relu(self.head(d)))
        return out

    @staticmethod
    def _block(convs: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        for conv in convs:
            x = torch.relu(conv(x))
        return x
