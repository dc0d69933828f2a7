"""Leica LIF and LOF, read by liffile of the extra ``light``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.file_array import read_plain
from napari_hush.io.formats.npy import native
from napari_hush.io.formats.parsing import needed, parsing
from napari_hush.io.formats.several import Choice, choose
from napari_hush.io.image import check_kind, make_image, tidy_axes
from napari_hush.io.metadata import COLOURS, Channel, Metadata, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales

_WAY = "install it: pip install 'napari-hush[light]', or export OME-TIFF in LAS X"
_IDS = {"1": "X", "2": "Y", "3": "Z", "4": "T"}
_LUTS = {**COLOURS, "grey": COLOURS["gray"]}


def read_lif(path: Path, selector: str | None) -> ImageData:
    """The only image, or that of a number or a name such as ``Series001``."""
    library = needed("liffile", f"{path}: is a Leica LIF, which needs liffile; {_WAY}")
    with parsing(path, "a Leica LIF"), library.LifFile(path) as file:
        if file.type.value not in ("LIF", "LOF"):
            raise FileFormatError(f"{path}: describes images in other files (Leica {file.type.value}); give these")
        found, others = [], []
        for image in file.images:
            if image.is_flim:
                others.append("lifetimes (FLIM)")
            elif "X" not in image.dims or not {"Y", "Z"} & set(image.dims):
                others.append(f"a scan with the axes {''.join(image.dims)}")
            else:
                found.append(Choice(image.name, image.shape, partial(_read, image, path)))
        return choose(found, selector, path, others)


def _read(image: Any, path: Path) -> ImageData:
    source = f"{path}:{image.name}"
    check_kind(image.shape, image.dtype, source)
    block = image.memory_block
    there = min(block.size, path.stat().st_size - block.offset)
    if image.nbytes > there:
        raise FileFormatError(
            f"{source}: truncated or damaged, an image of {image.shape} needs {image.nbytes:,} bytes and has "
            f"{max(there, 0):,}; copy or export it again"
        )
    letters = [one[0] if one[0] in "XYZTCS" else "Q" for one in image.dims]
    scales = _scales(image)
    if "Y" not in letters:  # a section along the depth
        letters[letters.index("Z")] = "Y"
        scales |= {"Y": scales["Z"]} if "Z" in scales else {}
    plain = set(image.dims) <= set("XYZTCMANQ") and image.dims[-2:] in (("Y", "X"), ("Z", "X"))
    if plain and block.size == image.nbytes:
        data = read_plain(path, block.offset, image.shape, image.dtype)
    else:
        data = native(np.asarray(image.asarray()))
    axes = tidy_axes("".join(letters), image.shape)
    count = image.sizes.get("C", 1)
    return make_image(data, axes, scales, source, Metadata(name=image.name, channels=_channels(image, count)))


def _scales(image: Any) -> Scales:
    """A dimension has the length from the middle of the first place to that of the last."""
    scales: Scales = {}
    for item in image.xml_element.iterfind("./Data/Image/ImageDescription/Dimensions/DimensionDescription"):
        count, length = int(item.get("NumberOfElements", "0")), abs(float(item.get("Length", "nan")))
        letter = _IDS.get(item.get("DimID", ""))
        if letter and count > 1 and item.get("Unit"):
            unit = str(item.get("Unit"))
            step = length / (count - 1)
            scales[letter] = (step * 1e6, "µm") if unit == "m" else (step, unit)
    return scales


def _channels(image: Any, count: int) -> tuple[Channel, ...]:
    colours = [
        _LUTS.get(item.get("LUTName", "").lower())
        for item in image.xml_element.iterfind("./Data/Image/ImageDescription/Channels/ChannelDescription")
    ]
    if len(colours) != count:
        return ()
    return tuple(Channel(lut=None if one is None else ramp(*one)) for one in colours)
