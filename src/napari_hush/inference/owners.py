"""Who writes to a file or a folder that several processes and machines see, and whether that one is alive.

Not by the locks of the system alone: many network file systems have none.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from napari_hush.leftovers import MACHINE, is_alive

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

QUIET = 600.0  # s without a sign after which a run on another machine counts as dead
POLL = 0.05  # s between two looks at a lock that others hold
HALF = 30.0  # s after which a lock without a name counts as left by one that was killed while it made it
LOCK = re.compile(r"lock-(\d+)$")


def signature() -> dict[str, Any]:
    """Name this process."""
    return {"machine": MACHINE, "process": os.getpid()}


def writer_of(file: BinaryIO) -> str:
    """Who writes to a ledger, for a person; empty where nobody does who is alive."""
    owner = _owner(file)
    if owner is None:
        return ""
    if not _is_alive(owner, os.fstat(file.fileno()).st_mtime):
        return ""
    return f"process {owner.get('process')}" + (" of another machine" if owner.get("machine") != MACHINE else "")


@dataclass
class FolderLock:
    """A lock in a folder: the file ``lock-N`` of whoever could make it, until that one removes it or is dead.

    Whoever finds a dead one's makes the next number, which one alone can, and removes the old one.

    Parameters
    ----------
    folder : Path
        Where it lies.
    path : Path or None
        The file, while it is held.
    """

    folder: Path
    path: Path | None = None
    _released: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> Generator[float, None, None]:
        """Get it; yields the seconds that were waited for it so far.

        Raises
        ------
        FileNotFoundError
            If the folder is gone.
        """
        begin = time.monotonic()
        while not self._get():
            yield time.monotonic() - begin
            time.sleep(POLL * (1 + random.random()))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it in a block."""
        with closing(self.wait()) as waiting:
            for _ in waiting:
                pass
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Give it back."""
        if self.path is not None:
            self._released.set()
            self.path.unlink(missing_ok=True)
            self.path = None

    def _show_life(self, path: Path, released: threading.Event) -> None:
        """Let other machines see that whoever holds it is alive, whatever that one is busy with."""
        while not released.wait(QUIET / 10):
            with suppress(OSError):
                os.utime(path)

    def _get(self) -> bool:
        there = self._there()
        top = max(there, default=None)
        if top is not None and not _is_dead(there[top]):
            return False
        mine = self.folder / f"lock-{0 if top is None else top + 1}"
        try:
            with mine.open("x") as file:
                file.write(json.dumps(signature()))
        except FileExistsError:
            return False
        dead = set() if top is None else {there[top]}
        if set(self._there().values()) - dead - {mine}:  # another one saw less, or more, and made its own
            mine.unlink(missing_ok=True)
            return False
        for path in dead:
            path.unlink(missing_ok=True)
        self.path, self._released = mine, threading.Event()
        threading.Thread(target=self._show_life, args=(mine, self._released), daemon=True).start()
        return True

    def _there(self) -> dict[int, Path]:
        found = {path: LOCK.match(path.name) for path in self.folder.iterdir()}
        return {int(number[1]): path for path, number in found.items() if number}


def _is_dead(lock: Path) -> bool:
    try:
        written, text = lock.stat().st_mtime, lock.read_text("ascii")
    except FileNotFoundError:  # given back: the next look shows who has it
        return False
    try:
        owner = json.loads(text)
    except ValueError:  # its owner was killed before it had written, or writes just now
        return time.time() - written > HALF
    return not (owner == signature() or _is_alive(owner, written))


def _is_alive(owner: dict[str, Any], written: float) -> bool:
    if owner.get("machine") != MACHINE:
        return time.time() - written < QUIET
    return is_alive(int(owner.get("process", 0)), written)


def _owner(file: BinaryIO) -> dict[str, Any] | None:
    """Who writes to a ledger, as its last line about that says."""
    file.seek(0)
    owner = None
    for line in file.read().splitlines():
        if line.startswith(b'{"owner"'):
            try:
                owner = json.loads(line)["owner"]
            except ValueError:
                continue
    return owner
