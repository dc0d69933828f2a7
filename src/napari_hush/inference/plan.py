"""What a run does, decided before its first tile: the model, the scale, the values' range, the guard, the tiles."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.card import ASSUMPTIONS
from napari_hush.errors import InputError
from napari_hush.inference.channels import Group, channel_groups, read_group
from napari_hush.inference.companions import companions_of
from napari_hush.inference.guards.guard import guard_margin
from napari_hush.inference.guards.strict import strict_margin
from napari_hush.inference.ledger import weights_sha256
from napari_hush.inference.measure import (
    MeasuredLattice,
    fitting_model,
    is_guarded,
    is_slow_guarded,
    measure_guards,
    measure_scale,
    wrong_model,
)
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import AUTO, DenoiseSettings
from napari_hush.inference.tiles.geometry import aligned
from napari_hush.inference.tiles.runner import PlaneTask, TileRunner
from napari_hush.inference.tiles.sizes import LAZY_TILE_BYTES, tile_sides
from napari_hush.inference.tiles.staged import StagedRunner
from napari_hush.inference.together import frames_of
from napari_hush.io import zarr_writer
from napari_hush.memory import free_memory
from napari_hush.normalize import Normalization
from napari_hush.progress import Progress, within

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.ledger import Ledger
    from napari_hush.inference.loaded import LoadedModels
    from napari_hush.inference.scaling import ScaledPlane
    from napari_hush.inference.tiles.geometry import Tile
    from napari_hush.inference.tiles.runner import Read
    from napari_hush.model import Model

Region = tuple[int, int, int, int]

CPU_SCRATCH_BYTES = 4 << 30  # between the pieces of a network with statistics of the whole image; more goes to a file
MEASURING = "measuring the image"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """A plane and the channels of it that go through the network together.

    Parameters
    ----------
    index : tuple of int
        The plane, along the leading axes of the image.
    place : tuple of int
        The same in the result.
    group : Group
        Which channels.
    norm : Normalization
        Of these channels, over all planes.
    native, read : callable
        Give (C, Y, X) for two slices: of the image, and of what the network sees.
    """

    index: tuple[int, ...]
    place: tuple[int, ...]
    group: Group
    norm: Normalization
    native: Read
    read: Read


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A run before its first tile.

    Parameters
    ----------
    source : Planes
        The noisy image.
    model : Model
        What is run on it.
    chosen_because : str
        Why it is this model, for a person; empty where the user named it.
    advice : str
        Why the model that the user named does not suit the image; empty where it does.
    settings : DenoiseSettings
        As given.
    engine : Engine
        What computes.
    passes : tuple of Pass
        What goes through the network one after the other.
    spacing : float or None
        Lattice period, px of the image; None where there is no lattice, or nobody asked.
    scaled : ScaledPlane
        The scale at which the network sees the planes.
    guarded : bool
        Whether the noisy image has the last word.
    margin : int
        Px around each tile that must be right too: what the guards and a resampling look at.
    side : (int, int) or None
        Y and X of the kept part of a tile, px of what the network sees; None for the whole plane.
    plane : tuple of int or None
        The only plane that is wanted.
    region : (int, int, int, int) or None
        y0, y1, x0, x1 of what is wanted of each plane, px of the image.
    frames : int
        Frames of a series that may look together; 1: each plane stands alone. More: `passes` has all frames, also where
        one plane is wanted.
    """

    source: Planes
    model: Model
    chosen_because: str
    advice: str
    settings: DenoiseSettings
    engine: Engine
    passes: tuple[Pass, ...]
    spacing: float | None
    scaled: ScaledPlane
    guarded: bool
    margin: int
    side: tuple[int, int] | None
    plane: tuple[int, ...] | None
    region: Region | None
    frames: int = 1

    @property
    def period(self) -> float | None:
        """The lattice period as the network sees it, px."""
        return self.spacing and self.spacing * self.scaled.factor

    def task(self, one: Pass) -> PlaneTask:
        """One pass with its companions and its guards, which are measured now."""
        beside = None
        if self.model.companions == "lattice":
            floats = np.dtype(self.source.image.dtype).kind == "f"
            known = self.scaled.known(one.native) if floats else None
            beside = companions_of(one.read, self.scaled.seen_shape, one.norm.fill, known)
        if not self.guarded:
            return PlaneTask(one.read, one.norm, companions=beside)
        guards = measure_guards(one.read, self.scaled.seen_shape, self.model, one.group, self.period, self.settings)
        return PlaneTask(one.read, one.norm, guards, beside)

    def runner(self, target: Planes, out: Any = None) -> TileRunner:
        """What runs the planes: piece by piece where statistics belong to the whole plane and it goes not in one."""
        one_pass = self.engine.device != "cpu" and self.side is None
        staged = self.model.staged and not (one_pass and min(self.scaled.seen_shape) >= self.model.smallest)
        arguments = (self.engine, self.model, self.scaled.seen_shape, self.side)
        options: dict[str, Any] = {
            "region": self.scaled.seen_region(self.region) if self.region else None,
            "grid": target.chunk_shape if self.region is None and self.scaled.factor == 1 else (1, 1),
            "margin": self.margin,
            "keep": self.scaled.keep,
        }
        if not staged:
            return TileRunner(*arguments, **options, batch=self.settings.batch_size)
        limit = CPU_SCRATCH_BYTES if in_memory(self.source.image) else LAZY_TILE_BYTES
        return StagedRunner(
            *arguments,
            **options,
            memory=min(free_memory("cpu") // 4, limit),
            folder=Path(out).absolute().parent if isinstance(out, str | Path) else None,
        )

    def store(self, target: Planes, one: Pass, tile: Tile, values: np.ndarray) -> None:
        """Bring a finished tile (C, Y, X) to the image's pixels and store what is wanted of it."""
        scaled, group = self.scaled, one.group
        if len(values) > len(group.outputs):  # one grey image through a model of colours
            values = values.mean(axis=0, keepdims=True)
        top, bottom, left, right = self.region or (0, scaled.shape[0], 0, scaled.shape[1])
        y0, y1, x0, x1 = scaled.place(tile.core)
        y, x = slice(max(y0, top), min(y1, bottom)), slice(max(x0, left), min(x1, right))
        if y.start >= y.stop or x.start >= x.stop:
            return
        if scaled.factor != 1:
            kept = tile.around(scaled.keep, scaled.seen_shape).core
            first = len(group.inputs) // 2 if len(group.inputs) > len(group.outputs) else 0
            holes = one.native(y, x)[first:][: len(values)]
            values = scaled.back(values, (kept[0], kept[2]), y, x, holes)
        y, x = slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left)
        target.write(one.place, group.outputs, y, x, values)

    @contextmanager
    def target(self, out: Any = None, unfinished: Path | None = None) -> Iterator[Planes]:
        """Where the result goes, with the input's axes: a new array, or what is given as ``out``.

        A zarr is kept in the folder ``unfinished`` where the run is stopped.
        """
        source, shape = self.source, [int(n) for n in self.source.image.shape]
        if isinstance(out, (str, Path)):
            out = partial(zarr_writer, out, shape=tuple(shape), dtype="float32")
        if callable(out):
            chunks = [1] * len(shape)
            side = self.scaled.native(self.side) or source.plane_shape
            for axis, size in zip(source.axes[-2:], side, strict=True):
                chunks[axis] = min(aligned(size, self.model.stride), shape[axis])  # one tile writes one chunk
            options: dict[str, Any] = {} if unfinished is None else {"unfinished": unfinished}
            with out(chunks=tuple(chunks), **options) as array:
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
        for axis in source.axes[:-2] if self.plane is not None else []:
            shape[axis] = 1
        if self.region is not None:
            y0, y1, x0, x1 = self.region
            for axis, size in zip(source.axes[-2:], (y1 - y0, x1 - x0), strict=True):
                shape[axis] = size
        yield Planes(np.empty(shape, np.float32), source.channel_axis)

    def record(self) -> dict[str, Any]:
        """What is known of the run so far: JSON-able."""
        card, engine, scaled = self.model.card, self.engine, self.scaled
        rescaled = {"factor": scaled.factor, "period": self.period}
        norms = [one.norm for one in self.passes if one.index == self.passes[0].index]
        return {
            "software": f"napari-hush {version('napari-hush')}",
            "model": card.name,
            "model_source": card.source,
            "chosen_because": self.chosen_because or None,
            "advice": self.advice or None,
            "assumes": ASSUMPTIONS[self.model.companions] or None,
            "architecture": self.model.architecture,
            "settings": asdict(self.settings),
            "engine": engine.name,
            "device": engine.device,
            "precision": engine.precision,
            "halo": self.model.halo,
            "normalization": [{"offset": norm.offset, "scale": norm.scale} for norm in norms],
            "spacing": self.spacing,
            "rescale": rescaled if scaled.factor != 1 else False,
            "dark": self.settings.dark,
        }


def plan_steps(
    image: Any,
    model: str | Path | Model,
    settings: DenoiseSettings,
    loaded: LoadedModels,
    *,
    channel_axis: int | None = None,
    engine: Engine | None = None,
    plane: tuple[int, ...] | None = None,
    region: Region | None = None,
    ledger: Ledger | None = None,
) -> Generator[Progress, None, Plan]:
    """Measure an image and decide what is done with it.

    Parameters
    ----------
    image, model, settings, channel_axis, engine, plane, region
        As of `denoise_steps`.
    loaded : LoadedModels
        Gives the model and its engine.
    ledger : Ledger, optional
        Of an earlier run, whose measurements are taken and whose model and engine must be the same; or of this one.

    Yields
    ------
    Progress
        So that it can be left.

    Returns
    -------
    Plan
        As the value of the generator.

    Raises
    ------
    InputError
        If image, model and settings do not fit together.
    """
    source = Planes(image, channel_axis)
    measured: dict[str, Any] = {} if ledger is None else dict(ledger.measured)
    lattice, reason = MeasuredLattice(source, [0]), ""
    if model == AUTO:
        yield Progress(0, 1, MEASURING)
        model, reason = measured.get("model") or fitting_model(lattice)
        measured["model"] = [model, reason]
    model = loaded.model(model)
    if ledger is not None:
        ledger.settle(model={"model": model.card.name, "its weights": weights_sha256(model)})
    groups = channel_groups(source, model)
    if (channels := sorted(set(groups[0].inputs))) != lattice.channels or "lattice" in measured:
        lattice = MeasuredLattice(source, channels, measured.get("lattice", ()))
    frames = frames_of(lattice, model, settings, region=region is not None)
    indices = _plane_indices(source, plane)
    if frames > 1 and plane is not None:  # its neighbours are looked at, too
        indices = [(number, *plane[1:]) for number in range(source.lead_shape[0])]
    if engine is None:
        y0, y1, x0, x1 = region or (0, source.plane_shape[0], 0, source.plane_shape[1])
        engine = loaded.engine(model, (y1 - y0) * (x1 - x0) * len(indices) * len(groups))
    if ledger is not None:
        ledger.settle(computes={"engine": engine.name, "device": engine.device, "precision": engine.precision})
    yield Progress(0, 1, MEASURING)
    spacing, scaled = measure_scale(lattice, model, settings)
    norms = [Normalization(**values) for values in measured.get("norms", ())]
    for group in groups[len(norms) :]:
        fit = model.normalization.fit_steps(partial(_blocks, source, group, scaled))
        norm = yield from within(fit, lambda _: Progress(0, 1, MEASURING))
        norms.append(norm.turned(model.normalization.target) if settings.dark else norm)
    guarded = is_guarded(model, settings)
    period = spacing and spacing * scaled.factor
    margin = scaled.keep
    if settings.guard == "strict" and period is not None:
        margin += strict_margin(period)
    elif guarded:
        margin += guard_margin(period, slow=is_slow_guarded(model, settings))
    side = tile_sides(
        model,
        settings,
        engine.device,
        scaled.seen_shape,
        lazy=not in_memory(source.image),
        region=scaled.seen_region(region) if region else None,
        margin=margin,
    )
    passes = []
    for index in indices:
        for group, norm in zip(groups, norms, strict=True):
            native = partial(read_group, source, model, index, group)
            read = partial(scaled.read, native, norm.fill)
            place = index if plane is None else (0,) * len(index)
            passes.append(Pass(index=index, place=place, group=group, norm=norm, native=native, read=read))
    advice = "" if reason else wrong_model(lattice, model)
    if ledger is not None:
        ledger.keep_measured(measured | {"lattice": lattice.found, "norms": [asdict(norm) for norm in norms]})
    return Plan(
        source=source,
        model=model,
        chosen_because=reason,
        advice=advice,
        settings=settings,
        engine=engine,
        passes=tuple(passes),
        spacing=spacing,
        scaled=scaled,
        guarded=guarded,
        margin=margin,
        side=side,
        plane=plane,
        region=region,
        frames=frames,
    )


def in_memory(image: Any) -> bool:
    """Whether an image is an array in memory, not one that is read when it is asked for."""
    return isinstance(image, np.ndarray) and not isinstance(image, np.memmap)


def _plane_indices(source: Planes, plane: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    if plane is None:
        return list(source.indices())
    lead = source.lead_shape
    if len(plane) != len(lead) or not all(0 <= i < n for i, n in zip(plane, lead, strict=True)):
        raise InputError(f"plane {plane} does not exist: the leading axes have the shape {lead}")
    return [plane]


def _blocks(source: Planes, group: Group, scaled: ScaledPlane) -> Iterator[np.ndarray]:
    """Every value of a group of channels as the network sees it, over all planes."""
    for channel in sorted(set(group.inputs)):
        if scaled.factor == 1:
            yield from source.blocks(channel)
            continue
        for index in source.indices():  # the network's own scale: a resampling changes the noise
            yield from scaled.blocks(partial(source.read, index, [channel]))
