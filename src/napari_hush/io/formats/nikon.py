"""Nikon ND2, read by nd2 of the extra ``light``."""

from __future__ import annotations

import math
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.npy import native
from napari_hush.io.formats.parsing import parsing
from napari_hush.io.formats.planes import PlaneArray, in_memory
from napari_hush.io.formats.several import Choice, choose
from napari_hush.io.image import check_claim, check_kind, make_image, tidy_axes
from napari_hush.io.metadata import Channel, Metadata, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales

_WAY = "install it: pip install 'napari-hush[light]', or export OME-TIFF in NIS-Elements"
_FRAME = "CYXS"  # what is read at once


def read_nd2(path: Path, selector: str | None) -> ImageData:
    """The only position of the stage, or that of a number or a name."""
    try:
        library = import_module("nd2")
    except ImportError as error:
        raise InputError(f"{path}: is a Nikon ND2, which needs nd2; {_WAY}") from error
    with parsing(path, "an ND2 file"):
        file = library.ND2File(path)
        try:
            image = choose(_choices(file, path), selector, path)
            file = None if not isinstance(image.data, np.ndarray) else file  # stays open with it
            return image
        finally:
            if file is not None:
                file.close()


def _choices(file: Any, path: Path) -> list[Choice]:
    sizes = dict(file.sizes)
    check_claim(math.prod(sizes.values()) * file.dtype.itemsize, path.stat().st_size, str(path))
    count = sizes.pop("P", 1)
    return [
        Choice(name, tuple(sizes.values()), partial(_read, file, path, number if count > 1 else None, sizes))
        for number, name in enumerate(_positions(file, count))
    ]


def _positions(file: Any, count: int) -> list[str]:
    loops = [one for one in file.experiment if one.type == "XYPosLoop"]
    names = [str(point.name or "") for point in loops[0].parameters.points] if loops else []
    return names if len(names) == count else [""] * count


def _read(file: Any, path: Path, position: int | None, sizes: dict[str, int]) -> ImageData:
    leading = [name for name in sizes if name not in _FRAME]
    frame = [name for name in sizes if name in _FRAME]
    numbers = {}
    for number, place in enumerate(file.loop_indices or ({},)):
        if position is None or place.get("P") == position:
            numbers[tuple(place.get(name, 0) for name in leading)] = number
    shape = tuple(sizes[name] for name in frame)
    check_kind(shape, file.dtype, str(path))

    def read(index: tuple[int, ...]) -> np.ndarray:
        if index not in numbers:
            raise FileFormatError(f"{path}: truncated, its frame {index} is not there; copy or export it again")
        return np.asarray(file.read_frame(numbers[index])).reshape(shape)

    array = PlaneArray([sizes[name] for name in leading], shape, file.dtype, read)
    data = native(array[...]) if in_memory(array) else array
    axes = tidy_axes("".join(name if name in "TZCYXS" else "Q" for name in sizes), array.shape)
    return make_image(data, axes, _scales(file), str(path), _metadata(file, sizes.get("C", 1)))


def _scales(file: Any) -> Scales:
    scales: Scales = {}
    channels = file.metadata.channels if file.metadata else None
    if channels and all(channels[0].volume.axesCalibrated[:2]):
        size = file.voxel_size()
        scales = {"X": (size.x, "µm"), "Y": (size.y, "µm")}
        if channels[0].volume.axesCalibrated[2]:
            scales["Z"] = (size.z, "µm")
    for loop in file.experiment:
        if loop.type == "TimeLoop" and loop.parameters.periodMs:
            scales["T"] = (loop.parameters.periodMs, "ms")
    return scales


def _metadata(file: Any, count: int) -> Metadata:
    channels = [
        Channel(str(one.channel.name or ""), ramp(one.channel.color.r, one.channel.color.g, one.channel.color.b))
        for one in (file.metadata.channels if file.metadata else None) or ()
    ]
    return Metadata(channels=tuple(channels) if len(channels) == count else ())
