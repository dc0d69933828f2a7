"""``--cluster``: a scheduler that runs already, jobs of SLURM, or processes of this machine."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.cluster.slurm import read_slurm
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distributed import Client

EXPECTED = "expected tcp://HOST:PORT of a scheduler, a settings file for SLURM (.toml), or local:N"
ANSWER = 30  # s for a scheduler to answer
LOSSES = 1000  # of workers before the scheduler gives a piece of work up; a limit of our own is lower
NO_DASHBOARD: dict[str, Any] = {"dashboard": False, "dashboard_address": ":0"}  # its usual port may be taken
LOCAL = re.compile(r"local(?::(\d+))?")
QUIET = ("distributed.core", "distributed.nanny", "distributed.scheduler", "distributed.worker", "distributed.client")


@contextmanager
def connected(place: str, *, gpus: bool = True) -> Iterator[Client]:
    """Connect to a cluster; what is started for it is stopped at the end.

    Parameters
    ----------
    place : str
        ``tcp://HOST:PORT`` (or ``tls://``), ``NAME.toml``, ``local:N``.
    gpus : bool
        Whether each worker of this machine gets a GPU, where there are some.

    Raises
    ------
    InputError
        If it is none of these, its extra is missing, or nobody answers there.
    """
    kind = _kind(place)
    _require("distributed", *(["dask_jobqueue"] if kind == "slurm" else []))
    import dask
    from distributed import Client

    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": LOSSES}))
        address: Any = place
        if kind == "local":
            address = stack.enter_context(local_cluster(_count(place), visible_gpus() if gpus else ()))
        elif kind == "slurm":
            address = stack.enter_context(slurm_cluster(Path(place)))
        try:
            client = Client(address, timeout=ANSWER, set_as_default=False)
        except (OSError, TimeoutError, ValueError, TypeError) as error:  # the last of TLS that is not set up
            raise InputError(
                f"{place}: no scheduler answers there ({error}); start one with 'dask scheduler', or take the address "
                "that it prints"
            ) from error
        stack.callback(client.close, timeout=5)
        if kind == "slurm":
            from napari_hush.cluster.own_gpu import OwnGpu

            client.register_plugin(OwnGpu())
        yield client


@contextmanager
def local_cluster(count: int, gpus: Sequence[str] = (), *, threads: int | None = None) -> Iterator[Any]:
    """Worker processes of this machine, which share its cores; of its GPUs each has one to itself.

    Parameters
    ----------
    count : int
        How many.
    gpus : sequence of str
        Of this machine, as CUDA_VISIBLE_DEVICES names them.
    threads : int, optional
        Of each worker; its share of the cores if not given.

    Raises
    ------
    InputError
        If there are more workers than GPUs.
    """
    from distributed import Nanny, Scheduler, SpecCluster

    if gpus and count > len(gpus):
        raise InputError(
            f"local:{count}: this machine has {len(gpus)} GPU{'s' * (len(gpus) > 1)}, one for each worker: take "
            f"local:{len(gpus)}, or --device cpu"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = {}
    for number in range(count):
        options: dict[str, Any] = {"nthreads": threads or max(cores // count, 1), "memory_limit": 0, "dashboard": False}
        options |= {"silence_logs": logging.CRITICAL}
        if gpus:
            options["env"] = {"CUDA_VISIBLE_DEVICES": gpus[number]}
        workers[number] = {"cls": Nanny, "options": options}
    scheduler = {"cls": Scheduler, "options": {**NO_DASHBOARD, "host": "127.0.0.1"}}
    with SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL) as cluster:
        yield cluster


@contextmanager
def slurm_cluster(path: Path) -> Iterator[Any]:
    """Jobs of SLURM as a settings file says; one that ends is asked for again."""
    from dask_jobqueue import SLURMCluster

    settings = read_slurm(path)
    with SLURMCluster(**settings.options, scheduler_options=NO_DASHBOARD) as cluster:
        cluster.adapt(minimum_jobs=settings.jobs, maximum_jobs=settings.jobs)
        yield cluster


def visible_gpus() -> list[str]:
    """The GPUs of this machine that CUDA would use."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [one.strip() for one in named.split(",") if one.strip() not in ("", "-1")]
    return [str(number) for number in range(torch.cuda.device_count())]


def check_place(place: str) -> None:
    """Refuse what is no cluster, before any work."""
    kind = _kind(place)
    _require("distributed", *(["dask_jobqueue"] if kind == "slurm" else []))
    if kind == "slurm":
        read_slurm(Path(place))
    if kind == "local":
        _count(place)


def _kind(place: str) -> str:
    if re.fullmatch(r"(tcp|tls|ws|wss)://[^/]+:\d{1,5}", place):
        return "scheduler"
    if LOCAL.fullmatch(place):
        return "local"
    if place.lower().endswith(".toml"):
        return "slurm"
    raise InputError(f"--cluster {place}: {EXPECTED}")


def _count(place: str) -> int:
    found = LOCAL.fullmatch(place)
    count = int(found[1]) if found is not None and found[1] else 1
    if not 1 <= count <= 1024:
        raise InputError(f"--cluster {place}: expected 1 to 1024 workers")
    return count


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f'{" and ".join(missing)} not installed: pip install "napari-hush[cluster]"')


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask says of every lost worker off the screen: who waits for the result is told what matters."""
    loggers = [logging.getLogger(name) for name in QUIET]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)
