"""The preview that follows: a box to tick, which tells when what is in sight has come to rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox

from napari_hush.widgets.parts.bits import when_deleted

if TYPE_CHECKING:
    from napari.components import ViewerModel

REST_MS = 350  # without a movement


class Live(QCheckBox):
    """Whether the preview is made anew when somebody moves on.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Its camera and its sliders are followed.

    Attributes
    ----------
    due : Signal()
        Something has changed, and then nothing for a moment; sent while the box is ticked.
    """

    due = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__("Live preview")
        self.setToolTip(f"Make the preview anew {REST_MS} ms after you moved, zoomed, or chose something else")
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(REST_MS)
        timer.timeout.connect(self.due)
        self._timer = timer
        heard = [viewer.scene.camera.events, viewer.dims.events.current_step, viewer.dims.events.ndisplay]
        for emitter in heard:
            emitter.connect(self.touch)
        self.toggled.connect(self.touch)
        touch = self.touch

        def forget() -> None:  # napari would go on to call a deleted widget
            for emitter in heard:
                emitter.disconnect(touch)

        when_deleted(self, forget)

    def touch(self, _: Any = None) -> None:
        """Something has changed."""
        if self.isChecked():
            self._timer.start()
        else:
            self._timer.stop()
