"""Zeiss CZI, read by pylibCZIrw of the extra ``light``: scenes, mosaics put together, at full resolution."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.parsing import needed, parsing
from napari_hush.io.formats.planes import PlaneArray, in_memory
from napari_hush.io.formats.several import Choice, choose
from napari_hush.io.image import UNKNOWN_AXES, check_claim, make_image
from napari_hush.io.metadata import Channel, Metadata, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales

_PIXELS = {
    "Gray8": ("u1", 1),
    "Gray16": ("u2", 1),
    "Gray32Float": ("f4", 1),
    "Bgr24": ("u1", 3),
    "Bgr48": ("u2", 3),
    "Bgr96Float": ("f4", 3),
}
_DIMENSIONS = "VHIRBTCZ"  # views, phases, illuminations, rotations, blocks
_WAY = "install it: pip install 'napari-hush[light]', or export OME-TIFF in ZEN"


def read_czi(path: Path, selector: str | None) -> ImageData:
    """The only scene, or that of a number or a name."""
    library = needed("pylibCZIrw.czi", f"{path}: is a Zeiss CZI, which needs pylibCZIrw; {_WAY}")
    with parsing(path, "a CZI file"):
        reader = library.CziReader(str(path))
        try:
            image = choose(_choices(reader, path), selector, path)
            reader = None if not isinstance(image.data, np.ndarray) else reader  # stays open with it
            return image
        finally:
            if reader is not None:
                reader.close()


def _choices(reader: Any, path: Path) -> list[Choice]:
    root = ElementTree.fromstring(reader.raw_metadata or "<ImageDocument/>")
    areas = dict(reader.scenes_bounding_rectangle_no_pyramid)
    if not areas:
        areas = {None: reader.total_bounding_rectangle_no_pyramid}
    names = [one.get("Name", "") for one in root.iterfind(".//Dimensions/S/Scenes/Scene")]
    found = []
    for number, area in sorted(areas.items(), key=lambda one: one[0] or 0):
        name = names[number] if number is not None and number < len(names) else ""
        found.append(Choice(name, (area.h, area.w), partial(_read_scene, reader, path, number, area, root)))
    return found


def _read_scene(reader: Any, path: Path, scene: int | None, area: Any, root: ElementTree.Element) -> ImageData:
    """(..., Y, X), or (..., Y, X, C) in colour."""
    box = reader.total_bounding_box_no_pyramid
    sizes = {name: box[name] for name in _DIMENSIONS if name in box and box[name][1] - box[name][0] > 1}
    kinds = dict(reader.pixel_types)
    if not kinds or any(kind not in _PIXELS for kind in kinds.values()):
        raise FileFormatError(f"{path}: holds pixels of the type {', '.join(map(str, kinds.values()))}; export TIFF")
    dtypes, samples = zip(*(_PIXELS[kind] for kind in kinds.values()), strict=True)
    if len(set(samples)) > 1:
        raise FileFormatError(f"{path}: some of its channels are in colour, others grey; export them one by one")
    dtype = np.result_type(*dtypes)
    plane = (area.h, area.w) if samples[0] == 1 else (area.h, area.w, 3)
    shape = (*(high - low for low, high in sizes.values()), *plane)
    check_claim(math.prod(shape) * dtype.itemsize, path.stat().st_size, str(path))

    missing = _missing_planes(reader, scene, sizes)
    if missing:
        total = math.prod(high - low for low, high in sizes.values())
        warnings.warn(f"{path}: {missing} of its {total} planes were not recorded and are read as 0", stacklevel=6)

    def read(index: tuple[int, ...]) -> np.ndarray:
        where = {name: box[name][0] for name in _DIMENSIONS if name in box}
        where |= {name: sizes[name][0] + k for name, k in zip(sizes, index, strict=True)}
        kind = kinds.get(where.get("C", 0), next(iter(kinds.values())))
        region = (area.x, area.y, area.w, area.h)
        values = np.asarray(reader.read(roi=region, plane=where, scene=scene, pixel_type=kind))
        return values[..., 0] if samples[0] == 1 else values[..., ::-1]  # from BGR

    array = PlaneArray(shape[: len(sizes)], plane, dtype, read)
    free = iter(UNKNOWN_AXES)
    axes = "".join(name if name in "TCZ" else next(free) for name in sizes)
    colours = "" if samples[0] == 1 else "S" if "C" in axes else "C"
    count = 1 if samples[0] > 1 or "C" not in sizes else shape[list(sizes).index("C")]
    data = array[...] if in_memory(array) else array
    return make_image(data, f"{axes}YX{colours}", _scales(root), str(path), _metadata(root, count, dtype))


def _missing_planes(reader: Any, scene: int | None, sizes: dict[str, tuple[int, int]]) -> int:
    """How many of a scene have no part in the file, as where a recording was stopped."""
    there = set()

    def note(_: int, part: Any) -> bool:
        place = part.coordinate.to_dict()
        if scene is None or place.get("S", scene) == scene:
            there.add(tuple(place.get(name, low) for name, (low, _) in sizes.items()))
        return True

    reader.enumerate_subblocks(note)
    return math.prod(high - low for low, high in sizes.values()) - len(there)


def _scales(root: ElementTree.Element) -> Scales:
    scales = {}
    for item in root.iterfind(".//Scaling/Items/Distance"):
        value = _number(item.findtext("Value"))
        if item.get("Id") in ("X", "Y", "Z") and value is not None and value > 0:
            scales[str(item.get("Id"))] = (value * 1e6, "µm")
    return scales


def _metadata(root: ElementTree.Element, count: int, dtype: np.dtype[Any]) -> Metadata:
    """Names of the channels, with the colours and ranges in which ZEN shows them."""
    shown = {one.get("Id"): one for one in root.iterfind(".//DisplaySetting/Channels/Channel")}
    channels = []
    for item in root.iterfind(".//Information/Image/Dimensions/Channels/Channel"):
        display = shown.get(item.get("Id"), ElementTree.Element("Channel"))
        low, high = _number(display.findtext("Low")), _number(display.findtext("High"))
        full = np.iinfo(dtype).max if dtype.kind == "u" else 1  # of which both are parts
        limits = (low * full, high * full) if low is not None and high is not None and low < high else None
        name = item.get("Name") or display.get("Name") or ""
        channels.append(Channel(name, _ramp(display.findtext("Color") or item.findtext("Color")), limits))
    date = root.findtext(".//Information/Image/AcquisitionDateAndTime") or ""
    return Metadata(date=date, channels=tuple(channels) if len(channels) == count else ())


def _ramp(colour: str | None) -> bytes | None:
    """Of ``#AARRGGBB``."""
    digits = (colour or "").removeprefix("#")[-6:]
    if len(digits) < 6 or not all(one in "0123456789abcdefABCDEF" for one in digits):
        return None
    return ramp(*bytes.fromhex(digits))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
