"""A list of the viewer's image layers to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

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
            if isinstance(layer, Image):
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
