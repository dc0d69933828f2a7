"""A run of a dock that a script has begun, can stop, and waits for without freezing the viewer."""

from __future__ import annotations

from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QEventLoop, QTimer

from napari_hush.widgets.parts.bits import when_deleted

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

LOOK_MS = 20  # between two looks whether it has ended


class Run:
    """What ``dock.run()`` gives.

    Parameters
    ----------
    dock : QWidget
        Whose run it is; its ``cancel`` stops it. Where Qt deletes the dock, the run counts as cancelled.

    Examples
    --------
    >>> layer = dock.run().wait()  # doctest: +SKIP
    """

    def __init__(self, dock: QWidget) -> None:
        self._dock = ref(dock)
        self._running = True
        self._result: Any = None
        self._error: BaseException | None = None
        when_deleted(dock, partial(_abandon, ref(self)))

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._running

    @property
    def result(self) -> Any:
        """What it made: a layer, or what the dock says; a list of several selected layers; None as long as nothing."""
        return self._result

    @property
    def error(self) -> BaseException | None:
        """What stopped it, as `wait` raises it; None where nothing did."""
        return self._error

    def cancel(self) -> None:
        """Ask it to stop after its current step; `wait` tells when it has."""
        dock: Any = self._dock()
        if self._running and dock is not None:
            dock.cancel()

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the end, while the viewer goes on drawing and can be used.

        Parameters
        ----------
        timeout : float, optional
            Seconds; without it as long as it takes.

        Returns
        -------
        object
            As of `result`.

        Raises
        ------
        TimeoutError
            If it has not ended by then; it goes on.
        concurrent.futures.CancelledError
            If it was cancelled.
        Exception
            Whatever stopped it: an `InputError` says what to do.
        """
        wait_until(lambda: not self._running, timeout)
        if self._running:
            raise TimeoutError(f"the run has not ended within {timeout:g} s: it goes on; wait again, or cancel it")
        if self._error is not None:
            raise self._error
        return self._result

    def end(self, result: Any, error: BaseException | None = None) -> None:
        """Say how it went; the dock does."""
        if self._running:
            self._running, self._result, self._error = False, result, error


def wait_until(done: Callable[[], bool], timeout: float | None = None) -> None:
    """Let Qt go on until something is done, or so many seconds have passed."""
    if done():
        return
    loop, looks, clock = QEventLoop(), QTimer(), QTimer()

    def look() -> None:
        if done():
            loop.quit()

    looks.timeout.connect(look)
    looks.start(LOOK_MS)
    if timeout is not None:
        clock.setSingleShot(True)
        clock.timeout.connect(loop.quit)
        clock.start(max(round(1000 * timeout), 0))
    loop.exec()


def _abandon(run: ref[Run]) -> None:
    """The dock is gone."""
    if (left := run()) is not None:
        left.end(None, CancelledError("the dock was closed"))
