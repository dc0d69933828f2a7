"""Two layers in turn: what differs jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

PAUSE = 600  # ms


class Blink(QObject):
    """Show one of two layers, and then the other one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    parent : QObject
        What it dies with.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._pair: tuple[Layer, Layer] | None = None
        self._seen: dict[Layer, bool] = {}  # visibility before
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self.swap)

    def begin(self, before: Layer, after: Layer) -> None:
        """Let two layers take turns by themselves."""
        self._take(before, after)
        self._timer.start()

    def swap_once(self, before: Layer, after: Layer) -> None:
        """Show the other one of two layers, and stay there."""
        self._take(before, after)
        self.swap()

    def swap(self) -> None:
        """Show the other one; end where one of them has been removed."""
        if self._pair is None or any(one not in self._viewer.layers for one in self._pair):
            self.end()
            return
        before, after = self._pair
        after.visible, before.visible = not after.visible, after.visible

    def end(self) -> None:
        """Show what was shown before."""
        self._timer.stop()
        self._pair = None
        for layer, visible in self._seen.items():
            if layer in self._viewer.layers:
                layer.visible = visible
        self._seen = {}

    def _take(self, before: Layer, after: Layer) -> None:
        if self._pair == (before, after):
            return
        self.end()
        self._pair = before, after
        self._seen = {layer: layer.visible for layer in self._viewer.layers}
        for layer in self._viewer.layers:  # nothing lies over them
            layer.visible = layer is after
