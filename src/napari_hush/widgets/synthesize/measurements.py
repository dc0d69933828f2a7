"""Measurements that follow what is chosen in a dock."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakMethod

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_hush.widgets.parts import notify
from napari_hush.widgets.parts.job import Job
from napari_hush.widgets.synthesize.materials import Measured, ToMeasure, measure_steps

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_MS = 300  # without a change, before it is measured


class Measurements(QObject):
    """Measures in a thread what was asked for last, once nothing has changed for a moment.

    Attributes
    ----------
    changed : Signal()
        Something was measured, or is not known any more.
    progressed : Signal(object)
        What is measured now, as `Progress`.

    Parameters
    ----------
    parent : QObject
        When it is deleted, nothing is heard any more.
    to_measure : bound method
        Gives what is to be known at the moment: name, and the function that measures it.
    """

    changed = Signal()
    progressed = Signal(object)

    def __init__(self, parent: QObject, to_measure: Callable[[], ToMeasure]) -> None:
        super().__init__(parent)
        self.known: dict[str, Measured] = {}
        # no cycle: one that Python collects before Qt deletes its objects leaves them with slots that are empty
        self._to_measure = WeakMethod(to_measure)
        self._versions: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._job = Job(self)
        self._job.returned.connect(self._on_returned)
        self._job.errored.connect(self._on_errored)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.warned.connect(notify.warning)
        self._job.progressed.connect(self.progressed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether something is being measured or about to be."""
        return self._job.running or self._timer.isActive()

    def missing(self) -> ToMeasure:
        """What is to be known and is not."""
        to_measure = self._to_measure()
        if to_measure is None:
            return {}
        return {name: measure for name, measure in to_measure().items() if name not in self.known}

    def forget(self, *names: str) -> None:
        """Measure these anew."""
        for name in names:
            self.known.pop(name, None)
            self._versions[name] = self._versions.get(name, 0) + 1
        self._timer.start()
        self.changed.emit()

    def stop(self) -> None:
        """Measure nothing more."""
        self._timer.stop()
        self._job.cancel()

    def _begin(self) -> None:
        missing = self.missing()
        if self._job.running or not missing:
            return  # its end begins anew
        self._asked = {name: self._versions.get(name, 0) for name in missing}
        self._job.start(partial(measure_steps, missing))

    def _on_returned(self, found: dict[str, Measured]) -> None:
        for name, measured in found.items():
            if self._versions.get(name, 0) == self._asked[name]:  # else something has changed meanwhile
                self.known[name] = measured
        self.changed.emit()
        if not self._timer.isActive():
            self._begin()

    def _on_errored(self, error: BaseException) -> None:
        notify.error(error)
        self.changed.emit()

    def _on_cancelled(self) -> None:
        self.changed.emit()
