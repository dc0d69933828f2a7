"""The features of VGG19 behind its last pooling, from a file that the user has; none is bundled or downloaded.

K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015,
https://doi.org/10.48550/arXiv.1409.1556
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_hush.errors import ModelFileError
from napari_hush.files import explain_wrong_file

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))  # convolutions and channels before each pooling
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the images that it was trained on


class VGGFeatures(nn.Module):
    """Sixteen 3x3 convolutions with ReLU and five poolings; not trained any further."""

    def __init__(self) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        channels = 3
        for convolutions, width in BLOCKS:
            for _ in range(convolutions):
                modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            modules.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules)
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images from 0 to 1, (B, 1 or 3, Y, X), to features (B, 512, Y/32, X/32)."""
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        mean, std = (torch.tensor(v, device=x.device).reshape(1, 3, 1, 1) for v in (MEAN, STD))
        out: torch.Tensor = self.features((x - mean) / std)
        return out


def load_vgg19(path: Path) -> VGGFeatures:
    """Read the weights of torchvision's VGG19 (``vgg19-*.pth``), without running anything in the file.

    Raises
    ------
    ModelFileError
        If the file is missing, no such file, or has other tensors.
    """
    explain_wrong_file(path, ModelFileError, "the weights of VGG19 (.pth of torchvision)")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ModelFileError(
            f"{path}: not a file of VGG19's weights, or it holds code; get it from torchvision"
        ) from error
    network = VGGFeatures()
    own = network.state_dict()
    found = {name: state[name] for name in own if isinstance(state, dict) and name in state}
    if found.keys() != own.keys() or any(found[name].shape != own[name].shape for name in own):
        raise ModelFileError(f"{path}: its tensors are not those of VGG19's features; get the file from torchvision")
    network.load_state_dict(found)
    return network
