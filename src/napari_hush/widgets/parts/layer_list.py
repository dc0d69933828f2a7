"""Lists of the viewer's image layers to choose from."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

from napari_hush.errors import InputError
from napari_hush.widgets.parts.layer_record import is_tool, noisy_of, read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        self._about = ""
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.refill()
        self.layer = viewer.layers.selection.active
        self._watch()
        self.currentIndexChanged.connect(self._on_index_changed)
        heard = self._heard()
        for emitter, slot in heard:
            emitter.connect(slot)

        def forget(_: object = None) -> None:  # napari would go on to call a deleted widget
            for emitter, slot in heard:
                emitter.disconnect(slot)
            self._unwatch()

        self.destroyed.connect(forget)

    def setToolTip(self, text: str | None) -> None:
        """Say what the layer is chosen for; its name, which may be cut off, stands above it."""
        self._about = text or ""
        self._show_tip()

    def _show_tip(self) -> None:
        super().setToolTip("\n".join(filter(None, (self.currentText(), self._about))))

    @property
    def layer(self) -> Any:
        """The chosen layer; None where there is no image."""
        return self.currentData()

    @layer.setter
    def layer(self, layer: Any) -> None:
        for index in range(self.count()):
            if self.itemData(index) == layer:
                self.setCurrentIndex(index)

    def choose(self, layer: Any) -> None:
        """Choose a layer, or the one of this name, for a script.

        Raises
        ------
        InputError
            If it is not in the list.
        """
        listed = [self.itemData(index) for index in range(self.count())]
        found = [one for one in listed if one == layer or (one is not None and one.name == layer)]  # it may be a proxy
        if not found:
            names = ", ".join(repr(one if one is None else one.name) for one in listed) or "none: open an image first"
            raise InputError(f"expected an image layer of this viewer ({names}), got {layer!r}")
        self.layer = found[0]

    def refill(self, _: object = None) -> None:
        """List the layers anew and keep the choice."""
        chosen = self.layer
        self.blockSignals(True)
        self.clear()
        for layer in reversed(self._viewer.layers):  # the order of napari's layer list: the topmost first
            if isinstance(layer, Image) and not is_tool(read_record(layer.metadata)):
                self.addItem(layer.name, layer)
        self.layer = chosen
        if chosen is None or self.layer != chosen:
            self._propose()
        self.blockSignals(False)
        self._watch()
        self._show_tip()
        self.changed.emit()

    def _heard(self) -> list[tuple[Any, Callable[..., None]]]:
        """What of the viewer is listened to."""
        names = ("inserted", "removed", "reordered", "renamed")
        return [(getattr(self._viewer.layers.events, name), self.refill) for name in names]

    def _propose(self) -> None:
        """Choose where what was chosen has gone; at first the topmost layer."""

    def _on_index_changed(self, _: int) -> None:
        self._watch()
        self._show_tip()
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


class NoisyCombo(LayerCombo):
    """The image layers of a viewer, to denoise one: follows what is chosen in napari's list.

    A result stands for the layer that it was made of; it can be chosen, and is never proposed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        What is active there is chosen at first.

    Attributes
    ----------
    several : Signal()
        Other layers are selected together.
    """

    several = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._still = False
        self.setPlaceholderText("choose…")
        self._propose()

    @property
    def selected(self) -> list[Any]:
        """What is meant by the layers that are selected together, from the top; empty where that is a single one."""
        chosen = self._viewer.layers.selection
        meant = [self._meant(layer) for layer in reversed(self._viewer.layers) if layer in chosen]
        layers: list[Any] = []
        for layer in meant:
            if layer is not None and layer not in layers:
                layers.append(layer)
        return layers if len(layers) > 1 else []

    @contextmanager
    def still(self) -> Iterator[None]:
        """Keep the choice while the dock adds layers, which napari makes the active ones."""
        self._still = True
        try:
            yield
        finally:
            self._still = False

    def _heard(self) -> list[tuple[Any, Callable[..., None]]]:
        chosen = self._viewer.layers.selection.events
        return [*super()._heard(), (chosen.active, self._follow), (chosen.changed, self._on_selection)]

    def _follow(self, _: object = None) -> None:
        meant = self._meant(self._viewer.layers.selection.active)
        if meant is not None and not self._still:
            self.layer = meant

    def _on_selection(self, _: object = None) -> None:
        self.several.emit()

    def _propose(self) -> None:
        layers = self._viewer.layers
        candidates = (self._meant(layer) for layer in (layers.selection.active, *reversed(layers)))
        self.setCurrentIndex(-1)
        self.layer = next((layer for layer in candidates if layer is not None), None)

    def _meant(self, layer: Any) -> Any:
        """The layer that would be denoised if this one is chosen; None where it says nothing."""
        return noisy_of(layer, self._viewer.layers)


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
