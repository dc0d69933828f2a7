"""The plugin's docks as tabs of one column: each has its whole height, and comes to the front when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Slot  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDockWidget, QMainWindow, QTabBar, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QShortcut  # type: ignore[attr-defined]

Chosen = dict[str, Any]
SUFFIX = " (napari-hush)"  # that napari adds to the name of a dock
_KEPT: WeakKeyDictionary[QMainWindow, dict[str, Chosen]] = WeakKeyDictionary()  # of docks that were closed


def frame_of(widget: QWidget) -> QDockWidget | None:
    """The frame with a title that a window has put around a widget; None where it stands alone."""
    around = widget.parentWidget()
    while around is not None and not isinstance(around, QDockWidget):
        around = around.parentWidget()
    return around


def raise_dock(widget: QWidget) -> None:
    """Show a dock before the other tabs."""
    if (frame := frame_of(widget)) is not None:
        frame.show()
        frame.raise_()


def _show_whole_names(window: QMainWindow, names: set[str]) -> None:
    """Let the tabs be scrolled where there is no room, instead of cutting off their names."""
    for bar in window.findChildren(QTabBar):
        if names & {bar.tabText(index) for index in range(bar.count())}:
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            bar.setUsesScrollButtons(True)


class Tab(QObject):
    """Keeps one dock among the tabs of the others of its kind.

    Parameters
    ----------
    dock : QWidget
        The dock's content, with ``choose_again``.
    kind : type
        Of all docks that share the tabs.
    """

    def __init__(self, dock: QWidget, kind: type[QWidget]) -> None:
        super().__init__(dock)
        self._kind = kind
        # weak, for Python would delete a cycle in an order that Qt does not survive
        self._frame: Callable[[], QDockWidget | None] = lambda: None
        self._window: Callable[[], QMainWindow | None] = lambda: None
        self._in_front = True
        self.shortcuts: list[QShortcut] = []  # that are heard while the dock is in front
        self._later = QTimer(self)  # a layout is not changed while it is being made
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._arrange)

    def shown(self) -> None:
        """Tell that the dock has come into sight."""
        self._later.start(0)

    def keep(self, chosen: Chosen) -> None:
        """Keep what was chosen for the next dock of this kind in the same window."""
        if (window := self._window()) is not None:
            _KEPT.setdefault(window, {})[type(self.parent()).__name__] = chosen

    def eventFilter(self, frame: QObject | None, event: QEvent | None) -> bool:
        """Napari's menu hides a dock that stands behind another one, though who chose it there wants to see it."""
        if event is not None and event.type() == QEvent.Type.Hide and not self._in_front:
            self._later.start(0)
        return False

    @Slot()  # type: ignore[untyped-decorator]
    def _arrange(self) -> None:
        dock: Any = self.parent()
        frame = frame_of(dock)
        if frame is None or not isinstance(window := frame.parentWidget(), QMainWindow):
            return
        if frame is self._frame():
            if not (frame.isHidden() and self._in_front):
                self._in_front = True  # Qt tells it late
                raise_dock(dock)
            return
        self._frame, self._window = ref(frame), ref(window)
        frame.setWindowTitle(frame.windowTitle().removesuffix(SUFFIX))  # the tab shows it; the title bar has all of it
        frame.installEventFilter(self)
        frame.visibilityChanged.connect(self._on_visibility)
        self._join(frame, window)
        if kept := _KEPT.get(window, {}).get(type(dock).__name__):
            dock.choose_again(kept)

    def _join(self, frame: QDockWidget, window: QMainWindow) -> None:
        area = window.dockWidgetArea(frame)
        frames = [frame_of(one) for one in window.findChildren(self._kind) if one is not self.parent()]
        beside = [one for one in frames if one is not None and not one.isFloating() and not one.isHidden()]
        first = next((one for one in beside if window.dockWidgetArea(one) == area), None)
        if first is not None and not frame.isFloating():
            window.tabifyDockWidget(first, frame)
            frame.raise_()
            _show_whole_names(window, {one.windowTitle() for one in (frame, *beside)})

    @Slot(bool)  # type: ignore[untyped-decorator]
    def _on_visibility(self, visible: bool) -> None:
        frame = self._frame()
        if frame is not None and not frame.isHidden():
            self._in_front = visible
        for shortcut in self.shortcuts:
            shortcut.setEnabled(visible)
