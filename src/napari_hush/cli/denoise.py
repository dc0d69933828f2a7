"""``napari-hush denoise``: files in, files out."""

from __future__ import annotations

import glob
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from napari_hush.cli.batch_note import opened_batch
from napari_hush.cli.console import complain, one_line, run_text, run_with_bar
from napari_hush.cli.options import options_of, settings_of
from napari_hush.cli.signals import raise_if_ended
from napari_hush.errors import InputError
from napari_hush.inference.settings import AUTO, DenoiseSettings
from napari_hush.leftovers import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hush.inference.denoise import Denoised
    from napari_hush.io import ImageData
    from napari_hush.io.fingerprint import Watched

DenoiseOptions: Any = options_of(DenoiseSettings)
DType = Literal["float32", "input", "uint8", "uint16", "int16", "uint32", "float16", "float64"]


@dataclass(frozen=True, kw_only=True)
class Denoise:
    """Denoise image files: TIFF, PNG, NPY, HDF5 (FILE.h5:/dataset), zarr; microscope formats with the extra."""

    inputs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IN [IN ...]")]
    """Files, or globs in quotes; with --volume or --series folders."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="OUT")] = None
    """A file, or a folder for several inputs; NAME_denoised.tif beside each input if not given."""
    model: str = AUTO
    """A bundled model, or a model file: .safetensors, Keras .h5, PyTorch .pth, BioImage.IO .zip. auto takes stem where
    a lattice is found, tomo where a slice has the streaks of few projections, and general elsewhere."""
    dtype: DType = "float32"
    """Numbers in the output; input means the input's own, clipped and rounded where it is an integer."""
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
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on where this command was stopped: in an unfinished .zarr tile by tile or, of several inputs, with those that
    are not done. Input, model and settings must be what they were."""
    begin_anew: Annotated[tyro.conf.FlagCreatePairsOff[bool], tyro.conf.arg(name="no-resume")] = False
    """Throw away what an unfinished run to the same .zarr has left."""
    settings: tyro.conf.OmitArgPrefixes[DenoiseOptions] = field(default_factory=DenoiseOptions)

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.inference.denoise import denoise_steps
        from napari_hush.inference.ledger import unfinished, weights_sha256
        from napari_hush.inference.loaded import LoadedModels
        from napari_hush.io import expand_inputs, is_image
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
        sources = self.inputs if folders else expand_inputs(self.inputs)
        several = len(sources) > 1
        jobs = _plan_outputs(sources, self.output, several, self.panel)
        if self.series_maps is not None:
            _check_maps(self.series_maps, [target.stem for _, target, _ in jobs])
        settings = settings_of(self.settings, DenoiseSettings)
        failed = []
        with ExitStack() as stack:
            loaded = stack.enter_context(LoadedModels(settings, many=True))
            own = None if self.model == AUTO else loaded.model(self.model)  # told before the first image
            model = own or AUTO
            denoise = partial(denoise_steps, model=model, settings=settings, loaded=loaded)
            facts = asdict(replace(self, inputs=(), resume=False, begin_anew=False)) | {
                "version": version("napari-hush"),
                "weights": None if own is None else weights_sha256(own),
            }
            targets = [target for _, target, _ in jobs]
            batch = stack.enter_context(opened_batch(self.inputs, targets, facts, resume=self.resume))
            for number, (source, target, panel) in enumerate(jobs, start=1):
                label = f"[{number}/{len(jobs)}] {Path(source).name}" if several else Path(source).name
                if batch.is_done(source, target):
                    print(f"{target}: is done")
                    continue
                try:
                    if several and not folders and not is_image(source):
                        raise InputError(f"{source}: not an image of a format that is read here; left out")
                    watched = Watched.of(source)
                    self._denoise_file(watched, target, panel, label, denoise)
                    batch.add(watched.before, target)
                except (BrokenPipeError, KeyboardInterrupt) as end:
                    end.add_note(unfinished(target) or batch.words)
                    raise
                except (InputError, OSError, MemoryError) as error:
                    raise_if_ended(error)
                    if not several:
                        if not isinstance(error, InputError) and (words := unfinished(target)):
                            error.add_note(words)
                        raise
                    failed.append(source)
                    complain("error", one_line(error))
        if failed:
            complain("error", f"{len(failed)} of {len(jobs)} inputs were not denoised, see above")
        return 2 if failed else 0

    def _denoise_file(
        self,
        watched: Watched,
        target: Path,
        panel: Path | None,
        label: str,
        denoise: Callable[..., Any],
    ) -> None:
        from napari_hush.fidelity.glance import given_back_words
        from napari_hush.files import Place
        from napari_hush.inference.ledger import Restart
        from napari_hush.io import check_writable, convert_dtype, read_image, write_image, zarr_writer
        from napari_hush.io.room import check_room
        from napari_hush.reports.panels import middle_plane, write_panel

        source = watched.source
        check_writable(target)
        sweep(target.parent, target.name)
        place = Place.of(target)
        if panel is not None:
            check_writable(panel)
        image = self._read(source)
        channel_axis = image.channel_axis if self.channel_axis is None else self.channel_axis
        dtype = str(image.data.dtype) if self.dtype == "input" else self.dtype
        if target.suffix.lower() == ".png" and dtype not in ("uint8", "uint16"):  # told before the work, not after it
            raise InputError(f"{target}: PNG holds 8 or 16 bit, not {dtype}: add --dtype uint16, or write a .tif")
        run = partial(denoise, image.data, channel_axis=channel_axis, watched=watched)
        if target.suffix == ".zarr":
            # tile by tile: neither the input nor the output need fit into memory
            writer = partial(zarr_writer, target, shape=image.shape, dtype=dtype, like=image, place=place)
            resume = True if self.resume else False if self.begin_anew else None
            restart = Restart(target, resume, keep=True, facts={"axes": image.axes, "number type": dtype})
            done = run_with_bar(run(out=writer, restart=restart), label)
            result = read_image(target).data if panel or self.verdict else None
        else:
            check_room(target, image.shape, dtype)
            done = run_with_bar(run(), label)
            result = convert_dtype(done.image, dtype)
            write_image(target, result, like=image, place=place)
        print(f"{target}: {run_text(done)}")
        if advice := done.provenance["advice"]:
            print(f"  {advice}")
        if self.verdict:
            print(f"  {self._verdict(image, result if done.image is None else done.image, channel_axis, done)}")
            if words := given_back_words(done.provenance):
                print(f"  {words}")
        if done.provenance["series"]:
            print(f"  {done.provenance['series']['words']}")
            if self.series_maps is not None:
                self._write_maps(target.stem, image, done)
        elif self.series_maps is not None:
            print(f"  no frames looked together: nothing is written to {self.series_maps}")
        if panel is not None:
            noisy, denoised = (middle_plane(data, channel_axis) for data in (image.data, result))
            title = f"{Path(source).name}, {done.provenance['model']}"
            write_panel(panel, {"noisy": noisy, "denoised": denoised}, residual=noisy - denoised, title=title)
            print(f"{panel}: noisy, denoised, residual")

    def _read(self, source: str | Path) -> ImageData:
        """An image with its frames, if it has any, along the first axis."""
        from napari_hush.io import read_image, read_volume
        from napari_hush.io.inputs import holds_files

        if self.volume:
            return read_volume(source)
        if not self.series:
            image = read_image(source)
            return image if self.settings.frames is False else image.time_first()
        if holds_files(source):
            return read_volume(source).with_axes("TYX")
        image = read_image(source)
        if image.axes[0] in "YX":
            raise InputError(
                f"{source}: has axes {image.axes} and shape {image.shape}, expected frames along the first axis; give "
                "a folder or a pattern in quotes of single images, or leave --series out"
            )
        return image.with_axes("T" + image.axes[1:].replace("T", "Q"))

    def _write_maps(self, name: str, image: ImageData, done: Denoised) -> None:
        """What the frames say of each other."""
        from napari_hush.files import atomic_write
        from napari_hush.io import write_image
        from napari_hush.reports.panels import png_bytes
        from napari_hush.series.changes import save_changes
        from napari_hush.series.drawing import drift_picture

        folder, series = self.series_maps, done.series
        assert folder is not None and series is not None
        folder.mkdir(parents=True, exist_ok=True)
        series.registration.save(folder / f"{name}_drift.csv")
        atomic_write(folder / f"{name}_drift.png", png_bytes(drift_picture(series.registration)))
        save_changes(series.changes, folder / f"{name}_changes.csv")
        for label, values in (("carried", series.carried), ("changed", series.changed)):
            if values is not None:
                write_image(folder / f"{name}_{label}.tif", values, like=image)
        print(f"{folder}: {name}_drift.csv, {name}_changes.csv and maps")

    def _verdict(self, image: ImageData, denoised: Any, channel_axis: int | None, done: Denoised) -> str:
        """One line about one plane; the result is written, so nothing that goes wrong here is an error of the run."""
        from napari_hush.fidelity.glance import glance

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


def _check_maps(folder: Path, names: Sequence[str]) -> None:
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
        if taken:
            raise InputError(f"{taken[0]}: is there already: choose another folder for --series-maps, or remove it")


def _plan_outputs(
    sources: Sequence[str | Path], output: Path | None, several: bool, panel: Path | None
) -> list[tuple[str | Path, Path, Path | None]]:
    """(source, output file, panel file) for every input, checked before any work."""
    if output is not None and several:
        if output.exists() and not output.is_dir():
            raise InputError(f"{output}: several inputs need a folder for the output, this is a file")
        if output.suffix and not output.is_dir():
            raise InputError(f"{output}: several inputs need a folder for the output, which has no suffix")
        output.mkdir(parents=True, exist_ok=True)
    if panel is not None and several:
        panel.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[str | Path, Path, Path | None]] = []
    taken: set[Path] = set()
    for source in sources:
        path = Path(source)
        if glob.has_magic(path.name) and not path.exists():  # the slices of a volume: named by what holds them
            path = path.parent.resolve()
        name = f"{path.stem}_denoised.zarr" if path.suffix == ".zarr" else f"{path.stem}_denoised.tif"
        if output is None:
            target = path.with_name(name)
        else:
            target = output / name if several or (output.is_dir() and output.suffix != ".zarr") else output
        if target.resolve() == path.resolve():
            raise InputError(f"{target}: the output would replace the input; choose another name with -o")
        if target in taken:
            raise InputError(f"{target}: two inputs would be written to this file; denoise them one by one")
        taken.add(target)
        picture = panel / f"{path.stem}_panel.png" if panel is not None and several else panel
        jobs.append((source, target, picture))
    return jobs
