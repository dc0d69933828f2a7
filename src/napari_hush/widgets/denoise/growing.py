"""The result of a stack while it is made: a layer that fills frame by frame, and what is kept of it after a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.strength import blended
from napari_hush.widgets.denoise.preview import renew
from napari_hush.widgets.parts.layer_record import as_metadata
from napari_hush.widgets.parts.layer_source import PLACE, image_data, visible_part

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_hush.inference.told import SeriesResult
    from napari_hush.progress import Progress
    from napari_hush.widgets.parts.layer_source import Source


class GrowingLayer:
    """A layer of the finished frames; what is not yet done is not a number, and so not seen.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown once the first frame is done.
    source : Source
        What is denoised.
    layer : napari.layers.Image
        The layer of that source, by which is known which frame is in sight.
    strength : float
        At which a frame that comes at strength 1 is shown.

    Attributes
    ----------
    finished : list of ((int, ...), ndarray)
        Frames that are done, (C, Y, X), with their places: the thread adds them, `show` takes them.
    """

    def __init__(self, viewer: napari.Viewer, source: Source, layer: Image, strength: float = 1.0) -> None:
        self._viewer, self._source, self._noisy, self._strength = viewer, source, layer, strength
        self._sight = self._look()
        self._layer: Image | None = None
        self._shown = 0
        self._origin = {"source_layer": source.name, "source_id": source.identity}
        self.finished: list[tuple[tuple[int, ...], np.ndarray]] = []

    def wanted(self) -> int:
        """Which frame is in sight, as of the latest `show`; the thread asks."""
        return next(iter(self._sight), 0)

    def _look(self) -> tuple[int, ...]:
        """The place in sight along the leading axes."""
        return self._source.seen(visible_part(self._noisy, self._viewer.dims))[0]

    def show(self, _: Progress | None = None) -> None:
        """Bring what has been finished into the layer; it is drawn anew where that is in sight."""
        self._sight = self._look()
        if self._shown == len(self.finished) or self._source.rgb or self._source.channel_axis is not None:
            return
        if self._layer is None:
            data = np.full(self._source.data.shape, np.nan, np.float32)
            style = self._source.style | {"metadata": as_metadata(self._origin)}
            self._layer = self._viewer.add_image(data, name=f"{self._source.name} · under way", **style)
        in_sight = set(self._viewer.dims.displayed) != {self._viewer.dims.ndim - 2, self._viewer.dims.ndim - 1}
        while self._shown < len(self.finished):
            place, plane = self.finished[self._shown]
            noisy = self._source.data[place] if self._strength < 1 else None
            self._layer.data[place] = blended(noisy, plane[0], self._strength)
            self.finished[self._shown] = place, plane[:0]  # the layer has it now
            in_sight |= place == self._sight
            self._shown += 1
        if in_sight and self._layer in self._viewer.layers:
            self._layer.refresh()

    def replace(self, data: Any, options: dict[str, Any]) -> Image | None:
        """Turn it into the result; None where it was never shown, or has been removed."""
        layer = renew(self._layer, self._viewer, data, options)
        if layer is None:
            return None
        layer.name = options["name"]
        limits = options.get("contrast_limits")
        if limits is not None:
            layer.contrast_limits = limits
        return layer

    def keep(self) -> str:
        """Keep what is done after a stop; says so."""
        self.show()
        if self._layer is None or self._layer not in self._viewer.layers:
            return ""
        total = int(np.prod(self._source.data.shape[:-2]))
        words = f"{self._shown} of {total} frames"
        self._layer.name = f"{self._source.name} · {words}"
        self._layer.metadata = as_metadata(self._origin | {"cancelled": words})
        return f"; {words} are kept in a layer"


def planes_of(layer: Image) -> int:
    """How many planes a layer has along its first axis; 1 for a single image."""
    shape = image_data(layer).shape[: layer.ndim]
    return int(shape[0]) if len(shape) > 2 else 1


def series_layers(result: Image, maps: SeriesResult) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Data and arguments of two more layers, hidden at first: how many frames carry each pixel, and what changed."""
    place = {name: getattr(result, name) for name in PLACE}
    made = []
    if maps.carried is not None:
        limits = (1.0, max(float(maps.carried.max()), 2.0))
        made.append((maps.carried, {"name": f"{result.name} · frames that carry", "colormap": "viridis",
                                    "contrast_limits": limits}))  # fmt: skip
    if maps.changed is not None:
        limits = (0.0, max(float(maps.changed.max()), 6.0))
        made.append((maps.changed, {"name": f"{result.name} · what changed", "colormap": "inferno",
                                    "blending": "additive", "contrast_limits": limits}))  # fmt: skip
    metadata = as_metadata({"series_map": result.name})
    return [(data, {**place, "visible": False, "metadata": metadata, **style}) for data, style in made]
