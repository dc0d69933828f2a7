"""CycleGAN on unpaired images, as published, and with what keeps it from inventing.

J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
networks", ICCV 2017, https://doi.org/10.1109/ICCV.2017.244

A. Khan, C.-H. Lee, P. Y. Huang, B. K. Clark, "Leveraging generative adversarial networks to create realistic scanning
transmission electron microscopy images", npj Comput. Mater. 9, 85 (2023), https://doi.org/10.1038/s41524-023-01042-3
(a discriminator of the power spectrum, and a cycle from the clean side alone)

A. Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training", CVPR 2017,
https://doi.org/10.1109/CVPR.2017.241 (the pool of generated images)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_hush.errors import InputError
from napari_hush.networks import NETWORKS, Traits
from napari_hush.networks.patchgan import PatchGAN
from napari_hush.training.methods.losses import l1, least_squares, log_spectrum, low_pass
from napari_hush.training.methods.method import Batch, Method, channels_of, freeze, initialise, plain, unfreeze
from napari_hush.training.streams import Purpose, stream_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from napari_hush.training.settings import CycleGANSettings


SMALLEST = 24  # px; below it the discriminators have nothing to judge
WEIGHTS = 0.02  # standard deviation of new ones, as published


class CycleGAN(Method):
    """Two generators (``denoiser``: noisy to clean, ``noiser``: clean to noisy) against two or three discriminators.

    The discriminators, ``judge_clean``, ``judge_noisy`` and ``judge_spectrum``, tell real from generated images.
    """

    validation_loss_decides = False  # an output near its input says nothing about the noise

    def build(self, denoiser: nn.Module) -> None:
        """Make the way back and the discriminators."""
        s: CycleGANSettings = self.settings
        if s.patch < SMALLEST:
            raise InputError(f"the discriminators need patches of {SMALLEST} px or more, got patch={s.patch}")
        channels, _ = channels_of(denoiser)
        options = {"in_channels": channels + s.noise_input, "out_channels": channels, **s.options()}
        self.networks["noiser"] = NETWORKS[s.network](**options)
        self.judged = ["clean", "noisy", *(["spectrum"] if s.spectrum_discriminator else [])]
        for side in self.judged:
            self.networks[f"judge_{side}"] = PatchGAN(in_channels=channels, width=s.discriminator_width)
        for name, network in self.networks.items():
            ready = name == "denoiser" and s.start
            if not ready and Traits.of(network).initial_weights != "own":
                initialise(network, WEIGHTS)
        self.pools = {side: Pool(s.pool, number) for number, side in enumerate(self.judged)}

    def optimizers(self) -> dict[str, Iterable[nn.Parameter]]:
        """One for both generators, one for all discriminators."""
        generators = [p for name in ("denoiser", "noiser") for p in self.networks[name].parameters()]
        judges = [p for side in self.judged for p in self.networks[f"judge_{side}"].parameters()]
        return {"generators": generators, "judges": judges}

    def betas(self) -> tuple[float, float]:
        """As published."""
        return 0.5, 0.999

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """One update of the generators, then one of the discriminators."""
        assert batch.clean is not None
        noisy, clean, net, s = batch.noisy, batch.clean, self.networks, self.settings
        judges = {side: net[f"judge_{side}"] for side in self.judged}

        for judge in judges.values():
            freeze(plain(judge))
        white = batch.generators(s.seed)
        denoised, noised = net["denoiser"](noisy).float(), self.noised(clean, white)
        fakes = {"clean": denoised, "noisy": noised}
        if s.spectrum_discriminator:
            fakes["spectrum"] = log_spectrum(noised)
        losses = {f"fool_{side}": least_squares(judges[side](fake), True) for side, fake in fakes.items()}
        adversarial = torch.stack(list(losses.values())).sum()
        # One-sided, the cycle teaches the denoiser alone: it would reward noise that is easily taken away, or none.
        losses["cycle"] = l1(net["denoiser"](noised.detach() if s.one_sided else noised), clean)
        if not s.one_sided:
            losses["cycle"] = losses["cycle"] + l1(self.noised(denoised, white), noisy)
        loss = adversarial + s.lambda_cycle * losses["cycle"]
        if s.lambda_identity:
            losses["identity"] = l1(net["denoiser"](clean), clean)
            if not s.one_sided:
                losses["identity"] = losses["identity"] + l1(self.noised(noisy, white), noisy)
            loss = loss + s.lambda_cycle * s.lambda_identity * losses["identity"]
        if s.lambda_lowpass:
            smooth = [low_pass(image, s.lowpass_sigma) for image in (denoised, noisy, noised, clean)]
            losses["low_pass"] = l1(smooth[0], smooth[1]) + l1(smooth[2], smooth[3])
            loss = loss + s.lambda_lowpass * losses["low_pass"]
        self.update("generators", loss, number)

        for judge in judges.values():
            unfreeze(plain(judge))
        reals = {"clean": clean, "noisy": noisy}
        if s.spectrum_discriminator:
            reals["spectrum"] = log_spectrum(noisy)
        j_loss = noisy.new_zeros(())
        for side, judge in judges.items():
            shown = self.pools[side].exchange(fakes[side].detach(), s.seed, number)
            j_loss = j_loss + 0.5 * (least_squares(judge(reals[side]), True) + least_squares(judge(shown), False))
        self.update("judges", j_loss, number)
        return {"loss": loss, **losses, "judges": j_loss}

    def noised(self, clean: Tensor, generators: list[torch.Generator]) -> Tensor:
        """What the generator of noise makes of (B, C, Y, X) and of white noise.

        Of the generator's output only what changes its sign with the white noise is added to the clean image: over many
        draws the noise averages to nothing, so columns are not moved, dimmed or repainted, whatever else the
        discriminators would like to see.
        """
        noiser = self.networks["noiser"]
        made: Tensor
        if self.settings.noise_input:
            drawn = [torch.randn((1, *clean.shape[2:]), generator=generator) for generator in generators]
            white = torch.stack(drawn).to(clean.device)
            there, back = (noiser(torch.cat([clean, sign * white], dim=1)).float() for sign in (1, -1))
            made = clean + (there - back) / 2
        else:
            made = noiser(clean).float()
        return made

    def state(self) -> dict[str, Any]:
        """With the images of the pools."""
        return super().state() | {"pools": {name: list(pool.images) for name, pool in self.pools.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """With the images of the pools."""
        super().load_state(state)
        for name, pool in self.pools.items():
            pool.images = [image.to(self.fabric.device) for image in state["pools"][name]]

    def validation_loss(self, batch: Batch) -> Tensor:
        """How far the low-passed output is from the low-passed input: of an image without noise, nothing is lost."""
        sigma = self.settings.lowpass_sigma
        return l1(low_pass(self.networks["denoiser"](batch.noisy), sigma), low_pass(batch.noisy, sigma))


class Pool:
    """Generated images that a discriminator is shown again, so that the generators cannot go in circles.

    Parameters
    ----------
    size : int
        How many are kept; 0 shows the newest only.
    which : int
        Of several pools, whose random numbers differ.
    """

    def __init__(self, size: int, which: int = 0) -> None:
        self.size, self.which = size, which
        self.images: list[Tensor] = []

    def exchange(self, images: Tensor, seed: int, number: int) -> Tensor:
        """Half of the new images (B, C, Y, X) are shown, the others go into the pool for older ones.

        Parameters
        ----------
        images : Tensor, shape (B, C, Y, X)
            The newest.
        seed, number : int
            Of the training and the step; they decide which.
        """
        generator = torch.Generator().manual_seed(stream_seed(seed, Purpose.POOL, self.which, number))
        shown = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image.clone())
                shown.append(image)
            elif self.size and torch.rand((), generator=generator) < 0.5:
                place = int(torch.randint(0, self.size, (), generator=generator))
                shown.append(self.images[place])
                self.images[place] = image.clone()
            else:
                shown.append(image)
        return torch.stack(shown)
