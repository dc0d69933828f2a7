"""A volume whose slices are files of their own, as reconstruction programs write them, read slice by slice."""

from __future__ import annotations

import glob
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.lazy import LazyArray, indices_of
from napari_hush.io.image import make_image
from napari_hush.io.inputs import expand_inputs, is_image
from napari_hush.io.read import read_image
from napari_hush.names import stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hush.io.image import ImageData

KEPT_BYTES = 256 << 20  # of slices that were read last, beside one
KEPT_SLICES = 32


class SliceFiles(LazyArray):
    """Image files of one size as an array (Z, Y, X) that reads each slice when it is indexed.

    Parameters
    ----------
    paths : sequence of Path
        One file per slice, each a single grey image.
    shape : (int, int)
        Y, X of every slice.
    dtype : numpy.dtype
        Of every slice.
    """

    def __init__(self, paths: Sequence[Path], shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.paths, self.dtype = list(paths), np.dtype(dtype)
        self.shape = (len(self.paths), *shape)
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def _part(self, parts: Sequence[int | slice]) -> NDArray[Any]:
        first, *rest = parts
        if isinstance(first, slice):
            return np.stack([self._slice(z)[tuple(rest)] for z in indices_of(first, len(self))])
        return np.asarray(self._slice(first)[tuple(rest)])

    def _slice(self, z: int) -> NDArray[Any]:
        """One slice (Y, X), read or from those that were read last."""
        with self._lock:
            if z in self._kept:
                self._kept.move_to_end(z)
                return self._kept[z]
        image = read_image(self.paths[z])
        if image.shape != self.shape[1:] or image.dtype != self.dtype:
            raise FileFormatError(
                f"{self.paths[z]}: is {image.dtype} of shape {image.shape}, the first slice of the volume, "
                f"{self.paths[0].name}, is {self.dtype} of shape {self.shape[1:]}: leave it out"
            )
        values = np.asarray(image.data)
        with self._lock:
            self._kept[z] = values
            while len(self._kept) > 1 and (
                len(self._kept) > KEPT_SLICES or len(self._kept) * values.nbytes > KEPT_BYTES
            ):
                self._kept.popitem(last=False)
        return values


def slice_files(source: str | Path) -> list[Path]:
    """The image files of a folder, or those that a pattern finds, in natural order (``slice2`` before ``slice10``).

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(source)
    found = [
        one
        for one in expand_inputs([Path(glob.escape(str(path))) / "*"] if path.is_dir() else [source])
        if one.is_file()
    ]
    files = [one for one in found if is_image(one)]
    if not files:
        raise InputError(f"{source}: no image file is found there; expected the slices of a volume, such as slice*.tif")
    return files


def read_volume(source: str | Path) -> ImageData:
    """Read single images as the slices of one volume.

    Parameters
    ----------
    source : str or Path
        A folder, or a pattern such as ``"scan/slice*.tif"``, of files with one grey image each, all of one size and
        type. Their order is that of the numbers in their names.

    Returns
    -------
    ImageData
        Axes ZYX, read slice by slice as it is indexed; the pixel size is that of the first file, without a step along
        Z, and so are its other metadata; each slice is labelled with the name of its file.

    Raises
    ------
    InputError
        If no image is found, or the first is not a single grey one. That a later one differs shows when it is read.

    Examples
    --------
    >>> import napari_hush as hush
    >>> folder = hush.synthesize({"kind": "foam", "n": 4, "test_share": 0, "shape": (32, 32)}, "foam")
    >>> read_volume(folder / "train" / "noisy").shape
    (4, 32, 32)
    """
    return replace(read_slices(slice_files(source)), source=str(source))


def read_slices(files: Sequence[Path]) -> ImageData:
    """Single images as the slices of one volume, in the order given; as `read_volume`."""
    first = read_image(files[0])
    if first.axes != "YX":
        raise InputError(
            f"{files[0]}: has axes {first.axes} and shape {first.shape}, the slices of a volume are single grey images "
            "(Y, X): denoise such files one by one, without --volume"
        )
    height, width = first.shape
    data = SliceFiles(files, (height, width), first.dtype)
    metadata = replace(first.metadata, name="", labels=tuple(stem(one) for one in files))
    return make_image(data, "ZYX", first.scales, str(files[0].parent), metadata)
