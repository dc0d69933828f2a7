"""Write TIFF so that Fiji, OME readers and this package find the axes and the pixel size again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from napari_hush.errors import InputError
from napari_hush.io.formats.tiff_notes import DOCUMENT_NAME, colour_number, tiff_date
from napari_hush.io.history import TIFF_TAG, history_text
from napari_hush.io.metadata import LUT_BYTES, ramp
from napari_hush.io.metadata_note import TIFF_TAG as METADATA_TAG
from napari_hush.io.metadata_note import note_text
from napari_hush.io.units import METRES

if TYPE_CHECKING:
    from napari_hush.io.image import ImageData, Scales

IMAGEJ_TYPES = ("uint8", "uint16", "float32")
CLASSIC_LIMIT = (1 << 32) - (1 << 25)  # bytes; 32-bit offsets, with room for tags
OME_AXES = "TCZYX"
OME_TYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
IMAGEJ_AXES = "TZCYX"
GREYS = ramp(255, 255, 255)


def write_tiff(file: BinaryIO, image: ImageData, name: str) -> None:
    """Write OME-TIFF if the name says ``.ome.tif``, ImageJ TIFF where axes and type allow, else plain TIFF.

    A plain TIFF keeps axes and steps in a JSON note and in the resolution tags. Names, colours and the like are where
    the dialect has them, and all of them in a note in a tag of our own. Uncompressed, so that it can be memory-mapped;
    BigTIFF from 4 GB on.
    """
    import tifffile

    data = np.asarray(image.data)
    # colours in the last place are samples of one pixel
    axes = image.axes[:-1] + "S" if image.axes[-1] in "CS" else image.axes
    grey = "miniswhite" if image.metadata.inverted and axes[-1] != "S" else "minisblack"
    photometric = "rgb" if axes[-1] == "S" and data.shape[-1] == 3 else grey
    options: dict[str, Any] = {"photometric": photometric, "software": "napari-hush"}
    if axes[-1] == "S":
        options["planarconfig"] = "contig"
    options |= _tags(image)
    big = data.nbytes > CLASSIC_LIMIT
    if is_ome(name):
        options |= _ome(image, name)
    elif _fits_imagej(data, axes) and not big:
        options |= _imagej(image, axes)
    else:
        note: dict[str, Any] = {"axes": axes}
        if image.pixel_size is not None:
            note |= {"pixel_size": list(image.pixel_size), "units": list(image.units)}
        options |= {"metadata": note, **_resolution_in_cm(image)}
    tifffile.imwrite(file, data, bigtiff=big, **options)


def _tags(image: ImageData) -> dict[str, Any]:
    """What is kept in tags of the first page, in all dialects."""
    metadata = image.metadata
    options: dict[str, Any] = {}
    texts = {METADATA_TAG: note_text(metadata)}
    if metadata.name.isascii():
        texts[DOCUMENT_NAME] = metadata.name
    if image.history is not None:
        texts[TIFF_TAG] = history_text(image.history)
    options["extratags"] = [(code, "s", 0, text, True) for code, text in sorted(texts.items()) if text]
    if date := tiff_date(metadata.date):
        options["datetime"] = date
    return options


def _fits_imagej(data: np.ndarray, axes: str) -> bool:
    if axes[-1] == "S":
        return data.dtype == np.uint8 and data.shape[-1] == 3 and _in_order(axes[:-1], IMAGEJ_AXES)
    return data.dtype.name in IMAGEJ_TYPES and _in_order(axes, IMAGEJ_AXES)


def _in_order(axes: str, allowed: str) -> bool:
    return axes == "".join(letter for letter in allowed if letter in axes)


def _imagej(image: ImageData, axes: str) -> dict[str, Any]:
    scales = image.scales
    note: dict[str, Any] = {"axes": axes}
    options: dict[str, Any] = {"imagej": True, "metadata": note}
    if "X" in scales and "Y" in scales:
        (y, y_unit), (x, x_unit) = _writable(scales["Y"]), _writable(scales["X"])
        note["unit"] = _ascii(x_unit)
        if y_unit != x_unit:
            note["yunit"] = _ascii(y_unit)
        options["resolution"] = (1 / x, 1 / y)
        if "Z" in scales:
            z, z_unit = _writable(scales["Z"])
            note["spacing"] = z
            if z_unit != x_unit:
                note["zunit"] = _ascii(z_unit)
    if "T" in scales:
        note["finterval"], tunit = scales["T"]
        note["tunit"] = _ascii(tunit)
    note |= _imagej_display(image)
    return options


def _imagej_display(image: ImageData) -> dict[str, Any]:
    """Lookup tables, display ranges, labels and description, as ImageJ keeps them."""
    metadata = image.metadata
    note: dict[str, Any] = {}
    if metadata.description:
        note["Info"] = metadata.description
    if metadata.labels:
        note["Labels"] = list(metadata.labels)
    channels = metadata.channels
    if any(one.lut for one in channels):
        tables = [np.frombuffer(one.lut or GREYS, np.uint8).reshape(3, LUT_BYTES // 3) for one in channels]
        note["LUTs"] = tables
        if any(one.lut not in (None, GREYS) for one in channels) and len(channels) > 1:
            note["mode"] = "composite"
    limits = [one.limits for one in channels if one.limits is not None]
    if limits and len(limits) == len(channels):
        note["Ranges"] = tuple(number for pair in limits for number in pair)
        note["min"], note["max"] = limits[0]
    return note


def ome_axes(axes: str, dtype: np.dtype[Any], scales: Scales, name: str) -> str:
    """Axes as OME-TIFF has them, an unknown one as time or depth.

    Raises
    ------
    InputError
        If it cannot hold such an image, with the way out.
    """
    axes = axes[:-1] + "S" if axes[-1] in "CS" else axes
    unknown = [axis for axis in axes if axis not in OME_AXES + "S"]
    if len(unknown) == 1 and "T" not in axes:
        axes = axes.replace(unknown[0], "T")
    elif len(unknown) == 1 and "Z" not in axes:
        axes = axes.replace(unknown[0], "Z")
    elif unknown:
        raise InputError(f"{name}: OME-TIFF knows the axes T, C, Z, Y, X only, got {axes}; pass axes, or write a .tif")
    if not axes.endswith(("YX", "YXS")) or "S" in axes[:-1]:
        raise InputError(f"{name}: OME-TIFF stores planes of Y and X, got {axes}; write a .tif instead")
    if dtype.name not in OME_TYPES:
        raise InputError(f"{name}: OME-TIFF knows no {dtype}; choose dtype='float32' or 'uint16', or write a .tif")
    odd = {unit for axis, (_, unit) in scales.items() if axis in "XYZ"} - METRES.keys()
    if odd:
        raise InputError(f"{name}: OME-TIFF knows lengths only, got {', '.join(odd)}; write a .tif instead")
    return axes


def is_ome(name: str) -> bool:
    """Whether a file of this name is written as OME-TIFF."""
    return name.lower().endswith((".ome.tif", ".ome.tiff"))


def _ome(image: ImageData, name: str) -> dict[str, Any]:
    axes = ome_axes(image.axes, image.dtype, image.scales, name)
    note: dict[str, Any] = {"axes": axes}
    for axis, (size, unit) in image.scales.items():
        if axis in "XYZ":
            note |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
        elif axis == "T":
            note |= {"TimeIncrement": size, "TimeIncrementUnit": unit}
    return {"ome": True, "metadata": note | _ome_words(image, axes)}


def _ome_words(image: ImageData, axes: str) -> dict[str, Any]:
    """Names, description, date and colours as OME-XML has them."""
    metadata = image.metadata
    words = {"Name": _xml(metadata.name), "Description": _xml(metadata.description)}
    if tiff_date(metadata.date):
        words["AcquisitionDate"] = metadata.date
    note: dict[str, Any] = {key: text for key, text in words.items() if text}
    channels = metadata.channels if ("C" in axes) == ("C" in image.axes) else ()
    if any(one.name for one in channels):
        note["Channel"] = {"Name": [_xml(one.name) for one in channels]}
    if channels and all(one.colour is not None for one in channels):
        colours = [colour_number(one.colour) for one in channels if one.colour is not None]
        note["Channel"] = note.get("Channel", {}) | {"Color": colours}
    return note


def _xml(text: str) -> str:
    """Without the control characters that XML does not know."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _resolution_in_cm(image: ImageData) -> dict[str, Any]:
    size = image.pixel_size_in("cm")
    if size is None or not all(2e-10 < one < 1e6 for one in size):
        return {}
    return {"resolution": (1 / size[1], 1 / size[0]), "resolutionunit": "CENTIMETER"}


def _writable(step: tuple[float, str]) -> tuple[float, str]:
    """A length in a unit in which its inverse fits a TIFF rational."""
    size, unit = step
    if 1e-6 < size < 1e6 or unit not in METRES:
        return step
    metres = size * METRES[unit]
    unit = min(METRES, key=lambda one: abs(np.log10(metres / METRES[one])))
    return metres / METRES[unit], unit


def _ascii(unit: str) -> str:
    """The unit as ImageJ itself writes it: its descriptions are ASCII with escapes."""
    if unit == "µm":
        return "micron"
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in unit)
