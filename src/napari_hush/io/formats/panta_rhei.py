"""Panta Rhei's .prz (CEOS): a .npz with what is known of its image in JSON; the older, pickled notes stay shut."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.formats.npy import check_packing, read_npz
from napari_hush.io.image import guess_axes, make_image
from napari_hush.io.units import readable_length

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales

MAX_NOTE = 1 << 24  # bytes
_NOTES = "meta_data_json.npy"


def read_prz(path: Path, selector: str | None) -> ImageData:
    """The image, or the array that the selector names."""
    image = read_npz(path, selector or "data")
    if selector not in (None, "data"):
        return image
    return make_image(image.data, image.axes, _scales(_calibrations(path), image.shape), str(path))


def _calibrations(path: Path) -> list[Any]:
    """One entry for X, for Y and so on."""
    with zipfile.ZipFile(path) as archive:
        member = archive.NameToInfo.get(_NOTES)
        if member is None or member.file_size > MAX_NOTE:
            return []
        check_packing(member, f"{path}:{_NOTES}")
    with np.load(path, allow_pickle=False) as arrays:
        notes = json.loads(str(arrays[_NOTES.removesuffix(".npy")]))
    notes = notes[0] if isinstance(notes, list) and notes else notes
    found = notes.get("device.calib") if isinstance(notes, dict) else None
    return found if isinstance(found, list) else []


def _scales(calibrations: list[Any], shape: tuple[int, ...]) -> Scales:
    scales: Scales = {}
    if guess_axes(shape)[-2:] == "YX":
        for axis, entry in zip("XY", calibrations, strict=False):
            if isinstance(entry, dict) and entry.get("unit") == "m":
                scales[axis] = readable_length(float(entry["value"]) * float(entry.get("pixel_factor") or 1))
    return scales
