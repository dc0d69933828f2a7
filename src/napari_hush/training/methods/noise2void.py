"""Noise2Void: from noisy images alone, by predicting pixels that the network cannot see.

A. Krull, T.-O. Buchholz, F. Jug, "Noise2Void - learning denoising from single noisy images", CVPR 2019,
https://doi.org/10.1109/CVPR.2019.00223

C. Broaddus, A. Krull, M. Weigert, U. Schmidt, G. Myers, "Removing structured noise with self-supervised blind-spot
networks", ISBI 2020, https://doi.org/10.1109/ISBI45749.2020.9098336 (masks along the direction of the correlation)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_hush.training.methods.method import Batch, Method

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hush.training.settings import Noise2VoidSettings


class Noise2Void(Method):
    """Hidden pixels take a neighbour's value; the loss is the squared error there."""

    def losses(self, batch: Batch) -> Tensor:
        """Mean over the patches of the mean squared error at their hidden pixels."""
        hidden, blind = hide(batch, self.settings)
        output = self.networks["denoiser"](hidden).float()
        errors = ((output - batch.noisy) ** 2 * blind).sum(dim=(1, 2, 3)) / blind.sum(dim=(1, 2, 3)).clamp(min=1)
        loss: Tensor = errors.mean()
        return loss

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """One update of the denoiser."""
        loss = self.losses(batch)
        self.update("denoiser", loss, number)
        return {"loss": loss}

    def validation_loss(self, batch: Batch) -> Tensor:
        """The error at hidden pixels, always the same ones."""
        return self.losses(batch)


def hide(batch: Batch, settings: Noise2VoidSettings) -> tuple[Tensor, Tensor]:
    """Replace some pixels, and their neighbours along the row, by others from their surroundings.

    Parameters
    ----------
    batch : Batch
        Noisy patches, whose numbers decide about the pixels.
    settings : Noise2VoidSettings
        Share, window and the reach along the row.

    Returns
    -------
    hidden : Tensor, shape (B, C, Y, X)
        What the network may see.
    blind : Tensor of bool, shape (B, C, Y, X)
        The pixels whose error counts: the hidden ones, without their neighbours.
    """
    image = batch.noisy
    _, channels, height, width = image.shape
    half = max(min(settings.window // 2, height // 2, width // 2), 1)
    drawn = []
    for generator in batch.generators(settings.seed):
        share = torch.rand((height, width), generator=generator)
        # Any place of the window but the own row: there the neighbours' noise is the pixel's own.
        dy = torch.randint(1, half + 1, (height, width), generator=generator)
        dy = dy * (torch.randint(0, 2, (height, width), generator=generator) * 2 - 1)
        dx = torch.randint(-half, half + 1, (height, width), generator=generator)
        drawn.append((share < settings.blind_share, _inside(dy, 0) * width + _inside(dx, 1)))
    blind = torch.stack([mask for mask, _ in drawn])[:, None].to(image.device)  # (B, 1, Y, X)
    covered = blind
    for k in range(1, settings.row_mask + 1):
        left, right = torch.zeros_like(blind), torch.zeros_like(blind)
        left[..., :-k], right[..., k:] = blind[..., k:], blind[..., :-k]
        covered = covered | left | right
    places = torch.stack([place.flatten() for _, place in drawn])[:, None].expand(-1, channels, -1).to(image.device)
    others = image.flatten(2).gather(2, places).reshape(image.shape)
    return torch.where(covered, others, image), blind.expand_as(image)


def _inside(step: Tensor, axis: int) -> Tensor:
    """Where steps from each place of (Y, X) along an axis lead; those that would leave the image go the other way."""
    size = step.shape[axis]
    here = torch.arange(size).reshape((size, 1) if axis == 0 else (1, size))
    there = here + step
    return torch.where((there < 0) | (there >= size), here - step, there)
