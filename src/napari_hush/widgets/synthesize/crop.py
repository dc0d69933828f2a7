"""A rectangle over an image layer, and the pixels under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import numpy as np
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_hush.errors import InputError
from napari_hush.widgets.parts.bits import when_deleted

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

NAME = "unit crop"
SMALLEST = 8  # px


class Rectangle(QObject):
    """The layer in which the user draws the unit crop; the last rectangle counts.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layer is.
    parent : QObject
        When it is deleted, nothing is heard any more.

    Attributes
    ----------
    changed : Signal()
        Another rectangle is drawn, or the layer is removed.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Shapes] = []  # one or none
        layers, on_data, on_removed = self._layers, WeakMethod(self._on_data), WeakMethod(self._on_removed)
        viewer.layers.events.removed.connect(self._on_removed)

        def forget() -> None:  # napari would go on to call a deleted object
            emitters: list[tuple[Any, Any]] = [(viewer.layers.events.removed, on_removed)]
            emitters += [(layer.events.data, on_data) for layer in layers]
            for emitter, slot in emitters:
                if (connected := slot()) is not None:
                    emitter.disconnect(connected)

        when_deleted(self, forget)

    def draw(self, image: Image) -> None:
        """Let the user draw over an image layer."""
        if not self._layers:
            layer = self._viewer.add_shapes(
                ndim=2,
                name=NAME,
                edge_color="#ffb000",
                face_color="transparent",
                edge_width=max(max(_size(image)) / 200, 0.2),
                **pose(image),
            )
            layer.events.data.connect(self._on_data)
            self._layers.append(layer)
        self._viewer.layers.selection.active = self._layers[0]
        self._layers[0].mode = "add_rectangle"

    def region(self, image: Image, plane: tuple[int, ...]) -> tuple[int, int, int, int] | None:
        """What of an image layer is under the rectangle, see `region_under`."""
        return region_under(self._layers[0], image, plane) if self._layers else None

    def _on_data(self, _: object = None) -> None:
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        if event.value in self._layers:
            event.value.events.data.disconnect(self._on_data)
            self._layers.remove(event.value)
            self.changed.emit()


def pose(layer: Image) -> dict[str, Any]:
    """Where the planes (Y, X) of a layer lie, as arguments of a layer of two dimensions."""
    options = {
        "scale": layer.scale[-2:],
        "translate": layer.translate[-2:],
        "rotate": np.asarray(layer.rotate)[-2:, -2:],
        "affine": np.asarray(layer.affine.affine_matrix)[-3:, -3:],
        "units": layer.units[-2:],
    }
    if layer.ndim == 2:
        options["shear"] = layer.shear
    return options


def region_under(shapes: Shapes, layer: Image, plane: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """The pixels of a layer under the last rectangle, as y0, y1, x0, x1; None where no rectangle is drawn.

    Parameters
    ----------
    shapes : Shapes
        The rectangles, anywhere in the world.
    layer : Image
        The image; a rectangle that is turned against it counts with all rows and columns that it touches.
    plane : tuple of int
        Indices of the plane that is looked at, for layers of more dimensions.

    Raises
    ------
    InputError
        If the rectangle lies beside the image or holds too few pixels.
    """
    corners = [data for data, kind in zip(shapes.data, shapes.shape_type, strict=True) if kind == "rectangle"]
    if not corners:
        return None
    lead = np.asarray(layer.data_to_world((*plane, 0, 0)))[:-2]
    world = [(*lead, *np.asarray(shapes.data_to_world(corner))[-2:]) for corner in corners[-1]]
    pixels = np.array([np.asarray(layer.world_to_data(point))[-2:] for point in world])
    size = np.array(_size(layer))
    # A pixel belongs to it when its centre does; a millionth of a pixel forgives rounding.
    start = np.clip(np.ceil(pixels.min(axis=0) - 1e-6), 0, size).astype(int)
    stop = np.clip(np.floor(pixels.max(axis=0) + 1e-6) + 1, 0, size).astype(int)
    height, width = (max(int(n), 0) for n in stop - start)
    if not height or not width:
        raise InputError(f"the rectangle lies beside {layer.name}: draw it over the image")
    if min(height, width) < SMALLEST:
        raise InputError(
            f"the rectangle holds {width} x {height} px: draw it over two periods or more in each direction"
        )
    return int(start[0]), int(stop[0]), int(start[1]), int(stop[1])


def _size(layer: Image) -> tuple[int, int]:
    height, width = (layer.data[0] if layer.multiscale else layer.data).shape[: layer.ndim][-2:]
    return int(height), int(width)
