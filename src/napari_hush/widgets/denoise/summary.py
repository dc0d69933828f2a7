"""What a run or a preview was, in the line below the buttons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.widgets.parts.layer_record import LayerRecord, is_preview
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from napari.layers import Image


def summary(record: LayerRecord, layer: Image | None) -> str:
    """By which model, how fast and on what.

    Parameters
    ----------
    record : LayerRecord
        Of the result.
    layer : Image or None
        That it is in; None where a preview went into an older one.
    """
    from napari_hush.fidelity.glance import given_back_words  # slow to load

    seconds = max(record["seconds"], 1e-3)
    how = f"{record['engine']} on {record['device']}, {record['precision']}"
    share = record.get("settings", {}).get("strength", 1)
    how += "" if share == 1 else f", strength {share:g}"
    given = f"; {words}" if share and (words := given_back_words(record)) else ""
    why = f"{because}, so " if (because := record.get("chosen_because")) else ""
    if layer is None or is_preview(record):  # mostly preparation: a speed would mislead
        return f"{why}preview by {record['model']}: {seconds:.1f} s ({how})"
    if record.get("replayed"):
        return f"{why}{record['model']}, from what the network gave before: {seconds:.1f} s ({how}){given}"
    name = f"; in {Path(file).name}" if (file := record.get("file")) else ""
    shape = image_data(layer).shape
    speed = np.prod(shape[:-1] if layer.rgb else shape, dtype=float) / seconds / 1e6
    fast = "" if record.get("resumed") else f", {speed:.2g} Mpx/s"  # of which only the rest was done now
    return f"{why}{record['model']}: {seconds:.1f} s{fast} ({how}){given}{name}"
