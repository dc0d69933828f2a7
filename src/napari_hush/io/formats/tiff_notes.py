"""Where TIFF dialects keep names, colours, display ranges, labels and dates; each is read, and all are put together."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from napari_hush.io.formats.tiff_values import imagej_values
from napari_hush.io.metadata import LUT_BYTES, Channel, Metadata, ramp
from napari_hush.io.metadata_note import TIFF_TAG, parse_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DESCRIPTION, DATE_TIME, DOCUMENT_NAME, PAGE_NAME, COLOUR_MAP = 270, 306, 269, 285, 320
MINISWHITE = 0
LONGEST_TEXT = 1 << 16  # characters of a plain description
MOST_PAGES = 1 << 14  # whose names are looked at
TIFF_DATE = "%Y:%m:%d %H:%M:%S"


def tiff_metadata(tif: Any, series: Any, index: int) -> Metadata:
    """What all dialects of a file say together, the first of them first."""
    found = Metadata(inverted=int(series.keyframe.photometric) == MINISWHITE)
    for read in _DIALECTS:
        try:
            found = found.merged(read(tif, series, index))
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
            continue  # a note of another shape than known: the image itself is fine
    return found


def tiff_date(text: str) -> str:
    """A date as ISO 8601 has it as TIFF has it: without fractions and time zone; empty where it is none."""
    try:
        return datetime.fromisoformat(text).strftime(TIFF_DATE)
    except ValueError:
        return ""


def colour_of(number: int) -> bytes:
    """The lookup table of a colour of OME: red, green, blue and opacity in a signed number of 32 bits."""
    red, green, blue, _ = (number & 0xFFFFFFFF).to_bytes(4, "big")
    return ramp(red, green, blue)


def colour_number(colour: tuple[int, int, int]) -> int:
    """The number of a colour as OME has it, see `colour_of`."""
    return int.from_bytes(bytes((*colour, 255)), "big", signed=True)


def _ome(tif: Any, series: Any, index: int) -> Metadata:
    if not tif.is_ome:
        return Metadata()
    try:
        root = ElementTree.fromstring(tif.ome_metadata)
    except ElementTree.ParseError:
        return Metadata()
    image = [one for one in root.iter() if _name(one) == "Image" and any(_name(part) == "Pixels" for part in one)][
        index
    ]
    parts = {_name(part): part for part in image}
    channels = tuple(
        Channel(one.get("Name", ""), colour_of(int(one.attrib["Color"])) if "Color" in one.attrib else None)
        for one in parts["Pixels"]
        if _name(one) == "Channel"
    )
    name = image.get("Name", "")
    return Metadata(
        "" if name == f"Image{index}" else name,  # as tifffile calls what has no name
        "".join(parts["Description"].itertext()).strip() if "Description" in parts else "",
        (parts["AcquisitionDate"].text or "").strip() if "AcquisitionDate" in parts else "",
        channels if any(one != Channel() for one in channels) else (),
    )


def _imagej(tif: Any, series: Any, index: int) -> Metadata:
    note = tif.imagej_metadata if tif.is_imagej else None
    if not note:
        return Metadata()
    luts = [np.asarray(one, np.uint8).tobytes() for one in _several(note.get("LUTs"))]
    if not luts and series.keyframe.colormap is not None:
        luts = [palette_lut(series.keyframe.colormap)]
    limits = list(note.get("Ranges") or ())
    if not limits and note.get("channels", 1) == 1 and note.get("min", 0) != note.get("max", 0):
        limits = [note.get("min", 0), note.get("max", 0)]
    values = imagej_values(tif, series)  # the limits are stored numbers as well
    pairs = [
        (values.of(a), values.of(b)) if values else (float(a), float(b))
        for a, b in zip(limits[::2], limits[1::2], strict=True)
    ]
    channels = tuple(
        Channel(
            lut=luts[k] if k < len(luts) and len(luts[k]) == LUT_BYTES else None,
            limits=pairs[k] if k < len(pairs) and all(map(math.isfinite, pairs[k])) else None,
        )
        for k in range(max(len(luts), len(pairs)))
    )
    labels = tuple(str(one) for one in _several(note.get("Labels")))
    return Metadata("", str(note.get("Info") or ""), "", channels, labels if any(labels) else ())


def _several(found: Any) -> list[Any]:
    """A list, where tifffile gives what is alone without one."""
    return list(found) if isinstance(found, (list, tuple)) else [] if found is None else [found]


def palette_lut(colormap: Any) -> bytes:
    """The lookup table of a TIFF's palette (3, 256) of 8 or 16 bits; nothing of one of another length."""
    table = np.asarray(colormap)
    parts = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
    return parts.tobytes() if parts.shape == (3, 256) else b""


def _own(tif: Any, series: Any, index: int) -> Metadata:
    return parse_note(str(tif.pages.first.tags.valueof(TIFF_TAG, ""))) if index == 0 else Metadata()


def _baseline(tif: Any, series: Any, index: int) -> Metadata:
    """The tags of TIFF itself; a description that another program reads is no text for people."""
    page = series.keyframe
    text = "" if tif.is_imagej or tif.is_ome or page.is_shaped else str(page.tags.valueof(DESCRIPTION, "")).strip()
    pages: Iterable[Any] = ()
    if PAGE_NAME in page.tags and len(series.pages) <= MOST_PAGES:
        pages = (one if hasattr(one, "tags") else one.aspage() for one in series.pages if one is not None)
    labels = tuple(str(one.tags.valueof(PAGE_NAME, "")) for one in pages)
    return Metadata(
        str(page.tags.valueof(DOCUMENT_NAME, "")),
        text if 0 < len(text) < LONGEST_TEXT and text[0] not in "<{" else "",
        _iso(str(page.tags.valueof(DATE_TIME, ""))),
        labels=labels,
    )


def _iso(text: str) -> str:
    try:
        return datetime.strptime(text.strip("\0 "), TIFF_DATE).isoformat()
    except ValueError:
        return ""


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


_DIALECTS: tuple[Callable[[Any, Any, int], Metadata], ...] = (_ome, _imagej, _own, _baseline)
