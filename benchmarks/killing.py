"""Ending a process at a random moment, for the benchmarks that kill runs and let them go on."""

from __future__ import annotations

import os
import signal
import time
from typing import Protocol


class Child(Protocol):
    """A process, as `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


def wait(child: Child, seconds: float) -> bool:
    """Wait, but not for a process that has ended; whether it still runs."""
    end = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    return child.poll() is None


def kill(child: Child, how: int = signal.SIGKILL) -> int:
    """Send a signal and wait for the end; the exit code."""
    os.kill(child.pid, how)
    return child.wait()
