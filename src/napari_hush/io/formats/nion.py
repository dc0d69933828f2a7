"""Nion Swift: .ndata, a ZIP of an array and what is known of it."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.npy import check_packing, read_npz
from napari_hush.io.formats.signal_axes import Axis, NoImageError, image_axes
from napari_hush.io.image import guess_axes, make_image
from napari_hush.io.metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales

MAX_NOTE = 1 << 24  # bytes of what is known of an image
_NOTES = "metadata.json"


def read_ndata(path: Path, selector: str | None) -> ImageData:
    """The image of a .ndata."""
    if selector not in (None, "data"):
        raise InputError(f"{path}: holds one image, leave out ':{selector}'")
    image = read_npz(path, "data")
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(_NOTES)
        check_packing(member, f"{path}:{_NOTES}")
        notes = archive.read(member) if member.file_size <= MAX_NOTE else b""
    try:
        axes, scales = swift_axes(properties(notes), image.shape)
    except NoImageError as error:
        raise FileFormatError(f"{path}: holds {error}, no image; export an image of it as TIFF") from error
    return make_image(image.data, axes, scales, str(path), swift_metadata(properties(notes)))


def properties(text: str | bytes) -> dict[str, Any]:
    """What a JSON text of Swift says; nothing where it is none."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def swift_axes(notes: dict[str, Any], shape: tuple[int, ...]) -> tuple[str, Scales]:
    """Swift counts its axes as numpy does; the last ones, as many as `datum_dimension_count`, are of each image."""
    calibrations = notes.get("dimensional_calibrations", notes.get("spatial_calibrations"))
    entries = calibrations if isinstance(calibrations, list) and len(calibrations) == len(shape) else []
    if not entries:
        return guess_axes(shape), {}
    datum = notes.get("datum_dimension_count")
    first = len(shape) - datum if isinstance(datum, int) and 0 < datum <= len(shape) else None
    axes = [
        _axis(entry if isinstance(entry, dict) else {}, None if first is None else number >= first)
        for number, entry in enumerate(entries)
    ]
    return image_axes(axes)


def _axis(entry: dict[str, Any], of_image: bool | None) -> Axis:
    return Axis.described("", entry.get("units"), entry.get("scale"), None if of_image is None else not of_image)


def swift_metadata(notes: dict[str, Any]) -> Metadata:
    """Title, caption and date."""
    return Metadata(
        name=str(notes.get("title") or ""),
        description=str(notes.get("caption") or notes.get("description") or ""),
        date=str(notes.get("created") or ""),
    )
