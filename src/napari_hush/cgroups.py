"""The control groups of Linux in which a process runs: what a container, or a job of a cluster, is allowed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path("/")


def control_groups(controller: Literal["cpu", "memory"], root: Path | None = None) -> Iterator[tuple[int, Path]]:
    """The folders of this process's group and of all around it, each with the version of its files, 1 or 2.

    Parameters
    ----------
    controller : {"cpu", "memory"}
        What the groups limit.
    root : Path, optional
        Where the system's files are.
    """
    root = root or ROOT
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            version, base = 2, root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, base = 1, root / "sys/fs/cgroup" / controller
        else:
            continue
        inner = PurePosixPath("/", path).relative_to("/")
        for group in (inner, *inner.parents):  # what a container does not show of the path is not there
            if ".." not in group.parts:
                yield version, base / group
