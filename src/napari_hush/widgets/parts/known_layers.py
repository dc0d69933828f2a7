"""What has been measured on layers: kept as long as a layer lives and shows the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from napari_hush.inference.known import Known
from napari_hush.io.fingerprint import fingerprint, lies_in_file
from napari_hush.memory import free_memory
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

SHARE = 4  # of the free memory a fourth may hold what networks have made


class KnownLayer:
    """What is known of the data of a layer.

    Parameters
    ----------
    data : array_like
        Of the layer; it is not held, see `reference`.
    """

    def __init__(self, data: Any) -> None:
        self._data = reference(data)
        self._seen: dict[str, Any] | None = None
        self._known = Known()

    def is_of(self, data: Any) -> bool:
        """Whether it was made for this array."""
        return self._data() is data

    @property
    def has_outputs(self) -> bool:
        """Whether what the network made of these data is kept, in part at least."""
        return self._known.outputs.any

    def forget_outputs(self) -> None:
        """Keep no longer what the network made of these data: it takes as much memory as they do."""
        self._known.outputs.clear()

    def now(self) -> Known:
        """What still holds: nothing where the values have changed in their place. It may take a part of a second."""
        data = self._data()
        looks = lies_in_file(data) or isinstance(data, np.ndarray)  # others are computed anew at each look
        seen = fingerprint(data) if looks else None
        if seen != self._seen:
            self._seen, self._known = seen, Known()
        self._known.outputs.room = free_memory("cpu") // SHARE
        return self._known


def reference(data: Any) -> Callable[[], Any]:
    """Data, as long as somebody else holds them; arrays of a library that cannot be referred to weakly are held."""
    try:
        return ref(data)
    except TypeError:
        return lambda: data


class KnownLayers:
    """What is known of each layer; it goes with the layer. Outputs of networks are kept of one at a time."""

    def __init__(self) -> None:
        self._layers: WeakKeyDictionary[Image, KnownLayer] = WeakKeyDictionary()

    def of(self, layer: Image) -> KnownLayer:
        """What is known of a layer, or a new place for it where it shows other data by now."""
        data = image_data(layer)
        found = self._layers.get(layer)
        if found is None or not found.is_of(data):
            found = self._layers[layer] = KnownLayer(data)
        return found

    def before_a_run(self, layer: Image) -> KnownLayer:
        """As `of`, of a layer that is to be denoised: outputs of networks are no longer kept for any other."""
        found = self.of(layer)
        for other in self._layers.values():
            if other is not found:
                other.forget_outputs()
        return found
