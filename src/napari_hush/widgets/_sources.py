"""The part of a dock that takes things from layers: lists with "none", and measurements that follow what is chosen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFrame, QGraphicsOpacityEffect, QLabel, QWidget

from napari_hush.widgets import _notify
from napari_hush.widgets._layers import LayerCombo
from napari_hush.widgets._materials import Learned, Lessons, learn_steps
from napari_hush.widgets._worker import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

PAUSE_MS = 300  # without a change, before it is measured


class LayerOrNone(LayerCombo):
    """The image layers of a viewer, and before them a word for none; that is chosen at first.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    word : str
        What is used without a layer.

    Attributes
    ----------
    chosen : Signal()
        Another layer is chosen, or the chosen one has other data; not sent for what happens to other layers.
    """

    chosen = Signal()
    _word = "none"
    _last: Any = None

    def __init__(self, viewer: ViewerModel, word: str) -> None:
        super().__init__(viewer)
        self._word = word
        self.setCurrentIndex(0)
        self.refill()
        self.changed.connect(self._compare)

    def clear(self) -> None:
        """Take all layers out of the list."""
        super().clear()
        self.addItem(self._word, None)

    def _compare(self) -> None:
        if self.layer is not self._last:
            self._last = self.layer
            self.chosen.emit()

    def _on_layer_event(self, _: object = None) -> None:
        super()._on_layer_event()
        self.chosen.emit()


class Study(QObject):
    """Measures in a thread what was asked for last, once nothing has changed for a moment.

    Attributes
    ----------
    changed : Signal()
        Something was learned, or is not known any more.
    progressed : Signal(object)
        What is measured now, as `Progress`.

    Parameters
    ----------
    parent : QObject
        When it is deleted, nothing is heard any more.
    lessons : bound method
        Gives what is to be known at the moment: name, and the function that measures it.
    """

    changed = Signal()
    progressed = Signal(object)

    def __init__(self, parent: QObject, lessons: Callable[[], Lessons]) -> None:
        super().__init__(parent)
        self.known: dict[str, Learned] = {}
        # no cycle: one that Python collects before Qt deletes its objects leaves them with slots that are empty
        self._lessons = WeakMethod(lessons)
        self._versions: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._job = Job(self)
        self._job.returned.connect(self._on_returned)
        self._job.errored.connect(self._on_errored)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.warned.connect(_notify.warning)
        self._job.progressed.connect(self.progressed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether something is being measured or about to be."""
        return self._job.running or self._timer.isActive()

    def missing(self) -> Lessons:
        """What is to be known and is not."""
        lessons = self._lessons()
        return {} if lessons is None else {name: make for name, make in lessons().items() if name not in self.known}

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
        self._job.start(partial(learn_steps, missing))

    def _on_returned(self, found: dict[str, Learned]) -> None:
        for name, learned in found.items():
            if self._versions.get(name, 0) == self._asked[name]:  # else something has changed meanwhile
                self.known[name] = learned
        self.changed.emit()
        if not self._timer.isActive():
            self._begin()

    def _on_errored(self, error: BaseException) -> None:
        _notify.error(error)
        self.changed.emit()

    def _on_cancelled(self) -> None:
        self.changed.emit()


class NoWheel(QObject):
    """Keeps the wheel for scrolling: what is below the mouse changes only after a click into it."""

    def guard(self, widget: QWidget) -> None:
        """Guard a list or a number."""
        widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        widget.installEventFilter(self)

    def eventFilter(self, widget: QObject | None, event: QEvent | None) -> bool:
        """Hand the event on to what is around the widget."""
        if event is None or event.type() != QEvent.Type.Wheel or not isinstance(widget, QWidget) or widget.hasFocus():
            return False
        event.ignore()
        return True


def word_combo(words: Any) -> QComboBox:
    """A list of words that does not widen its dock."""
    combo = QComboBox()
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.addItems(list(words))
    return combo


def rule() -> QFrame:
    """A thin line across."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setStyleSheet("color: gray")
    return line


def small_label() -> QLabel:
    """A line of explanation, hidden while it is empty."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)  # the names of layers
    label.setWordWrap(True)
    faint = QGraphicsOpacityEffect(label)
    faint.setOpacity(0.75)
    label.setGraphicsEffect(faint)
    label.hide()
    return label
