"""Which axis of a layer counts channels: a list to choose from, which begins with what the layer's labels say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker

from napari_hush.widgets.parts.bits import word_combo
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from napari.layers import Image
    from qtpy.QtWidgets import QComboBox

WORDS = "c ch channel colour color dye wavelength lambda λ".split()  # as labels of an axis, in one or many


class Channels:
    """The axis of channels of the chosen layer.

    Attributes
    ----------
    combo : QComboBox
        None, and each axis that may be one; of another layer what its labels say is chosen.
    """

    def __init__(self) -> None:
        self.combo: QComboBox = word_combo([])
        self.combo.setToolTip(
            "The axis that counts channels or dyes: each is denoised by itself. Planes along the other axes share one "
            "normalisation."
        )
        self._known: tuple[object, ...] = ()

    @property
    def axis(self) -> int | None:
        """What is chosen."""
        axis: int | None = self.combo.currentData()
        return axis

    @axis.setter
    def axis(self, axis: int | None) -> None:
        self.combo.setCurrentIndex(self.combo.findData(axis))

    def offer(self, layer: Image | None) -> bool:
        """List the axes of a layer, if it is another one or has other axes; says whether it has some to choose from."""
        shape = () if layer is None or layer.rgb else tuple(image_data(layer).shape)
        known = (layer, shape, () if layer is None else tuple(layer.axis_labels))
        if known != self._known:
            self._known = known
            with QSignalBlocker(self.combo):
                self.combo.clear()
                self.combo.addItem("none", None)
                for axis in [*range(len(shape) - 2), len(shape) - 1] if len(shape) > 2 else []:
                    self.combo.addItem(f"axis {axis} ({shape[axis]})", axis)
                if layer is not None:
                    self.axis = labelled_axis(layer)
        return len(shape) > 2


def labelled_axis(layer: Image) -> int | None:
    """The axis that the labels of a layer call one of channels; None where none does."""
    labels = [str(label).strip().lower() for label in layer.axis_labels]
    if layer.rgb or len(labels) < 3:
        return None
    found = [axis for axis, label in enumerate(labels) if label in WORDS or label.removesuffix("s") in WORDS]
    return found[0] if found and found[0] != len(labels) - 2 else None
