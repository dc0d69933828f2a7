"""How much memory there is, and how to keep what the process has of it."""

from __future__ import annotations

import ctypes
import platform
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from napari_hush.cgroups import ROOT, control_groups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


FILES = {  # limit, use, and where in the statistics the cached files are, by version
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
LEAN = 4 << 20  # bytes: with less, page faults cost more than they spare
NO_LIMIT = 1 << 60  # bytes; version 1 of cgroups says a number near 2**63 where there is none


def free_memory(device: str, root: Path = ROOT) -> int:
    """Bytes that a run may plan with on a device.

    Parameters
    ----------
    device : str
        ``"cuda"`` or ``"cuda:1"``, or any that has the machine's own memory.
    root : Path
        Where the system's files are.
    """
    if device.startswith("cuda"):
        import torch  # slow to load, and not needed for the rest

        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    return max(min([free, *_rooms_of_cgroups(root)]), 0)


def _rooms_of_cgroups(root: Path) -> Iterator[int]:
    """What the limits of a container or of a cluster's job leave: of this process's cgroup and of all above it."""
    for version, group in control_groups("memory", root):
        if (room := _room(group, *FILES[version])) is not None:
            yield room


def _room(group: Path, limit: str, used: str, cache: str) -> int | None:
    """What is left in one cgroup, where it has a limit; files that it has read are not in the way."""
    try:
        most, taken = int((group / limit).read_text()), int((group / used).read_text())
    except (OSError, ValueError):  # not there, or no limit ("max")
        return None
    if most >= NO_LIMIT:
        return None
    try:
        stat = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
        taken -= min(int(stat.get(cache, 0)), taken)
    except (OSError, ValueError):
        return most - taken
    return most - taken


def kept_arena() -> AbstractContextManager[None]:
    """Let glibc keep large freed blocks during a run, instead of paying a page fault for each of them again."""
    return _thresholds(1 << 30, (1 << 31) - 1)


def lean_arena() -> AbstractContextManager[None]:
    """Let glibc return large freed blocks at once during a run: by itself it keeps up to 64 MB for each thread."""
    return _thresholds(LEAN, 2 * LEAN)


@contextmanager
def _thresholds(mmap: int, trim: int) -> Iterator[None]:
    """From how many bytes on a block is mapped by itself, and how many free ones are kept.

    Linux with glibc alone; elsewhere nothing happens. At the end the thresholds go to where glibc's own, growing ones
    end up in a process that handles images (32 and 64 MB): it offers no way back to growing by itself.
    """
    if not (sys.platform == "linux" and platform.libc_ver()[0] == "glibc"):
        yield
        return
    libc = ctypes.CDLL(None)
    of_mmap, of_trim = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of <malloc.h>
    libc.mallopt(of_mmap, mmap)
    libc.mallopt(of_trim, trim)
    try:
        yield
    finally:
        libc.mallopt(of_mmap, 32 << 20)
        libc.mallopt(of_trim, 64 << 20)
        libc.malloc_trim(0)


def give_back() -> None:
    """Return what was freed to the system, where glibc keeps it for later: it counts as used until then."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
