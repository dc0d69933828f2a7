"""``napari-hush synthesize``: a data set of noisy and clean images for training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path  # noqa: TC003 - tyro reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from napari_hush.cli.options import options_of, settings_of, told_by
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
    """Take everything but --workers, --cluster and --shard from this file: the settings.toml of a data set makes the
    same one again."""
    crop: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A clean unit crop of your crystal, two periods or more: the lattice of all images."""
    dents: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")] = ()
    """Noisy images of a lattice whose dents are used; for kind published its masks."""
    dark: float | None = None
    """Level of those images where there is nothing, such as vacuum; estimated from their noise if not given."""
    noise_like: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A noisy image: all images get the noise that is measured on it."""
    cluster: Annotated[str | None, tyro.conf.arg(metavar="tcp://HOST:PORT|FILE.toml|local:N")] = None
    """Draw on workers of Dask: of a scheduler that runs, of SLURM as the settings file says, or in N processes of this
    machine, instead of --workers."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Make the Ith of N parts of the images, for job arrays; not with --layout hdf5."""
    contents: Annotated[tyro.conf.OmitArgPrefixes[Options], told_by(Options)] = field(default_factory=Options)

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.datasets.synthesize import synthesize

        if self.cluster is not None or self.shard is not None:
            return self._shared()
        settings, materials = self._from_file() if self.settings is not None else self._from_options()
        synthesize(settings, self.output, materials=materials, progress=True)
        self._say(settings)
        return 0

    def _shared(self) -> int:
        """With other processes."""
        from contextlib import ExitStack
        from functools import partial

        from napari_hush.cli.sharing import client_of
        from napari_hush.cluster.connect import check_place
        from napari_hush.cluster.shards import Shard
        from napari_hush.cluster.synthesize import drawn_on
        from napari_hush.datasets.drawing import Drawer
        from napari_hush.datasets.folders import missing_from
        from napari_hush.datasets.records import jobs_of
        from napari_hush.datasets.synthesize import write_steps
        from napari_hush.progress import drain_with_bar

        if self.cluster is not None and self.shard is not None:
            raise InputError("--shard and --cluster: give one of them")
        shard = None if self.shard is None else Shard.of(self.shard)
        if self.cluster is not None:
            check_place(self.cluster)
        settings, materials = self._from_file() if self.settings is not None else self._from_options()
        with ExitStack() as stack:
            client = None if self.cluster is None else client_of(self.cluster, stack)
            steps = write_steps(
                Drawer(settings, materials),
                self.output,
                share=None if shard is None else shard.share,
                drawn=None if client is None else partial(drawn_on, client),
            )
            drain_with_bar(steps, True, label="synthesising", unit="image")
        missing = [] if settings.layout == "hdf5" else missing_from(settings, self.output)
        if not missing:
            self._say(settings)
            return 0
        if shard is None:
            raise InputError(
                f"{self.output}: the workers have made all images, and {len(missing)} of them are not here: a cluster "
                "needs a file system that all its machines share, under the same names"
            )
        late = [one for one in shard.all if set(one.share(jobs_of(settings))) & set(missing)]
        print(f"{self.output}: shard {shard} is done; not done yet: {', '.join(map(str, late))}")
        print(f"  one that has failed is run again by the same command with --shard {late[0]}")
        return 0

    def _say(self, settings: SynthesisSettings) -> None:
        train, test = settings.n - settings.n_test, settings.n_test
        what = "images of each side" if settings.layout == "unpaired" else "pairs"
        print(f"{self.output}: {what}, {settings.kind}, {train} to train and {test} to test, seed {settings.seed}")

    def _from_file(self) -> tuple[SynthesisSettings, Materials]:
        from napari_hush.datasets.records import read_settings

        assert self.settings is not None
        bare = Synthesize(output=self.output, settings=self.settings, contents=Options(workers=self.contents.workers))
        bare = replace(bare, cluster=self.cluster, shard=self.shard)
        if self != bare:
            raise InputError(
                "--settings says all but --workers, --cluster and --shard: leave out the other options, or edit a copy "
                "of it"
            )
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
