"""TomoGAN: a pixel loss, a discriminator, and a perceptual loss.

Z. Liu, T. Bicer, R. Kettimuthu, D. Gursoy, F. De Carlo, I. Foster, "TomoGAN: low-dose synchrotron x-ray tomography
with generative adversarial networks", J. Opt. Soc. Am. A 37, 422 (2020), https://doi.org/10.1364/JOSAA.375595

T.-C. Wang et al., "High-resolution image synthesis and semantic manipulation with conditional GANs", CVPR 2018,
https://doi.org/10.1109/CVPR.2018.00917 (the discriminator's features as a perceptual loss)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_hush.networks.tomogan_discriminator import TomoGANDiscriminator
from napari_hush.training.methods.losses import cross_entropy, mse
from napari_hush.training.methods.method import Batch, Method, channels_of, freeze, initialise, plain, unfreeze
from napari_hush.training.methods.vgg import VGGFeatures, load_vgg19

if TYPE_CHECKING:
    from torch import Tensor


class TomoGAN(Method):
    """Discriminator steps, then one generator step: pixels, adversary, perception."""

    patch_stride = TomoGANDiscriminator.stride
    vgg: VGGFeatures | None = None

    def build(self, denoiser: nn.Module) -> None:
        """Make the discriminator, and read VGG19 where it is given."""
        _, channels = channels_of(denoiser)
        self.networks["discriminator"] = TomoGANDiscriminator(in_channels=channels, size=self.settings.patch)
        initialise(self.networks["discriminator"])
        if self.settings.vgg:
            self.vgg = load_vgg19(Path(self.settings.vgg))

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """One update of the denoiser after one or more of the discriminator.

        The published scheme draws new patches for each discriminator step; here they share the batch.
        """
        assert batch.clean is not None
        s, denoiser, discriminator = self.settings, self.networks["denoiser"], self.networks["discriminator"]
        fake = denoiser(batch.noisy)

        for _ in range(s.discriminator_steps):
            logits = discriminator(torch.cat([batch.clean, fake.detach().float()]))  # one pass for real and fake
            real, false = logits.chunk(2)
            d_loss = cross_entropy(real, True) + cross_entropy(false, False)
            self.update("discriminator", d_loss, number)

        freeze(plain(discriminator))
        pixel = mse(fake, batch.clean)
        adversarial = cross_entropy(discriminator(fake.float()), True)
        perceptual = self._perceptual(fake.float(), batch.clean)
        loss = s.lambda_pixel * pixel + s.lambda_adversarial * adversarial + s.lambda_perceptual * perceptual
        self.update("denoiser", loss, number)
        unfreeze(plain(discriminator))
        return {
            "loss": loss,
            "pixel": pixel,
            "adversarial": adversarial,
            "perceptual": perceptual,
            "discriminator": d_loss,
        }

    def _perceptual(self, fake: Tensor, clean: Tensor) -> Tensor:
        if not self.settings.lambda_perceptual:
            return fake.new_zeros(())
        if self.vgg is not None:
            vgg = self.vgg.to(fake.device)
            return mse(vgg(fake), vgg(clean))
        return feature_matching(plain(self.networks["discriminator"]), fake, clean)

    def validation_loss(self, batch: Batch) -> Tensor:
        """The mean squared error."""
        assert batch.clean is not None
        return mse(self.networks["denoiser"](batch.noisy), batch.clean)


def feature_matching(discriminator: nn.Module, fake: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference of what the discriminator's convolutions see in both images, over all layers."""
    total, layers = fake.new_zeros(()), 0
    a, b = fake, clean
    for conv in discriminator.convs:  # type: ignore[union-attr]
        a, b = torch.relu(conv(a)), torch.relu(conv(b))
        total, layers = total + (a - b.detach()).abs().mean(), layers + 1
    return total / layers
