"""``napari-hush synthesize``: a data set of noisy and clean images for training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path  # noqa: TC003 - tyro reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from napari_hush.cli.options import options_of, settings_of
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from napari_hush.datasets.materials import Materials


Options: Any = options_of(SynthesisSettings, hidden=("noises",))  # those are for --noise-like and settings files


@dataclass(frozen=True, kw_only=True)
class Synthesize:
    """Write a data set of simulated images: noisy, clean, and the truth. A run that was stopped goes on."""

    output: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """A folder, made if it is missing; for --layout hdf5 a file, .h5."""
    settings: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Take everything but --workers from this file: the settings.toml of a data set makes the same one again."""
    crop: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A clean unit crop of your crystal, two periods or more: the lattice of all images."""
    dents: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")] = ()
    """Noisy images of a lattice whose dents are used; for kind published its masks."""
    dark: float | None = None
    """Level of those images where there is nothing, such as vacuum; estimated from their noise if not given."""
    noise_like: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A noisy image: all images get the noise that is measured on it."""
    contents: tyro.conf.OmitArgPrefixes[Options] = field(default_factory=Options)

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.datasets.synthesize import synthesize

        settings, materials = self._from_file() if self.settings is not None else self._from_options()
        synthesize(settings, self.output, materials=materials, progress=True)
        train, test = settings.n - settings.n_test, settings.n_test
        what = "images of each side" if settings.layout == "unpaired" else "pairs"
        print(f"{self.output}: {what}, {settings.kind}, {train} to train and {test} to test, seed {settings.seed}")
        return 0

    def _from_file(self) -> tuple[SynthesisSettings, Materials]:
        from napari_hush.datasets.records import read_settings

        assert self.settings is not None
        bare = Synthesize(output=self.output, settings=self.settings, contents=Options(workers=self.contents.workers))
        if self != bare:
            raise InputError("--settings says all but --workers: leave out the other options, or edit a copy of it")
        settings, materials = read_settings(self.settings)
        return replace(settings, workers=self.contents.workers), materials

    def _from_options(self) -> tuple[SynthesisSettings, Materials]:
        from napari_hush.datasets.materials import make_materials, read_plane
        from napari_hush.synthesis.noise.fit.noise import fit_noise

        settings = settings_of(self.contents, SynthesisSettings)
        if self.dark is not None and not self.dents:
            raise InputError("--dark goes with --dents: name the images, or leave it out")
        if self.noise_like is not None:
            plane = read_plane(self.noise_like)
            try:
                settings = replace(settings, noises=fit_noise(plane).noise().noises)
            except InputError as error:
                raise InputError(f"{self.noise_like}: {error}") from error
        materials = make_materials(
            settings.kind,
            crop=None if self.crop is None else read_plane(self.crop),
            images=[read_plane(path) for path in self.dents],
            dark=self.dark,
        )
        return settings, materials
