"""Nikon ND2, read by nd2 of the extra ``light``."""

from __future__ import annotations

import io
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.npy import native
from napari_hush.io.formats.parsing import needed, parsing
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
    library = needed("nd2", f"{path}: is a Nikon ND2, which needs nd2; {_WAY}")
    with parsing(path, "an ND2 file"):
        source = WholeFile(path)
        try:
            file = library.ND2File(source)
        except BaseException:
            source.close()
            raise
        try:
            _refuse_missing(file, path)
            image = choose(_choices(file, path), selector, path)
            file = None if not isinstance(image.data, np.ndarray) else file  # stays open with it
            return image
        finally:
            if file is not None:
                file.close()
                source.close()


class WholeFile(io.RawIOBase):
    """The bytes of a file, of which a part behind its end is refused.

    nd2 takes zeros for what is not there; and it maps a file that it opens itself, so that one that is cut short
    while it is read would kill the process.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("rb", buffering=0)

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:  # noqa: D102
        return self._file.seek(offset, whence)

    def tell(self) -> int:  # noqa: D102
        return self._file.tell()

    def close(self) -> None:  # noqa: D102
        if not self.closed:
            self._file.close()
        super().close()

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, or all of the rest."""
        if size is None or size < 0:
            return self._file.readall()
        parts, left = [], size
        while left and (part := self._file.read(left)):
            parts.append(part)
            left -= len(part)
        if left:
            raise FileFormatError(f"{self._path}: truncated, a part of it lies behind its end; copy or export it again")
        return b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        """Fill all of the buffer."""
        view = memoryview(buffer).cast("B")
        view[:] = self.read(len(view))
        return len(view)


def _refuse_missing(file: Any, path: Path) -> None:
    """Frames that the file's own list lacks, which nd2 fills with zeros without a word."""

    def refuse(*_: object) -> np.ndarray:
        raise FileFormatError(f"{path}: truncated, some of its frames are not there; copy or export it again")

    if hasattr(getattr(file, "_rdr", None), "_missing_frame"):
        file._rdr._missing_frame = refuse


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
