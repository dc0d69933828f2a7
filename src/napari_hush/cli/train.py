"""``napari-hush train``: a model from pairs, unpaired images, noisy ones alone, or simulations."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path  # noqa: TC003 - tyro reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from napari_hush.cli.console import complain
from napari_hush.errors import InputError
from napari_hush.training.presets import PRESETS
from napari_hush.training.settings import (
    SETTINGS,
    CycleGANSettings,
    Noise2NoiseSettings,
    Noise2VoidSettings,
    SupervisedSettings,
    TomoGANSettings,
    TrainSettings,
    TwoStageSettings,
    read_train_settings,
    train_settings_to_toml,
)

if TYPE_CHECKING:
    from napari_hush.model import Model


@dataclass(frozen=True, kw_only=True)
class _Train:
    method: ClassVar[str]
    data: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="DATA [DATA]")]
    """Noisy and clean images: two folders, stacks or files; or one data set of napari-hush synthesize (folder, .h5), or
    its settings file (.toml), which is then simulated on the fly; or noisy images alone, where the method needs no
    more."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="MODEL.safetensors")]
    """The model file."""
    preset: str = ""
    """Begin with a published set-up: cnn, autoencoder, unet-gan, tomogan or cyclegan."""
    settings: Path | None = None
    """Begin with a settings file (.toml). Options that are not at their defaults count over it."""
    checkpoint: Path | None = None
    """Where to write checkpoints; beside the model file, with .ckpt, if not given."""
    resume: bool = False
    """Go on from the checkpoint, if there is one."""
    truth: str | None = None
    """Clean images of the noisy ones, to validate by alone, for methods that train without them."""
    noises: Path | None = None
    """A file with [[noises]] (.toml): DATA are clean images, which get this noise, anew at every step."""
    on_bad: Literal["skip", "refuse"] = "skip"
    """What to do with pairs that do not fit, and with empty images."""

    def run(self) -> int:
        """Run it; the exit code."""
        # Spinning threads of OpenMP would fight with those that prepare the data. It is read when torch is imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if self.output.suffix != ".safetensors":
            raise InputError(f"{self.output}: a model file ends in .safetensors")
        checkpoint = self.checkpoint or self.output.with_suffix(".ckpt")
        for path in (self.output, checkpoint):
            if not path.parent.is_dir():
                raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another")
        if checkpoint.exists() and not self.resume:
            raise InputError(
                f"{checkpoint}: there is a checkpoint of an earlier run: go on with --resume, or remove it"
            )
        settings = self.merged()
        model = self._train(settings, checkpoint)
        model.save(self.output)
        _finish(checkpoint)
        self.output.with_suffix(".toml").write_text(train_settings_to_toml(self.method, settings), "utf-8")
        print(f"{self.output}: {_summary(model)}")
        return 0

    def merged(self) -> TrainSettings:
        """The settings of preset, file and options, the later ones over the earlier ones."""
        options: TrainSettings = getattr(self, "options")  # noqa: B009 - of the subclasses
        kind = SETTINGS[self.method]
        default = base = kind()
        if self.preset:
            if self.preset not in PRESETS or PRESETS[self.preset].method != self.method:
                fit = [name for name, preset in PRESETS.items() if preset.method == self.method]
                raise InputError(
                    f"unknown preset {self.preset!r} of {self.method}: expected {', '.join(fit) or 'none'}"
                )
            base = PRESETS[self.preset].settings
        if self.settings is not None:
            if self.preset:
                raise InputError("give --preset or --settings, not both")
            base = read_train_settings(self.method, self.settings)
        values = {f.name: getattr(base, f.name) for f in fields(default)}
        values |= {name: v for name in values if (v := getattr(options, name)) != getattr(default, name)}
        return kind(**values)

    def _train(self, settings: TrainSettings, checkpoint: Path) -> Model:
        from napari_hush.training.data.open import Source
        from napari_hush.training.fit import train

        source = Source(data=self._data(), truth=self.truth, on_bad=self.on_bad)
        try:
            return train(self.method, source, settings, checkpoint=checkpoint, resume=self.resume, progress=True)
        except KeyboardInterrupt:
            if checkpoint.exists():
                complain("stopped", f"{checkpoint}: go on with --resume")
            raise

    def _data(self) -> Any:
        if not 1 <= len(self.data) <= 2:
            raise InputError(f"expected one or two DATA, got {len(self.data)}: put several files into a folder")
        if self.noises is not None:
            from napari_hush.synthesis import noise_from_dict

            try:
                table = tomllib.loads(self.noises.read_text("utf-8"))
            except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InputError(f"{self.noises}: cannot be read as TOML ({error})") from error
            if len(self.data) != 1 or "noises" not in table:
                raise InputError(f"--noises needs one DATA of clean images, and [[noises]] in {self.noises}")
            return self.data[0], noise_from_dict({"noises": table["noises"]})
        return self.data[0] if len(self.data) == 1 else (self.data[0], self.data[1])


def _finish(checkpoint: Path) -> None:
    """Tell that the checkpoint is not needed any more; it stays, for those who want to train on."""
    if checkpoint.exists():
        print(f"{checkpoint}: the last state, for --resume with more --steps; it can be removed")


def _summary(model: Model) -> str:
    test = model.card.metrics.get("test", {})
    words = f"{model.architecture}, {model.n_parameters:,} parameters, {model.card.training['steps']} steps"
    if "psnr" in test:
        words += ", on held-out images " + ", ".join(f"{name} {value:.4g}" for name, value in test.items())
    return words


class _Unchecked:
    def __post_init__(self) -> None:
        # Left to the settings that are made of it, see `_Train.merged`: their errors are one line.
        pass


class _Supervised(_Unchecked, SupervisedSettings):
    pass


class _TomoGAN(_Unchecked, TomoGANSettings):
    pass


class _CycleGAN(_Unchecked, CycleGANSettings):
    pass


class _Noise2Noise(_Unchecked, Noise2NoiseSettings):
    pass


class _Noise2Void(_Unchecked, Noise2VoidSettings):
    pass


class _TwoStage(_Unchecked, TwoStageSettings):
    pass


@dataclass(frozen=True, kw_only=True)
class Supervised(_Train):
    """From pairs of noisy and clean images, or from clean ones and a noise."""

    method = "supervised"
    options: tyro.conf.OmitArgPrefixes[_Supervised] = field(default_factory=_Supervised)


@dataclass(frozen=True, kw_only=True)
class TomoGAN(_Train):
    """From pairs, with a discriminator and a perceptual loss."""

    method = "tomogan"
    options: tyro.conf.OmitArgPrefixes[_TomoGAN] = field(default_factory=_TomoGAN)


@dataclass(frozen=True, kw_only=True)
class CycleGAN(_Train):
    """From noisy images and clean ones of other fields."""

    method = "cyclegan"
    options: tyro.conf.OmitArgPrefixes[_CycleGAN] = field(default_factory=_CycleGAN)


@dataclass(frozen=True, kw_only=True)
class Noise2Noise(_Train):
    """From repeated noisy images of the same fields."""

    method = "noise2noise"
    options: tyro.conf.OmitArgPrefixes[_Noise2Noise] = field(default_factory=_Noise2Noise)


@dataclass(frozen=True, kw_only=True)
class Noise2Void(_Train):
    """From noisy images alone."""

    method = "noise2void"
    options: tyro.conf.OmitArgPrefixes[_Noise2Void] = field(default_factory=_Noise2Void)


@dataclass(frozen=True, kw_only=True)
class TwoStage(_Train):
    """From unpaired images: a CycleGAN learns to make noise, a denoiser learns from the pairs that it makes."""

    method = "two-stage"
    options: tyro.conf.OmitArgPrefixes[_TwoStage] = field(default_factory=_TwoStage)


@tyro.conf.configure(tyro.conf.OmitSubcommandPrefixes)
def train(
    method: Annotated[Supervised, tyro.conf.subcommand("supervised")]
    | Annotated[TomoGAN, tyro.conf.subcommand("tomogan")]
    | Annotated[CycleGAN, tyro.conf.subcommand("cyclegan")]
    | Annotated[Noise2Noise, tyro.conf.subcommand("noise2noise")]
    | Annotated[Noise2Void, tyro.conf.subcommand("noise2void")]
    | Annotated[TwoStage, tyro.conf.subcommand("two-stage")],
) -> _Train:
    """Train a model; a run that was stopped goes on with --resume."""
    return method
