"""The settings file of a SLURM cluster: what each job asks for, and how many there are."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

from napari_hush.declare import Bounds, check_fields
from napari_hush.errors import InputError
from napari_hush.files import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MEMORY = re.compile(r"\d+(\.\d+)? ?([KMGT]i?B?)", re.IGNORECASE)
WALLTIME = re.compile(r"(\d+-)?\d{1,3}(:\d{2}){0,2}")
LINES = ("directives", "environment", "worker_options")


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """What the jobs of a SLURM cluster are.

    Parameters
    ----------
    cores : int
        Of a job: its worker computes with so many threads.
    memory : str
        Of a job, such as "32GB".
    jobs : int
        How many jobs are asked for; the work begins with the first one that runs.
    gpus : int
        Of a job; each of them gets a worker of its own, and the cores are shared out.
    queue, account : str
        Partition and account; empty: the cluster's own.
    walltime : str
        Of a job, as SLURM takes it: "04:00:00", "1-12:00:00".
    directives : tuple of str
        Further lines of the head without ``#SBATCH``, such as "--constraint=a100".
    environment : tuple of str
        Lines of shell before the worker starts, such as "module load cuda".
    worker_options : tuple of str
        Further options of ``dask worker``.
    python : str
        The Python of the workers; empty: the one that runs the command.
    interface : str
        The network between the machines, such as "ib0"; empty: the first that there is.
    log_directory : str
        Where SLURM writes what the workers say; empty: the folder where the command runs.
    local_directory : str
        Where workers may leave what they need for a while, on the machine's own disk.
    """

    cores: Annotated[int, Bounds(1, 4096)]
    memory: str
    jobs: Annotated[int, Bounds(1, 100_000)] = 1
    gpus: Annotated[int, Bounds(0, 64)] = 0
    queue: str = ""
    account: str = ""
    walltime: str = "01:00:00"
    directives: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    worker_options: tuple[str, ...] = ()
    python: str = ""
    interface: str = ""
    log_directory: str = ""
    local_directory: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in LINES:
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(one, str) for one in value):
                raise InputError(f"{name} must be a list of texts, got {value!r}")
        for one in fields(self):
            value = getattr(self, one.name)
            if any("\n" in line or "\r" in line for line in (value if isinstance(value, tuple) else [str(value)])):
                raise InputError(f"{one.name} must have no line breaks, got {value!r}: give a list of lines")
        if not MEMORY.fullmatch(self.memory):
            raise InputError(f"memory must be a number and a unit, such as '32GB', got {self.memory!r}")
        if not WALLTIME.fullmatch(self.walltime):
            raise InputError(f"walltime must be hours, minutes and seconds, such as '04:00:00', got {self.walltime!r}")
        if self.gpus > self.cores:
            raise InputError(f"gpus = {self.gpus}, cores = {self.cores}: each GPU has a worker, which needs a core")

    @property
    def options(self) -> dict[str, Any]:
        """What `dask_jobqueue.SLURMCluster` is called with."""
        extra = [f"--gres=gpu:{self.gpus}"] if self.gpus else []
        named = {"queue": self.queue, "account": self.account, "python": self.python, "interface": self.interface}
        named |= {"log_directory": self.log_directory, "local_directory": self.local_directory}
        return {name: value for name, value in named.items() if value} | {
            "cores": self.cores,
            "memory": self.memory,
            "processes": max(self.gpus, 1),
            "walltime": self.walltime,
            "job_name": "napari-hush",
            "job_extra_directives": [*extra, *self.directives],
            "job_script_prologue": list(self.environment),
            "worker_extra_args": list(self.worker_options),
        }


def read_slurm(path: Path) -> SlurmSettings:
    """Read a settings file.

    Raises
    ------
    InputError
        If it is missing or no TOML, lacks cores or memory, or holds an unknown name or a value that makes no sense.
    """
    table = read_toml(path)
    try:
        return slurm_settings(table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def slurm_settings(table: Mapping[str, Any]) -> SlurmSettings:
    """The settings of a mapping.

    Examples
    --------
    >>> slurm_settings({"cores": 8, "memory": "32GB", "directives": ["--exclusive"]}).options["job_extra_directives"]
    ['--exclusive']
    """
    known = [one.name for one in fields(SlurmSettings)]
    for name in table:
        if name not in known:
            raise InputError(f"unknown name {name!r}; known are {', '.join(known)}")
    for name in ("cores", "memory"):
        if name not in table:
            raise InputError(f"{name} is missing: expected at least cores and memory of a job")
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in table.items()}
    return SlurmSettings(**values)
