"""The generators of CycleGAN and pix2pix in torch's own layers, to check ours against: names, shapes and results.

Written from the description of the architectures, as plainly as it goes; nothing of `napari_hush.networks` is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def norm_layer(norm: str, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)
    return nn.Identity()


class ReferenceBlock(nn.Module):
    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        self.conv_block = nn.Sequential()
        for number in range(2):
            self.conv_block.append(nn.ReflectionPad2d(1))
            self.conv_block.append(nn.Conv2d(channels, channels, kernel_size=3, bias=norm == "instance"))
            self.conv_block.append(norm_layer(norm, channels))
            if number == 0:
                self.conv_block.append(nn.ReLU(inplace=True))
                if dropout:
                    self.conv_block.append(nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class ReferenceResNet(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, width: int, blocks: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = norm == "instance"
        model = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, kernel_size=7, bias=bias))
        model.extend([norm_layer(norm, width), nn.ReLU(inplace=True)])
        for a, b in [(width, 2 * width), (2 * width, 4 * width)]:
            model.append(nn.Conv2d(a, b, kernel_size=3, stride=2, padding=1, bias=bias))
            model.extend([norm_layer(norm, b), nn.ReLU(inplace=True)])
        for _ in range(blocks):
            model.append(ReferenceBlock(4 * width, norm, dropout))
        for a, b in [(4 * width, 2 * width), (2 * width, width)]:
            model.append(nn.ConvTranspose2d(a, b, kernel_size=3, stride=2, padding=1, output_padding=1, bias=bias))
            model.extend([norm_layer(norm, b), nn.ReLU(inplace=True)])
        model.extend([nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, kernel_size=7), nn.Tanh()])
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class ReferenceLevel(nn.Module):
    """A level of the U-Net around the one below it; the leaky ReLU works in place, so that the skip carries it."""

    def __init__(
        self,
        outputs: int,
        inner: int,
        norm: str,
        below: ReferenceLevel | None,
        *,
        inputs: int | None = None,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        self.top = inputs is not None
        bias = norm == "instance"
        down = nn.Conv2d(inputs or outputs, inner, kernel_size=4, stride=2, padding=1, bias=bias)
        came_up = inner if below is None else 2 * inner
        up = nn.ConvTranspose2d(came_up, outputs, kernel_size=4, stride=2, padding=1, bias=bias or self.top)
        if self.top:
            layers = [down, below, nn.ReLU(inplace=True), up, nn.Tanh()]
        elif below is None:
            layers = [nn.LeakyReLU(0.2, inplace=True), down, nn.ReLU(inplace=True), up, norm_layer(norm, outputs)]
        else:
            layers = [nn.LeakyReLU(0.2, inplace=True), down, norm_layer(norm, inner), below]
            layers += [nn.ReLU(inplace=True), up, norm_layer(norm, outputs)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x) if self.top else torch.cat([x, self.model(x)], dim=1)


class ReferenceUNet(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, width: int, levels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        level = ReferenceLevel(8 * width, 8 * width, norm, None)
        for _ in range(levels - 5):
            level = ReferenceLevel(8 * width, 8 * width, norm, level, dropout=dropout)
        for factor in (4, 2, 1):
            level = ReferenceLevel(factor * width, 2 * factor * width, norm, level)
        self.model = ReferenceLevel(outputs, width, norm, level, inputs=inputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


def make_reference(
    kind: str,
    *,
    inputs: int = 1,
    outputs: int = 1,
    width: int = 2,
    norm: str = "instance",
    dropout: bool = False,
    seed: int = 0,
) -> nn.Module:
    """A generator by its name in the training script, such as ``resnet_9blocks`` or ``unet_256``.

    Its random weights keep the values in every layer near 1, and the result out of the flat parts of tanh.
    """
    settings: dict[str, Any] = {"width": width, "norm": norm, "dropout": dropout}
    network: nn.Module
    if kind.startswith("resnet_"):
        network = ReferenceResNet(
            inputs, outputs, blocks=int(kind.removeprefix("resnet_").removesuffix("blocks")), **settings
        )
    else:
        levels = int(kind.removeprefix("unet_")).bit_length() - 1
        network = ReferenceUNet(inputs, outputs, levels=levels, **settings)
    if next(network.parameters()).is_meta:
        return network.eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.dim() == 4:
                scale = 0.5 if "conv_block" in name else 1.4
                tensor.normal_(0, scale / tensor[0].numel() ** 0.5, generator=generator)
            elif tensor.is_floating_point():
                tensor.normal_(float(name.endswith("weight")), 0.1, generator=generator)
        last = [tensor for tensor in network.state_dict().values() if tensor.dim() == 4][-1]
        last.mul_(0.3)
    return network.eval()
