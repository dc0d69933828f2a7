"""A plot in the viewer's colours."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt

if TYPE_CHECKING:
    from napari.components import ViewerModel


def make_plot(viewer: ViewerModel, height: int) -> Any:
    """A pyqtgraph plot that leaves the mouse's wheel to its dock; None where pyqtgraph is not installed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose theme gives the colours.
    height : int
        Px.
    """
    try:
        pyqtgraph = import_module("pyqtgraph")
    except ImportError:
        return None
    theme = get_theme(viewer.theme)
    ink = theme.text.as_rgb_tuple()
    plot = pyqtgraph.PlotWidget(background=theme.background.as_rgb_tuple())
    plot.setFixedHeight(height)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.viewport().setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents, True)
    item = plot.getPlotItem()
    item.showGrid(x=True, y=True, alpha=0.15)
    for side in ("left", "bottom"):
        axis = item.getAxis(side)
        axis.setPen(ink)
        axis.setTextPen(ink)
        axis.enableAutoSIPrefix(False)
    item.getAxis("left").setWidth(46)
    return plot
