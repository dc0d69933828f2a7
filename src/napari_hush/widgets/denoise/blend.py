"""Results in memory at another strength, without running the network: what that takes lies in the layer's metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from napari_hush.inference.strength import blended
from napari_hush.memory import free_memory
from napari_hush.widgets.denoise.size import fits
from napari_hush.widgets.parts.layer_record import (
    GIVEN_BACK,
    as_metadata,
    identity,
    is_preview,
    latest_result,
    read_record,
)

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Image

    from napari_hush.widgets.denoise.result import OutputType
    from napari_hush.widgets.parts.layer_source import Part, Source

WHOLE = "napari-hush whole"  # beside the record, and gone with the layer


@dataclass(eq=False)
class Whole:
    """A result at strength 1, which at that strength is the array of the layer itself.

    Parameters
    ----------
    denoised : ndarray
        The result.
    given : ndarray or None
        What the guard gave back in it.
    noisy : weak reference to ndarray
        The image that it was made of; nobody keeps it for this.
    part : tuple of slice
        What of that image.
    shown : weak reference to ndarray
        What the layer was given last: anything else there is somebody's own.
    """

    denoised: np.ndarray
    given: np.ndarray | None
    noisy: ref[np.ndarray]
    part: tuple[slice, ...]
    shown: ref[np.ndarray]

    def at(self, strength: float) -> np.ndarray:
        """The result at a strength, while the noisy image is there."""
        noisy = self.noisy()
        assert noisy is not None
        made = blended(noisy[self.part].reshape(self.denoised.shape), self.denoised, strength)
        self.shown = ref(made)
        return made

    def given_at(self, strength: float) -> dict[str, np.ndarray]:
        """What the guard gave back, as metadata."""
        if self.given is None:
            return {}
        return {GIVEN_BACK: self.given if strength == 1 else self.given * np.float32(strength)}


def can_blend(source: Source, output: OutputType) -> bool:
    """Whether a result of a layer can be blended anew: both are floats or will be, and lie in memory."""
    data = source.data
    plain = isinstance(data, np.ndarray) and not isinstance(data, np.ma.MaskedArray)
    coloured = source.rgb and (data.shape[-1] == 4 or np.dtype(data.dtype).kind != "f")
    return plain and output == "float32" and not coloured


def at_strength(
    source: Source, part: Part | None, data: np.ndarray, options: dict[str, Any], strength: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """A layer that was made at strength 1, at the one that is wanted.

    Parameters
    ----------
    source : Source
        What was denoised.
    part : tuple, optional
        Which plane and region of it, in a preview.
    data, options
        Of the layer.
    strength : float
        From 0 to 1.
    """
    slices = () if part is None else source.place(part)[0]
    metadata = options["metadata"]
    whole = Whole(data, metadata.get(GIVEN_BACK), ref(source.data), slices, ref(data))
    shown = whole.at(strength)
    return shown, options | {"metadata": _metadata(metadata, whole, strength)}


def why_fixed(layer: Image) -> str:
    """Why the strength of a result counts from the next run on; empty where it can be changed at once."""
    whole = layer.metadata.get(WHOLE)
    if not isinstance(whole, Whole):
        return "this result is in a file, or of another number type than float32"
    if whole.noisy() is None:
        return "the noisy image is another one by now"
    if whole.shown() is not layer.data:
        return "the layer holds something else by now"
    needed = whole.denoised.nbytes if whole.shown() is whole.denoised else 0
    return "" if fits(needed, free_memory("cpu")) else "a second array of this size does not fit into memory"


def blend_all(source: Image, layers: LayerList, strength: float) -> tuple[list[Image], str]:
    """Show the latest result of a layer and its preview at another strength.

    Returns
    -------
    changed : list of Image
        Those that it could be done with.
    reason : str
        Why it counts for the result from the next run on; empty where it was done, or there is none.
    """
    result, own = latest_result(source, layers), identity(source)
    records = ((layer, read_record(layer.metadata)) for layer in layers)
    previews = [layer for layer, record in records if is_preview(record) and record.get("source_id") == own]
    results = [] if result is None else [result]
    changed = [layer for layer in (*previews, *results) if not why_fixed(layer)]
    for layer in changed:
        blend(layer, strength)
    return changed, "" if result is None else why_fixed(result)


def blend(layer: Image, strength: float) -> None:
    """Show a result at another strength, which its record says; what was said of it before is no longer true."""
    whole: Whole = layer.metadata[WHOLE]
    metadata = _metadata(layer.metadata, whole, strength)
    layer.data = whole.at(strength)
    layer.metadata = metadata


def _metadata(metadata: dict[str, Any], whole: Whole, strength: float) -> dict[str, Any]:
    record: dict[str, Any] = dict(read_record(metadata))
    record.pop("verdict", None)
    record["settings"] = record.get("settings", {}) | {"strength": strength}
    return metadata | as_metadata(record) | whole.given_at(strength) | {WHOLE: whole}
