"""An image with what must not get lost on the way: its axes and its pixel size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.metadata import Metadata
from napari_hush.io.units import METRES, canonical, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SPACE = "ZYX"
UNKNOWN_AXES = "QPRVWABDEFGHIJKLMNOU"  # the first unknown axis is Q, as in tifffile; none of them is T, Z, C, S, Y, X
# bytes; images up to here are read whole at once, so that damage shows at the start
LAZY_ABOVE = 512 << 20  # formats that are not made for reading parts
EAGER_BELOW = 64 << 20  # formats that are: HDF5, zarr, NPY and TIFF without compression

Scales = dict[str, tuple[float, str]]


@dataclass(frozen=True, eq=False)
class ImageData:
    """An image as it came from a file.

    Parameters
    ----------
    data : array_like
        One dimension per letter of ``axes``. An ndarray, or lazily read: a zarr array, or a large h5py dataset or
        array in a plain file.
    axes : str
        One letter per dimension: X, Y, Z, T (time), C (channel or colour), S (colour samples beside a C), Q and
        others where the file does not say.
    pixel_size : tuple of float, optional
        Size of one step along each axis, in ``units``; 1.0 for an axis without a known step. None where Y and X are
        unknown.
    units : tuple of str, optional
        One per axis: "nm", "µm", "s" and so on; "pixel" for a space axis of unknown step, "" for any other.
    source : str
        Where it came from.
    history : mapping, optional
        How it was made, to be written with it: JSON-able, see `napari_hush.io.history`.
    metadata : Metadata
        Names, colours, display ranges, date: what a result keeps of its input.

    Raises
    ------
    InputError
        If axes, pixel size and units do not fit the data.
    """

    data: Any
    axes: str
    pixel_size: tuple[float, ...] | None = None
    units: tuple[str, ...] = ()
    source: str = ""
    history: Mapping[str, Any] | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        ndim = len(self.data.shape)
        if len(self.axes) != ndim:
            raise InputError(
                f"axes {self.axes!r} name {len(self.axes)} dimensions, but the image has {ndim}: "
                f"shape {tuple(self.data.shape)}"
            )
        if not {"Y", "X"} <= set(self.axes) or len(set(self.axes)) != ndim or not self.axes.isupper():
            raise InputError(f"axes must be different capital letters, Y and X among them, got {self.axes!r}")
        object.__setattr__(self, "metadata", self.metadata.fitting(self.axes, self.shape))
        if not self.units:
            object.__setattr__(self, "units", tuple("pixel" if axis in SPACE else "" for axis in self.axes))
        if len(self.units) != ndim:
            raise InputError(f"expected one unit per axis of {self.axes}, got {self.units}")
        if self.pixel_size is None:
            return
        if len(self.pixel_size) != ndim:
            raise InputError(f"expected one pixel size per axis of {self.axes}, got {self.pixel_size}")
        if not all(math.isfinite(size) and size > 0 for size in self.pixel_size):
            raise InputError(f"pixel sizes must be positive numbers, got {self.pixel_size} for {self.axes}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each axis, px."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data's type in this machine's byte order."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype).newbyteorder("=")
        return dtype

    @property
    def channel_axis(self) -> int | None:
        """Index of the axis of colour samples or channels, None without one."""
        return next((self.axes.index(letter) for letter in "SC" if letter in self.axes), None)

    @property
    def scales(self) -> Scales:
        """Axis letter to (step, unit), for the axes whose step is known."""
        if self.pixel_size is None:
            return {}
        steps = zip(self.axes, self.pixel_size, self.units, strict=True)
        return {axis: (size, unit) for axis, size, unit in steps if unit not in ("", "pixel")}

    def pixel_size_in(self, unit: str) -> tuple[float, float] | None:
        """Pixel size along (Y, X) in a unit of length such as "nm"; None where it is unknown or no length."""
        found = [self.scales.get(axis, (0.0, "")) for axis in "YX"]
        if canonical(unit) not in METRES or any(name not in METRES for _, name in found):
            return None
        y, x = (tidy(size * METRES[name] / METRES[canonical(unit)]) for size, name in found)
        return y, x

    def time_first(self) -> ImageData:
        """The same image with T before all axes, if it is in memory or plainly in a file; others stay as they are."""
        at = self.axes.find("T")
        if at < 1 or not (isinstance(self.data, np.ndarray) or hasattr(self.data, "moved")):
            return self
        moved = np.moveaxis(self.data, at, 0) if isinstance(self.data, np.ndarray) else self.data.moved(at)
        metadata = self.metadata.moved(self.axes, self.shape, "T")
        return make_image(moved, "T" + self.axes.replace("T", ""), self.scales, self.source, metadata)

    def with_axes(self, axes: str) -> ImageData:
        """The same data with other axis letters; a step stays with its letter."""
        same = axes.find("C") == self.axes.find("C")
        metadata = self.metadata if same else replace(self.metadata, channels=())
        return make_image(self.data, axes, self.scales, self.source, metadata)

    def of_other_values(self) -> ImageData:
        """What a map of another quantity of this image is written like: without display ranges and colours."""
        return replace(self, metadata=self.metadata.of_other_values())


def make_image(
    data: Any,
    axes: str,
    scales: Mapping[str, tuple[float, object]],
    source: str,
    metadata: Metadata | None = None,
) -> ImageData:
    """Put together what a reader found; steps of axes that are not there, or that make no sense, are left out."""
    known: Scales = {}
    for axis, (size, unit) in scales.items():
        name = canonical(unit)
        if axis in axes and math.isfinite(size) and size > 0 and name != "pixel":
            known[axis] = (float(size), name)
    for axis, other in ("YX", "XY"):
        if axis not in known and other in known:
            known[axis] = known[other]
    image = ImageData(data, axes, source=source, metadata=metadata or Metadata())
    if "X" not in known:
        return image
    steps = [known.get(axis, (1.0, unit)) for axis, unit in zip(axes, image.units, strict=True)]
    return replace(image, pixel_size=tuple(size for size, _ in steps), units=tuple(unit for _, unit in steps))


def guess_axes(shape: Sequence[int]) -> str:
    """Axis letters for an array without any.

    A last axis of 3 or 4 behind a wide one is colour, and one of 1 is the channel that Keras wants.

    Examples
    --------
    >>> guess_axes((10, 512, 512)), guess_axes((512, 512, 3)), guess_axes((10, 512, 512, 1))
    ('QYX', 'YXC', 'QYXC')
    """
    ndim = len(shape)
    if ndim >= 3 and shape[-1] in (1, 3, 4) and shape[-2] >= 16:
        return UNKNOWN_AXES[: ndim - 3] + "YXC"
    return UNKNOWN_AXES[: ndim - 2] + "YX"


def tidy_axes(letters: str, shape: Sequence[int]) -> str:
    """A file's own axis letters as one unique letter per dimension, S as C where there is no other C."""
    letters = letters.upper()
    if len(letters) != len(shape) or not {"Y", "X"} <= set(letters):
        return guess_axes(shape)
    if letters.endswith("YX") and shape[-1] == 1 and {"I", "Q"} & set(letters):
        return guess_axes(shape)  # the letters are a guess, too, and of a program that knows no such channel
    if "C" not in letters:
        letters = letters.replace("S", "C", 1)
    if "C" not in letters and shape[-1] == 1 and letters[-3:-1] == "YX" and letters[-1] not in "TZ":
        letters = letters[:-1] + "C"
    free = iter(letter for letter in UNKNOWN_AXES if letter == "Q" or letter not in letters)
    tidy = ""
    for letter in letters:
        # I ("sequence") and Q ("other") both mean that the file does not say
        tidy += next(free) if letter in "IQ" or letter in tidy or not letter.isalpha() else letter
    return tidy


def check_kind(shape: Sequence[int] | None, dtype: Any, source: str) -> None:
    """Refuse what is no image: complex or non-numeric values, fewer than two dimensions, no pixels."""
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        raise FileFormatError(f"{source}: holds complex values ({dtype}); save their magnitude or phase instead")
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise FileFormatError(f"{source}: expected integers or floats of up to 64 bits, got {dtype}")
    if shape is None or len(shape) < 2:
        raise FileFormatError(f"{source}: expected an image of shape (..., Y, X), got shape {shape}")
    if 0 in shape:
        raise FileFormatError(f"{source}: the image has no pixels, its shape is {tuple(shape)}")
    if len(shape) > 8:
        raise FileFormatError(f"{source}: expected at most 8 dimensions, got {len(shape)}: shape {tuple(shape)}")


def check_claim(claimed: int, stored: int, source: str) -> None:
    """Refuse a file whose header claims far more bytes than the file can hold, before memory is asked for."""
    if (claimed > 64 << 20 and claimed > 4096 * stored) or claimed >= 1 << 62:
        raise FileFormatError(
            f"{source}: claims {claimed / 1e9:.3g} GB of pixels but stores {stored} bytes of them; "
            "it is damaged or made up"
        )


def drop_opaque_alpha(data: np.ndarray, source: str) -> np.ndarray:
    """Remove the last channel, an alpha that says nothing; (..., Y, X, C) to (..., Y, X, C - 1).

    Raises
    ------
    FileFormatError
        If some pixel is transparent: its grey value is undefined.
    """
    alpha = data[..., -1]
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    if not (alpha == opaque).all():
        raise FileFormatError(
            f"{source}: has transparent pixels, whose intensity is undefined; save the image without an alpha channel"
        )
    rest = data[..., :-1]
    return rest[..., 0] if rest.shape[-1] == 1 else rest
