"""How a training is seen: curves of its losses and of its validation, and a preview layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPen
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_hush.training.figures import is_metric
from napari_hush.widgets.parts.layer_record import as_metadata, read_record
from napari_hush.widgets.parts.plot import make_plot
from napari_hush.widgets.synthesize.targets import beside

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from numpy.typing import NDArray

COLOURS = ("#4fc3f7", "#ffb74d", "#81c784", "#e57373", "#ba68c8", "#fff176", "#a1887f", "#90a4ae")
GREEN = "#81c784"
HEIGHT = 100  # of a plot, px
MOST_TICKS = 5
PLOTTED = ("psnr", "noisy_psnr")  # of the metrics
ROLE = "preview"
MISSING = "pip install pyqtgraph shows curves of losses and PSNR here"


class Curves(QWidget):
    """Two plots over the steps: losses, logarithmic; and the PSNR of the validation with that of the noisy images."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._plots: list[Any] = []
        self._captions: list[QLabel] = []
        self._lines: dict[str, Any] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self.hide()

    def begin(self) -> None:
        """Make room for a new run."""
        if not self._layout.count():
            self._make()
        for line in self._lines.values():
            line.getViewBox().removeItem(line)
        self._lines.clear()
        for part in (*self._captions[1:], *self._plots[1:]):
            part.hide()
        self.show()

    def draw(self, curves: dict[str, list[tuple[int, float]]]) -> None:
        """Draw what there is."""
        if not self._plots:
            return
        for name, points in list(curves.items()):
            if is_metric(name) and name not in PLOTTED:  # it has a unit of its own
                continue
            steps, values = np.array(points[:], dtype=float).T
            if not is_metric(name):
                values = np.log10(np.where(values > 0, values, np.nan))
            if np.isfinite(values).any():
                self._line(name).setData(steps, values)
        if "psnr" in self._lines:
            for part in (self._captions[1], self._plots[1]):
                part.show()
        losses = [name for name in self._lines if not is_metric(name)]
        self._label_decades(losses)
        self._captions[0].setText("Loss: " + ", ".join(_coloured(name, self._colour(name)) for name in losses))
        if best := curves.get("psnr"):
            noisy = (curves.get("noisy_psnr") or [(0, math.nan)])[-1][1]
            self._captions[1].setText(
                f"{_coloured('PSNR', GREEN)}: {best[-1][1]:.1f} dB; dashed, noisy: {noisy:.1f} dB"
            )

    def points(self, name: str) -> int:
        """How many points a curve shows."""
        line = self._lines.get(name)
        return 0 if line is None else len(line.xData)

    def _label_decades(self, losses: list[str]) -> None:
        """Label the logarithmic axis with as many numbers as have room."""
        shown = [self._lines[name].yData for name in losses]
        values = np.concatenate(shown) if shown else np.array([])
        values = values[np.isfinite(values)]
        if not values.size:
            return
        low, high = values.min(), values.max()
        for leading in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            ticks = [
                (float(np.log10(number * 10.0**power)), f"{number * 10.0**power:.3g}")
                for power in range(math.floor(low) - 1, math.ceil(high) + 1)
                for number in leading
            ]
            if sum(low - 0.1 <= place <= high + 0.1 for place, _ in ticks) <= MOST_TICKS:
                break
        self._plots[0].getPlotItem().getAxis("left").setTicks([ticks])

    def _make(self) -> None:
        for _ in range(2):
            plot = make_plot(self._viewer, HEIGHT)
            if plot is None:
                label = QLabel(MISSING)
                label.setWordWrap(True)
                self._layout.addWidget(label)
                return
            caption = QLabel()
            caption.setWordWrap(True)
            self._layout.addWidget(caption)
            self._layout.addWidget(plot)
            self._captions.append(caption)
            self._plots.append(plot)

    def _line(self, name: str) -> Any:
        if name not in self._lines:
            style = Qt.PenStyle.DashLine if name == "noisy_psnr" else Qt.PenStyle.SolidLine
            colour = QColor(self._colour(name))
            colour.setAlpha(255 if name in ("loss", *PLOTTED) else 150)
            pen = QPen(colour, 2 if name in ("loss", "psnr") else 1, style)
            pen.setCosmetic(True)
            dots = {"symbol": "o", "symbolSize": 4, "symbolBrush": GREEN, "symbolPen": None} if name == "psnr" else {}
            losses, metrics = self._plots
            plot = metrics if is_metric(name) else losses
            self._lines[name] = plot.plot(pen=pen, connect="finite", **dots)
        return self._lines[name]

    def _colour(self, name: str) -> str:
        if is_metric(name):
            return GREEN if name == "psnr" else "#9e9e9e"
        names = [one for one in self._lines if not is_metric(one)]
        return COLOURS[(names.index(name) if name in names else len(names)) % len(COLOURS)]


def _coloured(text: str, colour: str) -> str:
    return f"<span style='color: {colour}'>{text.replace('_', ' ')}</span>"


def show_preview(viewer: ViewerModel, picture: NDArray[np.float32], step: int, reference: Image | None) -> bool:
    """Show noisy, denoised and truth side by side, in the preview layer or in a new one beside the images.

    Returns whether it is a new one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layer is.
    picture : ndarray, shape (Y, X) or (Y, X, 3)
        In network units.
    step : int
        Of the training.
    reference : Image or None
        The layer that it lies beside.
    """
    low, high = (float(v) for v in np.percentile(picture[picture != 0], (0.5, 99.5))) if picture.any() else (0.0, 1.0)
    limits = (low, high) if high > low else (low, low + 1)
    rgb = picture.ndim == 3
    if rgb:
        picture = np.clip((picture - limits[0]) / (limits[1] - limits[0]), 0, 1).astype(np.float32)
    metadata = as_metadata({"train": ROLE, "step": step, "shows": "noisy, denoised, truth"})
    for layer in viewer.layers:
        if _is_preview(layer) and layer.rgb == rgb:
            layer.data = picture
            layer.metadata = metadata
            return False
    options = {} if rgb else {"contrast_limits": limits}
    active = viewer.layers.selection.active
    viewer.add_image(
        picture, name="train · preview", rgb=rgb, metadata=metadata, **options, **beside(viewer, reference)
    )
    viewer.layers.selection.active = active
    return True


def _is_preview(layer: Any) -> bool:
    return read_record(layer.metadata).get("train") == ROLE
