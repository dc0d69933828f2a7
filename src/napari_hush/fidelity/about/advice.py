"""Which model fits an image, and which training, with the reasons; the model's is that of ``model="auto"``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_hush.card import ZOO, read_header
from napari_hush.inference.measure import fitting_model

if TYPE_CHECKING:
    from napari_hush.fidelity.about.noise import Noise
    from napari_hush.fidelity.about.order import Order
    from napari_hush.inference.measure import MeasuredLattice


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to do with an image.

    Parameters
    ----------
    model : str or None
        The bundled model that ``model="auto"`` takes; None where there is nothing to denoise.
    because : str
        The reason that ``auto`` gives; or why there is nothing to denoise.
    caution : str
        Why the model does not suit the image well after all; empty where it does.
    training : {"noise2void", "targets"} or None
        What a model of one's own would be trained on: this image alone, or simulated targets.
    training_because : str
        Why.
    """

    model: str | None
    because: str
    caution: str = ""
    training: Literal["noise2void", "targets"] | None = None
    training_because: str = ""

    @property
    def words(self) -> str:
        """Of the model."""
        if self.model is None:
            return f"none: {self.because}"
        return f"{self.model}, because {self.because}" + (f"; {self.caution}" if self.caution else "")

    @property
    def training_words(self) -> str:
        """Of the training."""
        ways = {"noise2void": "on this image alone (Noise2Void)", "targets": "from simulated targets"}
        return ways[self.training] + f", {self.training_because}" if self.training else self.training_because


def advise(lattice: MeasuredLattice, order: Order | None, noise: Noise, nothing: str = "") -> Advice:
    """Choose a model and a training.

    Parameters
    ----------
    lattice : MeasuredLattice
        Of the image, as a run measures it.
    order : Order or None
        What it is.
    noise : Noise
        Of the first channel.
    nothing : str
        Why there is nothing to denoise, if there is not.
    """
    if nothing:
        return Advice(model=None, because=nothing, training_because="none: there is nothing to learn from")
    model, because = fitting_model(lattice)
    if order is not None:
        scale = read_header(ZOO / f"{model}.safetensors")[0].scale
        if scale is None or scale.lowest <= order.period <= scale.highest:
            why = "if at all: the model that fits has learned from simulated lattices like this one"
            return Advice(model=model, because=because, training="targets", training_because=why)
        caution = f"but it was trained for periods of {scale.lowest:g} to {scale.highest:g} px: expect a worse result"
        why = "drawn with this period, for which the model was not trained"
        return Advice(model=model, because=because, caution=caution, training="targets", training_because=why)
    shared = noise.reason or ("its rows lie on levels of their own" if noise.row_share else "")
    shared = "streaks run through it" if lattice.projections is not None else shared
    if shared:
        why = f"as Noise2Void needs noise that differs from pixel to pixel, and this cannot be said here: {shared}"
        return Advice(model=model, because=because, training="targets", training_because=why)
    why = "which needs no clean images, but noise that differs from pixel to pixel"
    if noise.along_rows:
        why = "which hides the neighbours along a row as well, as they share noise here"
    return Advice(model=model, because=because, training="noise2void", training_because=why)
