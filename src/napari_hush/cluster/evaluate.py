"""Evaluate a stack with the workers of a cluster, or in the shards of a job array: plane by plane."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_hush.cluster.shards import Waiting
from napari_hush.cluster.tasks import Call, result_of, results, threads, wait_for_workers
from napari_hush.errors import InputError
from napari_hush.fidelity.findings import Finding
from napari_hush.fidelity.stacks import PlaneResult, evaluate_steps, in_series, is_worse, name
from napari_hush.files import atomic_write
from napari_hush.inference.owners import FolderLock
from napari_hush.leftovers import remove
from napari_hush.progress import Progress, drain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from distributed import Client

    from napari_hush.cluster.shards import Shard
    from napari_hush.fidelity.settings import EvaluationSettings
    from napari_hush.fidelity.stacks import Evaluation, Index

PIECES = 3  # for each thread of the workers
HEAD = "head.json"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What is evaluated, told so that another process can do a part of it.

    Parameters
    ----------
    open : callable
        Gives the arrays by their role: noisy, denoised and perhaps truth and repeats; a function of a module, and what
        it is called with.
    settings : EvaluationSettings
        What the checks cannot find in the images.
    channel_axis : int or None
        As of `evaluate_steps`.
    pixel_size : float or None
        Nm.
    """

    open: Callable[[], dict[str, Any]]
    settings: EvaluationSettings
    channel_axis: int | None
    pixel_size: float | None

    def steps(
        self,
        indices: Sequence[Index],
        *,
        repeats: bool = False,
        tell: Callable[[PlaneResult], object] | None = None,
    ) -> Generator[Progress, None, Evaluation]:
        """Evaluate some planes: each has the figures that it has among all."""
        images = self.open()
        return evaluate_steps(
            images["noisy"],
            images["denoised"],
            images.get("truth"),
            self.settings,
            channel_axis=self.channel_axis,
            planes=indices,
            pixel_size=self.pixel_size,
            repeats=images.get("repeats") if repeats else None,
            follow=True,
            tell=tell,
        )


def evaluate_on(client: Client, compared: Compared, indices: Sequence[Index]) -> Generator[Progress, None, Evaluation]:
    """As `evaluate_steps` of all planes, by the workers of a cluster."""
    for seconds in wait_for_workers(client):
        yield Progress(0, len(indices), f"waiting for workers, {seconds:.0f} s")
    ordered = in_series(indices)
    size = max(len(ordered) // (PIECES * max(threads(client), 1)), 1)
    pieces = [ordered[at : at + size] for at in range(0, len(ordered), size)]
    found: dict[Index, PlaneResult] = {}
    for ended in results(client, [Call(judge_planes, (compared, piece)) for piece in pieces]):
        if ended is not None:
            found |= {one.index: one for one in ended[1]}
        yield Progress(len(found), len(indices), f"plane {len(found)} of {len(indices)}")
    steps = result_of(client, Call(judge_worst, (compared, _worst(ordered, found))))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return _with_all(end.value, indices, found)
        yield Progress(len(found), len(indices), "the worst plane")


def judge_planes(compared: Compared, indices: Sequence[Index]) -> list[PlaneResult]:
    """Judge some planes on a worker."""
    return list(drain(compared.steps(indices)).planes)


def judge_worst(compared: Compared, index: Index) -> Evaluation:
    """Judge the plane whose evidence is shown."""
    return drain(compared.steps([index], repeats=True))


@dataclass
class EvaluationShard:
    """One shard of an evaluation, which leaves what it finds in a folder that all shards see.

    Parameters
    ----------
    shard : Shard
        Which.
    compared : Compared
        What is evaluated.
    indices : sequence of tuple of int
        All planes.
    folder : Path
        Where a file for each plane is kept until all are there and the outputs are written.
    facts : dict
        What must be the same in all shards: JSON-able.
    """

    shard: Shard
    compared: Compared
    indices: Sequence[Index]
    folder: Path
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        self._lock = FolderLock(self.folder)

    def steps(self) -> Generator[Progress, None, Evaluation | Waiting]:
        """Judge the planes of this shard that nobody has judged; the evaluation where those of all are.

        Who gets that holds a lock until `close`.

        Raises
        ------
        InputError
            As of `evaluate_steps`; or if the others were asked for something else, or have finished meanwhile.
        """
        self.folder.mkdir(exist_ok=True)
        with self._lock.held():
            self._join()
        ordered = in_series(self.indices)
        own = self.shard.share(ordered)
        if left := [index for index in own if not self._file(index).is_file()]:
            yield from self.compared.steps(left, tell=self._keep)
        try:
            yield from (Progress(0, 1, "waiting for another shard") for _ in self._lock.wait())
        except FileNotFoundError as error:
            raise InputError(f"shard {self.shard}: another one has ended last, and written the outputs") from error
        missing = {index for index in ordered if not self._file(index).is_file()}
        if missing:
            self._lock.release()
            return Waiting(len(own), tuple(one for one in self.shard.all if missing & set(one.share(ordered))))
        known = {index: _from_json(json.loads(self._file(index).read_bytes())) for index in ordered}
        worst = yield from self.compared.steps([_worst(ordered, known)], repeats=True)
        return _with_all(worst, self.indices, known)

    def close(self, *, written: bool) -> None:
        """Remove the folder where the outputs are written, and let others in."""
        if written:
            remove(self.folder)
        self._lock.release()

    def _join(self) -> None:
        """Say what is evaluated, or compare with what the first has said."""
        facts = json.loads(json.dumps(self.facts | {"shards": self.shard.count}))
        head = self.folder / HEAD
        if not head.is_file():
            atomic_write(head, json.dumps(facts).encode())
            return
        there = json.loads(head.read_bytes())
        other = [key for key, value in facts.items() if there.get(key) != value]
        if other:
            raise InputError(
                f"{self.folder}: the shards there were asked for something else ({', '.join(other)} differ): give this "
                "one what they had, or remove the folder"
            )

    def _keep(self, plane: PlaneResult) -> None:
        atomic_write(self._file(plane.index), json.dumps(_as_json(plane)).encode())

    def _file(self, index: Index) -> Path:
        return self.folder / f"plane-{name(index).replace('/', '-')}.json"


def _worst(ordered: Sequence[Index], found: dict[Index, PlaneResult]) -> Index:
    worst = found[ordered[0]]
    for index in ordered[1:]:
        if is_worse(found[index], worst):
            worst = found[index]
    return worst.index


def _with_all(worst: Evaluation, indices: Sequence[Index], found: dict[Index, PlaneResult]) -> Evaluation:
    """The evaluation of all planes, out of that of the worst."""
    return replace(worst, planes=tuple(found[index] for index in indices), worst=found[worst.worst.index])


def _as_json(plane: PlaneResult) -> dict[str, Any]:
    return {"index": plane.index, "verdict": plane.verdict, "findings": [asdict(one) for one in plane.findings]}


def _from_json(table: dict[str, Any]) -> PlaneResult:
    findings = tuple(Finding(**{**one, "limits": tuple(one["limits"])}) for one in table["findings"])
    return PlaneResult(index=tuple(table["index"]), findings=findings, verdict=table["verdict"])
