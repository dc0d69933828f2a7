"""The training methods by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.training.methods.cyclegan import CycleGAN
from napari_hush.training.methods.noise2noise import Noise2Noise
from napari_hush.training.methods.noise2void import Noise2Void
from napari_hush.training.methods.supervised import Supervised
from napari_hush.training.methods.tomogan import TomoGAN
from napari_hush.training.methods.two_stage import TwoStage

if TYPE_CHECKING:
    from napari_hush.training.methods.method import Method

METHODS: dict[str, type[Method]] = {
    "supervised": Supervised,
    "tomogan": TomoGAN,
    "cyclegan": CycleGAN,
    "noise2noise": Noise2Noise,
    "noise2void": Noise2Void,
    "two-stage": TwoStage,
}
