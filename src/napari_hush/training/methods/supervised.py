"""Supervised training on pairs: pixel, gradient and spectrum losses, no adversary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.training.methods.losses import PIXEL_LOSSES, gradient, spectrum
from napari_hush.training.methods.method import Batch, Method

if TYPE_CHECKING:
    from torch import Tensor


class Supervised(Method):
    """The denoiser learns to turn the noisy into the clean image."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        assert batch.clean is not None
        s, output = self.settings, self.networks["denoiser"](batch.noisy)
        terms = {"pixel": PIXEL_LOSSES[s.loss](output, batch.clean)}
        total = terms["pixel"]
        for name, term, weight in (
            ("gradient", gradient, s.lambda_gradient),
            ("spectrum", spectrum, s.lambda_spectrum),
        ):
            if weight:
                terms[name] = term(output, batch.clean)
                total = total + weight * terms[name]
        return {"loss": total, **terms}

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """One update of the denoiser."""
        losses = self.losses(batch)
        self.update("denoiser", losses["loss"], number)
        return losses

    def validation_loss(self, batch: Batch) -> Tensor:
        """The training loss."""
        return self.losses(batch)["loss"]
