"""Which axis of a layer counts channels: a list to choose from, which begins with what labels or values say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSignalBlocker

from napari_hush.widgets.parts.bits import word_combo
from napari_hush.widgets.parts.layer_record import read_record
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from napari.layers import Image
    from qtpy.QtWidgets import QComboBox

WORDS = "c ch channel colour color dye wavelength lambda λ".split()  # as labels of an axis, in one or many
MOST = 4  # channels of an axis without a name: a longer one is taken for planes
UNLIKE = 1.5  # times that the ranges of channels differ, or halves of a range that they are apart
SAMPLE = 64  # px along each side that a range is estimated from


class Channels:
    """The axis of channels of the chosen layer.

    Attributes
    ----------
    combo : QComboBox
        None, and each axis that may be one; of another layer what `proposed_axis` says is chosen.
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
                    self.axis = proposed_axis(layer)
        return len(shape) > 2


def proposed_axis(layer: Image) -> int | None:
    """The axis of a layer that is taken for channels if nobody says otherwise; None where none is.

    It is that by which a result was made; else one whose label says so; else, where no leading axis has a name, one of
    two to four planes whose ranges of values differ, as those of dyes and detectors do, and those of frames do not.
    """
    known = read_record(layer.metadata).get("channel_axis")
    if isinstance(known, int) and not layer.rgb and known < len(image_data(layer).shape):
        return known
    labelled = labelled_axis(layer)
    return _unlike_axis(layer) if labelled is None else labelled


def _unlike_axis(layer: Image) -> int | None:
    """The leading axis without a name along which ranges of values differ; of what is in memory alone."""
    data = image_data(layer)
    named = any(not str(label).startswith("-") for label in layer.axis_labels[:-2])
    lead = data.shape[:-2]
    if layer.rgb or named or type(data) is not np.ndarray or min(data.shape[-2:], default=0) < SAMPLE:
        return None
    axes = [axis for axis, n in enumerate(lead) if 2 <= n <= MOST]
    if not axes or np.prod(lead) > MOST**3:
        return None
    y, x = (max(size // SAMPLE, 1) for size in data.shape[-2:])
    sample = data[..., ::y, ::x].reshape(*lead, -1).astype(np.float64)
    if not np.isfinite(sample).all():
        return None
    low, middle, high = np.percentile(sample, (2, 50, 98), axis=-1)
    spans = np.maximum(high - low, np.finfo(np.float64).tiny)
    shares = {axis: max(_ratio(spans, axis), 2 * _apart(middle, spans, axis)) for axis in axes}
    best = max(shares, key=lambda axis: shares[axis])
    return best if shares[best] > UNLIKE else None


def _ratio(spans: np.ndarray, axis: int) -> float:
    along = np.median(np.moveaxis(spans, axis, 0).reshape(spans.shape[axis], -1), axis=1)
    return float(along.max() / along.min())


def _apart(middle: np.ndarray, spans: np.ndarray, axis: int) -> float:
    """How far medians are apart, in ranges."""
    along = np.median(np.moveaxis(middle, axis, 0).reshape(middle.shape[axis], -1), axis=1)
    return float(np.ptp(along) / np.median(spans))


def labelled_axis(layer: Image) -> int | None:
    """The axis that the labels of a layer call one of channels; None where none does."""
    labels = [str(label).strip().lower() for label in layer.axis_labels]
    if layer.rgb or len(labels) < 3:
        return None
    found = [axis for axis, label in enumerate(labels) if label in WORDS or label.removesuffix("s") in WORDS]
    return found[0] if found and found[0] != len(labels) - 2 else None
