"""What a moved strength does with results that are there: they are blended at once, and judged when the hand rests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal, Slot  # type: ignore[attr-defined]

from napari_hush.widgets.denoise.blend import blend_all
from napari_hush.widgets.denoise.summary import summary
from napari_hush.widgets.parts.layer_record import identity, is_preview, read_record, source_in
from napari_hush.widgets.parts.layer_source import Source, visible_part
from napari_hush.widgets.parts.preferences import preference

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_hush.widgets.denoise.verdict import Verdict
    from napari_hush.widgets.parts.dock import Dock

REST_MS = 700


class LiveStrength(QObject):
    """Changes results in memory without the network.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    verdict : Verdict
        What is said of them.
    dock : Dock
        While something runs in it, nothing is judged.

    Attributes
    ----------
    told : Signal(str)
        What was done, or why nothing could be.
    judged : Signal()
        A look at a result has begun, whichever is chosen.
    """

    told = Signal(str)
    judged = Signal()

    def __init__(self, viewer: napari.Viewer, verdict: Verdict, dock: Dock) -> None:
        super().__init__(dock)
        self._viewer, self._verdict = viewer, verdict
        self._changed = ""  # the result that is to be judged
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._judge)

    @property
    def waiting(self) -> bool:
        """Whether a result is still to be judged."""
        return bool(self._rest.isActive())

    def change(self, layer: Image, strength: float) -> None:
        """Show the latest result of a layer and its preview at another strength."""
        changed, reason = blend_all(layer, self._viewer.layers, strength)
        if reason:
            self.told.emit(f"strength {strength:g} counts from the next run on: {reason}")
        for one in changed:
            record = read_record(one.metadata)
            if not is_preview(record):
                self.told.emit(summary(record, one))
                wanted = preference("denoise", "verdict", True)
                self._verdict.withdraw(identity(one), f"at strength {strength:g}: to be checked…" if wanted else "")
                self._changed = identity(one)
                self._rest.start()

    @Slot()  # type: ignore[untyped-decorator]
    def _judge(self) -> None:
        dock: Any = self.parent()
        if dock.running:
            self._rest.start()
            return
        layers = self._viewer.layers
        result: Any = next((layer for layer in layers if identity(layer) == self._changed), None)
        layer = None if result is None else source_in(read_record(result.metadata), layers)
        if layer is not None and preference("denoise", "verdict", True):
            source = Source.of(layer, read_record(result.metadata).get("channel_axis"))
            self._verdict.judge(source, result, source.seen(visible_part(result, self._viewer.dims))[0])
            self.judged.emit()
