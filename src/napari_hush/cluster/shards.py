"""Shards: processes that each do their share of one output and know of each other by its ledgers alone.

The first one measures, under a lock, and all others take over what it found. Each keeps a ledger of its own beside the
array; whoever ends when nothing is left finishes the output.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps
from napari_hush.inference.ledger import FORMAT, NAME, WAYS_ON, Ledger, Restart, Step
from napari_hush.inference.owners import FolderLock, signature, writer_of
from napari_hush.inference.planes import Planes
from napari_hush.inference.planning import plan_steps
from napari_hush.inference.target import open_target
from napari_hush.inference.units import Unit, check_apart, computed, left_of, units_of
from napari_hush.io.formats.zarr_write import ARRAY, open_zarr
from napari_hush.leftovers import remove
from napari_hush.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from napari_hush.inference.denoise import Denoised
    from napari_hush.inference.loaded import LoadedModels
    from napari_hush.inference.plan import Plan
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.inference.tiles.runner import TileRunner
    from napari_hush.io.fingerprint import Watched
    from napari_hush.model import Model

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Which share of the work.

    Parameters
    ----------
    number, count : int
        The first one is 1.
    """

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> Shard:
        """That of ``--shard I/N``.

        Raises
        ------
        InputError
            If it is none.

        Examples
        --------
        >>> Shard.of("2/8")
        Shard(number=2, count=8)
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(f"--shard {text}: expected I/N, the Ith of N parts, from 1/N to N/N")
        return cls(int(found[1]), int(found[2]))

    @property
    def all(self) -> list[Shard]:
        """Itself and the others."""
        return [Shard(number, self.count) for number in range(1, self.count + 1)]

    def share(self, things: Sequence[T]) -> list[T]:
        """Its part of a sequence: neighbours, as many as the others have or one less.

        Examples
        --------
        >>> Shard(1, 2).share("abc"), Shard(2, 2).share("abc")
        (['a'], ['b', 'c'])
        """
        first, last = ((at * len(things)) // self.count for at in (self.number - 1, self.number))
        return list(things[first:last])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class Waiting:
    """What a shard says that ends before others.

    Parameters
    ----------
    done : int
        Its tiles, or planes.
    missing : tuple of Shard
        Those that have not done all of theirs.
    """

    done: int
    missing: tuple[Shard, ...]


@dataclass
class ShardRun:
    """One shard of the denoising of an image into a .zarr.

    Parameters
    ----------
    shard : Shard
        Which.
    image : array_like
        As of `denoise`.
    model : str, Path or Model
        As of `denoise`.
    settings : DenoiseSettings
        How to run.
    channel_axis : int or None
        As of `denoise`.
    out : callable
        As of `denoise_steps`.
    restart : Restart
        ``resume``: whether an unfinished run that was no shard's goes on.
    watched : Watched
        The input as it was.
    loaded : LoadedModels
        Models and engines.
    """

    shard: Shard
    image: Any
    model: str | Path | Model
    settings: DenoiseSettings
    channel_axis: int | None
    out: Callable[..., Any]
    restart: Restart
    watched: Watched
    loaded: LoadedModels
    _lock: FolderLock = field(init=False)

    def __post_init__(self) -> None:
        self._lock = FolderLock(self.restart.folder)

    def steps(self) -> Generator[Progress, None, Denoised | Waiting]:
        """Do the share, and finish the output where nothing is left.

        Yields
        ------
        Progress
            In tiles of this shard.

        Returns
        -------
        Denoised or Waiting
            The result of all shards, or what is missing of it.

        Raises
        ------
        InputError
            As of `denoise`; or if the same shard is being done by another process, or the others had other settings.
        """
        try:
            plan = yield from self._begun()
            target = Planes(open_zarr(self.restart.folder / ARRAY), plan.source.channel_axis, plan.source.levels)
            runner = plan.runner(target, self.restart.folder)
            try:
                units = units_of(plan, runner, target)
                with self._own_ledger() as ledger:
                    done = yield from self._work(plan, runner, target, units, ledger)
            finally:
                runner.close()
            self.watched.check()
            yield from self._locked()
        except FileNotFoundError as error:
            if self.restart.folder.exists() or not self.restart.target.exists():
                raise
            raise InputError(
                f"{self.restart.target}: was finished by another process meanwhile; this shard has nothing to do"
            ) from error
        try:
            if missing := self._missing(units):
                return Waiting(done, missing)
            return (yield from self._finish(len(plan.passes)))
        finally:
            self._lock.release()

    def _begun(self) -> Generator[Progress, None, Plan]:
        """The plan that all shards have, measured by the first."""
        self.restart.folder.mkdir(exist_ok=True)
        yield from self._locked()
        try:
            with (self.restart.folder / NAME).open("a+b") as file:
                known = self._joined(file)
                if not known.has_begun:
                    plan = yield from self._planned(known)
                    known.settle(side=plan.side, network=plan.network_side, batch=self._batch(plan))
                if not (self.restart.folder / ARRAY).is_dir():
                    plan = yield from self._planned(known)
                    self._make_array(plan)
        finally:
            self._lock.release()
        ledger = Ledger(self.restart.folder, BytesIO(), head=known.head, measured=known.measured)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # told by the first
            return (yield from self._planned(ledger))

    def _joined(self, file: BinaryIO) -> Ledger:
        """The ledger of all shards, begun or gone on with; nothing of it belongs to this one alone."""
        folder, restart = self.restart.folder, self.restart
        if writer := writer_of(file):
            raise InputError(f"{restart.target}: {writer} is writing this output; wait until that has finished")
        ledger = Ledger(folder, file)
        ledger.read()
        ledger.read_shards()
        sharded = "shards" in ledger.head
        if not (folder / ARRAY).is_dir() or (ledger.is_empty and not sharded):
            for path in folder.iterdir():
                if path.name != NAME and path != self._lock.path:
                    remove(path)
            file.truncate(0)
            ledger = Ledger(folder, file)
        elif not sharded and not restart.resume:
            raise InputError(f"{restart.target}: there is an unfinished run to this output in {folder}: {WAYS_ON}")
        ledger.settle(
            format=FORMAT,
            version=version("napari-hush"),
            input=self.watched.before,
            **restart.facts,
            settings=asdict(self.settings),
            channel_axis=self.channel_axis,
            first=0,
        )
        ledger.settle(shards=self.shard.count)
        return ledger

    def _planned(self, ledger: Ledger) -> Generator[Progress, None, Plan]:
        plan = yield from plan_steps(
            self.image, self.model, self.settings, self.loaded, channel_axis=self.channel_axis, ledger=ledger
        )
        check_apart(plan)
        return plan

    def _batch(self, plan: Plan) -> int:
        runner = plan.runner(plan.source, self.restart.folder)
        runner.close()
        return runner.batch

    def _make_array(self, plan: Plan) -> None:
        """Make the empty array, and leave it unfinished."""

        class LeftError(Exception):
            pass

        try:
            with open_target(plan, self.out, self.restart.folder):
                raise LeftError
        except LeftError:
            return

    @contextmanager
    def _own_ledger(self) -> Iterator[Ledger]:
        """That of this shard."""
        path = self.restart.folder / f"shard-{self.shard.number}-of-{self.shard.count}.jsonl"
        with path.open("a+b") as file:
            if writer := writer_of(file):
                raise InputError(f"{self.restart.target}: shard {self.shard} is being done by {writer} already")
            ledger = Ledger(self.restart.folder, file)
            ledger.read()
            ledger.sign(signature())
            try:
                yield ledger
            finally:
                ledger.sign(None)

    def _work(
        self, plan: Plan, runner: TileRunner, target: Planes, units: Sequence[Unit], ledger: Ledger
    ) -> Generator[Progress, None, int]:
        """Do what is left of the share; how much that share is."""
        own = self.shard.share(units)
        left = left_of(own, self._of_all())
        total = sum(unit.size for unit in own)
        done = total - sum(unit.size for unit in left)
        yield Progress(done, total, f"shard {self.shard}")
        for number in dict.fromkeys(unit.number for unit in left):
            units_here = [unit for unit in left if unit.number == number]
            cores = tuple(core for unit in units_here for core in unit.cores)
            whole = Unit(number, cores, any(unit.shared for unit in units_here))  # neighbours share what is computed
            given_back = 0
            for finished, given, parts in computed(plan, runner, target, whole, plan.measure(plan.passes[number])):
                if parts:
                    with self._lock.held():  # their chunks are other shards', too
                        for part in parts:
                            part.store(target)
                if cores and finished:
                    step = Step(tuple(runner.sides), runner.batch, finished, runner.network_side)
                    ledger.add(number, step, given)
                    done = min(done + len(finished), total)
                given_back += given
                yield Progress(done, total, f"shard {self.shard}, tile {done} of {total}")
            if not cores:
                ledger.finish(number, given_back)
                done += 1
                yield Progress(done, total, f"shard {self.shard}, plane {done} of {total}")
        return total

    def _of_all(self) -> Ledger:
        """What all have done."""
        with (self.restart.folder / NAME).open("rb") as file:
            ledger = Ledger(self.restart.folder, BytesIO(file.read()))
        ledger.read()
        ledger.read_shards()
        return ledger

    def _missing(self, units: Sequence[Unit]) -> tuple[Shard, ...]:
        known = self._of_all()
        return tuple(one for one in self.shard.all if left_of(one.share(units), known))

    def _finish(self, passes: int) -> Generator[Progress, None, Denoised]:
        """Make the smaller levels and move the output to its name, as a run that goes on and finds all done."""
        with (self.restart.folder / NAME).open("a+b") as file:
            ledger = Ledger(self.restart.folder, file)
            ledger.read()
            for number in set(range(passes)) - ledger.complete:
                ledger.finish(number)
        done = yield from denoise_steps(
            self.image,
            self.model,
            self.settings,
            channel_axis=self.channel_axis,
            out=self.out,
            loaded=self.loaded,
            restart=replace(self.restart, resume=True, sharded=True),
            watched=self.watched,
        )
        return replace(done, provenance=done.provenance | {"shards": self.shard.count})

    def _locked(self) -> Generator[Progress, None, None]:
        for seconds in self._lock.wait():
            if seconds > 1:
                yield Progress(0, 1, f"waiting for another shard, {seconds:.0f} s")
