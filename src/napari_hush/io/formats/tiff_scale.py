"""Where TIFF dialects keep the pixel size: OME, ImageJ, microscope vendors' tags, resolution tags."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from napari_hush.io.units import METRES, canonical, readable_length, tidy

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hush.io.image import Scales

# dots per inch that programs write when they know nothing of the object
PRINT_DPI = (72, 96, 100, 150, 200, 300, 400, 600, 1200)
ZEISS_SCREEN = 1024  # px, its width, to which Zeiss' older pixel size belongs
RESOLUTION_METRES = {2: 0.0254, 3: 0.01}  # ResolutionUnit: inch, centimetre


def tiff_scales(tif: Any, series: Any, index: int) -> Scales:
    """Axis letter to (step, unit), from the first dialect that knows the step along X."""
    page = series.keyframe
    for find in _DIALECTS:
        try:
            scales = find(tif, page, index)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
            continue  # a vendor's tag of another shape than known: the image itself is fine
        if "X" in scales:
            return scales
    return {}


def _ome(tif: Any, page: Any, index: int) -> Scales:
    if not tif.is_ome:
        return {}
    try:
        root = ElementTree.fromstring(tif.ome_metadata)
    except ElementTree.ParseError:
        return {}
    pixels = [one for one in root.iter() if one.tag.endswith("}Pixels") or one.tag == "Pixels"][index].attrib
    scales = {}
    for axis in "XYZ":
        if f"PhysicalSize{axis}" in pixels:
            unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
            scales[axis] = (float(pixels[f"PhysicalSize{axis}"]), canonical(unit))
    if "TimeIncrement" in pixels:
        scales["T"] = (float(pixels["TimeIncrement"]), canonical(pixels.get("TimeIncrementUnit", "s")))
    return scales


def _own(tif: Any, page: Any, index: int) -> Scales:
    """The JSON note of a plain TIFF written by this package."""
    note = (tif.shaped_metadata or ())[index]
    steps = zip(note["axes"], note["pixel_size"], note["units"], strict=True)
    return {axis: (float(size), canonical(unit)) for axis, size, unit in steps if unit not in ("", "pixel")}


def _imagej(tif: Any, page: Any, index: int) -> Scales:
    note = tif.imagej_metadata if tif.is_imagej else None
    if not note:
        return {}
    unit = canonical(note.get("unit", ""))
    if unit in ("pixel", "inch"):
        return {}  # inches are in the resolution tags, and may be a printer's
    scales = {axis: (tidy(1 / per_unit), unit) for axis, per_unit in _per_unit(page).items()}
    if "Y" in scales and "yunit" in note:
        scales["Y"] = (scales["Y"][0], canonical(note["yunit"]))
    if note.get("spacing", 0) > 0:
        scales["Z"] = (float(note["spacing"]), canonical(note.get("zunit", unit)))
    if note.get("finterval", 0) > 0:
        scales["T"] = (float(note["finterval"]), canonical(note.get("tunit", "s")))
    return scales


def _fei(tif: Any, page: Any, index: int) -> Scales:
    note = tif.fei_metadata or {}
    scan = note.get("Scan") or note.get("EScan") or {}
    if "PixelWidth" not in scan:  # a camera beside the microscope: the width of its field
        field, size = note["IRBeam"], note["Image"]
        return _from_metres(
            X=float(field["HFW"]) / float(size["ResolutionX"]), Y=float(field["VFW"]) / float(size["ResolutionY"])
        )
    return _from_metres(X=float(scan["PixelWidth"]), Y=float(scan["PixelHeight"]))


def _zeiss(tif: Any, page: Any, index: int) -> Scales:
    note = tif.sem_metadata or {}
    if "ap_image_pixel_size" in note:
        _, size, unit = note["ap_image_pixel_size"]
        return {"X": (float(size), canonical(unit))}
    _, size, unit = note["ap_pixel_size"]  # of the screen
    return {"X": (tidy(float(size) * ZEISS_SCREEN / page.imagewidth), canonical(unit))}


def _lsm(tif: Any, page: Any, index: int) -> Scales:
    note = tif.lsm_metadata or {}
    return _from_metres(**{axis: float(note[f"VoxelSize{axis}"]) for axis in "XYZ"})


def _olympus(tif: Any, page: Any, index: int) -> Scales:
    note = page.tags.valueof(33560) or tif.sis_metadata or {}  # a later page than that of a preview
    return _from_metres(X=float(note["pixelsizex"]), Y=float(note["pixelsizey"]))


def _gatan(tif: Any, page: Any, index: int) -> Scales:
    """DigitalMicrograph's own tags: scale, unit as a word and as a symbol (which may be in Shift JIS)."""
    scales = {}
    for axis, scale, word, symbol in (
        ("X", 65009, 65012, 65003),
        ("Y", 65010, 65013, 65004),
        ("Z", 65011, 65014, 65005),
    ):
        size, unit = page.tags.valueof(scale), page.tags.valueof(word) or page.tags.valueof(symbol)
        if size and unit:
            scales[axis] = (float(size), canonical(unit))
    return scales


def _resolution(tif: Any, page: Any, index: int) -> Scales:
    """The standard tags, unless they hold what a printer or screen wants."""
    metres = RESOLUTION_METRES[int(page.tags.valueof(296, 2))]
    scales: Scales = {}
    for axis, per_unit in _per_unit(page).items():
        dpi = per_unit * 0.0254 / metres
        if per_unit != 1 and not any(math.isclose(dpi, one, rel_tol=5e-3) for one in PRINT_DPI):
            scales[axis] = readable_length(metres / per_unit)
    return scales


_DIALECTS: tuple[Callable[[Any, Any, int], Scales], ...] = (
    _ome,
    _own,
    _imagej,
    _fei,
    _zeiss,
    _lsm,
    _olympus,
    _gatan,
    _resolution,
)


def _per_unit(page: Any) -> dict[str, float]:
    """Pixels per unit along X and Y, from the resolution tags."""
    found = {}
    for axis, code in (("X", 282), ("Y", 283)):
        numerator, denominator = page.tags.valueof(code, (0, 1))
        if numerator > 0 and denominator > 0:
            found[axis] = numerator / denominator
    return found


def _from_metres(**sizes: float) -> Scales:
    unit = readable_length(sizes["X"])[1]
    return {axis: (tidy(size / METRES[unit]), unit) for axis, size in sizes.items() if size > 0}
