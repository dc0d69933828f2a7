"""How a model is trained, one frozen dataclass per method: form, command line and settings file derive from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from napari_hush.card import Companions  # noqa: TC001 - the fields are read
from napari_hush.declare import Bounds, NamesOf, check_fields
from napari_hush.errors import InputError
from napari_hush.files import parse_toml
from napari_hush.inference.engines.devices import Device  # noqa: TC001 - the fields are read
from napari_hush.networks import NETWORKS

Network = Annotated[str, NamesOf(NETWORKS)]
Augment = Literal["all", "flips", "none"]
Schedule = Literal["cosine", "linear", "constant"]
PixelLoss = Literal["l1", "mse", "charbonnier", "rms"]
TrainingPrecision = Literal["auto", "float32", "bfloat16", "float16"]
BatchSize = Annotated[int, Bounds(1, 65536)]
Steps = Annotated[int, Bounds(1, 10**9)]
Warmup = Annotated[int, Bounds(0, 10**8)]
Norm = Annotated[float, Bounds(0, 1e9)]  # of a gradient; 0 for any
Weight = Annotated[float, Bounds(0, 1e9)]  # of a term of the loss
Share = Annotated[float, Bounds(0, 0.9)]
LearningRate = Annotated[float, Bounds(0, 10)]
Depth = Annotated[int, Bounds(0, 31)]
Percentiles = Annotated[tuple[float, float], Bounds(0, 100, rising=True)]

FREE = ("validate_every", "picture_every", "patience", "device", "workers", "steps", "epochs")  # may change on resuming


@dataclass(frozen=True, kw_only=True)
class Matching:
    """How clean images of other fields are brought near the noisy ones before a training.

    Parameters
    ----------
    contrast : bool
        To the mean and the contrast of the noisy ones' signal, all by one map.
    scale : bool
        To the period of the noisy ones' lattice, by resampling, where both have one.
    """

    contrast: bool = True
    scale: bool = True


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
    device : str
        Where to compute: cpu; cuda, the first GPU; cuda:1, the second one; mps, Apple's; ``auto`` takes the fastest.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Arithmetic; ``auto`` takes bfloat16 where the processor has it natively. Weights stay float32.
    workers : int
        Threads that prepare batches ahead; 0 prepares each when it is needed.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    patch: Annotated[int, Bounds(8, 8192)] = 128
    batch_size: BatchSize = 8
    steps: Steps = 2000
    epochs: Annotated[int, Bounds(0, 10**7)] = 0
    augment: Augment = "all"
    shift: Annotated[int, Bounds(0, 4096)] = 0
    validation_share: Share = 0.1
    test_share: Share = 0.1
    validation_images: Annotated[int, Bounds(1, 1024)] = 16
    network: Network = "unet"
    network_options: str = ""
    start: str = ""
    percentiles: Percentiles = (1.0, 99.0)
    learning_rate: LearningRate = 3e-4
    schedule: Schedule = "cosine"
    warmup: Warmup = 50
    ema: Annotated[float, Bounds(0, 0.99999)] = 0.999
    clip: Norm = 1.0
    validate_every: Annotated[int, Bounds(1, 10**8)] = 200
    picture_every: Annotated[int, Bounds(0, 10**6)] = 1
    patience: Annotated[int, Bounds(0, 10**6)] = 0
    seed: Annotated[int, Bounds(0, 2**63 - 1)] = 0
    device: Device = "auto"
    precision: TrainingPrecision = "auto"
    workers: Annotated[int, Bounds(0, 64)] = 1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.percentiles[0] == self.percentiles[1]:
            raise InputError(f"percentiles must be two rising numbers, got {self.percentiles!r}")
        if self.validation_share + self.test_share > 0.9:
            raise InputError("validation_share and test_share leave nothing to train on: together at most 0.9")
        self.options()

    def options(self) -> dict[str, Any]:
        """The arguments of the network that ``network_options`` names."""
        return read_options("network_options", self.network_options)

    @property
    def matching(self) -> Matching:
        """How clean images of other fields are prepared."""
        return Matching()

    @property
    def beside(self) -> Companions:
        """What a network is given beside the image."""
        return "none"

    @property
    def slab(self) -> int | None:
        """Neighbouring slices that the network is given, 0 for as many as it takes; None for single images only."""
        return None

    @property
    def averages(self) -> bool:
        """Whether the network sees the mean of all repeats but one, which is its target."""
        return False


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings(TrainSettings):
    """From pairs of noisy and clean images, or clean images and a noise model.

    Parameters
    ----------
    loss : {"l1", "mse", "charbonnier", "rms"}
        Of the pixel values: mean absolute, mean squared, L1 without its corner, or root mean square of each image.
    lambda_gradient : float
        Weight of the mean absolute difference of the first differences.
    lambda_spectrum : float
        Weight of the mean absolute difference of the orthonormal Fourier transforms.
    companions : {"none", "lattice"}
        What the network is given beside the image: nothing, or what the other copies of each place in the crystal look
        like. With them it takes the crystal for regular: more noise goes, and displacements of columns with it.
    depth : int
        Neighbouring slices of a stack (Z, Y, X) that the network sees at once to give the one in the middle, odd; a
        network that is gone on from is widened to as many. 0: as many as the network takes, 1 of a new one.
    """

    loss: PixelLoss = "l1"
    lambda_gradient: Weight = 0.1
    lambda_spectrum: Weight = 0.05
    companions: Companions = "none"
    depth: Depth = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth(self.depth)
        if self.depth > 1 and self.companions != "none":
            raise InputError("companions go with single images: choose companions none, or depth 1")

    @property
    def beside(self) -> Companions:
        """As chosen."""
        return self.companions

    @property
    def slab(self) -> int:
        """As chosen."""
        return self.depth


@dataclass(frozen=True, kw_only=True)
class Noise2NoiseSettings(SupervisedSettings):
    """From noisy repeats of the same field; mean squared error, whose minimum is the mean of the repeats.

    Parameters
    ----------
    inputs : {"one", "mean"}
        What the network sees of a field: one image, whose target is any other; or the mean of all but one, whose
        target is that one, as Noise2Inverse does with reconstructions from parts of the angles. The denoiser is then
        for the mean of all.
    """

    loss: PixelLoss = "mse"
    lambda_gradient: Weight = 0.0
    lambda_spectrum: Weight = 0.0
    inputs: Literal["one", "mean"] = "one"

    @property
    def averages(self) -> bool:
        """As chosen."""
        return self.inputs == "mean"


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
    blind_share: Annotated[float, Bounds(0.0005, 0.25)] = 0.02
    window: Annotated[int, Bounds(3, 51)] = 11
    row_mask: Annotated[int, Bounds(0, 16)] = 4


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
    depth : int
        Neighbouring slices of a stack (Z, Y, X) that the network sees at once to give the one in the middle, odd; a
        network that is gone on from is widened to as many. 0: as many as the network takes, 1 of a new one.
    """

    network: Network = "tomogan"
    learning_rate: LearningRate = 1e-4
    schedule: Schedule = "constant"
    warmup: Warmup = 0
    clip: Norm = 0.0
    lambda_pixel: Weight = 0.5 * 255**2
    lambda_adversarial: Weight = 20.0
    lambda_perceptual: Weight = 2.0
    discriminator_steps: Annotated[int, Bounds(1, 100)] = 2
    vgg: str = ""
    depth: Depth = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth(self.depth)

    @property
    def slab(self) -> int:
        """As chosen."""
        return self.depth


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

    batch_size: BatchSize = 4
    learning_rate: LearningRate = 5e-4
    schedule: Schedule = "linear"
    warmup: Warmup = 0
    clip: Norm = 0.0
    percentiles: Percentiles = (0.1, 99.9)
    lambda_cycle: Weight = 10.0
    lambda_identity: Weight = 0.5
    pool: Annotated[int, Bounds(0, 10**5)] = 50
    one_sided: bool = True
    lambda_lowpass: Weight = 5.0
    lowpass_sigma: Annotated[float, Bounds(0.5, 100)] = 6.0
    spectrum_discriminator: bool = True
    discriminator_width: Annotated[int, Bounds(1, 512)] = 64
    noise_input: bool = True
    match_scale: bool = True
    match_contrast: bool = True

    @property
    def matching(self) -> Matching:
        """As chosen."""
        return Matching(contrast=self.match_contrast, scale=self.match_scale)


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

    unpaired_steps: Steps = 1000
    final_network: Network = "unet"
    final_options: str = ""
    final_learning_rate: LearningRate = 3e-4
    final_batch_size: BatchSize = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        read_options("final_options", self.final_options)


def check_depth(depth: int) -> None:
    """Refuse an even number of slices, of which none lies in the middle.

    Raises
    ------
    InputError
        Naming it.
    """
    if depth and depth % 2 == 0:
        raise InputError(f"depth must be odd, so that one slice lies in the middle, or 0; got {depth}")


def read_options(name: str, text: str) -> dict[str, Any]:
    """The arguments of a network in a setting, such as ``"width = 16, levels = 2"``.

    Raises
    ------
    InputError
        Naming the setting, if they are written in another way.
    """
    try:
        options: dict[str, Any] = parse_toml(f"options = {{{text}}}")["options"]
        return options
    except ValueError as error:
        raise InputError(f"{name} must look like 'width = 16, levels = 2', got {text[:80]!r}") from error
