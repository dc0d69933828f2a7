"""Ctrl-C, SIGTERM and SIGHUP as exceptions in the commands, so that whatever they have begun is cleaned up or kept."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


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


_received: list[int] = []  # of this run; libraries turn what a handler raises into errors of their own


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise `Ended` in the block when this process is asked to end; processes forked from it just end.

    Whatever another error it has become, or if it was lost, the block is left by `Ended`.
    """
    if threading.current_thread() is not threading.main_thread():  # Python takes signals in the main thread alone
        yield
        return
    here = os.getpid()
    _received.clear()

    def end(number: int, _frame: Any) -> None:
        if os.getpid() != here:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        _received.append(number)
        raise Ended(number)

    # what is ignored, as after nohup, stays ignored
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {one: signal.getsignal(one) for one in SIGNALS if signal.getsignal(one) in usual}
    for one in before:
        signal.signal(one, end)
    try:
        yield
        raise_if_ended()
    except Exception as error:
        raise_if_ended(error)
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def raise_if_ended(error: BaseException | None = None) -> None:
    """Raise `Ended` if a signal has asked this process to end: what looks like an error may be that."""
    if _received:
        end = Ended(_received[0])
        for note in getattr(error, "__notes__", ()):
            end.add_note(note)
        raise end from error
