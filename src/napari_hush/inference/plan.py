"""What a run does, decided before its first tile: the model, the scale, the values' range, the guard, the tiles."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.card import ASSUMPTIONS
from napari_hush.inference.channels import group_key
from napari_hush.inference.companions import companions_of, measured_companions
from napari_hush.inference.known import Known
from napari_hush.inference.ledger import weights_sha256
from napari_hush.inference.levels import raised, result_dtype
from napari_hush.inference.measure import is_slow_guarded, measure_guards
from napari_hush.inference.strength import blended
from napari_hush.inference.tiles.geometry import Tile, aligned
from napari_hush.inference.tiles.runner import PlaneTask, TileRunner
from napari_hush.inference.tiles.shared import SharedRunner
from napari_hush.io.history import software
from napari_hush.memory import free_memory, kept_arena, lean_arena

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from napari_hush.inference.channels import Group
    from napari_hush.inference.companions import LatticeCompanions
    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.guards.guard import Guard
    from napari_hush.inference.guards.strict import StrictGuard
    from napari_hush.inference.planes import Planes
    from napari_hush.inference.scaling import ScaledPlane
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.inference.tiles.kept_output import KeptOutput
    from napari_hush.inference.tiles.runner import Read
    from napari_hush.inference.units import Store
    from napari_hush.model import Model
    from napari_hush.normalize import Normalization

Region = tuple[int, int, int, int]

SCRATCH_BYTES = 256 << 20  # between the pieces of a network with statistics of the whole image; more goes to a file


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
        Of these channels, over all planes or of this one.
    native, read : callable
        Give (C, Y, X) for two slices: of the image, and of what the network sees.
    """

    index: tuple[int, ...]
    place: tuple[int, ...]
    group: Group
    norm: Normalization
    native: Read
    read: Read

    def under(self, channels: int, y: slice, x: slice) -> np.ndarray:
        """The noisy image under so many channels of a result, (C, Y, X): of several slices the middle one."""
        group = self.group
        first = len(group.inputs) // 2 if len(group.inputs) > len(group.outputs) else 0
        return self.native(y, x)[first:][:channels]


@dataclass(frozen=True, eq=False)
class OnPlane:
    """What is measured on a plane before its first tile.

    Parameters
    ----------
    guards : tuple of Guard or StrictGuard
        One for each channel of the output; empty without a guard.
    crystals : LatticeCompanions or None
        For a model that sees the other copies of a place.
    """

    guards: tuple[Guard | StrictGuard, ...] = ()
    crystals: LatticeCompanions | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A run before its first tile.

    Parameters
    ----------
    source : Planes
        The noisy image, less its pedestal.
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
    network_side : (int, int) or None
        The same of what one pass of the network gives, which is another where guards look farther than the network.
    plane : tuple of int or None
        The only plane that is wanted.
    region : (int, int, int, int) or None
        y0, y1, x0, x1 of what is wanted of each plane, px of the image.
    frames : int
        Frames of a series that may look together; 1: each plane stands alone. More: `passes` has all frames, also where
        one plane is wanted.
    streaks : int or None
        From how many directions a slice was reconstructed, where its streaks are the model's to take away.
    batch : int or None
        Tiles at once, where the run has begun somewhere; else the settings and the memory say it.
    known : Known
        What was measured on the image before.
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
    network_side: tuple[int, int] | None
    plane: tuple[int, ...] | None
    region: Region | None
    frames: int = 1
    streaks: int | None = None
    batch: int | None = None
    known: Known = field(default_factory=Known)

    @property
    def period(self) -> float | None:
        """The lattice period as the network sees it, px."""
        return self.spacing and self.spacing * self.scaled.factor

    def measure(self, one: Pass) -> OnPlane:
        """What a pass needs besides what all of them share."""
        seen, crystals = self.scaled.seen_shape, None
        guards: tuple[Guard | StrictGuard, ...] = ()
        if self.model.companions == "lattice":
            find = partial(measured_companions, one.read, seen, one.norm.fill)
            crystals = self.known.get(("crystals", *self._key(one)), find)
        if self.guarded:
            looked = (seen, self.model, one.group, self.period, self.settings, self.streaks, self._stored(one))
            key = (
                self.model.depth,
                is_slow_guarded(self.model, self.settings),
                self.settings.guard,
                self.settings.dark,
            )
            measured = partial(measure_guards, one.read, *looked)
            guards = tuple(self.known.get(("guards", *key, self.period, self.streaks, *self._key(one)), measured))
        return OnPlane(guards, crystals)

    def _key(self, one: Pass) -> tuple[object, ...]:
        """What a measurement on what the network sees of a plane depends on."""
        return one.index, self.scaled, one.norm.fill, *group_key(self.source, one.group)

    def task(self, one: Pass, found: OnPlane | None = None) -> PlaneTask:
        """One pass with its companions and its guards, which are measured now if somebody has not done so before."""
        found = found or self.measure(one)
        beside = None
        if found.crystals is not None:
            known = self.scaled.known(one.native) if self.source.may_have_gaps else None
            beside = companions_of(found.crystals, one.read, one.norm.fill, known)
        return PlaneTask(one.read, one.norm, found.guards, beside, self._output(one))

    def _output(self, one: Pass) -> KeptOutput | None:
        """Where the network's output for a plane is kept, if it is: of whole planes that stand alone."""
        outputs = self.known.outputs
        if not outputs.room or self.region is not None or self.frames > 1:
            return None
        shape = (self.model.out_channels, *self.scaled.seen_shape)
        return outputs.of(self._computes, (one.norm, *self._key(one)), shape, len(self.passes))

    @cached_property
    def _computes(self) -> tuple[str, ...]:
        """What computes the network's output, for all planes."""
        engine = self.engine
        return weights_sha256(self.model), engine.name, engine.device, engine.precision

    def _stored(self, one: Pass) -> Callable[[slice, slice], bool] | None:
        """Whether anything was ever stored of a part of what the network sees; None of an image that is not sparse."""
        if not self.source.sparse:
            return None

        def stored(y: slice, x: slice) -> bool:
            y0, y1, x0, x1 = self.scaled.place((y.start, y.stop, x.start, x.stop))
            return not self.source.is_empty(one.index, one.group.inputs[0], slice(y0, y1), slice(x0, x1))

        return stored

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
            options["batch"] = self.batch or self.settings.batch_size
            if not self.margin or (self.side is None and self.network_side is None):
                return TileRunner(*arguments, **options)
            return SharedRunner(*arguments, **options, network_side=self.network_side)
        from napari_hush.inference.tiles.staged import StagedRunner  # not above: it imports torch

        spare = free_memory("cpu") // 4
        return StagedRunner(
            *arguments,
            **options,
            memory=min(spare, SCRATCH_BYTES),
            spare=spare,
            folder=Path(out).absolute().parent if isinstance(out, str | Path) else None,
        )

    def arena(self) -> AbstractContextManager[None]:
        """How freed memory is kept during the run: an image that is not in memory is kept out of it for a reason."""
        on_torch = self.engine.name == "torch" and self.engine.device == "cpu"  # a fault for each of its blocks
        return lean_arena() if self.source.lazy and not on_torch else kept_arena()

    def store(self, target: Store, one: Pass, tile: Tile, values: np.ndarray, *, given: bool = False) -> None:
        """Bring a finished tile (C, Y, X) to the image's pixels and store what is wanted of it, at its strength.

        Where nothing was ever stored of a sparse image, the image's fill value is stored; of what guards have ``given``
        back 0.
        """
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
            values = scaled.back(values, (kept[0], kept[2]), y, x, one.under(len(values), y, x))
        values = self.weakened(values) if given else self.blended(one, values, y, x)
        if self.source.sparse:
            values = self.source.with_gaps(values, one.index, group.outputs, y, x, 0.0 if given else None)
        y, x = slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left)
        target.write(one.place, group.outputs, y, x, values)

    def blended(self, one: Pass, values: np.ndarray, y: slice, x: slice) -> np.ndarray:
        """A part of a result (C, Y, X) at the strength that is wanted."""
        strength = self.settings.strength
        return values if strength == 1 else blended(one.under(len(values), y, x), values, strength)

    def weakened(self, given: np.ndarray) -> np.ndarray:
        """What guards gave back, as much of it as is in the result."""
        strength = self.settings.strength
        return given if strength == 1 else given * given.dtype.type(strength)

    @property
    def at_full_strength(self) -> Plan:
        """The same plan for what is looked at before it is blended."""
        return replace(self, settings=replace(self.settings, strength=1.0))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a new array for the result."""
        shape = [int(n) for n in self.source.image.shape]
        for axis in self.source.axes[:-2] if self.plane is not None else []:
            shape[axis] = 1
        if self.region is not None:
            y0, y1, x0, x1 = self.region
            for axis, size in zip(self.source.axes[-2:], (y1 - y0, x1 - x0), strict=True):
                shape[axis] = size
        return tuple(shape)

    @property
    def tile_chunks(self) -> tuple[int, ...]:
        """Chunks of the whole result, so that one tile writes one of them."""
        chunks = [1] * len(self.source.image.shape)
        side = self.scaled.native(self.side) or self.source.plane_shape
        for axis, size in zip(self.source.axes[-2:], side, strict=True):
            chunks[axis] = min(aligned(size, self.model.stride), int(self.source.image.shape[axis]))
        return tuple(chunks)

    @property
    def highest(self) -> float:
        """The median of the channel that lies farthest from 0."""
        return max((self._level(one) + one.norm.fill for one in self.passes), key=abs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the result: float32, or float64 where a pedestal needs it."""
        found = {result_dtype(self._level(one), one.norm) for one in self.passes}
        return max(found, key=lambda dtype: dtype.itemsize)

    def in_image_units(self, one: Pass, values: np.ndarray) -> np.ndarray:
        """A plane of the result (C, Y, X) with the level that was taken off."""
        levels = [self.source.level(one.index, channel) for channel in one.group.outputs]
        dtype = np.float64 if any(levels) else np.float32
        return np.stack([raised(*both, dtype) for both in zip(values, levels, strict=True)])

    def _level(self, one: Pass) -> float:
        return max((self.source.level(one.index, channel) for channel in one.group.outputs), key=abs)

    def record(self) -> dict[str, Any]:
        """What is known of the run so far: JSON-able."""
        card, engine, scaled = self.model.card, self.engine, self.scaled
        rescaled = {"factor": scaled.factor, "period": self.period}
        first = [one for one in self.passes if one.index == self.passes[0].index]
        return {
            "software": software(),
            "model": card.name,
            "model_source": card.source,
            "model_sha256": self.model.sha256 or None,
            "chosen_because": self.chosen_because or None,
            "advice": self.advice or None,
            "assumes": ASSUMPTIONS[self.model.companions] or None,
            "architecture": self.model.architecture,
            "settings": asdict(self.settings),
            "engine": engine.name,
            "device": engine.device,
            "precision": engine.precision,
            **engine.notes,
            "halo": self.model.halo,
            "normalization": [{"offset": self._level(one) + one.norm.offset, "scale": one.norm.scale} for one in first],
            "spacing": self.spacing,
            "rescale": rescaled if scaled.factor != 1 else False,
            "dark": self.settings.dark,
        }
