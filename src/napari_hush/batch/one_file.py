"""One input of a batch: from the image that was read to the file of its result, which says how it was made."""

from __future__ import annotations

import glob
import os
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_hush.batch.jobs import Job
    from napari_hush.files import Place
    from napari_hush.inference.denoise import Denoised
    from napari_hush.io import ImageData
    from napari_hush.io.fingerprint import Watched
    from napari_hush.progress import Progress

TYPES = {"auto": None}  # of the output; "input" is that of the image, other names are those of numpy


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is the same for all inputs.

    Parameters
    ----------
    model : str
        A bundled one, or a file.
    dtype : str
        Numbers in the output, or "auto" or "input".
    channel_axis : int or None
        The axis of channels, where the files do not tell.
    dark : bool
        Whether atom columns are dark.
    verdict : bool
        Whether a plane of each result is looked at.
    resume : bool or None
        As of `napari_hush.inference.ledger.Restart`.
    """

    model: str
    dtype: str = "auto"
    channel_axis: int | None = None
    dark: bool = False
    verdict: bool = True
    resume: bool | None = None

    def axis_of(self, image: ImageData) -> int | None:
        """The axis of channels of an image."""
        return image.channel_axis if self.channel_axis is None else self.channel_axis

    def dtype_of(self, image: ImageData) -> str | None:
        """The number type of a result; None where the run decides."""
        return str(image.data.dtype) if self.dtype == "input" else TYPES.get(self.dtype, self.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """What has become of one input.

    Parameters
    ----------
    done : Denoised
        Of the run.
    result : array or None
        As it was written, where anybody needs it.
    verdict : str
        What the look at one plane said; empty if nobody looked.
    """

    done: Denoised
    result: Any
    verdict: str


def begin(job: Job) -> Place:
    """See to it that the output can be written, take away what a killed run left there, and look at its place."""
    from napari_hush.files import Place
    from napari_hush.io import check_writable
    from napari_hush.leftovers import sweep

    check_writable(job.target)
    sweep(job.target.parent, job.target.name)
    return Place.of(job.target)


def warn_of_labels(job: Job, image: ImageData) -> None:
    """Warn where an input holds labels of regions."""
    from napari_hush.io import looks_like_labels

    if words := looks_like_labels(image.data, image.source):
        warnings.warn(
            f"{job.source}: looks like {words} and not like an image; what is made of it is neither", stacklevel=2
        )


def file_steps(
    job: Job, image: ImageData, watched: Watched, place: Place, denoise: Callable[..., Any], asked: Asked
) -> Generator[Progress, None, Any]:
    """Denoise one input into its file.

    Parameters
    ----------
    job : Job
        Names of input and output.
    image : ImageData
        As it was read.
    watched : Watched
        The input before it was read.
    place : Place
        Of the output, before the run.
    denoise : callable
        `denoise_steps` with a model and settings, or a part of its work.
    asked : Asked
        The rest.

    Returns
    -------
    Made
        Or what ``denoise`` gives if that is no result yet.

    Raises
    ------
    InputError
        If the file cannot hold the result.
    """
    import numpy as np

    from napari_hush.inference.denoise import Denoised
    from napari_hush.inference.ledger import Restart
    from napari_hush.io import convert_dtype, read_image, write_image, zarr_writer
    from napari_hush.io.formats.tiff_write import is_ome, ome_axes
    from napari_hush.io.history import add_to_zarr, software
    from napari_hush.io.room import check_room

    target, wanted, channel_axis = job.target, asked.dtype_of(image), asked.axis_of(image)
    if target.suffix.lower() == ".png" and wanted not in ("uint8", "uint16"):  # told before the work, not after it
        came = wanted or "float32"
        raise InputError(f"{target}: PNG holds 8 or 16 bit, not {came}: add dtype='uint16', or write a .tif")
    if is_ome(target.name):
        ome_axes(image.axes, np.dtype(wanted or "float32"), image.scales, str(target))
    run = partial(denoise, image.data, channel_axis=channel_axis, watched=watched)
    if target.suffix == ".zarr":
        # tile by tile: neither the input nor the output need fit into memory
        begun = {"software": software(), "made": "denoised", "request": job.request}

        def writer(*, dtype: Any, **options: Any) -> Any:
            options |= {"like": image, "place": place, "history": begun}
            return zarr_writer(target, shape=image.shape, dtype=wanted or dtype, **options)

        restart = Restart(target, asked.resume, keep=True, facts={"axes": image.axes, "number type": asked.dtype})
        done = yield from run(out=writer, restart=restart)
        if not isinstance(done, Denoised):
            return done
        result = read_image(target).data if job.panel or asked.verdict else None
        verdict = verdict_words(image, result, done, asked)
        add_to_zarr(target, history_of("denoised", job, done, verdict, asked.model))
    else:
        check_room(target, image.shape, wanted or "float32")
        done = yield from run()
        result = done.image if wanted is None else convert_dtype(done.image, wanted)
        verdict = verdict_words(image, done.image, done, asked)
        history = history_of("denoised", job, done, verdict, asked.model)
        write_image(target, result, like=image, history=history, place=place)
    return Made(done=done, result=result, verdict=verdict)


def history_of(made: str, job: Job, done: Denoised, verdict: str, model: str) -> dict[str, Any]:
    """How a file was made, as it is kept in it."""
    file = Path(model)
    path = {"model_path": str(file.resolve())} if file.is_file() else {}
    return {
        "made": made,
        "request": job.request,
        **_pattern(job.source),
        **done.provenance,
        **path,
        "verdict": verdict or None,
    }


def verdict_words(image: ImageData, denoised: Any, done: Denoised, asked: Asked) -> str:
    """One line about one plane, or none; nothing that goes wrong here is an error of the run."""
    from napari_hush.fidelity.glance import glance

    if not asked.verdict:
        return ""
    size = image.pixel_size_in("nm")
    try:
        seen = glance(
            image.data,
            denoised,
            channel_axis=asked.axis_of(image),
            dark=asked.dark,
            pixel_size=None if size is None else max(size),
            assumes=done.provenance["assumes"],
            series=done.series is not None,
        )
    except Exception as error:
        return f"not checked: {' '.join(str(error).split()) or type(error).__name__}"
    return f"{seen.status.upper() if seen.status == 'fail' else seen.status}: {seen.words}"


def _pattern(source: str | Path) -> dict[str, str]:
    """The pattern that chose the files of a series or volume, wherever it is read; their folder may hold others."""
    text = str(source)
    if not glob.has_magic(text) or Path(text).exists():
        return {}
    return {"pattern": os.path.join(glob.escape(os.getcwd()), text)}
