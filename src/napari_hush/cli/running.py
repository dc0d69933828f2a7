"""One run as the command line shows it: a bar, a line of figures, a plane for a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from napari_hush.inference.denoise import Denoised


def run_with_bar(steps: Any, label: str) -> Denoised:
    """Go through the steps with a progress bar."""
    from napari_hush.inference.denoise import run_steps

    return run_steps(steps, True, label=label)


def run_text(done: Denoised) -> str:
    """How an image was denoised, in one line."""
    p = done.provenance
    tile = f"tiles of {p['tile'][0]} x {p['tile'][1]} px" if p["tile"] else "one pass"
    rate = math.prod(p["shape"]) / 1e6 / max(p["seconds"], 1e-9)
    why = f"{p['chosen_because']}, so " if p["chosen_because"] else ""
    return (
        f"{why}{p['model']} on {p['device']} with {p['engine']} in {p['precision']}, {tile}, {p['seconds']:.1f} s "
        f"({rate:.2f} megapixels/s)"
    )


def middle_plane(data: Any, channel_axis: int | None) -> np.ndarray:
    """One plane for a picture: (Y, X), or (Y, X, 3) where there are three channels."""
    import numpy as np

    from napari_hush.inference.planes import Planes

    planes = Planes(data, channel_axis)
    index = tuple(n // 2 for n in planes.lead_shape)
    channels = list(range(planes.n_channels)) if planes.n_channels == 3 else [0]
    values = planes.read(index, channels, slice(None), slice(None)).astype(np.float64)
    return np.moveaxis(values, 0, -1) if len(channels) == 3 else values[0]
