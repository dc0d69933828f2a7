"""The training methods by name, with all that a list, a form or the command line says of them; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from napari_hush.declare import Registry
from napari_hush.errors import InputError
from napari_hush.training.settings import (
    CycleGANSettings,
    Noise2NoiseSettings,
    Noise2VoidSettings,
    SupervisedSettings,
    TomoGANSettings,
    TrainSettings,
    TwoStageSettings,
)

if TYPE_CHECKING:
    from napari_hush.training.methods.method import Method

Needs = Literal["pairs", "unpaired", "repeats", "noisy"]


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """What there is to know of a method before it is imported.

    Parameters
    ----------
    settings : type of TrainSettings
        The class of its settings.
    method : str
        Where its `Method` is, as ``"module:class"``.
    needs : {"pairs", "unpaired", "repeats", "noisy"}
        Which images it trains on: noisy and clean ones of the same fields, or of other fields; noisy repeats of each
        field; or noisy ones alone.
    about : str
        What it learns from, as the end of a sentence that begins with the method's name.
    """

    settings: type[TrainSettings]
    method: str
    needs: Needs
    about: str

    def load(self) -> type[Method]:
        """Import the method."""
        module, _, name = self.method.partition(":")
        method: type[Method] = getattr(import_module(module), name)
        return method


METHODS: Registry[MethodEntry] = Registry(
    {
        "supervised": MethodEntry(
            settings=SupervisedSettings,
            method="napari_hush.training.methods.supervised:Supervised",
            needs="pairs",
            about="from pairs of noisy and clean images, or from clean ones and a noise",
        ),
        "tomogan": MethodEntry(
            settings=TomoGANSettings,
            method="napari_hush.training.methods.tomogan:TomoGAN",
            needs="pairs",
            about="from pairs, with a discriminator and a perceptual loss",
        ),
        "cyclegan": MethodEntry(
            settings=CycleGANSettings,
            method="napari_hush.training.methods.cyclegan:CycleGAN",
            needs="unpaired",
            about="from noisy images and clean ones of other fields",
        ),
        "noise2noise": MethodEntry(
            settings=Noise2NoiseSettings,
            method="napari_hush.training.methods.noise2noise:Noise2Noise",
            needs="repeats",
            about="from repeated noisy images of the same fields",
        ),
        "noise2void": MethodEntry(
            settings=Noise2VoidSettings,
            method="napari_hush.training.methods.noise2void:Noise2Void",
            needs="noisy",
            about="from noisy images alone",
        ),
        "two-stage": MethodEntry(
            settings=TwoStageSettings,
            method="napari_hush.training.methods.two_stage:TwoStage",
            needs="unpaired",
            about="from unpaired images: a CycleGAN learns to make noise, a denoiser learns from its pairs",
        ),
    }
)


def find_method(name: str) -> MethodEntry:
    """The entry of a method.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}: expected {', '.join(METHODS)}")
    return METHODS[name]


def methods_for(*needs: Needs) -> str:
    """The methods that train on some kinds of images, as the end of a sentence: "supervised, tomogan or cyclegan"."""
    names = [name for name, entry in METHODS.items() if entry.needs in needs]
    return " or ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])
