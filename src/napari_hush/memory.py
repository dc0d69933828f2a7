"""How much memory there is, and how to keep what the process has of it."""

from __future__ import annotations

import ctypes
import platform
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_memory(device: str) -> int:
    """Bytes that a run may plan with on a device."""
    if device == "cuda":
        import torch  # slow to load, and not needed for the rest

        return int(torch.cuda.mem_get_info()[0])
    free = int(psutil.virtual_memory().available)
    try:  # a cluster's job may have less than the machine
        with open("/sys/fs/cgroup/memory.max") as limit, open("/sys/fs/cgroup/memory.current") as used:
            free = min(free, int(limit.read()) - int(used.read()))
    except (OSError, ValueError):  # no cgroup, or no limit ("max")
        return free
    return max(free, 0)


@contextmanager
def kept_arena() -> Iterator[None]:
    """Let glibc keep large freed blocks during a run, instead of paying a page fault for each of them again.

    Linux with glibc alone; elsewhere nothing happens. At the end the thresholds go to where glibc's own, growing ones
    end up in a process that handles images (32 and 64 MB): it offers no way back to growing by itself.
    """
    if not (sys.platform == "linux" and platform.libc_ver()[0] == "glibc"):
        yield
        return
    libc = ctypes.CDLL(None)
    trim, mmap = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of <malloc.h>
    libc.mallopt(mmap, 1 << 30)
    libc.mallopt(trim, (1 << 31) - 1)
    try:
        yield
    finally:
        libc.mallopt(mmap, 32 << 20)
        libc.mallopt(trim, 64 << 20)
        libc.malloc_trim(0)


def give_back() -> None:
    """Return what was freed to the system, where glibc keeps it for later: it counts as used until then."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
