"""The values of layers along a line that is drawn in the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Shapes
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from skimage.measure import profile_line

from napari_hush.io.units import canonical
from napari_hush.widgets.parts.layer_record import as_metadata, read_record
from napari_hush.widgets.parts.layer_source import image_data, visible_part

if TYPE_CHECKING:
    from napari.components import Dims, ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

NAME = "profile"
COLOUR = "#ffb000"
SHARE = 0.5  # of the plane's width that the line has at first


class Values(NamedTuple):
    """Of a layer along a line."""

    distance: NDArray[np.float64]
    """From its first end, in ``unit``."""
    values: NDArray[np.float64]
    """The mean over its width; of colours their mean."""
    unit: str


class ProfileLine(QObject):
    """A line in the canvas, in a layer of its own, which the user moves.

    The layer is hidden, not removed, where it has served: software OpenGL crashes where napari removes lines.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    parent : QObject
        What it dies with.

    Attributes
    ----------
    moved : Signal()
        It lies elsewhere, or another plane is in sight, or it has been removed.
    """

    moved = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Shapes | None = None

    @property
    def active(self) -> bool:
        """Whether there is one."""
        return self._layer is not None and self._layer in self._viewer.layers and len(self._layer.data) > 0

    def begin(self, layer: Image) -> None:
        """Lay it across the middle of what is seen of a layer."""
        self.end()
        y0, y1, x0, x1 = visible_part(layer, self._viewer.dims)[1]
        middle, margin = (y0 + y1 - 1) / 2, (1 - SHARE) / 2 * (x1 - x0)
        pose = {name: getattr(layer, name)[-2:] for name in ("scale", "translate", "units")}
        ends = np.array([[middle, x0 + margin], [middle, x1 - 1 - margin]])
        width = max((x1 - x0) / 300, 0.5)
        self._layer = next((one for one in self._viewer.layers if _served(one)), None)
        if self._layer is not None:
            for name, value in pose.items():
                setattr(self._layer, name, value)
            self._layer.data = [ends]
            self._layer.edge_width = width
            self._layer.visible = True
            self._viewer.layers.selection.active = self._layer
        else:
            self._layer = Shapes(
                [ends],
                shape_type="line",
                name=NAME,
                edge_color=COLOUR,
                opacity=1,
                edge_width=width,
                metadata=as_metadata({"compare": NAME}),
                **pose,
            )
            self._viewer.add_layer(self._layer)
        self._layer.mode = "direct"  # its ends can be taken hold of
        self._layer.events.data.connect(self._tell)
        self._viewer.dims.events.current_step.connect(self._tell)

    def end(self) -> None:
        """Take it out of sight."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        layer.events.data.disconnect(self._tell)
        self._viewer.dims.events.current_step.disconnect(self._tell)
        layer.mode = "pan_zoom"
        layer.visible = False

    def values(self, layer: Image, width: int) -> Values | None:
        """What a layer has along the line, as a mean over so many px across; None where it does not lie on it."""
        if self._layer is None or not self.active:
            return None
        ends = [self._layer.data_to_world(place) for place in np.asarray(self._layer.data[0])[[0, -1], -2:]]
        return values_along(layer, self._viewer.dims, *ends, width=width)

    def _tell(self, _: Any = None) -> None:
        self.moved.emit()


def _served(layer: Layer) -> bool:
    """Whether a layer is the hidden line of this dock or of one before."""
    return isinstance(layer, Shapes) and read_record(layer.metadata).get("compare") == NAME


def values_along(layer: Image, dims: Dims, first: Any, last: Any, *, width: int) -> Values | None:
    """What a layer has along a line in the plane in sight; None where none of it lies on the layer.

    Parameters
    ----------
    layer : Image
        Of any number of axes, the last two of which are in sight.
    dims : napari.components.Dims
        Of its viewer.
    first, last : array_like
        Y and X of the ends, in the world.
    width : int
        Px of the layer across the line, whose mean is taken.
    """
    plane = visible_part(layer, dims)[0]
    world = np.asarray(dims.point, dtype=float)
    ends = []
    for place in (first, last):
        world[-2:] = place[-2:]
        ends.append(np.asarray(layer.world_to_data(world), dtype=float)[-2:])
    height, size = image_data(layer).shape[len(plane) : len(plane) + 2]
    margin = width + 1
    low, high = np.floor(np.min(ends, axis=0)) - margin, np.ceil(np.max(ends, axis=0)) + margin + 1
    y0, x0 = (int(v) for v in np.clip(low, 0, [height, size]))
    y1, x1 = (int(v) for v in np.clip(high, 0, [height, size]))
    if y1 <= y0 or x1 <= x0:
        return None
    part = np.asarray(image_data(layer)[(*plane, slice(y0, y1), slice(x0, x1))], dtype=np.float64)
    if layer.rgb:
        part = part[..., :3].mean(axis=-1)
    start, stop = ends
    origin = y0, x0
    way = start - origin, stop - origin
    found = profile_line(part, *way, linewidth=width, order=1, mode="nearest")  # type: ignore[no-untyped-call]
    places = np.linspace(start, stop, len(found))
    outside = ((places < -0.5) | (places > np.array([height, size]) - 0.5)).any(axis=1)
    length = float(np.linalg.norm((stop - start) * np.asarray(layer.scale[-2:])))
    unit = canonical(layer.units[-1])
    values = np.where(outside, np.nan, found)
    return Values(np.linspace(0, length, len(values)), values, "px" if unit == "pixel" else unit)
