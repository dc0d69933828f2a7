"""What a worker does of a denoising: it opens image, model and output once, and then one piece after the other."""

from __future__ import annotations

import threading
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.inference.ledger import Ledger, weights_sha256
from napari_hush.inference.loaded import LoadedModels
from napari_hush.inference.planes import Planes
from napari_hush.inference.planning import plan_steps
from napari_hush.inference.units import check_apart, computed
from napari_hush.io.fingerprint import changes, fingerprint
from napari_hush.io.formats.zarr_write import ARRAY, open_zarr
from napari_hush.progress import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_hush.inference.guards.guard import Guard
    from napari_hush.inference.guards.strict import StrictGuard
    from napari_hush.inference.ledger import Side
    from napari_hush.inference.plan import OnPlane, Plan
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.inference.tiles.runner import TileRunner
    from napari_hush.inference.units import Part, Unit


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run, told so that another process can do a piece of it.

    Parameters
    ----------
    key : str
        Tells it from other runs.
    version : str
        Of this program.
    source : str or Path
        The input, as `fingerprint` takes it.
    before : dict
        Its fingerprint when the run began.
    open : callable
        Gives the image array; a function of a module, and what it is called with.
    model : str
        A bundled name, or a file.
    settings : DenoiseSettings
        As given.
    channel_axis : int or None
        As of `denoise`.
    folder : Path
        Where what is unfinished lies.
    """

    key: str
    version: str
    source: str | Path
    before: dict[str, Any]
    open: Callable[[], Any]
    model: str
    settings: DenoiseSettings
    channel_axis: int | None
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one worker has found out, and all others take over.

    Parameters
    ----------
    measured : dict
        As the ledger keeps it.
    computes : dict
        Engine, device and precision.
    notes : dict
        What else the history says of the engine.
    weights : str
        The SHA-256 of all that computes.
    side : (int, int) or None
        Of a tile, px.
    network : (int, int) or None
        Of what one pass of the network gives, px.
    batch : int
        Tiles at once.
    warnings : tuple of str
        What was said meanwhile.
    """

    measured: dict[str, Any]
    computes: dict[str, Any]
    notes: dict[str, Any]
    weights: str
    side: Side
    network: Side
    batch: int
    warnings: tuple[str, ...] = ()


@dataclass
class _Opened:
    """A run in this process."""

    key: str
    plan: Plan
    runner: TileRunner
    target: Planes
    stack: ExitStack


@dataclass
class _Process:
    """What this process keeps from one piece to the next."""

    lock: threading.RLock = field(default_factory=threading.RLock)  # an engine has all threads of a worker
    loaded: dict[DenoiseSettings, LoadedModels] = field(default_factory=dict)
    opened: _Opened | None = None


_process = _Process()


def survey(job: Job, measured: dict[str, Any]) -> Survey:
    """Measure what all workers need, and choose what computes.

    Parameters
    ----------
    job : Job
        The run.
    measured : dict
        What an earlier run has measured.
    """
    with _process.lock, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        ledger = Ledger(job.folder, BytesIO(), measured=dict(measured))
        plan = drain(_planned(job, job.settings, ledger))
        check_apart(plan)
        empty = np.broadcast_to(np.float32(0), plan.shape)
        runner = plan.runner(Planes(empty, plan.source.channel_axis), job.folder)
        runner.close()
        computes = ledger.head["computes"]
        _process.loaded[replace(job.settings, **computes)] = _process.loaded[job.settings]
        return Survey(
            measured=ledger.measured,
            computes=computes,
            notes=dict(plan.engine.notes),
            weights=weights_sha256(plan.model),
            side=runner.side,
            network=runner.network_side,
            batch=runner.batch,
            warnings=tuple(str(one.message) for one in said if issubclass(one.category, UserWarning)),
        )


Given = tuple["Job", "Survey"]


def given(job: Job, found: Survey) -> Given:
    """Keep a run on the cluster, so that it travels to each worker once."""
    return job, found


def measure(run: Given, number: int) -> OnPlane:
    """Measure what the pieces of a pass need."""
    with _process.lock:
        plan = _open(*run).plan
        return plan.measure(plan.passes[number])


def guards(on_plane: OnPlane) -> tuple[Guard | StrictGuard, ...]:
    """What the history says of a pass."""
    return on_plane.guards


def work(run: Given, unit: Unit, on_plane: OnPlane) -> tuple[int, list[Part]]:
    """Do a piece, see `computed`: pixels that were given back, and what is to be stored."""
    job, found = run
    with _process.lock:
        here = _open(job, found)
        if not (job.folder / ARRAY / "zarr.json").is_file():  # finished or thrown away by others: make nothing anew
            raise InputError(f"{job.folder}: the unfinished output is not there any more; run the command again")
        given_back, parts = 0, []
        for _, given, some in computed(here.plan, here.runner, here.target, unit, on_plane):
            given_back += given
            parts += some
        return given_back, parts


@contextmanager
def alone() -> Iterator[None]:
    """One piece of work at a time in this process, whose engines take all of its threads."""
    with _process.lock:
        yield


def loaded_models(settings: DenoiseSettings) -> LoadedModels:
    """The models of this process, loaded once for all runs with these settings."""
    if settings not in _process.loaded:
        use_threads()
        _process.loaded[settings] = LoadedModels(settings, many=True)
    return _process.loaded[settings]


def use_threads() -> None:
    """Compute with as many threads as this worker has: Dask keeps the libraries of its processes to one."""
    import torch
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # not on a worker
        return
    if worker.nanny is not None:  # else the process is somebody else's as well
        torch.set_num_threads(worker.state.nthreads)


def close() -> None:
    """Give back what this process keeps."""
    with _process.lock:
        if _process.opened is not None:
            _process.opened.stack.close()
            _process.opened = None
        for loaded in set(_process.loaded.values()):
            loaded.__exit__()
        _process.loaded.clear()


def _open(job: Job, found: Survey) -> _Opened:
    """The run in this process, opened when its first piece comes."""
    if _process.opened is not None and _process.opened.key == job.key:
        return _process.opened
    if _process.opened is not None:
        _process.opened.stack.close()
        _process.opened = None
    settings = replace(job.settings, **found.computes)  # the same on all workers, or refused with the reason
    head = {"side": found.side, "network": found.network, "batch": found.batch}
    ledger = Ledger(job.folder, BytesIO(), head=head, measured=dict(found.measured))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # told by the survey
        plan = drain(_planned(job, settings, ledger))
    if (weights := weights_sha256(plan.model)) != found.weights:
        raise InputError(
            f"{job.model}: another model is on this worker, its weights have the SHA-256 {weights[:12]}..., expected "
            f"{found.weights[:12]}...: give all workers the same file and version"
        )
    stack = ExitStack()
    stack.enter_context(plan.arena())
    target = Planes(open_zarr(job.folder / ARRAY), plan.source.channel_axis, plan.source.levels)
    runner = plan.runner(target, job.folder)
    stack.callback(runner.close)
    _process.opened = _Opened(job.key, plan, runner, target, stack)
    return _process.opened


def _planned(job: Job, settings: DenoiseSettings, ledger: Ledger) -> Any:
    """The plan of a run, whose image is what it was."""
    if job.version != version("napari-hush"):
        raise InputError(
            f"a worker has napari-hush {version('napari-hush')}, expected {job.version}: install the same everywhere"
        )
    try:
        other = changes(job.before, fingerprint(job.source))
    except FileNotFoundError as error:
        raise InputError(
            f"{job.source}: not found by a worker; a cluster needs a file system that all its machines share, under "
            "the same names"
        ) from error
    if other:
        raise InputError(f"{job.source}: a worker finds another file: {'; '.join(other)}")
    image, loaded = job.open(), loaded_models(settings)
    return plan_steps(image, job.model, settings, loaded, channel_axis=job.channel_axis, ledger=ledger)
