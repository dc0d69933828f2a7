"""Denoise one image with the workers of a cluster: they write the tiles, this process keeps the ledger."""

from __future__ import annotations

import os
import secrets
import time
import warnings
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

from napari_hush.cluster import worker
from napari_hush.cluster.tasks import Call, result_of, results, threads, wait_for_workers, workers
from napari_hush.inference.ledger import NAME, Step
from napari_hush.inference.plan import OnPlane
from napari_hush.inference.planning import plan_steps
from napari_hush.inference.units import block_side, check_apart, left_of, units_of
from napari_hush.progress import MEASURING, Progress, drain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from distributed import Client, Future
    from torch import nn

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.guards.guard import Guard
    from napari_hush.inference.guards.strict import StrictGuard
    from napari_hush.inference.ledger import Ledger
    from napari_hush.inference.loaded import LoadedModels
    from napari_hush.inference.plan import Plan
    from napari_hush.inference.planes import Planes
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.inference.tiles.runner import TileRunner
    from napari_hush.inference.units import Unit
    from napari_hush.model import Model

PIECES = 8  # for each thread of the workers, so that all end at the same time
LEAST = 1 << 18  # px of a piece: less is done in the time that it takes to hand it over
FRESH = 60.0  # s after which the ledger is touched, so that a long wait does not look like the end of the run


@dataclass(frozen=True)
class Elsewhere:
    """Stands for the engine of the workers in a process that computes nothing.

    Parameters
    ----------
    name, device, precision : str
        What runs there, where, and with which numbers.
    notes : dict
        What else the history says of it.
    """

    name: str
    device: str
    precision: str
    notes: dict[str, Any]

    @classmethod
    def of(cls, found: worker.Survey) -> Engine:
        """That of a survey."""
        computes = found.computes
        return cast("Engine", cls(computes["engine"], computes["device"], computes["precision"], found.notes))

    def another(self, network: nn.Module) -> Elsewhere:
        """For another network the same."""
        return self

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class ClusterSpread:
    """A `Spread` over the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    source : str or Path
        The input, as `fingerprint` takes it.
    before : dict
        Its fingerprint when the run began.
    open : callable
        Gives the image array on a worker; a function of a module, and what it is called with.
    model : str
        A bundled name, or a file that all workers see.
    """

    client: Client
    source: str | Path
    before: dict[str, Any]
    open: Callable[[], Any]
    model: str
    _given: Future | None = field(default=None, init=False)
    _most: int = field(default=0, init=False)
    _touched: float = field(default=0.0, init=False)

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
        """Let a worker measure the image and choose the engine, and make the plan of it."""
        for seconds in wait_for_workers(self.client):
            self._touch(ledger)
            yield Progress(0, 1, f"waiting for workers, {seconds:.0f} s")
        job = worker.Job(
            key=secrets.token_hex(8),
            version=version("napari-hush"),
            source=self.source,
            before=self.before,
            open=self.open,
            model=self.model,
            settings=settings,
            channel_axis=channel_axis,
            folder=ledger.folder.absolute(),
        )
        found = _known(ledger)
        if found is None:
            steps = result_of(self.client, Call(worker.survey, (job, dict(ledger.measured))))
            found = yield from self._waited(steps, ledger)
            for words in dict.fromkeys(found.warnings):
                warnings.warn(words, UserWarning, stacklevel=2)
            ledger.keep_measured(found.measured)
            ledger.settle(side=found.side, network=found.network, batch=found.batch, notes=found.notes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # told by the survey
            plan = drain(
                plan_steps(
                    image,
                    model,
                    settings,
                    loaded,
                    channel_axis=channel_axis,
                    engine=Elsewhere.of(found),
                    ledger=ledger,
                )
            )
        check_apart(plan)
        self._given = self.client.submit(worker.given, job, found, pure=False)
        return plan

    def run(
        self, plan: Plan, runner: TileRunner, target: Planes, ledger: Ledger
    ) -> Generator[Progress, None, tuple[Sequence[Guard | StrictGuard], int]]:
        """Do all that the ledger does not have."""
        runner.cut_as(plan.side, plan.network_side, plan.batch)  # whatever lack of memory made of it once
        tiles = [tile.core for tile in runner.plan()] if runner.by_tile else []
        enough = max(PIECES * threads(self.client) // len(plan.passes), 1)
        units = units_of(plan, runner, target, block=block_side(tiles, enough, LEAST) if tiles else 1)
        left = left_of(units, ledger)
        total, open_of = sum(one.size for one in units), {one.number: 0 for one in units}
        done = total - sum(one.size for one in left)
        for one in left:
            open_of[one.number] += 1
        given_now = 0
        measured = _Measured(partial(self._measure, plan), [one.number for one in left], len(plan.passes) - 1)
        for ended in results(self.client, self._calls(left, measured)):
            if ended is None:
                self._touch(ledger)
                yield Progress(done, total, f"{workers(self.client)} workers")
                continue
            call, (given, parts) = ended
            unit: Unit = call.about
            for part in parts:
                part.store(target)
            if unit.cores:
                ledger.add(unit.number, Step((runner.side,), runner.batch, unit.cores, runner.network_side), given)
            open_of[unit.number] -= 1
            if not open_of[unit.number]:
                ledger.finish(unit.number, 0 if unit.cores else given)
            given_now += given
            done += unit.size
            self._most = max(self._most, workers(self.client))
            yield Progress(done, total, f"tile {done} of {total}")
        guards = yield from self._waited(result_of(self.client, Call(worker.guards, (measured.last,))), ledger)
        return guards, given_now

    def record(self) -> dict[str, Any]:
        """How many workers there were at most."""
        return {"workers": self._most}

    def _calls(self, left: Sequence[Unit], measured: _Measured) -> Iterator[Call]:
        for unit in left:
            yield Call(worker.work, (self._given, unit, measured.of(unit.number)), unit)

    def _measure(self, plan: Plan, number: int) -> Any:
        """What a pass needs, or the promise of it."""
        if not plan.guarded and plan.model.companions == "none":
            return OnPlane()
        return self.client.submit(worker.measure, self._given, number, pure=False, retries=1)

    def _waited(self, steps: Generator[None, None, Any], ledger: Ledger) -> Generator[Progress, None, Any]:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            self._touch(ledger)
            yield Progress(0, 1, MEASURING)

    def _touch(self, ledger: Ledger) -> None:
        """Show other machines that this run is alive."""
        if time.monotonic() - self._touched > FRESH and (ledger.folder / NAME).is_file():
            os.utime(ledger.folder / NAME)
            self._touched = time.monotonic()


class _Measured:
    """What was measured on each pass, asked for one pass ahead and forgotten when it is done."""

    def __init__(self, measure: Callable[[int], Any], numbers: Sequence[int], last: int) -> None:
        self._measure, self._last = measure, last
        self._numbers = list(dict.fromkeys([*numbers, last]))
        self._known: dict[int, Any] = {}

    def of(self, number: int) -> Any:
        """That of a pass."""
        at = self._numbers.index(number)
        wanted = self._numbers[at : at + 2]
        self._known = {one: self._known.get(one) or self._measure(one) for one in wanted}
        return self._known[number]

    @property
    def last(self) -> Any:
        """That of the last pass."""
        return self._known.get(self._last) or self._measure(self._last)


def _known(ledger: Ledger) -> worker.Survey | None:
    """What an earlier run has found out, if it has begun."""
    if not ledger.has_begun:
        return None
    return worker.Survey(
        measured=dict(ledger.measured),
        computes=ledger.head["computes"],
        notes=dict(ledger.head.get("notes", {})),
        weights=ledger.head["model"]["its weights"],
        side=ledger.begun,
        network=ledger.begun_network,
        batch=int(ledger.head["batch"]),
    )
