"""Layers that are shown anew: that of a preview, which the next one goes into, and a result with another guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from napari_hush.widgets.parts.layer_record import is_preview, read_record

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

POSE = ("scale", "rotate", "shear", "translate", "affine", "metadata")


def update_preview(viewer: ViewerModel, data: Any, options: dict[str, Any]) -> Image | None:
    """Show a preview in the layer of an older one of the same source, and give that; None where none can take it.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    data, options
        Of the preview's layer.
    """
    source = read_record(options["metadata"])["source_id"]
    for layer in viewer.layers:
        record = read_record(layer.metadata)
        if not is_preview(record) or record.get("source_id") != source:
            continue
        if layer.rgb != options["rgb"] or layer.data.ndim != data.ndim:
            continue
        layer.data = data
        for name in POSE:
            setattr(layer, name, options[name])
        return cast("Image", layer)
    return None


def renew(layer: Image | None, viewer: ViewerModel, data: Any, options: dict[str, Any]) -> Image | None:
    """Show a result that was made anew in the layer of the one before; None where that is gone.

    Parameters
    ----------
    layer : Image, optional
        Of the result before.
    viewer : napari.components.ViewerModel
        Where the layers are.
    data, options
        Of the result's layer; what a hand may have changed in the old one stays.
    """
    if layer is None or layer not in viewer.layers:
        return None
    layer.data = data
    layer.metadata = options["metadata"]
    return layer
