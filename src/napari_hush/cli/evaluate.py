"""``napari-hush evaluate``: what a denoised image kept, lost and made up."""

from __future__ import annotations

import shlex
import sys
import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from napari_hush.errors import InputError
from napari_hush.progress import drain

if TYPE_CHECKING:
    import numpy as np

    from napari_hush.fidelity.findings import Status
    from napari_hush.fidelity.stacks import Evaluation
    from napari_hush.io import ImageData
    from napari_hush.model import Model
    from napari_hush.progress import Progress

REPORT = (".html", ".htm")
SHEET = (".csv",)
MAP = (".tif", ".tiff")
EXIT_CODES: dict[Status, int] = {"pass": 0, "fail": 1, "open": 3, "warn": 4}
HASHED = 1 << 30  # bytes; reading a larger file twice is not worth its checksum


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Check what a denoised image kept, lost and made up: against the noisy image, and the truth if it is known.

    The exit code is 0 where all checks passed, 1 where one failed, 2 for input that cannot be used, 3 where there is no
    verdict because nobody could look, 4 for a warning: noise was kept.
    """

    noisy: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="NOISY")]
    """The image as it was measured."""
    denoised: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DENOISED")]
    """What a denoiser made of it."""
    truth: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The clean image, where it is known."""
    repeats: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Another measurement of the same field, or a stack of them, aligned: tells the error without a truth. Of a
    stack of repeats the noisy file itself."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="HTML")] = None
    """Write a page with pictures; one file that needs no other."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="CSV")] = None
    """Write a sheet: one row per slice and one for all."""
    spacing: Annotated[float | None, tyro.conf.arg(metavar="PX")] = None
    """Lattice period, px; measured in each plane if not given."""
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE")] = None
    """The model that made it: measure what it is unsure of, which takes 8 times as long as denoising."""
    uncertainty: Annotated[Path | None, tyro.conf.arg(metavar="TIFF")] = None
    """Write a map of that, in the units of the image; needs --model."""
    fill_missing: bool = False
    """Take the fill value, mostly 0, for chunks of a zarr or HDF5 that are not there; a sparse image has none where
    nothing is, a damaged one lost them."""
    dark: bool = False
    """The atom columns are darker than what is between them."""
    match: bool = False
    """The truth is in other units: bring it to the noisy image by a line, gain and offset, first; needs --truth."""
    overwrite: bool = False
    """Replace older files."""
    cluster: Annotated[str | None, tyro.conf.arg(metavar="tcp://HOST:PORT|FILE.toml|local:N")] = None
    """Judge the planes on workers of Dask: of a scheduler that runs, of SLURM as the settings file says, or in N
    processes of this machine."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Judge the Ith of N parts of the planes, for job arrays; needs --csv or --report, which the last to end writes.
    The exit code of the others is 0."""

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.fidelity.settings import EvaluationSettings
        from napari_hush.io import read_image

        settings = EvaluationSettings(spacing=self.spacing, dark=self.dark, match=self.match)
        sources = {"noisy": self.noisy, "denoised": self.denoised, "truth": self.truth, "repeats": self.repeats}
        named = {role: path for role, path in sources.items() if path is not None}
        self._check_outputs(list(named.values()))
        images = {role: read_image(path, fill_missing=self.fill_missing) for role, path in named.items()}
        model = None if self.model is None else _load(self.model)
        with ExitStack() as stack:
            evaluation = self._evaluated(images, named, settings, stack)
            return 0 if evaluation is None else self._tell(evaluation, images, named, model)

    def _evaluated(
        self, images: dict[str, ImageData], named: dict[str, Path], settings: Any, stack: ExitStack
    ) -> Evaluation | None:
        """What was found, by this process or with others; None where other shards have not ended."""
        if self.cluster is None and self.shard is None:
            return _run(images, settings)
        from napari_hush.cli.sharing import evaluation_shared

        return evaluation_shared(self, images, named, settings, stack)

    def _tell(
        self, evaluation: Evaluation, images: dict[str, ImageData], named: dict[str, Path], model: Model | None
    ) -> int:
        """Print and write what was found; the exit code."""
        from napari_hush.fidelity.repeats.compare import summary
        from napari_hush.fidelity.stacks import name
        from napari_hush.fidelity.verdict import table
        from napari_hush.files import atomic_write
        from napari_hush.reports.page import page
        from napari_hush.reports.sheet import sheet

        if len(evaluation.planes) > 1:
            for plane in evaluation.planes:
                print(f"plane {name(plane.index)}: {_word(plane.status)}  {plane.verdict}")
            print(f"\nplane {name(evaluation.worst.index)}")
        if evaluation.match is not None:
            print(evaluation.match.text)
        print(table(evaluation.evidence))
        if evaluation.repeats is not None:
            print(f"\n{summary(evaluation.repeats)}\n")
        print(_word(evaluation.status))
        if model is not None:
            found, shown = _uncertainty(images["noisy"], model, evaluation.worst.index)
            evaluation = replace(evaluation, uncertainty=shown)
            self._report_uncertainty(found, images["noisy"])
        if self.report is not None:
            text = page(
                evaluation,
                title=f"{self.denoised.name} against {self.noisy.name}",
                files={role: _record(path, images[role]) for role, path in named.items()},
                date=time.strftime("%Y-%m-%d %H:%M"),
                made_by=self._command(),
            )
            atomic_write(self.report, text.encode())
            print(f"{self.report}: the report")
        if self.csv is not None:
            atomic_write(self.csv, sheet(evaluation))
            print(f"{self.csv}: the sheet")
        return EXIT_CODES[evaluation.status]

    def _report_uncertainty(self, found: np.ndarray, noisy: ImageData) -> None:
        """Print and write what the model is unsure of."""
        import numpy as np

        from napari_hush.io import write_image

        middle, high = np.nanpercentile(found, (50, 99)).tolist()
        print(f"uncertainty of {self.model}: median {middle:.3g}, 99 % of the pixels below {high:.3g}, in image units")
        if self.uncertainty is not None:
            write_image(self.uncertainty, found, like=noisy.of_other_values())
            print(f"{self.uncertainty}: the uncertainty")

    def _check_outputs(self, inputs: list[Path]) -> None:
        """Tell before the work what would go wrong after it."""
        from napari_hush.io.outputs import check_outputs

        if self.uncertainty is not None and self.model is None:
            raise InputError("--uncertainty asks a model: name the one that made the denoised image with --model")
        if self.shard is not None and self.report is None and self.csv is None:
            raise InputError("--shard: the shards meet at the output that the last one writes: name --csv or --report")
        if self.shard is not None and self.cluster is not None:
            raise InputError("--shard and --cluster: give one of them")
        if self.match and self.truth is None:
            raise InputError("--match brings a truth to the noisy image: name the clean image with --truth")
        targets = ((self.report, REPORT, "a report"), (self.csv, SHEET, "a sheet"), (self.uncertainty, MAP, "a map"))
        for target, endings, what in targets:
            if target is None:
                continue
            if target.suffix.lower() not in endings:
                raise InputError(f"{target}: {what} ends in {endings[0]}; choose another name")
            if target.is_dir():
                raise InputError(f"{target}: is a folder; name a file in it")
            if not target.parent.is_dir():
                raise InputError(f"{target}: the folder {target.parent} does not exist; create it or choose another")
        needed = [] if self.model is None or not Path(self.model).is_file() else [self.model]
        written = [target for target, *_ in targets if target is not None]
        check_outputs(written, [*inputs, *needed], overwrite=self.overwrite)

    def _command(self) -> str:
        options: dict[str, Path | str | float | None] = {
            "--truth": self.truth,
            "--repeats": self.repeats,
            "--report": self.report,
            "--csv": self.csv,
            "--spacing": self.spacing,
            "--model": self.model,
            "--uncertainty": self.uncertainty,
        }
        words = ["napari-hush", "evaluate", str(self.noisy), str(self.denoised)]
        for option, value in options.items():
            words += [] if value is None else [option, str(value)]
        flags = {"--dark": self.dark, "--match": self.match}
        return shlex.join([*words, *(flag for flag, given in flags.items() if given)])


def _word(status: Status) -> str:
    """A verdict as it is printed: a failure is to be seen."""
    return status.upper() if status == "fail" else status


def _run(images: dict[str, ImageData], settings: Any) -> Evaluation:
    """Go through all planes, with a line on the error stream where there are several."""
    from napari_hush.fidelity.stacks import evaluate_steps

    noisy = images["noisy"]
    truth = images["truth"].data if "truth" in images else None
    repeats = images["repeats"].data if "repeats" in images else None
    size = noisy.pixel_size_in("nm")
    found: Evaluation = drain_in_a_line(
        evaluate_steps(
            noisy.data,
            images["denoised"].data,
            truth,
            settings,
            channel_axis=noisy.channel_axis,
            pixel_size=None if size is None else max(size),
            repeats=repeats,
        )
    )
    return found


def drain_in_a_line(steps: Any) -> Any:
    """Go through an evaluation, with a line on the error stream that tells where it is."""

    def report(event: Progress) -> None:
        if event.total > 1 and sys.stderr.isatty():
            print(f"\r{event.message}", end="\n" if event.step == event.total else "", file=sys.stderr)

    return drain(steps, report)


def _load(name: str) -> Model:
    from napari_hush.importers.registry import load_model

    return load_model(name)


def _uncertainty(noisy: ImageData, model: Model, shown: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What the model is unsure of, in all planes, float32; and in one of them, with colours averaged."""
    import numpy as np

    from napari_hush.cli.console import run_with_bar
    from napari_hush.fidelity.stacks import name, read_plane
    from napari_hush.inference.planes import Planes
    from napari_hush.inference.uncertainty import uncertainty_steps

    source = Planes(noisy.data, noisy.channel_axis)
    found = np.empty(source.image.shape, np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("once", category=UserWarning, module="napari_hush")  # not for each pose again
        for index in source.indices():
            steps = uncertainty_steps(noisy.data, model, channel_axis=noisy.channel_axis, plane=index)
            label = f"uncertainty, plane {name(index)}" if index else "uncertainty"
            spread: Any = run_with_bar(steps, label)
            place: list[int | slice] = [slice(None)] * found.ndim
            for axis, at in zip(source.axes, index, strict=False):
                place[axis] = at
            found[tuple(place)] = spread.deviation
    return found, read_plane(Planes(found, noisy.channel_axis), shown)


def _record(path: Path, image: ImageData) -> dict[str, Any]:
    """What is known of a file."""
    from napari_hush.files import file_sha256
    from napari_hush.io.inputs import split_selector

    file, _ = split_selector(path)
    record: dict[str, Any] = {"file": path, "shape": f"{image.shape} {image.axes}", "type": image.dtype}
    if image.pixel_size is not None:
        record["pixel size"] = ", ".join(f"{step:g} {unit} ({axis})" for axis, (step, unit) in image.scales.items())
    record |= _tiff_notes(file)
    if file.is_file() and file.stat().st_size <= HASHED:
        record["sha256"] = file_sha256(file)
    return record


def _tiff_notes(file: Path) -> dict[str, str]:
    """The software, date and description that a TIFF names."""
    import tifffile

    try:
        with tifffile.TiffFile(file) as tif:
            tags = tif.pages.first.tags
            found = {name: tags.valueof(name) for name in ("Software", "DateTime", "Artist", "ImageDescription")}
    except (tifffile.TiffFileError, OSError):
        return {}
    return {name: str(value) for name, value in found.items() if value}
