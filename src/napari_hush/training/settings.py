"""How a model is trained, one frozen dataclass per method: form, command line and settings file derive from it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, fields
from importlib.metadata import version
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from napari_hush.errors import InputError
from napari_hush.files import read_toml
from napari_hush.inference.engines.registry import Device

if TYPE_CHECKING:
    from collections.abc import Mapping

Network = Literal["cnn", "autoencoder", "unet", "tomogan", "cyclegan_resnet", "cyclegan_unet"]
Augment = Literal["all", "flips", "none"]
Schedule = Literal["cosine", "linear", "constant"]
PixelLoss = Literal["l1", "mse", "charbonnier"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

FREE = ("validate_every", "picture_every", "patience", "device", "workers", "steps", "epochs")  # may change on resuming
_LIMITS: dict[str, tuple[float, float]] = {
    "patch": (8, 8192), "batch_size": (1, 65536), "steps": (1, 10**9), "epochs": (0, 10**7), "shift": (0, 4096),
    "validation_share": (0, 0.9), "test_share": (0, 0.9), "validation_images": (1, 1024), "learning_rate": (0, 10),
    "warmup": (0, 10**8), "ema": (0, 0.99999), "clip": (0, 1e9), "validate_every": (1, 10**8),
    "picture_every": (0, 10**6), "patience": (0, 10**6), "seed": (0, 2**63 - 1), "workers": (0, 64),
    "discriminator_steps": (1, 100), "discriminator_width": (1, 512), "pool": (0, 10**5),
    "blind_share": (0.0005, 0.25), "window": (3, 51), "row_mask": (0, 16), "unpaired_steps": (1, 10**9),
    "lowpass_sigma": (0.5, 100),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What all methods share.

    Parameters
    ----------
    patch : int
        Side of a training patch, px; rounded up to what the network can take.
    batch_size : int
        Patches per step and process.
    steps : int
        Updates of the network.
    epochs : int
        Times that each training image is seen; 0 counts ``steps`` instead.
    augment : {"all", "flips", "none"}
        Flips and turns by 90 degrees; flips alone, where rows and columns differ, as in scanned images; or none.
    shift : int
        Patches reach up to this many px beyond the image, which is mirrored there.
    validation_share, test_share : float
        Shares of the images that are held out: to watch the training, and to be measured on once at its end. A single
        image is cut into bands with a gap between them.
    validation_images : int
        Most patches that are looked at in a validation.
    network : str
        Architecture of the denoiser.
    network_options : str
        Its arguments, such as ``"width = 16, levels = 2"``.
    start : str
        A bundled model or a model file to go on from (fine-tuning) in place of a new network; its architecture and
        normalisation are taken over.
    percentiles : (float, float)
        The percentiles of a noisy image that become 0 and 1 for the network (-1 and 1 for those of CycleGAN).
    learning_rate : float
        Of Adam, at its highest.
    schedule : {"cosine", "linear", "constant"}
        After the warm-up: half a cosine down to 1 %; constant for a half and then linear to 0; or no change.
    warmup : int
        Steps in which the learning rate rises from 0.
    ema : float
        Decay of the moving average of the weights per step; the average is what is validated and kept. 0: none.
    clip : float
        Largest norm of the gradient; 0 does not clip.
    validate_every : int
        Steps between validations, checkpoints and previews.
    picture_every : int
        Validations between preview pictures (PNG) beside the checkpoint; 0 writes none.
    patience : int
        Validations without improvement after which the training stops; 0 never stops early.
    seed : int
        Decides about initial weights, data order, crops and noise.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Arithmetic; ``auto`` takes bfloat16 where the processor has it natively. Weights stay float32.
    workers : int
        Threads that prepare batches ahead; 0 prepares each when it is needed.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    patch: int = 128
    batch_size: int = 8
    steps: int = 2000
    epochs: int = 0
    augment: Augment = "all"
    shift: int = 0
    validation_share: float = 0.1
    test_share: float = 0.1
    validation_images: int = 16
    network: Network = "unet"
    network_options: str = ""
    start: str = ""
    percentiles: tuple[float, float] = (1.0, 99.0)
    learning_rate: float = 3e-4
    schedule: Schedule = "cosine"
    warmup: int = 50
    ema: float = 0.999
    clip: float = 1.0
    validate_every: int = 200
    picture_every: int = 1
    patience: int = 0
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    workers: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value, choices = getattr(self, field.name), _CHOICES.get(str(field.type))
            if choices and value not in choices:
                raise InputError(f"{field.name} must be one of {', '.join(choices)}, got {value!r}")
            if field.type in ("int", "float"):
                _check_number(field.name, value, whole=field.type == "int")
            elif field.type == "bool" and not isinstance(value, bool):
                raise InputError(f"{field.name} must be true or false, got {value!r}")
            elif field.type in ("str", "Path") and not isinstance(value, str | Path):
                raise InputError(f"{field.name} must be text, got {value!r}")
        low_high = tuple(self.percentiles) if isinstance(self.percentiles, list | tuple) else ()
        if (
            len(low_high) != 2
            or not all(isinstance(p, Real) for p in low_high)
            or not 0 <= low_high[0] < low_high[1] <= 100
        ):
            raise InputError(f"percentiles must be two rising numbers from 0 to 100, got {self.percentiles!r}")
        object.__setattr__(self, "percentiles", (float(low_high[0]), float(low_high[1])))
        if self.validation_share + self.test_share > 0.9:
            raise InputError("validation_share and test_share leave nothing to train on: together at most 0.9")
        self.options()

    def options(self) -> dict[str, Any]:
        """The arguments of the network that ``network_options`` names."""
        try:
            options: dict[str, Any] = tomllib.loads(f"options = {{{self.network_options}}}")["options"]
            return options
        except tomllib.TOMLDecodeError as error:
            raise InputError(
                f"network_options must look like 'width = 16, levels = 2', got {self.network_options!r}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings(TrainSettings):
    """From pairs of noisy and clean images, or clean images and a noise model.

    Parameters
    ----------
    loss : {"l1", "mse", "charbonnier"}
        Of the pixel values.
    lambda_gradient : float
        Weight of the mean absolute difference of the first differences.
    lambda_spectrum : float
        Weight of the mean absolute difference of the orthonormal Fourier transforms.
    """

    loss: PixelLoss = "l1"
    lambda_gradient: float = 0.1
    lambda_spectrum: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Noise2NoiseSettings(SupervisedSettings):
    """From noisy repeats of the same field; mean squared error, whose minimum is the mean of the repeats."""

    loss: PixelLoss = "mse"
    lambda_gradient: float = 0.0
    lambda_spectrum: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Noise2VoidSettings(TrainSettings):
    """From noisy images alone: hidden pixels are predicted from their surroundings.

    Parameters
    ----------
    blind_share : float
        Share of the pixels that are hidden in each patch.
    window : int
        Side of the neighbourhood from which a hidden pixel takes its value, px, odd.
    row_mask : int
        How many neighbours to either side along the scan row are hidden with a pixel: noise that is correlated along
        X, as a detector's afterglow is, would otherwise be predicted.
    """

    network_options: str = "width = 24"
    augment: Augment = "flips"
    blind_share: float = 0.02
    window: int = 11
    row_mask: int = 4


@dataclass(frozen=True, kw_only=True)
class TomoGANSettings(TrainSettings):
    """TomoGAN: pairs, with a discriminator and a perceptual term.

    Parameters
    ----------
    lambda_pixel : float
        Weight of the mean squared error of values from 0 to 1: 0.5 * 255**2, since the published 0.5 is for values
        from 0 to 255.
    lambda_adversarial : float
        Weight of the adversarial cross-entropy.
    lambda_perceptual : float
        Weight of the perceptual term: of VGG19's features where ``vgg`` names its weights, else of the
        discriminator's.
    discriminator_steps : int
        Updates of the discriminator per update of the generator.
    vgg : str
        A file with the weights of VGG19 (.pth of torchvision), for images from 0 to 1 scaled to 0-255.
    """

    network: Network = "tomogan"
    learning_rate: float = 1e-4
    schedule: Schedule = "constant"
    warmup: int = 0
    clip: float = 0.0
    lambda_pixel: float = 0.5 * 255**2
    lambda_adversarial: float = 20.0
    lambda_perceptual: float = 2.0
    discriminator_steps: int = 2
    vgg: str = ""


@dataclass(frozen=True, kw_only=True)
class CycleGANSettings(TrainSettings):
    """CycleGAN: noisy images and clean ones that show other fields.

    Parameters
    ----------
    lambda_cycle : float
        Weight of the cycle consistency (L1).
    lambda_identity : float
        Weight of the identity term, in units of ``lambda_cycle``.
    pool : int
        Generated images that the discriminators may be shown again.
    one_sided : bool
        Whether only clean -> noisy -> clean must return, and teaches the denoiser alone: a cycle from noise to noise
        teaches the networks to hide it.
    lambda_lowpass : float
        Weight of the difference between the low-passed output and input, which keeps dents; 0 is as published.
    lowpass_sigma : float
        Of that low-pass, px.
    spectrum_discriminator : bool
        Whether a second discriminator compares the log power spectra of noisy images, real and generated.
    discriminator_width : int
        Channels of the first layer of the discriminators; 64 is as published.
    noise_input : bool
        Whether the clean-to-noisy generator is given white noise as one more channel, and adds what changes sign with
        it: noise that averages to nothing. Without it, it makes one image of each clean one, and may repaint it.
    match_scale : bool
        Whether the clean images are resampled so that their lattice has the period of the noisy ones, where both sides
        have one.
    match_contrast : bool
        Whether the clean images are brought to the mean and the contrast of the noisy ones' signal.
    """

    batch_size: int = 4
    learning_rate: float = 5e-4
    schedule: Schedule = "linear"
    warmup: int = 0
    clip: float = 0.0
    percentiles: tuple[float, float] = (0.1, 99.9)
    lambda_cycle: float = 10.0
    lambda_identity: float = 0.5
    pool: int = 50
    one_sided: bool = True
    lambda_lowpass: float = 5.0
    lowpass_sigma: float = 6.0
    spectrum_discriminator: bool = True
    discriminator_width: int = 64
    noise_input: bool = True
    match_scale: bool = True
    match_contrast: bool = True


@dataclass(frozen=True, kw_only=True)
class TwoStageSettings(CycleGANSettings):
    """CycleGAN learns to make noise from unpaired images; a supervised network learns from the pairs that it makes.

    Parameters
    ----------
    unpaired_steps : int
        Updates of the first stage; ``steps`` counts both.
    final_network : str
        Architecture of the denoiser, which is trained in the second stage.
    final_options : str
        Its arguments, as ``network_options``.
    final_learning_rate : float
        Of the second stage.
    final_batch_size : int
        Of the second stage.
    """

    unpaired_steps: int = 1000
    final_network: Network = "unet"
    final_options: str = ""
    final_learning_rate: float = 3e-4
    final_batch_size: int = 4


SETTINGS: dict[str, type[TrainSettings]] = {
    "supervised": SupervisedSettings,
    "tomogan": TomoGANSettings,
    "cyclegan": CycleGANSettings,
    "noise2noise": Noise2NoiseSettings,
    "noise2void": Noise2VoidSettings,
    "two-stage": TwoStageSettings,
}

_CHOICES: dict[str, tuple[str, ...]] = {
    name: get_args(kind)
    for name, kind in {
        "Network": Network, "Augment": Augment, "Schedule": Schedule, "PixelLoss": PixelLoss, "Device": Device,
        "Precision": Precision,
    }.items()
}  # fmt: skip


def _check_number(name: str, value: object, *, whole: bool) -> None:
    low, high = _LIMITS.get(name, (0, 1e9))
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= float(value) <= high:
        raise InputError(f"{name} must be a {'whole ' * whole}number from {low:g} to {high:g}, got {value!r}")


def train_settings(method: str, table: Mapping[str, Any] | None = None) -> TrainSettings:
    """Make the settings of a method of names and values; those left out take their defaults.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    table : mapping, optional
        Names and values.

    Returns
    -------
    TrainSettings
        Of the method's own class.

    Raises
    ------
    InputError
        If the method or a name is unknown, or a value out of its range.
    """
    if method not in SETTINGS:
        raise InputError(f"unknown method {method!r}: expected {', '.join(SETTINGS)}")
    kind = SETTINGS[method]
    known = [field.name for field in fields(kind)]
    for name in table or {}:
        if name not in known:
            raise InputError(f"unknown setting {name!r} of {method}: expected {', '.join(known)}")
    return kind(**dict(table or {}))


def read_train_settings(method: str, path: Path) -> TrainSettings:
    """Read a settings file (TOML) for a method, see `train_settings`."""
    table = read_toml(path)
    try:
        return train_settings(method, table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def train_settings_to_toml(method: str, settings: TrainSettings) -> str:
    """Write settings as the text of a settings file.

    Examples
    --------
    >>> print(train_settings_to_toml("supervised", SupervisedSettings(steps=10)))
    # napari-hush ...: napari-hush train supervised ... --settings FILE
    patch = 128
    ...
    """
    lines = [f"# napari-hush {version('napari-hush')}: napari-hush train {method} ... --settings FILE"]
    for field in fields(settings):
        value = getattr(settings, field.name)
        lines.append(f"{field.name} = {json.dumps(list(value) if isinstance(value, tuple) else value)}")
    return "\n".join(lines) + "\n"
