"""The generators of CycleGAN and pix2pix: a ResNet and a U-Net, with the key layout of their published checkpoints.

J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
networks", ICCV 2017, https://doi.org/10.1109/ICCV.2017.244

P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-image translation with conditional adversarial networks", CVPR
2017, https://doi.org/10.1109/CVPR.2017.632

J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", ECCV 2016,
https://doi.org/10.1007/978-3-319-46475-6_43 (the ResNet)

Their instance normalisation takes its statistics from the whole image, so a tile by itself gives other pixels than
the whole. ``stages()`` therefore tells how to run them piece by piece: each piece looks a few pixels far, and the
statistics of a layer are known before the next one begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

import torch
from torch import nn
from torch.nn.functional import instance_norm, leaky_relu

if TYPE_CHECKING:
    from collections.abc import Iterator

Norm = Literal["instance", "batch", "none"]
MAX_WIDTH, MAX_BLOCKS, MAX_LEVELS = 1024, 64, 12  # far beyond what is published: a file cannot ask for a giant


@dataclass(frozen=True, eq=False)
class Stage:
    """A piece of a network between two places where statistics of the whole image are needed.

    Parameters
    ----------
    module : torch.nn.Module
        Maps its inputs (B, C, Y, X), as they were stored, to one output. Norms inside it have their statistics.
    inputs : tuple of str
        Names of stored values; ``"image"`` is the network's input.
    output : str or None
        Name to store the output under; the last stage stores ``"result"``; None: its statistics alone are wanted.
    channels, level : int
        Of the output: its sides are those of the image divided by 2**level.
    halo : int
        How far an aligned tile looks beyond its edge, in px of the coarsest value that takes part.
    measures : InstanceNorm, optional
        The norm that wants the output's mean and variance.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    output: str | None
    channels: int
    level: int
    halo: int
    measures: InstanceNorm | None = None


class InstanceNorm(nn.Module):
    """Every channel of every image to mean 0 and variance 1, without trained parameters.

    ``statistics``, where it is set, holds the mean and the inverse standard deviation to use, each (1, C, 1, 1),
    instead of those of what comes in.
    """

    eps = 1e-5

    def __init__(self) -> None:
        super().__init__()
        self.statistics: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, Y, X)."""
        if self.statistics is None:
            return instance_norm(x, eps=self.eps)
        mean, rstd = self.statistics
        return (x - mean) * rstd


class CycleGANResNet(nn.Module):
    """The ResNet generator: two down-samplings, residual blocks, two up-samplings, tanh.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output, both in [-1, 1].
    width : int
        Channels of the first layer; four times as many in the blocks.
    blocks : int
        Residual blocks: 9 or 6 in the published ones. 11,378,179 and 7,837,699 parameters at 3 channels.
    norm : {"instance", "batch", "none"}
        Normalisation; batch normalisation uses the statistics of the training.
    dropout : bool
        Dropout inside the blocks; it acts in training alone, but moves a layer's number.

    Notes
    -----
    Y and X of the input must be multiples of ``stride`` (4), and at least 8.
    """

    value_range = (-1.0, 1.0)  # of the tanh
    initial_weights = 0.02
    smallest = 8  # px a side: the blocks reflect the border of what is a quarter of it

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "instance",
        dropout: bool = False,
    ) -> None:
        super().__init__()
        _check(in_channels, out_channels, width, norm)
        if not 1 <= blocks <= MAX_BLOCKS:
            raise ValueError(f"a CycleGAN ResNet has 1 to {MAX_BLOCKS} blocks, got {blocks}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.stride = 4
        self.halo = 12 + 8 * blocks  # px, with the statistics of the whole image; 11 + 8 * blocks are looked at
        self.live_channels = 4 * width
        bias = norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7, bias=bias)]
        layers += [_norm(norm, width), nn.ReLU()]
        for a in (width, 2 * width):
            layers += [nn.Conv2d(a, 2 * a, 3, stride=2, padding=1, bias=bias), _norm(norm, 2 * a), nn.ReLU()]
        layers += [ResidualBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for a in (4 * width, 2 * width):
            up = nn.ConvTranspose2d(a, a // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)
            layers += [up, _norm(norm, a // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        self._width, self._blocks = width, blocks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X); Y and X are multiples of 4."""
        out: torch.Tensor = self.model(x)
        return out

    def stages(self) -> Iterator[Stage]:
        """The network in pieces, in order; layers at full resolution are cheap and done anew rather than stored."""
        layers, width = list(self.model), self._width
        first_up = 10 + self._blocks
        yield Stage(nn.Sequential(*layers[:2]), ("image",), None, width, 0, 3, _measured(layers[2]))
        yield Stage(nn.Sequential(*layers[:5]), ("image",), None, 2 * width, 1, 3, _measured(layers[5]))
        yield Stage(nn.Sequential(*layers[:8]), ("image",), "raw", 4 * width, 2, 2, _measured(layers[8]))
        yield Stage(nn.Sequential(*layers[8:10]), ("raw",), "x", 4 * width, 2, 0)
        for block in layers[10:first_up]:
            *before, last_norm = cast("ResidualBlock", block).conv_block
            yield Stage(nn.Sequential(*before[:2]), ("x",), "raw", 4 * width, 2, 1, _measured(before[2]))
            yield Stage(nn.Sequential(*before[2:]), ("raw",), "raw2", 4 * width, 2, 1, _measured(last_norm))
            yield Stage(_NormAndAdd(last_norm), ("x", "raw2"), "x", 4 * width, 2, 0)
        layers = layers[first_up:]
        yield Stage(nn.Sequential(*layers[:1]), ("x",), None, 2 * width, 1, 1, _measured(layers[1]))
        yield Stage(nn.Sequential(*layers[:4]), ("x",), None, width, 0, 2, _measured(layers[4]))
        yield Stage(nn.Sequential(*layers), ("x",), "result", self.out_channels, 0, 3)


class CycleGANUNet(nn.Module):
    """The U-Net generator: 4x4 convolutions of stride 2 down to one pixel, mirrored, with skips, tanh.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output, both in [-1, 1].
    width : int
        Channels of the first layer; at most eight times as many further down.
    levels : int
        Down-samplings, at least 5: 8 in ``unet_256``, 7 in ``unet_128``. 54,409,603 and 41,825,667 parameters at 3
        channels with instance normalisation.
    norm : {"instance", "batch", "none"}
        Normalisation; batch normalisation uses the statistics of the training.
    dropout : bool
        Dropout in the deep blocks, in training alone.

    Notes
    -----
    Y and X of the input must be multiples of ``stride`` (2**levels). Its deepest layers see the whole surroundings of
    a pixel, several times 2**levels px.
    """

    value_range = (-1.0, 1.0)  # of the tanh
    initial_weights = 0.02

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 64,
        levels: int = 8,
        norm: Norm = "instance",
        dropout: bool = False,
    ) -> None:
        super().__init__()
        _check(in_channels, out_channels, width, norm)
        if not 5 <= levels <= MAX_LEVELS:
            raise ValueError(f"a CycleGAN U-Net has 5 to {MAX_LEVELS} levels, got {levels}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.stride = 2**levels
        self.halo = 2 * self.stride  # px, with the statistics of the whole image; all but one of them are looked at
        self.live_channels = 4 * width
        self._width, self._levels = width, levels
        block = UNetBlock(8 * width, 8 * width, norm, innermost=True)
        for _ in range(levels - 5):
            block = UNetBlock(8 * width, 8 * width, norm, inside=block, dropout=dropout)
        for a in (4 * width, 2 * width, width):
            block = UNetBlock(a, 2 * a, norm, inside=block)
        self.model = UNetBlock(out_channels, width, norm, inside=block, in_channels=in_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X); Y and X are multiples of 2**levels."""
        out: torch.Tensor = self.model(x)
        return out

    def stages(self) -> Iterator[Stage]:
        """The network in pieces, in order: each convolution with the activation before it."""
        blocks = [self.model]
        while blocks[-1].inside is not None:
            blocks.append(blocks[-1].inside)
        depth = len(blocks)
        norms: dict[str, nn.Module] = {}
        for level, block in enumerate(blocks, start=1):
            before = f"down{level - 1}" if level > 1 else "image"
            module: nn.Module = block.down
            if level > 1:
                module = nn.Sequential(norms[before], nn.LeakyReLU(0.2), block.down)
            norms[f"down{level}"] = block.down_norm
            channels = block.down.out_channels
            yield Stage(module, (before,), f"down{level}", channels, level, 1, _measured(block.down_norm))
        for level, block in reversed(list(enumerate(blocks, start=1))):
            down, up = f"down{level}", f"up{level + 1}"
            name = "result" if level == 1 else f"up{level}"
            inputs = (down,) if level == depth else (down, up)
            module = _JoinAndUp(norms[down], None if level == depth else norms[up], block)
            norms[name] = block.up_norm
            yield Stage(module, inputs, name, block.up.out_channels, level - 1, 1, _measured(block.up_norm))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with reflected borders, around which the input goes unchanged."""

    def __init__(self, channels: int, norm: Norm, dropout: bool) -> None:
        super().__init__()
        bias = norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        layers += [_norm(norm, channels), nn.ReLU()]
        layers += [nn.Dropout(0.5)] if dropout else []
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), _norm(norm, channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, Y, X) to the same shape."""
        out: torch.Tensor = x + self.conv_block(x)
        return out


class UNetBlock(nn.Module):
    """One level of the U-Net with everything below it inside; all but the outermost pass their input along."""

    def __init__(
        self,
        outer: int,
        inner: int,
        norm: Norm,
        *,
        inside: UNetBlock | None = None,
        innermost: bool = False,
        dropout: bool = False,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        outermost = in_channels is not None
        bias = norm == "instance"
        down = nn.Conv2d(in_channels or outer, inner, 4, stride=2, padding=1, bias=bias)
        up = nn.ConvTranspose2d(
            inner if innermost else 2 * inner, outer, 4, stride=2, padding=1, bias=bias or outermost
        )
        layers: list[nn.Module] = [down] if outermost else [nn.LeakyReLU(0.2), down]
        if not (outermost or innermost):
            layers.append(_norm(norm, inner))
        if inside is not None:
            layers.append(inside)
        layers += [nn.ReLU(), up, nn.Tanh() if outermost else _norm(norm, outer)]
        if dropout:
            layers.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*layers)
        self._outermost = outermost

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, Y, X) to the result, or to the input and what was made of it, (B, C + C', Y, X)."""
        if self._outermost:
            out: torch.Tensor = self.model(x)
            return out
        x = leaky_relu(x, 0.2)  # the published code does this in place: the skip carries it, too
        return torch.cat([x, self.model[1:](x)], dim=1)

    @property
    def inside(self) -> UNetBlock | None:
        """The next level."""
        return next((layer for layer in self.model if isinstance(layer, UNetBlock)), None)

    @property
    def down(self) -> nn.Conv2d:
        """The convolution of stride 2."""
        return next(layer for layer in self.model if isinstance(layer, nn.Conv2d))

    @property
    def down_norm(self) -> nn.Module:
        """What follows it: a norm, or nothing."""
        following = self.model[list(self.model).index(self.down) + 1]
        return nn.Identity() if isinstance(following, UNetBlock | nn.ReLU) else following

    @property
    def up(self) -> nn.ConvTranspose2d:
        """The transposed convolution."""
        return next(layer for layer in self.model if isinstance(layer, nn.ConvTranspose2d))

    @property
    def up_norm(self) -> nn.Module:
        """What follows it: a norm, or the tanh of the outermost."""
        return self.model[list(self.model).index(self.up) + 1]


class _NormAndAdd(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.norm(raw)
        return out


class _JoinAndUp(nn.Module):
    def __init__(self, down_norm: nn.Module, up_norm: nn.Module | None, block: UNetBlock) -> None:
        super().__init__()
        self.down_norm, self.up_norm, self.up = down_norm, up_norm, block.up
        self.last = block.up_norm if isinstance(block.up_norm, nn.Tanh) else nn.Identity()

    def forward(self, down: torch.Tensor, up: torch.Tensor | None = None) -> torch.Tensor:
        x = torch.relu(self.down_norm(down))  # of what is left of it by the leaky ReLU of the way down
        if up is not None and self.up_norm is not None:
            x = torch.cat([x, torch.relu(self.up_norm(up))], dim=1)
        out: torch.Tensor = self.last(self.up(x))
        return out


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return InstanceNorm() if kind == "instance" else nn.Identity()


def _measured(norm: nn.Module) -> InstanceNorm | None:
    return norm if isinstance(norm, InstanceNorm) else None


def _check(in_channels: int, out_channels: int, width: int, norm: str) -> None:
    if norm not in get_args(Norm):
        raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, got {norm!r}")
    if min(in_channels, out_channels, width) < 1 or max(in_channels, out_channels, width) > MAX_WIDTH:
        raise ValueError(
            f"a CycleGAN generator has 1 to {MAX_WIDTH} channels, got {in_channels=}, {out_channels=}, {width=}"
        )
