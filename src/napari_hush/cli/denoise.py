"""``napari-hush denoise``: files in, files out."""

from __future__ import annotations

import glob
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from napari_hush.batch.one_file import Asked, begin, file_steps, history_of, warn_of_labels
from napari_hush.cli.console import NOTHING_LEFT, complain, one_line, run_text, run_with_bar
from napari_hush.cli.options import options_of, settings_of, told_by
from napari_hush.cli.sharing import Reading, client_of, files_on, print_waiting, shard_steps, spread_of
from napari_hush.cli.signals import raise_if_ended
from napari_hush.errors import InputError
from napari_hush.inference.repeat import USUAL
from napari_hush.inference.settings import AUTO, DenoiseSettings
from napari_hush.names import stem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hush.batch.jobs import Job
    from napari_hush.cluster.shards import Shard
    from napari_hush.inference.denoise import Denoised
    from napari_hush.io import ImageData
    from napari_hush.io.fingerprint import Watched

DenoiseOptions: Any = options_of(DenoiseSettings)
BATCH_GOES_ON = f"{NOTHING_LEFT}; --resume goes on with the inputs that are not done"
DType = Literal["auto", "float32", "input", "uint8", "uint16", "int16", "uint32", "float16", "float64"]


@dataclass(frozen=True, kw_only=True)
class Denoise:
    """Denoise image files: TIFF, PNG, NPY, HDF5 (FILE.h5:/dataset), zarr; microscope formats with the extra."""

    inputs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IN [IN ...]")]
    """Files, or globs in quotes; with --volume or --series folders."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="OUT")] = None
    """A file, or a folder for several inputs; NAME_denoised.tif (.ome.tif, .zarr) beside each input if not given."""
    model: str = AUTO
    """A bundled model, or a model file: .safetensors, Keras .h5, PyTorch .pth, BioImage.IO .zip. auto takes stem where
    a lattice is found, tomo where a slice has the streaks of few projections, and general elsewhere."""
    dtype: DType = "auto"
    """Numbers in the output; auto takes float32, and float64 where a small signal stands on a high pedestal. input
    means the input's own, clipped and rounded where it is an integer."""
    fill_missing: bool = False
    """Take the fill value, mostly 0, for chunks of a zarr or HDF5 that are not there; a sparse image has none where
    nothing is, a damaged one lost them."""
    channel_axis: int | None = None
    """Which axis holds colours or dyes, where the file does not tell."""
    volume: bool = False
    """The images of each folder or pattern are the slices of one volume, in the order of the numbers in their names."""
    series: bool = False
    """The images of each folder or pattern are the frames of one series, in the order of the numbers in their names; of
    a single file the first axis counts frames, whatever the file says."""
    first: int = 0
    """The frame that is done first. Frames of a series that look together depend on it a little."""
    series_maps: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Of frames that looked together write how many carry each pixel (NAME_carried.tif), what changed (NAME_changed.tif
    and NAME_changes.csv) and the drift (NAME_drift.csv, NAME_drift.png); to zarr outputs the tables alone."""
    panel: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Write a picture: noisy, denoised and what was taken away; a folder for several inputs."""
    verdict: bool = True
    """Say under each result what it kept, lost and made up, by one plane of it (napari-hush evaluate looks at all)."""
    overwrite: bool = False
    """Replace older files. Without it only a result that the same run made of the same input is made again."""
    skip_existing: bool = False
    """Leave out inputs whose result is there, made from the same input with the same settings."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on where this command was stopped: in an unfinished .zarr tile by tile or, of several inputs, with those that
    are not done. Input, model and settings must be what they were."""
    begin_anew: Annotated[tyro.conf.FlagCreatePairsOff[bool], tyro.conf.arg(name="no-resume")] = False
    """Throw away what an unfinished run to the same .zarr has left."""
    cluster: Annotated[str | None, tyro.conf.arg(metavar="tcp://HOST:PORT|FILE.toml|local:N")] = None
    """Compute on workers of Dask: of a scheduler that runs, of SLURM as the settings file says, or in N processes of
    this machine. A .zarr is shared out tile by tile, several other outputs file by file."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Do the Ith of N parts of the work, for job arrays: tiles of a .zarr, else files. The last to end finishes it."""
    settings: Annotated[tyro.conf.OmitArgPrefixes[DenoiseOptions], told_by(DenoiseOptions)] = field(
        default_factory=DenoiseOptions
    )

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.inference.denoise import denoise_steps
        from napari_hush.inference.ledger import unfinished
        from napari_hush.inference.loaded import LoadedModels
        from napari_hush.io import is_image
        from napari_hush.io.fingerprint import Watched

        if not self.inputs:
            raise InputError("no input: name a file, for example 'napari-hush denoise image.tif'")
        if self.volume and self.series:
            raise InputError(
                "--volume and --series: the images of a folder are either slices or frames; give one of them"
            )
        if self.resume and self.begin_anew:
            raise InputError("--resume and --no-resume: an unfinished run goes on or is thrown away; give one of them")
        shard = self._shard()
        folders = self.volume or self.series
        settings = settings_of(self.settings, DenoiseSettings)
        jobs, several = self._plan(settings, folders, shard)
        failed: list[str | Path] = []
        n_jobs = len(jobs)
        with ExitStack() as stack:
            loaded = stack.enter_context(LoadedModels(settings, many=True, kept=True))
            own = None if self.model == AUTO else loaded.model(self.model)  # told before the first image
            model = own or AUTO
            known: dict[str, Any] = {"model": model, "settings": settings, "loaded": loaded}
            denoise: Callable[..., Any] = partial(denoise_steps, first=self.first, **known)
            if shard is not None and not several:
                denoise = partial(shard_steps, shard=shard, **known)  # each plane alone: the order is nobody's
            client = None
            if self.cluster is not None and jobs:
                client = client_of(self.cluster, stack, gpus=settings.device in ("auto", "cuda"))
                whole = [job for job in jobs if job.target.suffix != ".zarr"]
                failed += [job.source for job in files_on(client, self, settings, whole)] if whole else []
                jobs = [job for job in jobs if job not in whole]
            for number, job in enumerate(jobs, start=1):
                label = f"[{number}/{len(jobs)}] {job.label}" if several else job.label
                try:
                    if several and not folders and not is_image(job.source):
                        raise InputError(f"{job.source}: not an image of a format that is read here; left out")
                    watched = Watched.of(job.source)
                    on_workers = {} if client is None else spread_of(client, self, job, watched)
                    self.denoise_file(job, watched, label, partial(denoise, **on_workers), run_with_bar)
                except (BrokenPipeError, KeyboardInterrupt) as end:
                    if words := unfinished(job.target) or (BATCH_GOES_ON if several else ""):
                        end.add_note(words)
                    raise
                except (InputError, OSError, MemoryError) as error:
                    raise_if_ended(error)
                    if not several:
                        if not isinstance(error, InputError) and (words := unfinished(job.target)):
                            error.add_note(words)
                        raise
                    failed.append(job.source)
                    complain("error", one_line(error))
        if failed:
            complain("error", f"{len(failed)} of {n_jobs} inputs were not denoised, see above")
        return 2 if failed else 0

    def _shard(self) -> Shard | None:
        """Which share of the work; wrong combinations are told before it."""
        if self.cluster is not None:
            from napari_hush.cluster.connect import check_place

            check_place(self.cluster)
        if self.shard is None:
            return None
        from napari_hush.cluster.shards import Shard

        if self.cluster is not None or self.begin_anew:
            other = "--cluster" if self.cluster is not None else "--no-resume"
            raise InputError(
                f"--shard and {other}: give one of them; an unfinished run of shards is a folder .NAME.part"
            )
        return Shard.of(self.shard)

    def _plan(self, settings: DenoiseSettings, folders: bool, shard: Shard | None) -> tuple[list[Job], bool]:
        """What is to be done, with a word on what is left out; and whether there were several inputs."""
        from napari_hush.batch.jobs import Replacing, plan_jobs, requests, without_results
        from napari_hush.inference.ledger import tidy
        from napari_hush.io import expand_inputs

        sources: Sequence[str | Path] = self.inputs
        several = len(sources) > 1
        if not folders:
            found = expand_inputs(self.inputs)
            several = len(found) > 1
            sources, results = without_results(found, self.inputs)
            if results:
                names = ", ".join(one.name for one in results[:3]) + (", ..." if len(results) > 3 else "")
                complain(
                    "left out", f"{len(results)} made by napari-hush ({names}); name one alone to denoise it again"
                )
        options = {name: getattr(self, name) for name in USUAL}
        asked = requests(sources, self.model, settings, **options)
        goes_on = bool(self.resume or shard)
        replacing = Replacing(overwrite=self.overwrite, skip_existing=self.skip_existing, resume=goes_on)
        needed = [self.model] if Path(self.model).is_file() else []
        jobs, done = plan_jobs(sources, asked, self.output, self.panel, replacing, several=several, needed=needed)
        if done:
            print(f"{len(done)} of {len(jobs) + len(done)} results are there already, made with the same settings")
            for job in done:
                tidy(job.target)
        if shard is not None and several:
            mine = shard.share(sources)
            jobs = [job for job in jobs if job.source in mine]
            print(f"shard {shard}: {len(mine)} of {len(sources)} inputs")
        elif (shard is not None or self.cluster is not None) and not several:
            for job in jobs:
                if job.target.suffix != ".zarr":
                    option = "--cluster" if shard is None else "--shard"
                    raise InputError(
                        f"{job.target}: {option} fills one output tile by tile, which a .zarr can: name one"
                    )
        if self.series_maps is not None:
            _check_maps(self.series_maps, [stem(job.target) for job in jobs], overwrite=self.overwrite)
        return jobs, several

    def denoise_file(
        self,
        job: Job,
        watched: Watched,
        label: str,
        denoise: Callable[..., Any],
        drained: Callable[..., Any],
        say: Callable[[str], object] = print,
    ) -> None:
        """Denoise one input; ``drained`` goes through the steps, with a label, and shows them; ``say`` takes lines."""
        from napari_hush.cluster.shards import Waiting
        from napari_hush.fidelity.glance import given_back_words
        from napari_hush.io import check_writable

        source, target, panel = job.source, job.target, job.panel
        place = begin(job)
        if panel is not None:
            check_writable(panel)
        image = self.reading(source)
        warn_of_labels(job, image)
        found = drained(file_steps(job, image, watched, place, denoise, self._asked), label)
        if isinstance(found, Waiting):
            print_waiting(self, job, found)
            return
        done, verdict = found.done, found.verdict
        say(f"{target}: {run_text(done)}")
        if advice := done.provenance["advice"]:
            say(f"  {advice}")
        if verdict:
            say(f"  {verdict}")
            if words := given_back_words(done.provenance):
                say(f"  {words}")
        if done.provenance["series"]:
            say(f"  {done.provenance['series']['words']}")
            if self.series_maps is not None:
                say(self._write_maps(job, image, done, verdict))
        elif self.series_maps is not None:
            say(f"  no frames looked together: nothing is written to {self.series_maps}")
        if panel is not None:
            from napari_hush.reports.panels import middle_plane, write_panel

            noisy, denoised = (middle_plane(data, self._asked.axis_of(image)) for data in (image.data, found.result))
            title = f"{Path(source).name}, {done.provenance['model']}"
            write_panel(
                panel,
                {"noisy": noisy, "denoised": denoised},
                residual=noisy - denoised,
                title=title,
                history=history_of("panel", job, done, verdict, self.model),
            )
            say(f"{panel}: noisy, denoised, residual")

    @property
    def reading(self) -> Reading:
        """How an input is read."""
        frames_first = self.settings.frames is not False
        return Reading(
            volume=self.volume, series=self.series, fill_missing=self.fill_missing, frames_first=frames_first
        )

    @property
    def _asked(self) -> Asked:
        """What is the same for all inputs."""
        resume = True if self.resume else False if self.begin_anew else None
        options = {name: getattr(self, name) for name in ("model", "dtype", "channel_axis", "verdict")}
        return Asked(**options, dark=self.settings.dark, resume=resume)

    def _write_maps(self, job: Job, image: ImageData, done: Denoised, verdict: str) -> str:
        """Write what the frames say of each other; a line that says so."""
        from napari_hush.files import atomic_write
        from napari_hush.io import write_image
        from napari_hush.reports.panels import png_bytes
        from napari_hush.series.changes import save_changes
        from napari_hush.series.drawing import drift_picture

        folder, series, name = self.series_maps, done.series, stem(job.target)
        assert folder is not None and series is not None
        folder.mkdir(parents=True, exist_ok=True)
        series.registration.save(folder / f"{name}_drift.csv")
        atomic_write(folder / f"{name}_drift.png", png_bytes(drift_picture(series.registration)))
        save_changes(series.changes, folder / f"{name}_changes.csv")
        for label, values in (("carried", series.carried), ("changed", series.changed)):
            if values is not None:
                path = folder / f"{name}_{label}.tif"
                history = history_of(label, job, done, verdict, self.model)
                write_image(path, values, like=image.of_other_values(), history=history)
        return f"{folder}: {name}_drift.csv, {name}_changes.csv and maps"


def _check_maps(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Refuse, before any work, maps that would take each other's place or that of older files."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: --series-maps needs a folder, this is a file")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{folder}: the maps of two inputs would be called {name}; denoise them one by one")
        older = sorted(folder.glob(f"{glob.escape(name)}_*.*")) if folder.is_dir() else []
        taken = [
            one for one in older if one.stem.removeprefix(f"{name}_") in ("carried", "changed", "changes", "drift")
        ]
        if taken and not overwrite:
            raise InputError(
                f"{taken[0]}: is there already: choose another folder for --series-maps, or give --overwrite"
            )
