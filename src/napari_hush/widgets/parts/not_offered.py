"""Why the layer that is chosen in napari's list is none to work on, in words for a dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_hush.errors import InputError
from napari_hush.inference.planes import Planes
from napari_hush.widgets.parts.dock_words import in_dock_words
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from napari.layers import Layer


def why_not_offered(layer: Layer | None) -> str:
    """Why a layer of another kind is in no list of images; empty for images, and where there is none."""
    if layer is None or isinstance(layer, Image):
        return ""
    kind = type(layer).__name__.lower()
    if isinstance(layer, Labels):
        return f"{layer.name} is a labels layer: its numbers are names of objects, no brightness, so it is not offered"
    return f"{layer.name} is a {kind} layer and has no pixels, so it is not offered"


def why_not_denoised(layer: Image, channel_axis: int | None) -> str:
    """Why an image layer cannot be denoised as it is; empty where it can."""
    try:
        Planes(image_data(layer), -1 if layer.rgb else channel_axis)
    except InputError as error:
        return in_dock_words(str(error))
    return ""
