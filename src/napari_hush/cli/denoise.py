"""``napari-hush denoise``: files in, files out."""

from __future__ import annotations

import glob
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from napari_hush.cli.console import NOTHING_LEFT, complain, one_line, run_text, run_with_bar
from napari_hush.cli.options import options_of, settings_of
from napari_hush.cli.signals import raise_if_ended
from napari_hush.errors import InputError
from napari_hush.inference.settings import AUTO, DenoiseSettings
from napari_hush.leftovers import sweep
from napari_hush.names import stem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hush.cli.batch import Job
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
    settings: tyro.conf.OmitArgPrefixes[DenoiseOptions] = field(default_factory=DenoiseOptions)

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
        folders = self.volume or self.series
        settings = settings_of(self.settings, DenoiseSettings)
        jobs, several = self._plan(settings, folders)
        failed = []
        with ExitStack() as stack:
            loaded = stack.enter_context(LoadedModels(settings, many=True, kept=True))
            own = None if self.model == AUTO else loaded.model(self.model)  # told before the first image
            model = own or AUTO
            denoise = partial(denoise_steps, model=model, settings=settings, loaded=loaded)
            for number, job in enumerate(jobs, start=1):
                label = f"[{number}/{len(jobs)}] {job.label}" if several else job.label
                try:
                    if several and not folders and not is_image(job.source):
                        raise InputError(f"{job.source}: not an image of a format that is read here; left out")
                    self._denoise_file(job, Watched.of(job.source), label, denoise)
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
            complain("error", f"{len(failed)} of {len(jobs)} inputs were not denoised, see above")
        return 2 if failed else 0

    def _plan(self, settings: DenoiseSettings, folders: bool) -> tuple[list[Job], bool]:
        """What is to be done, with a word on what is left out; and whether there were several inputs."""
        from napari_hush.cli.batch import Replacing, plan_jobs, requests, without_results
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
        options = {name: getattr(self, name) for name in ("dtype", "channel_axis", "fill_missing", "volume", "series")}
        asked = requests(sources, self.model, settings, **options)
        replacing = Replacing(overwrite=self.overwrite, skip_existing=self.skip_existing or self.resume)
        needed = [self.model] if Path(self.model).is_file() else []
        jobs, done = plan_jobs(sources, asked, self.output, self.panel, replacing, several=several, needed=needed)
        if done:
            print(f"{len(done)} of {len(jobs) + len(done)} results are there already, made with the same settings")
            for job in done:
                tidy(job.target)
        if self.series_maps is not None:
            _check_maps(self.series_maps, [stem(job.target) for job in jobs], overwrite=self.overwrite)
        return jobs, several

    def _denoise_file(self, job: Job, watched: Watched, label: str, denoise: Callable[..., Any]) -> None:
        import numpy as np

        from napari_hush.fidelity.glance import given_back_words
        from napari_hush.files import Place
        from napari_hush.inference.ledger import Restart
        from napari_hush.io import (
            check_writable,
            convert_dtype,
            looks_like_labels,
            read_image,
            write_image,
            zarr_writer,
        )
        from napari_hush.io.formats.tiff_write import is_ome, ome_axes
        from napari_hush.io.history import add_to_zarr, software
        from napari_hush.io.room import check_room

        source, target, panel = job.source, job.target, job.panel
        check_writable(target)
        sweep(target.parent, target.name)
        place = Place.of(target)
        if panel is not None:
            check_writable(panel)
        image = self._read(source)
        if words := looks_like_labels(image.data, image.source):
            complain("warning", f"{source}: looks like {words} and not like an image; what is made of it is neither")
        channel_axis = image.channel_axis if self.channel_axis is None else self.channel_axis
        wanted = {"input": str(image.data.dtype), "auto": None}.get(self.dtype, self.dtype)
        if target.suffix.lower() == ".png" and wanted not in ("uint8", "uint16"):  # told before the work, not after it
            came = wanted or "float32"
            raise InputError(f"{target}: PNG holds 8 or 16 bit, not {came}: add --dtype uint16, or write a .tif")
        if is_ome(target.name):
            ome_axes(image.axes, np.dtype(wanted or "float32"), image.scales, str(target))
        run = partial(denoise, image.data, channel_axis=channel_axis, watched=watched)
        if target.suffix == ".zarr":
            # tile by tile: neither the input nor the output need fit into memory
            asked = {"software": software(), "made": "denoised", "request": job.request}

            def writer(*, dtype: Any, **options: Any) -> Any:
                options |= {"like": image, "place": place, "history": asked}
                return zarr_writer(target, shape=image.shape, dtype=wanted or dtype, **options)

            resume = True if self.resume else False if self.begin_anew else None
            restart = Restart(target, resume, keep=True, facts={"axes": image.axes, "number type": self.dtype})
            done = run_with_bar(run(out=writer, restart=restart), label)
            result = read_image(target).data if panel or self.verdict else None
            verdict = self._verdict(image, result, channel_axis, done)
            add_to_zarr(target, self._history("denoised", job, done, verdict))
        else:
            check_room(target, image.shape, wanted or "float32")
            done = run_with_bar(run(), label)
            result = done.image if wanted is None else convert_dtype(done.image, wanted)
            verdict = self._verdict(image, done.image, channel_axis, done)
            history = self._history("denoised", job, done, verdict)
            write_image(target, result, like=image, history=history, place=place)
        print(f"{target}: {run_text(done)}")
        if advice := done.provenance["advice"]:
            print(f"  {advice}")
        if verdict:
            print(f"  {verdict}")
            if words := given_back_words(done.provenance):
                print(f"  {words}")
        if done.provenance["series"]:
            print(f"  {done.provenance['series']['words']}")
            if self.series_maps is not None:
                self._write_maps(job, image, done, verdict)
        elif self.series_maps is not None:
            print(f"  no frames looked together: nothing is written to {self.series_maps}")
        if panel is not None:
            from napari_hush.reports.panels import middle_plane, write_panel

            noisy, denoised = (middle_plane(data, channel_axis) for data in (image.data, result))
            title = f"{Path(source).name}, {done.provenance['model']}"
            write_panel(
                panel,
                {"noisy": noisy, "denoised": denoised},
                residual=noisy - denoised,
                title=title,
                history=self._history("panel", job, done, verdict),
            )
            print(f"{panel}: noisy, denoised, residual")

    def _read(self, source: str | Path) -> ImageData:
        """An image with its frames, if it has any, along the first axis."""
        from napari_hush.io import read_image, read_volume
        from napari_hush.io.inputs import holds_files

        if self.volume:
            return read_volume(source)
        if not self.series:
            image = read_image(source, fill_missing=self.fill_missing)
            return image if self.settings.frames is False else image.time_first()
        if holds_files(source):
            return read_volume(source).with_axes("TYX")
        image = read_image(source, fill_missing=self.fill_missing)
        if image.axes[0] in "YX":
            raise InputError(
                f"{source}: has axes {image.axes} and shape {image.shape}, expected frames along the first axis; give "
                "a folder or a pattern in quotes of single images, or leave --series out"
            )
        return image.with_axes("T" + image.axes[1:].replace("T", "Q"))

    def _history(self, made: str, job: Job, done: Denoised, verdict: str) -> dict[str, Any]:
        """How a file was made, as it is kept in it."""
        file = Path(self.model)
        path = {"model_path": str(file.resolve())} if file.is_file() else {}
        return {
            "made": made,
            "request": job.request,
            **_pattern(job.source),
            **done.provenance,
            **path,
            "verdict": verdict or None,
        }

    def _write_maps(self, job: Job, image: ImageData, done: Denoised, verdict: str) -> None:
        """What the frames say of each other."""
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
                history = self._history(label, job, done, verdict)
                write_image(path, values, like=image.of_other_values(), history=history)
        print(f"{folder}: {name}_drift.csv, {name}_changes.csv and maps")

    def _verdict(self, image: ImageData, denoised: Any, channel_axis: int | None, done: Denoised) -> str:
        """One line about one plane, or none; nothing that goes wrong here is an error of the run."""
        from napari_hush.fidelity.glance import glance

        if not self.verdict:
            return ""
        size = image.pixel_size_in("nm")
        try:
            seen = glance(
                image.data,
                denoised,
                channel_axis=channel_axis,
                dark=self.settings.dark,
                pixel_size=None if size is None else max(size),
                assumes=done.provenance["assumes"],
                series=done.series is not None,
            )
        except Exception as error:
            return f"not checked: {one_line(error)}"
        return f"{seen.status.upper() if seen.status == 'fail' else seen.status}: {seen.words}"


def _pattern(source: str | Path) -> dict[str, str]:
    """The pattern that chose the files of a series or volume, wherever it is read; their folder may hold others."""
    text = str(source)
    if not glob.has_magic(text) or Path(text).exists():
        return {}
    return {"pattern": os.path.join(glob.escape(os.getcwd()), text)}


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
