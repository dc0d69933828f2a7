"""Ending a process at a random moment, for the benchmarks that kill runs and let them go on."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


def wait(child: subprocess.Popen, seconds: float) -> bool:
    """Wait, but not for a process that has ended; whether it still runs."""
    end = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    return child.poll() is None


def kill(child: subprocess.Popen, how: int = signal.SIGKILL) -> int:
    """Send a signal and wait for the end; the exit code."""
    os.kill(child.pid, how)
    return child.wait()
