"""Denoise an image of any size with a model: plane by plane, tile by tile, equal to one whole-image pass."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr

from napari_hush.errors import InputError
from napari_hush.importers.registry import load_model
from napari_hush.inference.channels import Group, channel_groups, read_group
from napari_hush.inference.engines import Engine, choose_engine
from napari_hush.inference.guard import guard_margin
from napari_hush.inference.measure import Lattice, fitting_model, is_guarded, measure_guards, measure_scale
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import AUTO, DenoiseSettings, Device, Precision
from napari_hush.inference.sizes import LAZY_TILE_BYTES, batch_size, tile_sides
from napari_hush.inference.staged import StagedRunner
from napari_hush.inference.tiles import TileRunner
from napari_hush.inference.tiling import aligned
from napari_hush.io import zarr_writer
from napari_hush.memory import free_memory, kept_arena
from napari_hush.progress import Progress, drain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from napari_hush.inference.scaling import ScaledPlane
    from napari_hush.inference.tiles import Read
    from napari_hush.inference.tiling import Tile
    from napari_hush.model import Model
    from napari_hush.normalize import Normalization

CPU_SCRATCH_BYTES = 4 << 30  # between the pieces of a network with statistics of the whole image; more goes to a file


@dataclass(frozen=True)
class Denoised:
    """What a run gives.

    Parameters
    ----------
    image : array
        float32, in the input's units; or the array given as ``out``; None where ``out`` was a callable.
    provenance : dict
        Model, engine, device, precision, tiles, normalisation, version, seconds: JSON-able.
    """

    image: Any
    provenance: dict[str, Any]


def denoise(
    image: Any,
    model: str | Path | Model = AUTO,
    *,
    channel_axis: int | None = None,
    tile: int | Literal[False] | None = None,
    batch_size: int | None = None,
    device: Device = "auto",
    guard: Literal["auto"] | bool = "auto",
    rescale: Literal["auto"] | bool = "auto",
    dark: bool = False,
    out: Any = None,
    progress: Callable[[Progress], object] | bool | None = None,
    engine: str = "auto",
    precision: Precision = "auto",
) -> Any:
    """Denoise an image.

    Parameters
    ----------
    image : array_like, shape (..., Y, X)
        numpy, memmap, zarr, dask, h5py: anything with shape, dtype and slicing; any integer or float dtype. NaN and
        infinite pixels are filled for the network and are there again in the result. Up to two leading axes count
        planes (T, Z); all planes share one normalisation.
    model : str, path or Model
        A bundled name (see `list_models`), a file for `load_model`, or a loaded model. ``"auto"`` takes the bundled one
        that fits the image: ``stem`` where a lattice is found, ``general`` elsewhere.
    channel_axis : int, optional
        The axis of colours or dyes. A one-channel model takes each channel by itself.
    tile, batch_size, device, engine, precision, guard, rescale, dark
        See `DenoiseSettings`.
    out : zarr array, array or path, optional
        Filled tile by tile instead of a new array, for images larger than memory. A path makes a ``.zarr`` there,
        float32; an integer array gets clipped and rounded values. Where it fails, a path is removed again.
    progress : callable or bool, optional
        Called with each `Progress`; True shows a bar.

    Returns
    -------
    ndarray, float32, shape of ``image``
        In the input's own intensity units; or the array of ``out``.

    Raises
    ------
    InputError
        For what cannot be denoised: the message says what was expected, what came and what to do.
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
    settings = DenoiseSettings(
        device=device,
        tile=tile,
        batch_size=batch_size,
        engine=engine,
        precision=precision,
        guard=guard,
        rescale=rescale,
        dark=dark,
    )
    steps = denoise_steps(image, model, settings, channel_axis=channel_axis, out=out)
    return run_steps(steps, progress).image


def run_steps(
    steps: Generator[Progress, None, Denoised],
    progress: Callable[[Progress], object] | bool | None = None,
    *,
    label: str = "denoising",
) -> Denoised:
    """Drain the generator of a run, reporting each step; an exception in the report ends the run cleanly."""
    with ExitStack() as stack:
        report = progress
        if progress is True:
            from tqdm.auto import tqdm

            bar = stack.enter_context(tqdm(desc=label, unit="tile", leave=False))

            def report(event: Progress) -> None:
                bar.total = event.total
                bar.update(event.step - bar.n)

        return drain(steps, report if callable(report) else None)


def denoise_steps(
    image: Any,
    model: str | Path | Model = AUTO,
    settings: DenoiseSettings | None = None,
    *,
    channel_axis: int | None = None,
    out: Any = None,
    engine: Engine | None = None,
    plane: tuple[int, ...] | None = None,
    region: tuple[int, int, int, int] | None = None,
) -> Generator[Progress, None, Denoised]:
    """`denoise` step by step: yields a `Progress` per batch of tiles and returns a `Denoised`.

    Leaving the loop (closing the generator) cancels; nothing half-written stays behind.

    Parameters
    ----------
    image, model, channel_axis
        As in `denoise`.
    out : optional
        As in `denoise`; or a callable that takes ``chunks=`` (one tile) and gives a context manager of the array.
    settings : DenoiseSettings, optional
        How to run.
    engine : Engine, optional
        One from `choose_engine` for this model's network, to be used for several images; it is not closed.
    plane : tuple of int, optional
        Only this plane of the leading axes, for a preview; the result loses those axes.
    region : (int, int, int, int), optional
        Only y0, y1, x0, x1, for a preview: the same pixels as in the full result.
    """
    settings = settings or DenoiseSettings()
    source = Planes(image, channel_axis)
    lattice, reason = Lattice(source, [0]), ""
    if model == AUTO:
        yield Progress(0, 1, "measuring the image")
        model, reason = fitting_model(lattice)
    model = load_model(model)
    groups = channel_groups(source, model)
    if (channels := sorted(set(groups[0].inputs))) != lattice.channels:
        lattice = Lattice(source, channels)
    indices = _plane_indices(source, plane)
    if out is not None and (plane is not None or region is not None):
        raise InputError("out= takes whole images: leave plane= and region= out, or out=")
    start = time.perf_counter()
    with ExitStack() as stack:
        if engine is None:
            y0, y1, x0, x1 = region or (0, source.plane_shape[0], 0, source.plane_shape[1])
            engine = choose_engine(
                model.network,
                device=settings.device,
                engine=settings.engine,
                precision=settings.precision,
                pixels=(y1 - y0) * (x1 - x0) * len(indices) * len(groups),
            )
            stack.callback(engine.close)
        if engine.name == "torch" and engine.device == "cpu":
            stack.enter_context(kept_arena())
        yield Progress(0, 1, "measuring the image")
        spacing, scaled = measure_scale(lattice, model, settings)
        norms: list[Normalization] = []
        for group in groups:
            norm = yield from _fit_steps(source, group, model, scaled)
            norms.append(norm.turned(model.normalization.target) if settings.dark else norm)
        period = spacing and spacing * scaled.factor
        guarded = is_guarded(model, settings)
        margin = scaled.keep + (guard_margin(period) if guarded else 0)
        shape = scaled.seen_shape
        seen = scaled.seen_region(region) if region else None
        lazy = not _in_memory(source.image)
        side = tile_sides(model, settings, engine.device, shape, lazy=lazy, region=seen, margin=margin)
        target = stack.enter_context(_open_target(source, out, scaled.native(side), model.stride, plane, region))
        grid = target.chunk_shape if region is None and scaled.factor == 1 else (1, 1)
        runner = _make_runner(
            source, model, engine, side, out, shape=shape, region=seen, grid=grid, margin=margin, keep=scaled.keep
        )
        stack.callback(runner.close)
        runner.batch = settings.batch_size or batch_size(model, runner.plan()[0], engine.device)
        passes = list(product(indices, zip(groups, norms, strict=True)))
        done = total = 0
        for number, (index, (group, norm)) in enumerate(passes):
            total = max(total, done + runner.count() * (len(passes) - number))
            native = partial(read_group, source, model, index, group)
            read = partial(scaled.read, native, norm.fill)
            if guarded:
                runner.guards = measure_guards(read, shape, model, group, period)
            for finished, count, left in runner.run(read, norm):
                for tile, values in finished:
                    if len(values) > len(group.outputs):  # one grey image through a model of colours
                        values = values.mean(axis=0, keepdims=True)
                    place = index if plane is None else (0,) * len(index)
                    _write(target, place, group, scaled, tile, values, region, native)
                done += count
                total = max(total, done + left)
                yield Progress(done, total, f"tile {done} of {total}")
        result = target.image if plane is None else np.squeeze(target.image, axis=tuple(source.axes[:-2]))
    if isinstance(out, (str, Path)):
        result = zarr.open_array(out, mode="r+")  # the writer has moved it to its name
    elif callable(out):
        result = None
    provenance = {
        "software": f"napari-hush {version('napari-hush')}",
        "model": model.card.name,
        "model_source": model.card.source,
        "chosen_because": reason or None,
        "architecture": model.architecture,
        "engine": engine.name,
        "device": engine.device,
        "precision": engine.precision,
        "tile": list(runner.side) if runner.side else False,
        "halo": model.halo,
        "normalization": [{"offset": n.offset, "scale": n.scale} for n in norms],
        "spacing": spacing,
        "guard": runner.guards[0].as_dict() if runner.guards else False,
        "rescale": {"factor": scaled.factor, "period": period} if scaled.factor != 1 else False,
        "dark": settings.dark,
        "shape": [int(n) for n in source.image.shape] if plane is None and region is None else list(result.shape),
        "seconds": round(time.perf_counter() - start, 3),
    }
    return Denoised(result, provenance)


def _make_runner(
    source: Planes,
    model: Model,
    engine: Engine,
    side: tuple[int, int] | None,
    out: Any,
    shape: tuple[int, int],
    **options: Any,
) -> TileRunner:
    """What runs a plane: piece by piece where statistics belong to the whole image and it does not go in one pass."""
    one_pass = engine.device != "cpu" and side is None and min(shape) >= model.smallest
    if not model.staged or one_pass:
        return TileRunner(engine, model, shape, side, **options)
    limit = CPU_SCRATCH_BYTES if _in_memory(source.image) else LAZY_TILE_BYTES
    return StagedRunner(
        engine,
        model,
        shape,
        side,
        memory=min(free_memory("cpu") // 4, limit),
        folder=Path(out).absolute().parent if isinstance(out, str | Path) else None,
        **options,
    )


def _write(
    target: Planes,
    index: tuple[int, ...],
    group: Group,
    scaled: ScaledPlane,
    tile: Tile,
    values: np.ndarray,
    region: tuple[int, int, int, int] | None,
    native: Read,
) -> None:
    """Bring a finished tile to the image's pixels and store what is wanted of it."""
    top, bottom, left, right = region or (0, scaled.shape[0], 0, scaled.shape[1])
    y0, y1, x0, x1 = scaled.place(tile.core)
    y, x = slice(max(y0, top), min(y1, bottom)), slice(max(x0, left), min(x1, right))
    if y.start >= y.stop or x.start >= x.stop:
        return
    if scaled.factor != 1:
        kept = tile.around(scaled.keep, scaled.seen_shape).core
        first = len(group.inputs) // 2 if len(group.inputs) > len(group.outputs) else 0
        holes = native(y, x)[first:][: len(values)]
        values = scaled.back(values, (kept[0], kept[2]), y, x, holes)
    target.write(index, group.outputs, slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left), values)


def _plane_indices(source: Planes, plane: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    if plane is None:
        return list(source.indices())
    lead = source.lead_shape
    if len(plane) != len(lead) or not all(0 <= i < n for i, n in zip(plane, lead, strict=True)):
        raise InputError(f"plane {plane} does not exist: the leading axes have the shape {lead}")
    return [plane]


def _fit_steps(
    source: Planes, group: Group, model: Model, scaled: ScaledPlane
) -> Generator[Progress, None, Normalization]:
    """The normalisation of one group of channels over all planes, reporting so that it can be left."""

    def blocks() -> Iterator[np.ndarray]:
        for channel in sorted(set(group.inputs)):
            if scaled.factor == 1:
                yield from source.blocks(channel)
                continue
            for index in source.indices():  # the network's own scale: a resampling changes the noise
                yield from scaled.blocks(partial(source.read, index, [channel]))

    steps = model.normalization.fit_steps(blocks)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        yield Progress(0, 1, "measuring the image")


def _in_memory(image: Any) -> bool:
    return isinstance(image, np.ndarray) and not isinstance(image, np.memmap)


@contextmanager
def _open_target(
    source: Planes,
    out: Any,
    side: tuple[int, int] | None,
    stride: int,
    plane: tuple[int, ...] | None,
    region: tuple[int, int, int, int] | None,
) -> Iterator[Planes]:
    """Where the result goes, with the input's axes."""
    shape = list(source.image.shape)
    if isinstance(out, (str, Path)):
        out = partial(zarr_writer, out, shape=tuple(shape), dtype="float32")
    if callable(out):
        chunks = [1] * len(shape)
        for axis, size in zip(source.axes[-2:], side or source.plane_shape, strict=True):
            chunks[axis] = min(aligned(size, stride), shape[axis])  # one tile writes one chunk
        with out(chunks=tuple(chunks)) as array:
            yield Planes(array, source.channel_axis)
        return
    if out is not None:
        if not hasattr(out, "__setitem__") or tuple(getattr(out, "shape", ())) != tuple(shape):
            raise InputError(
                f"out must be a path or a writable array of the image's shape {tuple(shape)}, got "
                f"{type(out).__name__} of shape {getattr(out, 'shape', None)}"
            )
        yield Planes(out, source.channel_axis)
        return
    for axis in source.axes[:-2] if plane is not None else []:
        shape[axis] = 1
    if region is not None:
        for axis, size in zip(source.axes[-2:], (region[1] - region[0], region[3] - region[2]), strict=True):
            shape[axis] = size
    yield Planes(np.empty(shape, np.float32), source.channel_axis)
