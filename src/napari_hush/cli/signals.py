"""SIGTERM and SIGHUP as exceptions in the commands, so that whatever they have begun is cleaned up or kept."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Ended(KeyboardInterrupt):
    """A signal asks the command to end; what is done after Ctrl-C is done after it.

    Parameters
    ----------
    signal : int
        Its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__()
        self.signal = signal


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise `Ended` in the block when this process is asked to end; processes forked from it just end."""
    if threading.current_thread() is not threading.main_thread():  # Python takes signals in the main thread alone
        yield
        return
    here = os.getpid()

    def end(number: int, _frame: Any) -> None:
        if os.getpid() != here:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise Ended(number)

    # what is ignored, as after nohup, stays ignored
    before = {one: signal.getsignal(one) for one in SIGNALS if signal.getsignal(one) == signal.SIG_DFL}
    for one in before:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
