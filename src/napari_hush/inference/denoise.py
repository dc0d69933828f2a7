"""Denoise an image of any size with a model: plane by plane, tile by tile, equal to one whole-image pass."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from napari_hush.errors import InputError
from napari_hush.inference.given_back import GivenBack
from napari_hush.inference.ledger import Restart, Step, clear, opened
from napari_hush.inference.loaded import LoadedModels
from napari_hush.inference.planes import Planes
from napari_hush.inference.planning import plan_steps
from napari_hush.inference.settings import AUTO, DenoiseSettings
from napari_hush.inference.target import check_out, open_target, with_mask
from napari_hush.io.fingerprint import Watched, lies_in_file
from napari_hush.io.formats.zarr_write import open_zarr
from napari_hush.io.history import add_to_zarr
from napari_hush.memory import give_back
from napari_hush.progress import Progress, drain_with_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.guards.guard import Guard
    from napari_hush.inference.guards.strict import StrictGuard
    from napari_hush.inference.known import Known
    from napari_hush.inference.plan import Pass
    from napari_hush.inference.told import SeriesResult
    from napari_hush.inference.units import Spread
    from napari_hush.model import Model

ALL = slice(None)


@dataclass(frozen=True)
class Denoised:
    """What a run gives.

    Parameters
    ----------
    image : array
        float32, or float64 on a high pedestal, in the input's units, masked as the input is; or the array given as
        ``out``; None where ``out`` was a callable.
    provenance : dict
        Model, engine, device, precision, tiles, normalisation, version, seconds: JSON-able.
    given_back : array or None
        What the guard added to the result because it stands out of the noise, float32, in the input's units; None where
        that is nothing, or the result is no new array in memory.
    series : SeriesResult or None
        How many frames carry each pixel, what changed, and the drift, where frames of a series looked together.
    """

    image: Any
    provenance: dict[str, Any]
    given_back: Any = None
    series: SeriesResult | None = None


def denoise(
    image: Any,
    model: str | Path | Model = AUTO,
    *,
    channel_axis: int | None = None,
    first: int = 0,
    out: Any = None,
    resume: bool | None = None,
    progress: Callable[[Progress], object] | bool | None = None,
    **settings: Any,
) -> Any:
    """Denoise an image.

    Parameters
    ----------
    image : array_like, shape (..., Y, X)
        numpy, memmap, zarr, dask, h5py: anything with shape, dtype and slicing; any integer or float dtype. NaN and
        infinite pixels are filled for the network and are there again in the result, and so are those that are masked
        (`numpy.ma`). Up to two leading axes count planes (T, Z), which share one normalisation if ``normalize`` does
        not say otherwise.
    model : str, path or Model
        A bundled name (see `list_models`), a file for `load_model`, or a loaded model. ``"auto"`` takes the bundled one
        that fits the image: ``stem`` where a lattice is found, ``tomo`` where a slice has the streaks of few
        projections, ``general`` elsewhere.
    channel_axis : int, optional
        The axis of colours or dyes. A one-channel model takes each channel by itself. A last axis of length 1 behind
        two wide ones is taken for it.
    first : int
        The frame that is done first, along the first leading axis; then those after it, then those before. Frames of a
        series that look together depend on it a little: how they lie is found from there.
    out : zarr array, array or path, optional
        Filled tile by tile instead of a new array, for images larger than memory. A path makes a ``.zarr`` there; an
        integer array gets clipped and rounded values. Where it fails, a path is removed again. An array in memory may
        be the image itself; a file that the image is read from is refused.
    resume : bool, optional
        Of an ``out`` that is a path. True goes on where such a run was stopped, if it was, and keeps what is done
        where this one is: in ``.NAME.part`` beside the output. False throws what was kept away. If nothing is said,
        an unfinished run to the same output is an error.
    progress : callable or bool, optional
        Called with each `Progress`; True shows a bar.
    **settings
        Any field of `DenoiseSettings`, which says what each does.

    Returns
    -------
    ndarray, float32, shape of ``image``
        In the input's own intensity units, a masked array if that is one; or the array of ``out``. float64, with a
        warning, where a small signal stands on so high a pedestal that float32 has less than 1000 steps for it.

    Raises
    ------
    InputError
        For what cannot be denoised: the message says what was expected, what came and what to do. If the input changes
        during the run, or is another one than that of the run that goes on.
    ModelFileError
        If the model cannot be loaded.
    MemoryError
        If not even the smallest tile fits.

    Examples
    --------
    >>> import napari_hush as hush
    >>> noisy = hush.sample("dented-lattice").noisy
    >>> hush.denoise(noisy).shape
    (512, 512)
    """
    known = [field.name for field in fields(DenoiseSettings)]
    for name in settings:
        if name not in known:
            raise TypeError(f"denoise() has no argument {name!r}: expected one of {', '.join(known)}")
    restart = None
    if isinstance(out, (str, Path)):
        restart = Restart(Path(out), resume=resume, keep=bool(resume))
    elif resume is not None:
        raise InputError(f"resume= needs out= to be the path of a .zarr, got {type(out).__name__}")
    steps = denoise_steps(
        image, model, DenoiseSettings(**settings), channel_axis=channel_axis, out=out, restart=restart, first=first
    )
    return run_steps(steps, progress).image


def _with_settings() -> Any:
    """The signature of `denoise` with each of the settings, for help and completion."""
    *named, _ = signature(denoise).parameters.values()
    hints = get_type_hints(DenoiseSettings)
    own = [
        Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(DenoiseSettings)
    ]
    return signature(denoise).replace(parameters=[*named, *own])


denoise.__signature__ = _with_settings()  # type: ignore[attr-defined]


def run_steps(
    steps: Generator[Progress, None, Denoised],
    progress: Callable[[Progress], object] | bool | None = None,
    *,
    label: str = "denoising",
) -> Denoised:
    """Drain the generator of a run, reporting each step; an exception in the report ends the run cleanly."""
    return drain_with_bar(steps, progress, label=label, unit="tile")


def denoise_steps(
    image: Any,
    model: str | Path | Model = AUTO,
    settings: DenoiseSettings | None = None,
    *,
    channel_axis: int | None = None,
    out: Any = None,
    engine: Engine | None = None,
    loaded: LoadedModels | None = None,
    plane: tuple[int, ...] | None = None,
    region: tuple[int, int, int, int] | None = None,
    first: int | Callable[[], int] = 0,
    restart: Restart | None = None,
    watched: Watched | None = None,
    spread: Spread | None = None,
    known: Known | None = None,
) -> Generator[Progress, None, Denoised]:
    """`denoise` step by step: yields a `Progress` per batch of tiles and returns a `Denoised`.

    Leaving the loop (closing the generator) cancels; nothing half-written stays behind.

    Parameters
    ----------
    image, model, channel_axis
        As in `denoise`.
    out : optional
        As in `denoise`; or a callable that takes ``chunks=`` (one tile) and ``dtype=`` (that holds the result) and
        gives a context manager of the array.
    settings : DenoiseSettings, optional
        How to run.
    engine : Engine, optional
        One from `choose_engine` for this model's network, to be used for several images; it is not closed.
    loaded : LoadedModels, optional
        Models and engines of earlier images, made with these settings; it is not closed.
    plane : tuple of int, optional
        Only this plane of the leading axes, for a preview; the result loses those axes.
    region : (int, int, int, int), optional
        Only y0, y1, x0, x1, for a preview: the same pixels as in the full result, where each plane stands alone; frames
        of a series do not look together then, and a number of ``frames`` is refused.
    first : int or callable
        As in `denoise`; or a callable that says which is wanted now, and is asked again before each frame; of frames
        that look together, and of a run that is kept where it is stopped, once.
    restart : Restart, optional
        What is done about an unfinished run to the same output, and whether this one is kept where it is stopped.
    watched : Watched, optional
        The file of the image as it was before it was read; an array that lies in a file is watched without.
    spread : Spread, optional
        Other processes that do the work, of a run that is kept where it is stopped.
    known : Known, optional
        What was measured on this image before, and then what is measured now.
    """
    settings = settings or DenoiseSettings()
    if out is not None and (plane is not None or region is not None):
        raise InputError("out= takes whole images: leave plane= and region= out, or out=")
    check_out(Planes(image, channel_axis), out)
    start = time.perf_counter()
    begin = first() if callable(first) else first
    whole = plane is None and region is None
    if watched is None and whole and (lies_in_file(image) or (restart is not None and restart.keep)):
        watched = Watched.of(image)
    with ExitStack() as stack:
        ledger = None
        if restart is not None and restart.keep and watched is not None:
            first = begin  # a run that goes on has to know the order
            asked = {"settings": asdict(settings), "channel_axis": channel_axis, "first": begin}
            ledger = stack.enter_context(opened(restart, watched, **asked))
        elif restart is not None:
            clear(restart)
        loaded = loaded or stack.enter_context(LoadedModels(settings, kept=True))
        if spread is None:
            plan = yield from plan_steps(
                image,
                model,
                settings,
                loaded,
                channel_axis=channel_axis,
                engine=engine,
                plane=plane,
                region=region,
                ledger=ledger,
                known=known,
            )
        else:
            assert ledger is not None
            plan = yield from spread.plan_steps(
                image, model, settings, loaded, channel_axis=channel_axis, ledger=ledger
            )
        stack.enter_context(plan.arena())
        target = stack.enter_context(open_target(plan, out, None if ledger is None else ledger.folder))
        runner = plan.runner(target, out)
        stack.callback(runner.close)
        if ledger is not None:
            ledger.go_on(runner)
        extra = GivenBack(plan, target if out is None else None, 0 if ledger is None else ledger.given)
        series = None
        if plan.frames > 1:
            from napari_hush.inference.frames import SeriesRun  # slow to load, and not needed for single images

            sight = first if callable(first) else None
            series = SeriesRun(plan, runner, plan.frames, first=begin, sight=sight, keep=out is None, ledger=ledger)
            extra.pixels += series.given_before
            yield from series.run(partial(_store_frame, target, extra))
        done = total = replayed = 0
        guards: Sequence[Guard | StrictGuard] = () if series is None else series.guards
        if spread is not None and ledger is not None:
            guards, given_now = yield from spread.run(plan, runner, target, ledger)
            extra.pixels += given_now
        passes = in_order(plan.passes, first) if series is None and spread is None else ()
        for number, one in enumerate(passes):
            total = max(total, done + runner.count() * (len(plan.passes) - number))
            if ledger is not None and number in ledger.complete and number + 1 < len(plan.passes):
                done += runner.count()
                continue
            task = plan.task(one)
            replayed += task.replayed is not None
            if number == 0 and plan.source.lazy:
                give_back()  # of what was measured
            guards = task.guards
            before = () if ledger is None else ledger.steps.get(number, ())
            before_this, end = extra.pixels, done + runner.count()
            for finished, count, left in runner.run(task, before):
                if before:
                    done, before = max(end - left - count, done), ()
                if finished and plan.source.lazy:
                    give_back()  # what guards leave behind in each thread adds up
                seen = extra.pixels
                for tile, values in finished:
                    values, given = task.divided(values)
                    plan.store(target, one, tile, values)
                    if given is not None:
                        extra.store(one, tile, given)
                if ledger is not None and runner.by_tile and finished:
                    cores = tuple(tile.core for tile, _ in finished)
                    ledger.add(
                        number, Step(tuple(runner.sides), runner.batch, cores, runner.network_side), extra.pixels - seen
                    )
                done += count
                total = max(total, done + left)
                yield Progress(done, total, f"tile {done} of {total}")
            if ledger is not None:
                ledger.finish(number, 0 if runner.by_tile else extra.pixels - before_this)
            if out is None and plan.plane is None and one.index:
                preview = np.stack([target.image[target.key(one.place, k, ALL, ALL)] for k in one.group.outputs])
                yield Progress(done, total, f"tile {done} of {total}", preview=preview, place=one.index)
        if watched is not None and whole:
            watched.check()
    result, given = target.image if out is None else out, extra.image
    if out is None:
        result = with_mask(plan, result)
    if plane is not None:
        axes = tuple(plan.source.axes[:-2])
        result, given = np.squeeze(result, axis=axes), None if given is None else np.squeeze(given, axis=axes)
    elif isinstance(out, (str, Path)):
        result = open_zarr(out)  # the writer has moved it to its name
    elif callable(out):
        result = None
    record = plan.record() | {
        "tile": list(runner.network_side) if runner.network_side else False,
        "guard": guards[0].as_dict() if guards else False,
        "given_back": extra.record(guards),
        "series": False if series is None else series.record(),
        **({} if series is None or not begin else {"first": begin}),
        **({"replayed": True} if replayed == len(plan.passes) else {}),  # from what the network gave before
        "shape": [int(n) for n in (plan.source.image if whole else result).shape],
        "seconds": round(time.perf_counter() - start, 3),
    }
    if spread is not None:
        record |= spread.record()
    if isinstance(out, (str, Path)):
        add_to_zarr(Path(out), {"made": "denoised", **record})
    found = None if series is None else series.result()
    if found is not None and plane is not None:
        maps = [None if one is None else np.squeeze(one, axis=axes) for one in (found.carried, found.changed)]
        found = replace(found, carried=maps[0], changed=maps[1])
    return Denoised(result, record, given, found)


def in_order(passes: Sequence[Pass], first: int | Callable[[], int]) -> Iterator[Pass]:
    """Passes in the order in which they are done: from a frame on, and then those before it.

    Parameters
    ----------
    passes : sequence of Pass
        All of them.
    first : int or callable
        As of `denoise_steps`.
    """
    left = sorted(passes, key=lambda one: one.index)
    while left:
        wanted = first() if callable(first) else first
        at = next((k for k, one in enumerate(left) if one.index[:1] >= (wanted,)), 0)
        yield left.pop(at)


def _store_frame(target: Planes, extra: GivenBack, one: Pass, values: np.ndarray, given: np.ndarray | None) -> int:
    """Store a frame (C, Y, X) and what the guard gave back of it; how many pixels that is."""
    target.write_plane(one.place, one.group.outputs, values)
    before = extra.pixels
    if given is not None:
        extra.store_plane(one, given)
    return extra.pixels - before
