"""A residual U-Net without normalisation layers, which corrects its input rather than painting it anew.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015,
https://doi.org/10.1007/978-3-319-24574-4_28

K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016,
https://doi.org/10.1109/CVPR.2016.90 (the shortcuts)

H. Zhang, Y. N. Dauphin, T. Ma, "Fixup initialization: residual learning without normalization", ICLR 2019,
https://doi.org/10.48550/arXiv.1901.09321 (blocks that begin as their shortcut)

A. Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", Distill 2016,
https://doi.org/10.23915/distill.00003 (why sizes are doubled by interpolation before a convolution)
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

Upsampling = Literal["bilinear", "nearest"]
MAX_LEVELS = 10  # a stride of 1024 px


class UNet(nn.Module):
    """An encoder and a decoder of residual blocks with skips between them; the last layer begins at zero.

    With as many output as input channels it gives the input and a correction, so that it is the identity before it
    was trained; otherwise the last layer gives the image itself.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input (B, in_channels, Y, X) and of the output (B, out_channels, Y, X).
    width : int
        Channels at full resolution; twice as many on each level below. 1,882,753 parameters by default.
    levels : int
        Down-samplings, 1 to 10.
    upsampling : {"bilinear", "nearest"}
        How the decoder doubles the size.

    Notes
    -----
    Y and X of the input must be multiples of ``stride`` (2**levels). The encoder halves the size by averaging, which
    aliases less than taking every second pixel or the largest of four.
    """

    initial_weights = "own"  # the identity, as far as the channels allow it

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        levels: int = 3,
        upsampling: Upsampling = "bilinear",
    ) -> None:
        super().__init__()
        if upsampling not in get_args(Upsampling):
            raise ValueError(f"upsampling must be one of {', '.join(get_args(Upsampling))}, got {upsampling!r}")
        if min(in_channels, out_channels, width) < 1 or not 1 <= levels <= MAX_LEVELS:
            raise ValueError(
                f"a U-Net needs positive channels and 1 to {MAX_LEVELS} levels, got {in_channels=}, {out_channels=}, "
                f"{width=}, {levels=}"
            )
        self.in_channels, self.out_channels, self.upsampling = in_channels, out_channels, upsampling
        self.stride = 1 << levels
        self.halo = _halo(levels, upsampling)
        # the last decoder block: what was joined, its shortcut, and one convolution before and after its ReLU
        self.live_channels = in_channels + 5 * width

        widths = [width * 2**level for level in range(levels + 1)]
        self.encoder = nn.ModuleList(Block(a, b) for a, b in zip([in_channels, *widths], widths, strict=False))
        # 1x1: fewer channels before they grow in size, the same as after it
        self.narrow = nn.ModuleList(nn.Conv2d(2 * a, a, 1) for a in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(Block(2 * a, a) for a in reversed(widths[:-1]))
        self.out = nn.Conv2d(width, out_channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X); Y and X are multiples of 2**levels."""
        image, skips = x, []
        x = self.encoder[0](x)
        for block in self.encoder[1:]:
            skips.append(x)
            x = block(avg_pool2d(x, 2))  # (B, 2 C, Y/2, X/2)
        for narrow, block in zip(self.narrow, self.decoder, strict=True):
            x = interpolate(narrow(x), scale_factor=2.0, mode=self.upsampling)  # (B, C/2, 2 Y, 2 X)
            x = block(torch.cat([skips.pop(), x], dim=1))
        x = self.out(x)
        return image + x if self.in_channels == self.out_channels else x


class Block(nn.Module):
    """Two 3x3 convolutions with ReLU, around which the input goes unchanged (1x1 where the channels differ).

    The second begins at zero, so that values keep their size through many blocks without a normalisation.
    """

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3, padding=1)
        self.shortcut = nn.Identity() if a == b else nn.Conv2d(a, b, 1)
        for conv in (self.conv1, self.shortcut):
            if isinstance(conv, nn.Conv2d) and not conv.weight.is_meta:  # drawing nothing there loads torch's compiler
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, a, Y, X) to (B, b, Y, X)."""
        return torch.relu(self.shortcut(x) + self.conv2(torch.relu(self.conv1(x))))


def _halo(levels: int, upsampling: Upsampling) -> int:
    """How far an aligned tile looks beyond its edge, px, in whole strides."""
    beyond = 0  # px of the level that is looked at, from the result down to the bottleneck
    for _ in range(levels):
        beyond += 2  # the decoder block
        beyond = beyond // 2 + 1 if upsampling == "bilinear" else -(-beyond // 2)
    beyond += 2
    for _ in range(levels):
        beyond = 2 * beyond + 2  # average pooling, and the encoder block above it
    stride = 1 << levels
    return -(-beyond // stride) * stride
