"""How much memory the result of a layer would take, and what can be held back of a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.planes import Planes
from napari_hush.widgets.parts.layer_source import middle_of

if TYPE_CHECKING:
    from napari_hush.widgets.parts.layer_source import Part, Source

KEPT_FREE = 0.25  # of the free memory: for tiles, the viewer and other programs
PREVIEW = 2048  # px: side of a preview where what is in sight would not fit


def needed_bytes(data: Any, *, growing: bool = False) -> int:
    """Memory for a denoised layer: the result, what the guard gave back, and what has to be read for them.

    Parameters
    ----------
    data : array_like
        Of the layer.
    growing : bool
        Whether it is shown while it is made, as stacks are.

    Examples
    --------
    >>> needed_bytes(np.zeros((100, 100), np.uint16)), needed_bytes(np.zeros((100, 100), np.uint16), growing=True)
    (80000, 120000)
    """
    pixels = int(np.prod(data.shape, dtype=np.int64))
    source = 0 if isinstance(data, np.ndarray) and not isinstance(data, np.memmap) else np.dtype(data.dtype).itemsize
    return pixels * (12 if growing else 8) + pixels * source


def fits(needed: int, free: int) -> bool:
    """Whether so many bytes can be taken of those that are free."""
    return needed <= (1 - KEPT_FREE) * free


def limited(part: Part, source: Source, free: int) -> Part:
    """What is in sight, or its middle where a preview of all of it would not fit into memory."""
    (plane, (y0, y1, x0, x1)), channels = part, Planes(source.data, source.channel_axis).n_channels
    if fits(8 * channels * (y1 - y0) * (x1 - x0), free):
        return part
    return plane, middle_of((y0, y1, x0, x1), PREVIEW)
