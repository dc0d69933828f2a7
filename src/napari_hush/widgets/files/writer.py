"""What napari's *Save* asks for: layers as files that keep the pixel size, the names and how they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.io import write_image
from napari_hush.widgets.files.layers import history_of, image_of
from napari_hush.widgets.parts import notify

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_layer(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write one image layer; the ending of the path chooses the format.

    Raises
    ------
    OSError
        If the format cannot hold it: what came, and what to do.
    """
    return write_layers(path, [(data, options, "image")])


def write_layers(path: str, layers: Sequence[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write several image layers of one size as the channels of one file.

    Raises
    ------
    OSError
        If they are not alike, or the format cannot hold them.
    """
    try:
        _write(path, layers)
    except InputError as error:  # napari takes any ValueError for "no such writer", and its words are lost
        raise OSError(str(error)) from error
    return [path]


def _write(path: str, layers: Sequence[tuple[Any, dict[str, Any], str]]) -> None:
    if not layers:
        raise InputError(f"{path}: there is no image layer to be saved")
    image = image_of(layers)
    moved = [options["name"] for _, options, _ in layers if _is_turned(options)]
    if moved:
        notify.warning(f"{moved[0]} is turned or sheared in the viewer: the file holds its pixels as they are")
    write_image(path, image.data, like=image, history=history_of(layers[0][1]) if len(layers) == 1 else None)


def _is_turned(options: dict[str, Any]) -> bool:
    """Whether the layer's axes are not those of the world."""
    turns = [np.asarray(options.get("rotate", np.eye(2))), np.asarray(options.get("affine", np.eye(3)))[:-1, :-1]]
    sheared = bool(np.any(np.asarray(options.get("shear", 0.0))))
    return sheared or any(np.abs(one - np.diag(np.diag(one))).max(initial=0) > 1e-9 for one in turns)
