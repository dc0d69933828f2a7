"""How many threads an engine computes with: as many as torch would, without loading it for the answer."""

from __future__ import annotations

import os
import sys
from functools import cache
from math import ceil
from pathlib import Path

import psutil

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # what torch obeys; the first that is set counts
CGROUPS = Path("/sys/fs/cgroup")


def thread_count() -> int:
    """The number of threads for one engine of this process.

    What was set in torch counts where torch is loaded, then ``OMP_NUM_THREADS`` and ``MKL_NUM_THREADS``; else it is the
    number of cores, of those that the process may use and that its container pays for.
    """
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    for name in VARIABLES:
        first = os.environ.get(name, "").partition(",")[0].strip()  # a list has a number for each level of nesting
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return _cores()


@cache
def _cores() -> int:
    counts = [psutil.cpu_count(logical=False) or os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    if (quota := _quota()) is not None:
        counts.append(quota)
    return max(min(counts), 1)


def _quota() -> int | None:
    """The processors that the control groups of a container or a cluster's job allow, rounded up; None for no limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text("ascii").splitlines()
        inner = next(line.partition("::")[2] for line in lines if line.startswith("0::")).strip("/")
    except (OSError, ValueError, StopIteration):  # not Linux, or groups of version 1 alone
        inner = ""
    group = CGROUPS / inner
    found = []
    for folder in (group, *group.parents):
        if folder == CGROUPS.parent:
            break
        try:
            share, period = (folder / "cpu.max").read_text("ascii").split()
            found.append(ceil(int(share) / int(period)))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return min(found, default=None)
