"""Layers side by side in napari's grid at one contrast, and back to how they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

LINKED = ("contrast_limits", "gamma")


class SideBySide:
    """The grid with some layers of a viewer in it.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._seen: dict[Layer, bool] = {}  # visibility of all layers before
        self._styles: dict[Image, dict[str, Any]] = {}  # of those that were linked
        self._names: dict[Layer, bool] = {}
        self._grid: tuple[bool, int, tuple[int, int]] = (False, 1, (-1, -1))
        self.active = False

    def show(self, alike: Sequence[Image], other: Sequence[Layer] = ()) -> None:
        """Show layers side by side, the bottom one first, and hide all others.

        Parameters
        ----------
        alike : sequence of Image
            They get the contrast of the second one, the denoised image, and keep it in common.
        other : sequence of Layer
            Layers with a contrast of their own.
        """
        self.restore()
        layers, grid = self._viewer.layers, self._viewer.canvas.grid
        shown = [*alike, *other]
        self._grid = grid.enabled, grid.stride, tuple(grid.shape)
        self._seen = {layer: layer.visible for layer in layers}
        self._names = {layer: layer.name_overlay.visible for layer in shown}
        grey = [layer for layer in alike if not layer.rgb]
        self._styles = {layer: {name: getattr(layer, name) for name in LINKED} for layer in grey}
        for layer in layers:
            layer.visible = layer in shown
        for layer in shown:
            layer.name_overlay.visible = True
        if len(grey) > 1:
            for layer in grey:
                for name in LINKED:
                    setattr(layer, name, getattr(grey[1], name))
            layers.link_layers(grey, LINKED)
        grid.stride, grid.shape, grid.enabled = 1, (-1, -1), True
        self._viewer.reset_view(layers=shown)  # a hidden one may be a thousand times as large
        self.active = True

    def restore(self) -> None:
        """Leave the grid; layers that were removed or added meanwhile do not matter."""
        if not self.active:
            return
        self.active = False
        layers, grid = self._viewer.layers, self._viewer.canvas.grid
        linked = [layer for layer in self._styles if layer in layers]
        if len(self._styles) > 1:
            layers.unlink_layers(list(self._styles), LINKED)
        for layer in linked:
            for name, value in self._styles[layer].items():
                setattr(layer, name, value)
        for layer, visible in self._seen.items():
            layer.visible = visible
        for layer, visible in self._names.items():
            layer.name_overlay.visible = visible
        grid.enabled, grid.stride, grid.shape = self._grid
        shown = [layer for layer in self._names if layer in layers]
        self._seen, self._styles, self._names = {}, {}, {}
        self._viewer.reset_view(layers=shown or None)
