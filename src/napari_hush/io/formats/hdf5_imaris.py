"""Imaris: an HDF5 file with a volume for each time and channel, of which the full resolution is read.

References
----------
https://imaris.oxinst.com/support/imaris-file-format
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.hdf5_links import as_text, find_dataset, look_up, read_note
from napari_hush.io.formats.mosaic import Mosaic, Tile
from napari_hush.io.metadata import Channel, Metadata, ramp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_hush.io.image import Scales

FULL = "DataSet/ResolutionLevel 0"
MAX_VOLUMES = 100_000


def is_imaris(file: Any, path: Path) -> bool:
    """Whether an HDF5 file is laid out as one of Imaris."""
    return look_up(file, f"{FULL}/TimePoint 0/Channel 0/Data", path) is not None


def open_imaris(file: Any, path: Path, open_part: Callable[[Any, str], Any]) -> tuple[Mosaic, str, Scales, Metadata]:
    """The image at full resolution without axes of length 1, their letters, the pixel size, names and colours.

    Parameters
    ----------
    file : h5py.File
        The file.
    path : Path
        Of it.
    open_part : callable
        Gives, from a dataset and its name, one that is looked at when it is read.

    Raises
    ------
    FileFormatError
        If its volumes do not fit together.
    """
    times = _count(file, FULL, "TimePoint", path)
    channels = _count(file, f"{FULL}/TimePoint 0", "Channel", path)
    first = look_up(file, f"{FULL}/TimePoint 0/Channel 0", path)
    volume = find_dataset(file, f"{FULL}/TimePoint 0/Channel 0/Data", path)
    if volume.shape is None or len(volume.shape) != 3 or times * channels > MAX_VOLUMES:
        raise FileFormatError(f"{path}: damaged Imaris file, expected volumes (Z, Y, X), got {volume.shape}")
    # the volume is filled up to whole chunks
    size = tuple(min(_number(first, f"ImageSize{axis}", n), n) for axis, n in zip("ZYX", volume.shape, strict=True))
    shape, tiles = (times, channels, *(int(n) for n in size)), []
    kept = [k for k, n in enumerate(shape) if n > 1 or k > 2]
    for time in range(times):
        for channel in range(channels):
            name = f"{FULL}/TimePoint {time}/Channel {channel}/Data"
            part = open_part(find_dataset(file, name, path), f"{path}:{name}")
            box = ((time, time + 1), (channel, channel + 1), *((0, n) for n in shape[2:]))
            tiles.append(Tile(tuple(box[k] for k in kept), part, box[2:]))
    whole = Mosaic(tiles, [shape[k] for k in kept], volume.dtype, str(path))
    axes = "".join("TCZYX"[k] for k in kept)
    return whole, axes, _scales(file, shape[2:], path), _metadata(file, channels, path)


def _count(file: Any, group: str, name: str, path: Path) -> int:
    names = set(look_up(file, group, path))
    return next(k for k in range(len(names) + 1) if f"{name} {k}" not in names)


def _scales(file: Any, size: tuple[int, ...], path: Path) -> Scales:
    info = look_up(file, "DataSetInfo/Image", path)
    if info is None:
        return {}
    unit, scales = as_text(read_note(info, "Unit", "um")) or "um", {}
    for k, (axis, n) in enumerate(zip("XYZ", size[::-1], strict=True)):
        length = _number(info, f"ExtMax{k}", math.nan) - _number(info, f"ExtMin{k}", math.nan)
        if math.isfinite(length) and length > 0:
            scales[axis] = (length / n, unit)
    return scales


def _metadata(file: Any, count: int, path: Path) -> Metadata:
    channels = []
    for number in range(count):
        info = look_up(file, f"DataSetInfo/Channel {number}", path)
        if info is None:
            return Metadata()
        colour = _numbers(info, "Color")
        limits = _numbers(info, "ColorRange")
        channels.append(
            Channel(
                as_text(read_note(info, "Name", "")).strip(),
                ramp(*(round(255 * min(max(one, 0), 1)) for one in colour)) if len(colour) == 3 else None,
                (limits[0], limits[1]) if len(limits) == 2 and limits[0] < limits[1] else None,
            )
        )
    image = look_up(file, "DataSetInfo/Image", path)
    date = as_text(read_note(image, "RecordingDate", "")) if image is not None else ""
    return Metadata(date=date.strip().replace(" ", "T"), channels=tuple(channels))


def _number(item: Any, name: str, default: float) -> Any:
    found = _numbers(item, name)
    number = found[0] if len(found) == 1 else default
    return int(number) if isinstance(default, int) else number


def _numbers(item: Any, name: str) -> list[float]:
    """Imaris writes numbers as texts of single characters."""
    try:
        found = [float(one) for one in as_text(read_note(item, name, "")).split()]
    except ValueError:
        return []
    return found if all(math.isfinite(one) for one in found) else []
