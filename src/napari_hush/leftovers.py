"""Hidden names of unfinished files that tell whose they are, and the removal of those whose process is dead."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def _machine() -> str:
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{zlib.crc32(f'{socket.gethostname()} {space}'.encode()):08x}"


MACHINE = _machine()  # or the container: process numbers mean something in it alone
CLOCK = 2.0  # s by which the clocks of a file system and of the machine may differ
_OWNER = re.compile(r"\.([0-9a-f]{8})-(\d+)-([0-9a-f]{8})\.(?:part|old)$")
_made: set[str] = set()  # of this process: another one may have had its number before


def beside(path: Path, suffix: str) -> Path:
    """A hidden name in the folder of ``path`` that nothing has; nothing is made yet.

    Whoever makes it knows the name before, so that Ctrl-C while it is being made leaves nothing behind. (`mkstemp`
    makes first and tells afterwards.) The name holds the machine and the process, so that `sweep` can tell whether what
    has it is still wanted.
    """
    while True:
        word = secrets.token_hex(4)
        name = path.with_name(f".{path.name}.{MACHINE}-{os.getpid()}-{word}{suffix}")
        if not os.path.lexists(name):
            _made.add(word)
            return name


def sweep(folder: Path, *names: str, alone: bool = False) -> None:
    """Remove what dead processes of this machine left under names of `beside`; what made room for a new one comes back.

    Parameters
    ----------
    folder : Path
        Where to look; a folder that is missing has nothing.
    *names : str
        The files that were being written; all if none is named.
    alone : bool
        Whether nobody else writes there, because of a lock: then it does not matter which process it was.
    """
    try:
        entries = [entry.name for entry in os.scandir(folder) if entry.name.startswith(".")]
    except OSError:  # missing or not to be read: whoever writes there is told so
        return
    for entry in entries:
        found = _OWNER.search(entry)
        if found is None or (names and entry[1 : found.start()] not in names):
            continue
        host, process, word = found.groups()
        path = folder / entry
        if word in _made:
            continue
        if alone or (host == MACHINE and not is_alive(int(process), _touched(path))):
            whole = folder / entry[1 : found.start()]
            if entry.endswith(".old") and not os.path.lexists(whole):
                os.replace(path, whole)  # killed after this had made room, before the new one had the name
            else:
                remove(path)


def is_alive(process: int, since: float) -> bool:
    """Whether a process of this machine that wrote something at the time ``since`` still runs.

    A younger one has only its number. This process is another one than that of the same number which left something.
    """
    import psutil

    if process == os.getpid():
        return False
    try:
        return bool(psutil.Process(process).create_time() <= since + CLOCK)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it is there, and nobody may look at it
        return True


def remove(path: Path) -> None:
    """Remove a file or a folder, or what can be removed of it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a leftover that cannot be removed harms nobody
        return


def _touched(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return float("inf")
