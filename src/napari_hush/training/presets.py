"""Published set-ups, so that anyone can repeat them; what is not said of them has this project's defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hush.training.settings import (
    CycleGANSettings,
    Noise2NoiseSettings,
    SupervisedSettings,
    TomoGANSettings,
)

if TYPE_CHECKING:
    from napari_hush.training.settings import TrainSettings


@dataclass(frozen=True)
class Preset:
    """A set-up by name.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    settings : TrainSettings
        Of that method.
    description : str
        What it repeats.
    """

    method: str
    settings: TrainSettings
    description: str


PRESETS: dict[str, Preset] = {
    "cnn": Preset(
        "supervised",
        SupervisedSettings(
            network="cnn", loss="mse", lambda_gradient=0.0, lambda_spectrum=0.0, learning_rate=1e-3, batch_size=16
        ),
        "The plain CNN of 8, 16, 8 and 4 channels, mean squared error",
    ),
    "autoencoder": Preset(
        "supervised",
        SupervisedSettings(
            network="autoencoder",
            network_options="widths = [16, 32, 64]",
            loss="mse",
            lambda_gradient=0.0,
            lambda_spectrum=0.0,
            learning_rate=1e-5,
            schedule="constant",
            warmup=0,
            clip=0.0,
            ema=0.0,
            patch=128,
            batch_size=64,
            epochs=50,
            shift=16,
            validation_share=0.2,
            test_share=0.2,
        ),
        "A convolutional autoencoder for images of 128 x 128 px: 60 % to train on; turns, shifts and flips; Adam at "
        "1e-5, 50 epochs of batches of 64",
    ),
    "unet-gan": Preset(
        "tomogan",
        TomoGANSettings(
            network="unet",
            learning_rate=1e-4,
            batch_size=8,
            patch=128,
            lambda_pixel=100.0,
            lambda_adversarial=1.0,
            lambda_perceptual=1.0,
            discriminator_steps=1,
        ),
        "A U-Net against a discriminator, for colour images such as medical ones with Gaussian noise; a picture at "
        "every validation",
    ),
    "tomogan": Preset(
        "tomogan",
        TomoGANSettings(patch=256, batch_size=16, learning_rate=1e-4, discriminator_steps=2, ema=0.0),
        "TomoGAN: batches of 16 crops of 256 x 256 px, Adam at 1e-4, two discriminator steps per generator step",
    ),
    "noise2inverse": Preset(
        "noise2noise",
        Noise2NoiseSettings(inputs="mean", network="unet", learning_rate=1e-3, steps=3000),
        "Noise2Inverse for tomography, X:1: the mean of the reconstructions from all parts of the angles but one "
        "learns to be that one, mean squared error",
    ),
    "cyclegan": Preset(
        "cyclegan",
        CycleGANSettings(
            network="cyclegan_resnet",
            batch_size=1,
            learning_rate=2e-4,
            network_options="blocks = 9, width = 64",
            patch=256,
            epochs=200,
            ema=0.0,
            one_sided=False,
            lambda_lowpass=0.0,
            spectrum_discriminator=False,
            noise_input=False,
            match_scale=False,
            match_contrast=False,
        ),
        "CycleGAN as published: nine residual blocks, both cycles, no other remedy, 100 + 100 epochs; but crops of 256 "
        "px at the images' own scale instead of images that were resized",
    ),
}
