"""Losses of images (B, C, Y, X) in network units; each is the mean over all values, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error."""
    return (output.float() - target).abs().mean()


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error."""
    return ((output.float() - target) ** 2).mean()


def charbonnier(output: Tensor, target: Tensor) -> Tensor:
    """Mean of sqrt(error**2 + 1e-6): L1 without its corner.

    P. Charbonnier, L. Blanc-Feraud, G. Aubert, M. Barlaud, "Two deterministic half-quadratic regularization algorithms
    for computed imaging", ICIP 1994, https://doi.org/10.1109/ICIP.1994.413553
    """
    return torch.sqrt((output.float() - target) ** 2 + 1e-6).mean()


def rms(output: Tensor, target: Tensor) -> Tensor:
    """Root mean square error of each image, mean over the images.

    As with `mse` it pays to restore the mean of what is possible, so that faint things are not voted away as by `l1`;
    but an image with little noise counts as much as its error, not as its square.
    """
    return torch.sqrt(((output.float() - target) ** 2).mean(dim=(-3, -2, -1)) + 1e-8).mean()


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1,
    "mse": mse,
    "charbonnier": charbonnier,
    "rms": rms,
}


def gradient(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the first differences along Y and X."""
    error = output.float() - target
    mean: Tensor = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    return mean


def spectrum(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the orthonormal Fourier transforms."""
    mean: Tensor = torch.fft.rfft2(output.float() - target, norm="ortho").abs().mean()
    return mean


def least_squares(logits: Tensor, real: bool) -> Tensor:
    """The adversarial loss of least squares.

    X. Mao et al., "Least squares generative adversarial networks", ICCV 2017, https://doi.org/10.1109/ICCV.2017.304
    """
    return ((logits.float() - float(real)) ** 2).mean()


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    """The original adversarial loss, not saturating for the generator."""
    logits = logits.float()
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def low_pass(image: Tensor, sigma: float) -> Tensor:
    """Smooth (B, C, Y, X) by a Gaussian; nothing of the border is kept: (B, C, Y - 2 r, X - 2 r), r = 2 sigma."""
    radius = min(round(2 * sigma), (min(image.shape[-2:]) - 1) // 2)
    x = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).repeat(image.shape[1], 1, 1, 1)  # (C, 1, 1, K)
    rows = conv2d(image.float(), kernel, groups=image.shape[1])
    smooth: Tensor = conv2d(rows, kernel.transpose(2, 3), groups=image.shape[1])
    return smooth


def log_spectrum(image: Tensor) -> Tensor:
    """The logarithm of the power spectrum of (B, C, Y, X), with the lowest frequency in the middle, about 0 +- 1."""
    centred = image.float() - image.float().mean(dim=(-2, -1), keepdim=True)
    power = torch.fft.fft2(centred, norm="ortho").abs() ** 2
    log: Tensor = torch.fft.fftshift(torch.log(power + 1e-4), dim=(-2, -1)) / 4
    return log
