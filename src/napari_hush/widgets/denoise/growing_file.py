"""The result of a layer larger than memory while it is made: a layer of the file itself, looked at now and then."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.ledger import Restart, peek
from napari_hush.io import read_image
from napari_hush.io.formats.zarr_groups import smaller_levels
from napari_hush.io.formats.zarr_growing import growing_levels
from napari_hush.io.formats.zarr_write import ARRAY
from napari_hush.io.history import read_history
from napari_hush.widgets.denoise.result import contrast_limits
from napari_hush.widgets.files.layers import lazy
from napari_hush.widgets.parts.layer_record import FILE, as_metadata, read_record
from napari_hush.widgets.parts.layer_source import visible_part

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_hush.io.formats.zarr_growing import SeenArray
    from napari_hush.progress import Progress
    from napari_hush.widgets.parts.layer_source import Source

SHARE = 0.02  # of the time, at most, for looking at what is new
PAUSES = 0.5, 10.0  # s between two looks, at least and at most


class GrowingFile:
    """A layer of an unfinished zarr, and of the finished one.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown once the first tile is done.
    source : Source
        What is denoised.
    target : Path
        The file.
    """

    def __init__(self, viewer: napari.Viewer, source: Source, target: Path) -> None:
        self.target = target
        self._viewer, self._source = viewer, source
        self._layer: Image | None = self._stopped_before()
        self._levels: list[SeenArray] = []
        self._begun = False
        self._step = 0
        self._next = 0.0  # when it is looked at again, s

    def show(self, event: Progress) -> None:
        """Bring what is new into sight, if it is time for that."""
        if not event.step:
            return
        now = time.monotonic()
        if event.step == self._step or now < self._next:
            return
        self._step = event.step
        if not self._begun and peek(self.target) is not None:  # tiles are counted before they are complete
            self._begin()
            now = time.monotonic()  # making a layer takes longer than a look at it
        elif self._layer is not None and self._layer in self._viewer.layers and self._layer.visible:
            for level in self._levels:
                level.forget()
            self._layer.refresh(extent=False, highlight=False)
        took = time.monotonic() - now
        self._next = now + took + float(np.clip(took / SHARE, *PAUSES))

    def finish(self, record: dict[str, Any]) -> Image:
        """Show the finished file, in the layer that grew if it is still there; limits follow from what is seen."""
        image = read_image(self.target)
        levels = [image, *(read_image(one) for one in smaller_levels(Path(image.source)))]
        data = [lazy(one) for one in levels]
        notes = {FILE: self._source.notes | {"source": str(self.target)}}
        layer = self._put(data, f"{self._source.name} · {record['model']}", as_metadata(record) | notes)
        if not self._source.rgb:
            plane = visible_part(layer, self._viewer.dims)[0]
            limits = self._source.style["contrast_limits"]
            layer.contrast_limits = contrast_limits(np.asarray(data[-1][plane]), limits, 0.5)
        return layer

    def finished_record(self) -> dict[str, Any] | None:
        """How the file was made, where it is finished; None where it is not."""
        return read_history(self.target) if self.target.is_dir() else None

    def keep(self) -> str:
        """After a stop keep what is done; says so."""
        here = self._layer is not None and self._layer in self._viewer.layers
        if peek(self.target) is None:
            if here:
                self._viewer.layers.remove(self._layer)
            return ""
        if here:
            self._put(growing_levels(self._folder), f"{self._source.name} · stopped", self._marked())
        return "; what is done is kept in the file: Go on takes it up"

    @property
    def _folder(self) -> Path:
        return Restart(self.target).folder / ARRAY

    def _begin(self) -> None:
        self._levels = growing_levels(self._folder)
        self._layer = self._put(self._levels, f"{self._source.name} · under way", self._marked())
        self._begun = True

    def _put(self, data: list[Any], name: str, metadata: dict[str, Any]) -> Image:
        """Change the layer, or make it where it is not there."""
        layer = self._layer
        if layer is not None and layer in self._viewer.layers:
            layer.data = data if layer.multiscale else data[0]
            layer.name, layer.metadata = name, metadata
            return layer
        style = self._source.style | {"name": name, "metadata": metadata, "rgb": self._source.rgb}
        several = len(data) > 1
        self._layer = self._viewer.add_image(data if several else data[0], multiscale=several, **style)
        return self._layer

    def _marked(self) -> dict[str, Any]:
        return as_metadata(
            {
                "source_layer": self._source.name,
                "source_id": self._source.identity,
                "unfinished": str(self.target),
            }
        )

    def _stopped_before(self) -> Image | None:
        """The layer of an earlier run to the same file."""
        known = (one for one in self._viewer.layers if read_record(one.metadata).get("unfinished") == str(self.target))
        return next(known, None)
