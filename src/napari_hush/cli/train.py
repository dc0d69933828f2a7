"""``napari-hush train``: a model from pairs, unpaired images, noisy ones alone, or simulations."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

import tyro

from napari_hush.cli.console import complain
from napari_hush.cli.options import options_of, settings_of
from napari_hush.errors import InputError
from napari_hush.files import atomic_write, read_toml
from napari_hush.training.keep import previews_of, save_or_keep
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.presets import PRESETS
from napari_hush.training.processes import Processes
from napari_hush.training.settings_file import read_train_settings, train_settings_to_toml

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hush.model import Model
    from napari_hush.training.settings import TrainSettings


@dataclass(frozen=True, kw_only=True)
class Train:
    """What all methods are asked for."""

    method: ClassVar[str]
    options: ClassVar[Any]  # of the subcommands, which are made of the settings
    data: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="DATA [DATA]")]
    """Noisy and clean images: two folders, stacks or files; or one data set of napari-hush synthesize (folder, .h5), or
    its settings file (.toml), which is then simulated on the fly; or noisy images alone, where the method needs no
    more."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="MODEL.safetensors")]
    """The model file."""
    preset: str = ""
    """Begin with a published set-up."""
    settings: Path | None = None
    """Begin with a settings file (.toml). Options count over it, as over a preset."""
    checkpoint: Path | None = None
    """Where to write checkpoints; beside the model file, with .ckpt, if not given."""
    resume: bool = False
    """Go on from the checkpoint, if there is one; the model file that it gave before is replaced."""
    overwrite: bool = False
    """Replace older files: of the model, its settings, its checkpoint and previews."""
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
        from napari_hush.io.outputs import check_outputs, same_place

        if self.output.suffix != ".safetensors":
            raise InputError(f"{self.output}: a model file ends in .safetensors")
        checkpoint = self.checkpoint or self.output.with_suffix(".ckpt")
        written = self.output.with_suffix(".toml")
        for path in (self.output, checkpoint):
            if not path.parent.is_dir():
                raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another")
        goes_on = self.resume and checkpoint.exists()
        if checkpoint.exists() and not goes_on and not self.overwrite:
            raise InputError(
                f"{checkpoint}: there is a checkpoint of an earlier run: go on with --resume, replace it with "
                "--overwrite, or remove it"
            )
        settings = settings_of(self.options, METHODS[self.method].settings)
        kept = goes_on and self.settings is not None and same_place(self.settings, written)  # it says the same
        inputs = self._inputs(settings)
        check_outputs([checkpoint, previews_of(checkpoint)], inputs, overwrite=self.overwrite or goes_on)
        own = goes_on and checkpoint == self.output.with_suffix(".ckpt")
        check_outputs([self.output, *([] if kept else [written])], inputs, overwrite=self.overwrite or own)
        model = self._train(settings, checkpoint)
        if Processes.of().rank:  # of several that have trained it together
            return 0
        save_or_keep(model, self.output, checkpoint)
        _finish(checkpoint)
        if not kept:
            atomic_write(written, train_settings_to_toml(self.method, settings).encode())
        print(f"{self.output}: {_summary(model)}")
        return 0

    def _inputs(self, settings: TrainSettings) -> list[Path]:
        """All files and folders that the run reads."""
        named = [*self.data, self.truth, self.settings, self.noises]
        named += [getattr(settings, name, "") for name in ("start", "vgg")]
        return [Path(str(one)) for one in named if one]

    def begin_with(self) -> Callable[..., Any] | None:
        """Where a preset or a settings file is named: the command whose options begin with its values.

        Reading the command line again with it, what is given there counts, also where it is a default.
        """
        if self.preset and self.settings is not None:
            raise InputError("give --preset or --settings, not both")
        if self.preset:
            fit = [name for name, preset in PRESETS.items() if preset.method == self.method]
            if self.preset not in fit:
                raise InputError(
                    f"unknown preset {self.preset!r} of {self.method}: expected {', '.join(fit) or 'none'}"
                )
            return train_command(self._counted(PRESETS[self.preset].settings), self.method)
        if self.settings is not None:
            return train_command(self._counted(read_train_settings(self.method, self.settings)), self.method)
        return None

    def _counted(self, values: TrainSettings) -> TrainSettings:
        """Steps that are given count over epochs that are not."""
        usual = METHODS[self.method].settings()
        given = self.options.steps != usual.steps and self.options.epochs == usual.epochs
        return replace(values, epochs=0) if given else values

    def _train(self, settings: TrainSettings, checkpoint: Path) -> Model:
        from napari_hush.training.data.open import TrainingSource
        from napari_hush.training.fit import train

        source = TrainingSource(data=self._data(), truth=self.truth, on_bad=self.on_bad)
        try:
            return train(self.method, source, settings, checkpoint=checkpoint, resume=self.resume, progress=True)
        except KeyboardInterrupt:
            if checkpoint.exists() and not Processes.of().rank:
                complain("stopped", f"{checkpoint}: go on with --resume")
            raise

    def _data(self) -> Any:
        if not 1 <= len(self.data) <= 2:
            raise InputError(f"expected one or two DATA, got {len(self.data)}: put several files into a folder")
        if self.noises is not None:
            from napari_hush.synthesis import noise_from_dict

            table = read_toml(self.noises)
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


def train_command(values: TrainSettings | None = None, method: str = "") -> Callable[..., Any]:
    """The command with a subcommand for each of `METHODS`, whose options are the fields of its settings.

    Parameters
    ----------
    values : TrainSettings, optional
        What the options of one method are where they are not given, in place of its defaults.
    method : str
        That method.
    """
    subcommands = tuple(
        Annotated[
            _subcommand(name, entry.about, values if values is not None and name == method else entry.settings),
            tyro.conf.subcommand(name),
        ]
        for name, entry in METHODS.items()
    )

    def train(method: Any) -> Any:
        """Train a model; a run that was stopped goes on with --resume."""
        return method

    train.__annotations__["method"] = Union[subcommands]  # noqa: UP007 - made at run time
    return tyro.conf.configure(tyro.conf.OmitSubcommandPrefixes)(train)


def _subcommand(method: str, about: str, settings: type[TrainSettings] | TrainSettings) -> type[Any]:
    options = options_of(settings)
    presets = ", ".join(name for name, preset in PRESETS.items() if preset.method == method) or "there is none"
    preset_help = tyro.conf.arg(help=f"Begin with a published set-up of this method: {presets}.")
    fields: list[tuple[str, Any, Any]] = [
        ("preset", Annotated[str, preset_help], field(default="")),
        ("options", tyro.conf.OmitArgPrefixes[options], field(default_factory=options)),  # type: ignore[misc, valid-type]
    ]
    kind = make_dataclass(method, fields, bases=(Train,), namespace={"method": method}, frozen=True, kw_only=True)
    kind.__doc__ = f"{about[0].upper()}{about[1:]}."
    return kind
