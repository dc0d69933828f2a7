"""A plan cut into pieces that processes can do apart: each of them fills chunks of the output that are its alone."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from napari_hush.inference.guards.guard import Guard
    from napari_hush.inference.guards.strict import StrictGuard
    from napari_hush.inference.ledger import Core, Ledger
    from napari_hush.inference.loaded import LoadedModels
    from napari_hush.inference.plan import OnPlane, Plan
    from napari_hush.inference.planes import Planes
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.inference.tiles.runner import TileRunner
    from napari_hush.model import Model
    from napari_hush.progress import Progress


MOST_TOGETHER = 8  # tiles along an axis: a killed worker loses them


class Store(Protocol):
    """Where parts of planes go, such as `Planes`."""

    def write(self, index: tuple[int, ...], channels: list[int], y: slice, x: slice, values: np.ndarray) -> None:
        """Store one part of one plane, (C, Y, X)."""
        ...


class Spread(Protocol):
    """Makes and follows a plan with the help of other processes, see `denoise_steps`."""

    def plan_steps(
        self,
        image: Any,
        model: str | Path | Model,
        settings: DenoiseSettings,
        loaded: LoadedModels,
        *,
        channel_axis: int | None,
        ledger: Ledger,
    ) -> Generator[Progress, None, Plan]:
        """As `napari_hush.inference.planning.plan_steps`."""
        ...

    def run(
        self, plan: Plan, runner: TileRunner, target: Planes, ledger: Ledger
    ) -> Generator[Progress, None, tuple[Sequence[Guard | StrictGuard], int]]:
        """Do all that the ledger does not have; the guards of the last pass, and how many pixels were given back."""
        ...

    def record(self) -> dict[str, Any]:
        """What the history says of it: JSON-able."""
        ...


@dataclass(frozen=True)
class Unit:
    """A piece of a plan.

    Parameters
    ----------
    number : int
        The pass.
    cores : tuple of (int, int, int, int)
        Its tiles; empty for the whole plane, where a network sees nothing less.
    shared : bool
        Whether chunks of the output belong to other pieces as well: then one process stores them all.
    """

    number: int
    cores: tuple[Core, ...] = ()
    shared: bool = False

    @property
    def size(self) -> int:
        """How many steps it counts."""
        return max(len(self.cores), 1)


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the result that is still to be stored; parameters as of `Store.write`."""

    index: tuple[int, ...]
    channels: list[int]
    box: Core
    values: np.ndarray

    def store(self, target: Store) -> None:
        """Store it."""
        y0, y1, x0, x1 = self.box
        target.write(self.index, self.channels, slice(y0, y1), slice(x0, x1), self.values)


@dataclass
class Kept:
    """A `Store` that keeps what it is given."""

    parts: list[Part] = field(default_factory=list)

    def write(self, index: tuple[int, ...], channels: list[int], y: slice, x: slice, values: np.ndarray) -> None:
        """Keep one part."""
        self.parts.append(Part(index, channels, (y.start, y.stop, x.start, x.stop), values))


def check_apart(plan: Plan) -> None:
    """Refuse what cannot be done in pieces.

    Raises
    ------
    InputError
        If frames of a series look together.
    """
    if plan.frames > 1:
        raise InputError(
            f"{plan.frames} frames of this series look together and go one after the other, so that they cannot be "
            "shared among processes: leave --cluster and --shard out, or let each plane stand alone (frames=False)"
        )


def units_of(plan: Plan, runner: TileRunner, target: Planes, *, block: int = 1) -> list[Unit]:
    """Cut a plan into pieces, pass after pass: blocks of tiles, or whole planes.

    Parameters
    ----------
    plan : Plan
        The run.
    runner : TileRunner
        Its runner, which knows the tiles.
    target : Planes
        Whose chunks are to be filled by one process each.

    """
    if not runner.by_tile:
        return [Unit(number) for number in range(len(plan.passes))]
    cores = [tile.core for tile in runner.plan()]
    rows, columns = ({start: at for at, start in enumerate(sorted({core[k] for core in cores}))} for k in (0, 2))
    blocks: dict[tuple[int, int], list[Core]] = {}
    for core in cores:
        blocks.setdefault((rows[core[0]] // block, columns[core[2]] // block), []).append(core)
    groups = [tuple(some) for some in blocks.values()]
    chunks = [set(_chunks(plan, some, target.chunk_shape)) for some in groups]
    owners = Counter(chunk for some in chunks for chunk in some)
    shared = [any(owners[chunk] > 1 for chunk in some) for some in chunks]
    return [
        Unit(number, some, several)
        for number in range(len(plan.passes))
        for some, several in zip(groups, shared, strict=True)
    ]


def _chunks(plan: Plan, cores: Iterable[Core], chunk: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The chunks of a plane that tiles fill, or a part of."""
    for core in cores:
        y0, y1, x0, x1 = plan.scaled.place(core)
        yield from product(range(y0 // chunk[0], -(-y1 // chunk[0])), range(x0 // chunk[1], -(-x1 // chunk[1])))


def block_side(tiles: Sequence[Core], count: int, least: int) -> int:
    """How many tiles go together along Y and X so that there are still so many pieces, and small tiles are not alone.

    Examples
    --------
    >>> block_side([(0, 512, 0, 512)] * 64, 16, 1), block_side([(0, 64, 0, 64)] * 64, 16, 1 << 18)
    (2, 8)
    """
    side = math.isqrt(max(len(tiles) // count, 1))
    return max(min(side, MOST_TOGETHER), round(math.sqrt(least / max(map(_area, tiles)))), 1)


def left_of(units: Sequence[Unit], ledger: Ledger) -> list[Unit]:
    """The pieces of which a ledger does not have all, however they were cut when they were done."""
    known = {number: {core for step in steps for core in step.cores} for number, steps in ledger.steps.items()}
    return [one for one in units if not _is_done(one, ledger.complete, known.get(one.number, set()))]


def _is_done(unit: Unit, complete: set[int], known: set[Core]) -> bool:
    if unit.number in complete:
        return True
    return bool(unit.cores) and all(core in known or _is_covered(core, known) for core in unit.cores)


def _is_covered(core: Core, known: set[Core]) -> bool:
    """Whether smaller tiles, which never overlap, fill a larger one."""
    y0, y1, x0, x1 = core
    inside = [one for one in known if y0 <= one[0] and one[1] <= y1 and x0 <= one[2] and one[3] <= x1]
    return sum(map(_area, inside)) == _area(core)


def _area(core: Core) -> int:
    return (core[1] - core[0]) * (core[3] - core[2])


def computed(
    plan: Plan, runner: TileRunner, target: Planes, unit: Unit, found: OnPlane
) -> Iterator[tuple[tuple[Core, ...], int, list[Part]]]:
    """Do a piece of a plan, batch by batch.

    Parameters
    ----------
    plan, runner, target
        As of `units_of`.
    unit : Unit
        The piece.
    found : OnPlane
        What was measured on its plane.

    Yields
    ------
    cores : tuple of (int, int, int, int)
        The tiles that are done now; those that were cut smaller for lack of memory are smaller ones.
    given : int
        Pixels that the guards gave back in them.
    parts : list of Part
        What the caller is to store of them, where chunks are shared; the rest is stored.
    """
    one, done = plan.passes[unit.number], 0
    task = plan.task(one, found)
    if runner.by_tile:  # what did not fit into memory once may fit now: all pieces are cut alike
        runner.cut_as(plan.side, plan.network_side, plan.batch)
    for finished, _, _ in runner.run(task, only=unit.cores or None):
        given, kept = 0, Kept()
        for tile, values in finished:
            done += _area(tile.core)
            values, back = task.divided(values)
            plan.store(kept if unit.shared else target, one, tile, values)
            given += 0 if back is None else int(np.count_nonzero(back))
        yield tuple(tile.core for tile, _ in finished), given, kept.parts
    if unit.cores and done != sum(map(_area, unit.cores)):
        raise ValueError(f"of the tiles {unit.cores} {done} px were computed: they are not those of the plan")
