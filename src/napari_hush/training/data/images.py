"""Many images of any size as planes with channels, read a patch at a time: files, stacks, arrays of any library."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.inference.channels import slices_around
from napari_hush.inference.planes import Planes
from napari_hush.io import expand_inputs, is_image, read_image, read_volume
from napari_hush.io.inputs import split_selector
from napari_hush.training.data.fingerprint import checksum, line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

KEPT_BYTES = 512 << 20  # of files that were read whole


@dataclass(frozen=True)
class ImageFile:
    """A file with a number of planes, opened when it is needed."""

    name: str
    open: Callable[[], Planes]
    planes: int
    slices: int
    """Of its last leading axis; 1 without any."""
    shape: tuple[int, int]
    channels: int
    fingerprint: str
    path: str = ""
    """As it was named; empty for an array."""
    parts: tuple[str, ...] = ()
    """The files of a volume of single images, from its first slice on."""
    source: int = 0
    """Which of the sources it came from."""


class ImageSet:
    """Planes (C, Y, X), numbered through all files and stacks.

    Parameters
    ----------
    sources : array_like, path, or sequence of these
        Arrays (..., Y, X) of any library; image files; folders, whose image files are taken in natural order. Each
        plane of a stack counts as an image.
    channel_axis : int, optional
        Which axis of arrays holds colours; files say it themselves.
    volumes : bool
        Whether the single images of a folder are the slices of one volume.

    Raises
    ------
    InputError
        If there is no image, or images differ in their number of channels.
    """

    def __init__(self, sources: Any, *, channel_axis: int | None = None, volumes: bool = False) -> None:
        parts = [_files(source, channel_axis) for source in _listed(sources)]
        if volumes:
            folders = [_is_folder(source) for source in _listed(sources)]
            parts = [
                _joined(part, source) if folder and len(part) > 1 and all(file.planes == 1 for file in part) else part
                for part, source, folder in zip(parts, _listed(sources), folders, strict=True)
            ]
        files = [replace(file, source=place) for place, part in enumerate(parts) for file in part]
        if not files:
            raise InputError(f"no image found in {_name(sources)}: expected image files or arrays (..., Y, X)")
        self._hold(files)

    def _hold(self, files: list[ImageFile]) -> None:
        self._files = files
        counts = {file.channels for file in self._files}
        if len(counts) > 1:
            odd = next(file.name for file in self._files if file.channels != self._files[0].channels)
            raise InputError(
                f"all images must have the same number of channels, got {sorted(counts)}, for example in {odd}: "
                "convert them, or leave some out"
            )
        self.channels = counts.pop()
        self._first = np.cumsum([0, *(file.planes for file in self._files)])
        self._open: OrderedDict[int, Planes] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._first[-1])

    def name(self, number: int) -> str:
        """What to call an image in a message."""
        file, plane = self._locate(number)
        name = self._files[file].name
        return f"{name}[{plane}]" if self._files[file].planes > 1 else name

    def shape(self, number: int) -> tuple[int, int]:
        """(Y, X) of an image, px."""
        return self._files[self._locate(number)[0]].shape

    def repeats(self, number: int) -> range:
        """The numbers of all images of the same field: a whole stack (R, Y, X), or one Z of a stack (R, Z, Y, X)."""
        file, plane = self._locate(number)
        start, stop, slices = int(self._first[file]), int(self._first[file + 1]), self._files[file].slices
        if stop - start == slices:
            return range(start, stop)
        return range(start + plane % slices, stop, slices)

    def volume(self, number: int) -> range:
        """The numbers of all slices of the volume (Z, Y, X) that an image belongs to."""
        file, plane = self._locate(number)
        slices = self._files[file].slices
        start = int(self._first[file]) + plane - plane % slices
        return range(start, start + slices)

    def neighbours(self, number: int, depth: int) -> list[int]:
        """The numbers of the slices that a network of some depth sees of one, which lies in their middle."""
        volume = self.volume(number)
        return [volume[z] for z in slices_around(number - volume.start, len(volume), depth)]

    def of_source(self, place: int) -> list[int]:
        """The numbers of all images of one of the sources; none of one that there is not."""
        return [k for k in range(len(self)) if self._files[self._locate(k)[0]].source == place]

    @property
    def files(self) -> Sequence[ImageFile]:
        """The files and arrays, in order."""
        return self._files

    def taking(self, places: Sequence[int]) -> ImageSet:
        """The same images of some of the files alone, in another order."""
        taken = copy(self)
        taken._hold([self._files[place] for place in places])
        return taken

    def read(self, number: int, y: slice, x: slice) -> NDArray[Any]:
        """A part of an image, (C, Y, X) in its own units and type: a small signal on a high pedestal keeps its digits.

        Raises
        ------
        InputError
            If it cannot be read any more.
        """
        file, plane = self._locate(number)
        planes = self._planes(file)
        index = tuple(int(k) for k in np.unravel_index(plane, planes.lead_shape)) if planes.lead_shape else ()
        values = planes.read(index, list(range(planes.n_channels)), y, x)
        return values.astype(np.uint8) if values.dtype == bool else values

    @property
    def fingerprint(self) -> str:
        """A line for each file, which changes when its images do, see `napari_hush.training.data.fingerprint`."""
        return "\n".join(file.fingerprint for file in self._files)

    def _locate(self, number: int) -> tuple[int, int]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        file = int(np.searchsorted(self._first, number, side="right")) - 1
        return file, number - int(self._first[file])

    def _planes(self, file: int) -> Planes:
        """Open a file, or take it from those that were opened last."""
        with self._lock:
            if file in self._open:
                self._open.move_to_end(file)
                return self._open[file]
        planes = self._files[file].open()
        with self._lock:
            self._open[file] = planes
            held = sum(_bytes(p) for p in self._open.values())
            while len(self._open) > 1 and (held > KEPT_BYTES or len(self._open) > 256):
                held -= _bytes(self._open.popitem(last=False)[1])
        return planes


def _bytes(planes: Planes) -> int:
    image = planes.image
    return int(image.nbytes) if isinstance(image, np.ndarray) and not isinstance(image, np.memmap) else 0


def _listed(sources: Any) -> Sequence[Any]:
    if isinstance(sources, list | tuple) and sources and not isinstance(sources[0], int | float):
        return sources
    return [sources]


def _name(source: Any) -> str:
    if isinstance(source, str | Path):
        return str(source)
    shape = getattr(source, "shape", None)
    return f"array {tuple(shape)}" if shape is not None else type(source).__name__


def _files(source: Any, channel_axis: int | None) -> list[ImageFile]:
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir() and path.suffix != ".zarr":
            return [_from_path(p) for p in expand_inputs([path / "*"]) if p.is_file() and is_image(p)]
        return [_from_path(p) for p in expand_inputs([source])] if "*" in str(source) else [_from_path(source)]
    planes = Planes(source, channel_axis)
    name = _name(source)
    return [_file(name, lambda: planes, planes, checksum(planes))]


def _is_folder(source: Any) -> bool:
    return isinstance(source, str | Path) and Path(source).is_dir() and Path(source).suffix != ".zarr"


def _joined(part: list[ImageFile], folder: Any) -> list[ImageFile]:
    """A folder of single images as one volume."""

    def open_() -> Planes:
        return Planes(read_volume(folder).data)

    values = hashlib.sha256("\n".join(file.fingerprint for file in part).encode()).hexdigest()[:16]
    made = _file(Path(folder).name, open_, open_(), values)
    return [replace(made, path=str(folder), parts=tuple(file.path for file in part))]


def _from_path(path: str | Path) -> ImageFile:
    def open_() -> Planes:
        image = read_image(path)
        return Planes(image.data, image.channel_axis)

    planes = open_()
    file, _ = split_selector(path)
    size = f", {file.stat().st_size} bytes" if file.is_file() else ""
    return replace(_file(Path(path).name, open_, planes, checksum(planes), size), path=str(path))


def _file(name: str, open_: Callable[[], Planes], planes: Planes, values: str, size: str = "") -> ImageFile:
    count = int(np.prod(planes.lead_shape, dtype=np.int64))
    slices = planes.lead_shape[-1] if planes.lead_shape else 1
    shape, channels = planes.plane_shape, planes.n_channels
    facts = f"{count} x {channels} x {shape[0]} x {shape[1]} px{size}"
    return ImageFile(name, open_, count, slices, shape, channels, line(name, facts, values))
