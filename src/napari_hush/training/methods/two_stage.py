"""Two stages: CycleGAN learns to make noise like that of unpaired images, a denoiser learns from the pairs it makes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch

from napari_hush.networks import NETWORKS
from napari_hush.training.methods.cyclegan import CycleGAN
from napari_hush.training.methods.method import Batch, Method, NetworkChoice, channels_of
from napari_hush.training.methods.supervised import Supervised
from napari_hush.training.settings import (
    CycleGANSettings,
    SupervisedSettings,
    TrainSettings,
    TwoStageSettings,
    read_options,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from napari_hush.training.one_device import OneDevice


class TwoStage(Method):
    """First a CycleGAN on unpaired patches; then its clean-to-noisy generator makes the pairs."""

    validation_loss_decides = False

    @classmethod
    def denoiser_of(cls, settings: TwoStageSettings) -> NetworkChoice:
        """That of the second stage."""
        return NetworkChoice(settings.final_network, read_options("final_options", settings.final_options))

    @classmethod
    def further_networks(cls, settings: TwoStageSettings) -> tuple[NetworkChoice, ...]:
        """Those of the first stage."""
        return (CycleGAN.denoiser_of(settings),)

    @classmethod
    def value_range(cls, settings: TwoStageSettings) -> tuple[float, float]:
        """That of the first stage, whose images the second one learns from."""
        return CycleGAN.value_range(settings)

    def build(self, denoiser: nn.Module) -> None:
        """Make both stages."""
        s: TwoStageSettings = self.settings
        channels, _ = channels_of(denoiser)
        unpaired = {field.name: getattr(s, field.name) for field in fields(CycleGANSettings)}
        unpaired |= {"steps": s.unpaired_steps, "start": ""}
        network = NETWORKS[s.network](in_channels=channels, out_channels=channels, **s.options())
        self.first = CycleGAN(CycleGANSettings(**unpaired), network)
        shared = {field.name: getattr(s, field.name) for field in fields(TrainSettings)}
        shared |= {"steps": max(s.steps - s.unpaired_steps, 1), "learning_rate": s.final_learning_rate}
        shared |= {"schedule": "cosine", "warmup": 20, "clip": 1.0}
        self.second = Supervised(replace(SupervisedSettings(), **shared), denoiser)

    def setup(self, fabric: Fabric | OneDevice) -> None:
        """Bring both stages to the device."""
        self.fabric = fabric
        self.first.setup(fabric)
        self.second.setup(fabric)
        self.networks["denoiser"] = self.second.networks["denoiser"]

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """One step of the first stage, or of the second."""
        if number < self.settings.unpaired_steps:
            return self.first.step(batch, number)
        with torch.no_grad():
            assert batch.clean is not None
            noisy = self.first.noised(batch.clean, batch.generators(self.settings.seed))
        return self.second.step(Batch(noisy, batch.clean, batch.first), self.denoiser_steps(number))

    def denoiser_steps(self, number: int) -> int:
        """Updates of the second stage."""
        return max(number - int(self.settings.unpaired_steps), 0)

    def patches(self, number: int) -> int:
        """Of both stages, whose batches differ in size."""
        s: TwoStageSettings = self.settings
        return min(number, s.unpaired_steps) * s.batch_size + self.denoiser_steps(number) * s.final_batch_size

    def validation_loss(self, batch: Batch) -> Tensor:
        """As that of the first stage, for the denoiser."""
        denoiser, self.first.networks["denoiser"] = self.first.networks["denoiser"], self.networks["denoiser"]
        try:
            return self.first.validation_loss(batch)
        finally:
            self.first.networks["denoiser"] = denoiser

    def state(self) -> dict[str, Any]:
        """Of both stages."""
        return {"first": self.first.state(), "second": self.second.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Of both stages."""
        self.first.load_state(state["first"])
        self.second.load_state(state["second"])
