"""The choice between memory and a file for a result, offered where a layer is not simply in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox

from napari_hush.widgets.denoise.place import FilePlace, gigabytes
from napari_hush.widgets.denoise.size import fits, needed_bytes
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from napari.layers import Image
    from qtpy.QtWidgets import QWidget

MEMORY, FILE = "memory", "a .zarr file"


class Keep(QObject):
    """A list of two, and the name of the file.

    Parameters
    ----------
    parent : QWidget
        Whose they are.

    Attributes
    ----------
    changed : Signal()
        Something else is chosen.
    """

    changed = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.combo, self.place = QComboBox(), FilePlace()
        self.combo.addItems([MEMORY, FILE])
        self.combo.setToolTip("Where the result is kept: in a layer alone, or in a file that fills tile by tile")
        self._seen: Any = None
        self._offered = False
        self.combo.currentIndexChanged.connect(self._on_changed)
        self.place.changed.connect(self._on_changed)

    @property
    def offered(self) -> bool:
        """Whether there is a choice, or the file is needed."""
        return self._offered

    @property
    def on_disk(self) -> bool:
        """Whether the result goes into a file."""
        return self._offered and self.combo.currentText() == FILE

    def offer(self, layer: Image | None, free: int, *, growing: bool) -> None:
        """Look at a layer: where its result does not fit into so many bytes of memory, it goes into a file.

        Parameters
        ----------
        layer : Image or None
            The chosen one.
        free : int
            Bytes.
        growing : bool
            Whether a result in memory would be shown while it is made.
        """
        if layer is None:
            self._offered = False
            return
        data = image_data(layer)
        needed = needed_bytes(data, growing=growing)
        too_large = not fits(needed, free)
        self._offered = too_large or layer.multiscale or not isinstance(data, np.ndarray) or isinstance(data, np.memmap)
        if not self._offered:
            return
        new = (layer.unique_id, tuple(data.shape), str(data.dtype))
        blocked = self.blockSignals(True)
        if new != self._seen:
            self._seen = new
            self.combo.setCurrentText(FILE if too_large else MEMORY)
            self.place.suggest(layer, int(np.prod(data.shape, dtype=np.int64)) * 4 * 4 // 3)
        else:
            self.place.refresh()
        if too_large:
            self.combo.setCurrentText(FILE)
        self.blockSignals(blocked)
        self.combo.setEnabled(not too_large)
        self.combo.setToolTip(
            f"In memory it would take {gigabytes(needed)}, and {gigabytes(free)} are free"
            if too_large
            else "A file is filled tile by tile, can be stopped and gone on with, and takes no memory"
        )

    def _on_changed(self) -> None:
        self.changed.emit()
