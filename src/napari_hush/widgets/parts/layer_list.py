"""A list of the viewer's image layers to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

from napari_hush.widgets.parts.layer_record import is_tool, read_record

if TYPE_CHECKING:
    from napari.components import ViewerModel


class LayerCombo(QComboBox):
    """The image layers of a viewer; follows what is added, removed, moved, renamed and changed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Its active layer is chosen at first.

    Attributes
    ----------
    changed : Signal()
        Another layer is chosen, or the chosen one has another name, other data or other axes.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._watched: Any = None
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.refill()
        self.layer = viewer.layers.selection.active
        self._watch()
        self.currentIndexChanged.connect(self._on_index_changed)
        emitters = [getattr(viewer.layers.events, name) for name in ("inserted", "removed", "reordered", "renamed")]
        for emitter in emitters:
            emitter.connect(self.refill)
        refill = self.refill

        def forget(_: object = None) -> None:  # napari would go on to call a deleted widget
            for emitter in emitters:
                emitter.disconnect(refill)
            self._unwatch()

        self.destroyed.connect(forget)

    @property
    def layer(self) -> Any:
        """The chosen layer; None where there is no image."""
        return self.currentData()

    @layer.setter
    def layer(self, layer: Any) -> None:
        for index in range(self.count()):
            if self.itemData(index) == layer:
                self.setCurrentIndex(index)

    def refill(self, _: object = None) -> None:
        """List the layers anew and keep the choice."""
        chosen = self.layer
        self.blockSignals(True)
        self.clear()
        for layer in reversed(self._viewer.layers):  # the order of napari's layer list: the topmost first
            if isinstance(layer, Image) and not is_tool(read_record(layer.metadata)):
                self.addItem(layer.name, layer)
        self.layer = chosen
        self.blockSignals(False)
        self._watch()
        self.setToolTip(self.currentText())
        self.changed.emit()

    def _on_index_changed(self, _: int) -> None:
        self._watch()
        self.setToolTip(self.currentText())
        self.changed.emit()

    def _on_layer_event(self, _: object = None) -> None:
        self.changed.emit()

    def _watch(self) -> None:
        self._unwatch()
        self._watched = self.layer
        if self._watched is not None:
            self._watched.events.data.connect(self._on_layer_event)
            self._watched.events.axis_labels.connect(self._on_layer_event)

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._watched.events.data.disconnect(self._on_layer_event)
            self._watched.events.axis_labels.disconnect(self._on_layer_event)
            self._watched = None


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
