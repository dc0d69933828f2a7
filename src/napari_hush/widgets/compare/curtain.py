"""A curtain in the canvas: what is left of it shows one layer, what is right of it another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.widgets.parts.layer_record import as_metadata
from napari_hush.widgets.parts.layer_source import lazy_view, style_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.components import ViewerModel
    from napari.layers import Image

NEAR = 8  # px of the screen from its edge that the mouse takes hold of
NAME = "curtain"


class Curtain:
    """The left part of one layer over another one; its edge is dragged in the canvas.

    It is a layer of its own with a view of the first one's data, which stay where they are.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    moved : callable
        Told where the edge is, as a share of the width from 0 to 1, when the mouse has moved it.
    """

    def __init__(self, viewer: ViewerModel, moved: Callable[[float], None]) -> None:
        self._viewer, self._moved = viewer, moved
        self._before: Image | None = None
        self._pair: tuple[Image, Image] | None = None
        self._layer: Image | None = None
        self._axis = -1  # of the layer, along which it is drawn
        self._edge = 0  # px
        self._hovers = False

    @property
    def active(self) -> bool:
        """Whether it hangs."""
        return self._layer is not None and self._layer in self._viewer.layers

    @property
    def shown(self) -> tuple[Image, Image] | None:
        """The layers before and after; None where it does not hang."""
        return self._pair

    def hang(self, before: Image, after: Image, share: float) -> None:
        """Show one layer left of the edge, another one right of it.

        Parameters
        ----------
        before, after : Image
            On one grid of pixels.
        share : float
            Of the width, from 0 to 1, where the edge is.
        """
        self.remove()
        self._before, self._axis, self._pair = before, self._across(before), (before, after)
        self._edge = self._at(share)
        style = style_of(before)
        if not before.rgb and not after.rgb:  # at one contrast the eye compares like with like
            style["contrast_limits"] = after.contrast_limits
        chosen = set(self._viewer.layers.selection)
        self._layer = self._viewer.add_image(
            self._cut(),
            name=NAME,
            rgb=before.rgb,
            multiscale=before.multiscale,
            metadata=as_metadata({"compare": NAME}),
            **style,
        )
        self._viewer.layers.selection = chosen  # what other docks follow
        after.visible = True
        self._viewer.mouse_move_callbacks.append(self._hover)
        self._viewer.mouse_drag_callbacks.append(self._drag)
        self._viewer.dims.events.order.connect(self._turn)

    def remove(self) -> None:
        """Take it away; what the user has removed by hand does not matter."""
        self._pair = None
        if self._layer is None:
            return
        layer, self._layer = self._layer, None
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        self._viewer.mouse_move_callbacks.remove(self._hover)
        self._viewer.mouse_drag_callbacks.remove(self._drag)
        self._viewer.dims.events.order.disconnect(self._turn)
        self._let_go()
        self._before = None

    def draw(self, share: float) -> None:
        """Draw it to a share of the width, from 0 to 1."""
        if not self.active or self._layer is None:
            return
        edge = self._at(share)
        if edge != self._edge:
            self._edge = edge
            self._layer.data = self._cut()

    def _turn(self) -> None:
        """Other axes are in sight."""
        if self._before is not None and self._layer is not None:
            self._axis = self._across(self._before)
            self._edge = self._at(0.5)
            self._layer.data = self._cut()
            self._moved(0.5)

    def _across(self, layer: Image) -> int:
        """The axis of a layer that runs from left to right."""
        dims = self._viewer.dims
        return max(int(dims.displayed[-1]) - int(dims.ndim - layer.ndim), 0)

    def _at(self, share: float) -> int:
        """Px of an edge, at least one from either end."""
        assert self._before is not None
        size = self._size()
        return int(np.clip(round(share * size), 1, max(size - 1, 1)))

    def _size(self) -> int:
        assert self._before is not None
        first = self._before.data[0] if self._before.multiscale else self._before.data
        return int(first.shape[self._axis])

    def _cut(self) -> Any:
        """The data left of the edge, of every level."""
        assert self._before is not None
        levels = list(self._before.data) if self._before.multiscale else [self._before.data]
        size, cut = self._size(), []
        for level in levels:
            stop = max(round(self._edge * level.shape[self._axis] / size), 1)
            cut.append(lazy_view(level, (*(slice(None),) * self._axis, slice(0, stop))))
        return cut if self._before.multiscale else cut[0]

    def _distance(self, position: Any) -> float:
        """Px of the screen between the edge and a place in the world."""
        assert self._before is not None
        place = float(self._before.world_to_data(position)[self._axis])
        step = abs(float(self._before.scale[self._axis]))
        return abs(place + 0.5 - self._edge) * step * float(self._viewer.scene.camera.zoom)

    def _hover(self, _: Any, event: Any) -> None:
        """Keep the camera from moving while the mouse is over the edge."""
        if not self.active:
            self._let_go()
        elif (near := self._distance(event.position) < NEAR) != self._hovers:
            self._hovers = near
            self._viewer.scene.camera.mouse_pan = not near
            self._viewer.cursor.style = "pointing" if near else "standard"

    def _let_go(self) -> None:
        if self._hovers:
            self._hovers = False
            self._viewer.scene.camera.mouse_pan = True
            self._viewer.cursor.style = "standard"

    def _drag(self, _: Any, event: Any) -> Generator[None, None, None]:
        """Move the edge with the mouse that took hold of it."""
        if not self.active or self._before is None or self._distance(event.position) >= NEAR:
            return
        yield
        while event.type == "mouse_move" and self.active:
            size = self._size()
            place = float(self._before.world_to_data(event.position)[self._axis]) + 0.5
            share = float(np.clip(place / size, 0, 1))
            self.draw(share)
            self._moved(share)
            event.handled = True
            yield
