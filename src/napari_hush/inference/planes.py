"""One view of every kind of input: an array of any library as a set of (Y, X) planes, read window by window."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.filters.gaps import unmasked
from napari_hush.inference.levels import level_steps, lowered, raised
from napari_hush.progress import drain

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from napari_hush.inference.known import Known
    from napari_hush.inference.levels import Level
    from napari_hush.progress import Progress

BLOCK = 1024  # px: the values of an image are looked at in parts of about so many, squared
WIDE = 16  # px: a last axis of 1 behind two axes of as many holds one colour, as arrays for Keras do


@dataclass(frozen=True)
class Planes:
    """An image as planes.

    Parameters
    ----------
    image : array_like
        Anything with shape, dtype and slicing: numpy, memmap, zarr, dask, h5py.
    channel_axis : int or None
        The axis of colours or dyes; the last two of the others are Y and X, whatever is left counts planes. A last axis
        of length 1 behind two wide ones is taken for it.
    levels : tuple of tuple of number
        What `read` takes off and `write` adds again, for each plane or once for all, of each channel; empty: nothing.

    Raises
    ------
    InputError
        If this is no image: wrong type, fewer than two dimensions, empty, complex, or more than two leading axes longer
        than 1 without a ``channel_axis``.
    """

    image: Any
    channel_axis: int | None = None
    levels: tuple[tuple[Level, ...], ...] = ()
    _reading: Lock = field(default_factory=Lock, repr=False, compare=False)  # not every file can be read by two threads

    def __post_init__(self) -> None:
        image = self.image
        if isinstance(image, (list, tuple)):
            image = _from_sequence(image)
            object.__setattr__(self, "image", image)
        shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
        if shape is None or dtype is None or not hasattr(image, "__getitem__"):
            raise InputError(f"expected an image array of shape (..., Y, X), got {type(image).__name__}")
        try:
            kind = np.dtype(dtype).kind
        except TypeError:
            kind = ""
        if kind == "c":
            raise InputError(f"the image is complex ({dtype}); denoise its modulus or real part: numpy.abs(image)")
        if kind not in "biuf" or not kind:
            raise InputError(
                f"the image's dtype is {dtype}; expected numbers (integers or floats) in a numpy-like array"
            )
        if len(shape) < 2:
            raise InputError(f"expected an image of shape (..., Y, X), got shape {tuple(shape)}")
        if any(isinstance(n, float) and math.isnan(n) for n in shape):
            raise InputError(
                f"the image has chunks of unknown size, its shape is {tuple(shape)}: call its compute_chunk_sizes()"
            )
        if 0 in shape:
            raise InputError(f"the image is empty: its shape is {tuple(shape)}")
        axis = self.channel_axis
        if axis is None and has_one_colour(shape):
            axis = -1
        if axis is None:
            if sum(n > 1 for n in shape[:-2]) > 2:
                raise InputError(
                    f"the image has {len(shape)} dimensions, shape {tuple(shape)}: name its channels with "
                    "channel_axis= (--channel-axis, Channels in the dock), or denoise one (T, Z, Y, X) part at a time"
                )
            return
        if not -len(shape) <= axis < len(shape):
            raise InputError(f"channel_axis={axis} does not exist in an image of shape {tuple(shape)}")
        if len(shape) < 3:
            raise InputError(f"channel_axis={axis} needs at least (Y, X) beside it, got shape {tuple(shape)}")
        object.__setattr__(self, "channel_axis", axis % len(shape))

    def __reduce__(self) -> tuple[type[Planes], tuple[Any, ...]]:
        """Another process has a lock of its own."""
        return Planes, (self.image, self.channel_axis, self.levels)

    def lowered(self, *, each: bool = False) -> Planes:
        """The same image less its pedestal, if it stands on one; ``each``: each plane has one of its own."""
        return drain(self.lowered_steps(each=each))

    def lowered_steps(self, *, each: bool = False, known: Known | None = None) -> Generator[Progress, None, Planes]:
        """As `lowered`, in steps: looking at a lazy image may take long. ``known``: what was measured on it before."""
        measure = partial(level_steps, self, each=each)
        levels = yield from (measure() if known is None else known.steps(("levels", each, self.channel_axis), measure))
        return replace(self, levels=levels)

    def level(self, index: tuple[int, ...], channel: int) -> Level:
        """What is taken off a channel of a plane."""
        if not self.levels:
            return 0
        number = int(np.ravel_multi_index(index, self.lead_shape)) if len(self.levels) > 1 else 0
        return self.levels[number][channel]

    @property
    def masked(self) -> bool:
        """Whether a part of it may be masked: it is NaN then in what `read` gives."""
        return isinstance(getattr(self.image, "_meta", self.image), np.ma.MaskedArray)

    @property
    def may_have_gaps(self) -> bool:
        """Whether `read` may give NaN or infinity."""
        return self.masked or np.dtype(self.image.dtype).kind == "f"

    @property
    def sparse(self) -> bool:
        """Whether parts of it may never have been stored, see `is_empty`."""
        return bool(getattr(self.image, "sparse", False))

    @property
    def lazy(self) -> bool:
        """Whether it is read when it is asked for, and not an array in memory."""
        return not isinstance(self.image, np.ndarray) or isinstance(self.image, np.memmap)

    @property
    def axes(self) -> list[int]:
        """The image's axes without the channels: leading ones, then Y and X."""
        return [axis for axis in range(len(self.image.shape)) if axis != self.channel_axis]

    @property
    def n_channels(self) -> int:
        """Number of channels; 1 without a channel axis."""
        return 1 if self.channel_axis is None else int(self.image.shape[self.channel_axis])

    @property
    def lead_shape(self) -> tuple[int, ...]:
        """Lengths of the leading axes, such as (T, Z)."""
        return tuple(int(self.image.shape[axis]) for axis in self.axes[:-2])

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(Y, X)."""
        y, x = self.axes[-2:]
        return int(self.image.shape[y]), int(self.image.shape[x])

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """(Y, X) of a chunk of a chunked array; (1, 1) for others."""
        chunks = getattr(self.image, "chunks", None)
        if chunks is None or len(chunks) != len(self.image.shape):
            return 1, 1
        y, x = (chunks[axis] for axis in self.axes[-2:])
        # dask gives the size of every chunk
        return int(y[0] if isinstance(y, tuple) else y), int(x[0] if isinstance(x, tuple) else x)

    def indices(self) -> Iterator[tuple[int, ...]]:
        """The index of every plane, in order."""
        return product(*(range(n) for n in self.lead_shape))

    def key(self, index: tuple[int, ...], channel: int, y: slice, x: slice) -> tuple[int | slice, ...]:
        """The full index of a part of one plane; the axes that it keeps are (Y, X)."""
        parts: dict[int, int | slice] = dict(zip(self.axes, (*index, y, x), strict=True))
        if self.channel_axis is not None:
            parts[self.channel_axis] = channel
        return tuple(parts[axis] for axis in range(len(parts)))

    def read(self, index: tuple[int, ...], channels: list[int], y: slice, x: slice) -> np.ndarray:
        """One part of one plane, shape (C, Y, X): less its levels, then float64; NaN where it is masked.

        Raises
        ------
        InputError
            If the array's library cannot read it.
        """
        if isinstance(self.image, np.memmap):
            _check_mapped(self.image)
        try:
            with self._reading:
                return np.stack([self._part(index, channel, y, x) for channel in channels])
        except InputError:  # says itself which file it is, and what to do
            raise
        except (OSError, RuntimeError, ValueError) as error:  # a damaged chunk of a lazy array shows only now
            raise InputError(
                f"a part of the image cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:150]}): "
                "the file may be damaged or may have changed; check it"
            ) from error

    def _part(self, index: tuple[int, ...], channel: int, y: slice, x: slice) -> np.ndarray:
        part = self.image[self.key(index, channel, y, x)]
        if self.masked and hasattr(part, "compute"):  # dask would drop the mask on the way to numpy
            part = part.compute()
        level = self.level(index, channel)
        if not level:
            return unmasked(part)
        values = lowered(np.asarray(part), level)
        return np.where(np.ma.getmaskarray(part), np.nan, values) if np.ma.isMaskedArray(part) else values

    def write(self, index: tuple[int, ...], channels: list[int], y: slice, x: slice, values: np.ndarray) -> None:
        """Store one part of one plane, shape (C, Y, X), in the array's own dtype: integers clipped and rounded."""
        dtype = np.dtype(self.image.dtype)
        for channel, value in zip(channels, values, strict=True):
            self.image[self.key(index, channel, y, x)] = raised(value, self.level(index, channel), dtype)

    def write_plane(self, index: tuple[int, ...], channels: list[int], values: np.ndarray) -> None:
        """Store one plane, see `write`."""
        y, x = (slice(0, size) for size in self.plane_shape)
        self.write(index, channels, y, x, values)

    def blocks(self, channel: int) -> Iterator[np.ndarray]:
        """Every value of one channel once, in parts of whole chunks of about a megapixel."""
        for index in self.indices():
            yield from self.plane_blocks(index, channel)

    def plane_blocks(self, index: tuple[int, ...], channel: int) -> Iterator[np.ndarray]:
        """Every value of one plane of a channel once, in such parts; none where no chunk was ever stored."""
        height, width = self.plane_shape
        (rows, step), (columns, across) = ((max(BLOCK // one, 1) * one, one) for one in self.chunk_shape)
        if self.sparse:
            rows, columns = self.chunk_shape
        elif step * width <= BLOCK**2:  # bands of whole rows
            rows, columns = max(BLOCK**2 // width // step, 1) * step, width
        elif step > BLOCK:
            columns = max(BLOCK**2 // step // across, 1) * across
        for top, left in product(range(0, height, rows), range(0, width, columns)):
            y, x = slice(top, min(top + rows, height)), slice(left, min(left + columns, width))
            if not self.is_empty(index, channel, y, x):
                yield self.read(index, [channel], y, x)

    def is_empty(self, index: tuple[int, ...], channel: int, y: slice, x: slice) -> bool:
        """Whether nothing was ever stored of a part of a sparse image: what is read there is a fill value."""
        return self.sparse and bool(self.image.is_empty(self.key(index, channel, y, x)))

    def with_gaps(
        self,
        values: np.ndarray,
        index: tuple[int, ...],
        channels: list[int],
        y: slice,
        x: slice,
        empty: float | None = None,
    ) -> np.ndarray:
        """A copy of a part (C, Y, X) of a plane's result with another value in the chunks that were never stored.

        Parameters
        ----------
        values, index, channels, y, x
            The part, and where it lies, as of `write`.
        empty : float, optional
            The value; that of the image itself if none is given.
        """
        made = values.copy()
        rows, columns = self.chunk_shape
        tops, lefts = (range(part.start // n * n, part.stop, n) for part, n in ((y, rows), (x, columns)))
        for top, left in product(tops, lefts):
            v = slice(max(top, y.start), min(top + rows, y.stop))
            u = slice(max(left, x.start), min(left + columns, x.stop))
            inner = slice(v.start - y.start, v.stop - y.start), slice(u.start - x.start, u.stop - x.start)
            for number, channel in enumerate(channels):
                if self.is_empty(index, channel, v, u):
                    made[(number, *inner)] = self.read(index, [channel], v, u)[0] if empty is None else empty
        return made


def has_one_colour(shape: Sequence[int]) -> bool:
    """Whether the last axis of an array holds the only colour of an image, as arrays for Keras do.

    Examples
    --------
    >>> has_one_colour((64, 48, 1)), has_one_colour((64, 48, 3)), has_one_colour((48, 1))
    (True, False, False)
    """
    return len(shape) > 2 and shape[-1] == 1 and min(shape[-3:-1]) >= WIDE


def _check_mapped(image: np.memmap[Any, Any]) -> None:
    """Refuse a mapped file that has become shorter: looking at what is behind its end kills the process.

    Between this and the copying of the part, milliseconds later, it can still happen; `napari_hush.io` maps no files.
    """
    name = image.filename
    if name is None or image.base is None:
        return
    mapping: np.ndarray[Any, Any] = image
    while isinstance(mapping.base, np.ndarray):
        mapping = mapping.base
    if isinstance(mapping.base, mmap.mmap) and os.path.exists(name) and os.path.getsize(name) < len(mapping.base):
        raise InputError(f"{name}: has become shorter since it was opened; copy it again, and let nothing write to it")


def _from_sequence(image: list[Any] | tuple[Any, ...]) -> np.ndarray:
    try:
        if any(isinstance(one, np.ma.MaskedArray) for one in image):
            return np.ma.stack(image)
        return np.asarray(image)
    except ValueError as error:
        raise InputError(
            f"expected an image array, got a ragged {type(image).__name__}: rows differ in length"
        ) from error


def middle_part(shape: Sequence[int], side: int) -> tuple[slice, slice]:
    """The middle of a plane, at most ``side`` px high and wide, as two slices.

    Parameters
    ----------
    shape : (int, int)
        Y, X of the plane.
    side : int
        Px.

    Examples
    --------
    >>> middle_part((100, 40), 50)
    (slice(25, 75, None), slice(0, 50, None))
    """
    y, x = (slice(start, start + side) for start in (max(size - side, 0) // 2 for size in shape))
    return y, x
