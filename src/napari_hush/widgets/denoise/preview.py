"""The layer that shows a preview: one for each layer that is denoised, which the next preview of it goes into."""

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
