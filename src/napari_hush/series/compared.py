"""A frame and its neighbours brought onto it: by how much they differ at each scale, and how far they are displaced."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import ndimage

from napari_hush.filters.smoothing import gaussian
from napari_hush.series.affine import places_of_part, spline, warped_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel
    from napari_hush.series.pairs import Pair

    Image = NDArray[np.float32]
    Part = tuple[slice, slice]

T = TypeVar("T")

HALVED = 3.0  # px: from this scale on every second pixel will do; from 2 on spikes would cost their surroundings
THREADS = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
MOST_PRECISE = 4.0  # times as much as the frame itself a neighbour may count
THINNED = slice(None, None, 4), slice(None, None, 4)  # pixels on which a precision is measured
FLAT = 0.02  # of the mean contrast: where there is less, nobody sees a shift


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a series.

    Parameters
    ----------
    noisy, denoised : ndarray, shape (Y, X), float32
        As measured, without gaps, and as it comes out alone.
    known : ndarray of bool, shape (Y, X), or None
        Where it was measured; None: everywhere.
    """

    noisy: Image
    denoised: Image
    known: NDArray[np.bool_] | None = None

    @cached_property
    def splines(self) -> list[Image]:
        """Through what came out and what was measured, for all frames onto which it is brought."""
        return [spline(self.denoised), spline(self.noisy)]


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A neighbour, brought onto the frame; and how it differs from it."""

    denoised: Image
    noisy: Image
    inside: NDArray[np.bool_]
    precision: float
    first: dict[int, Image]
    """What the frame measured less what came out here, 0 where nothing is seen; at each pixel, at each second one."""
    second: dict[int, Image]
    """What was measured here less what came out of the frame."""
    pulls: tuple[Image, Image]
    """Difference of what came out by the frame's gradients along Y and X, at each second pixel."""


@dataclass(frozen=True, eq=False)
class Means:
    """Differences of means over a scale, in standard deviations of the noise."""

    first: dict[int, Image]
    second: dict[int, Image]
    step: int
    shape: tuple[int, ...]

    def full(self, image: NDArray[Any]) -> NDArray[Any]:
        """At every pixel."""
        return at_every_pixel(image, self.shape)


class Compared:
    """A part of a frame and the same part of its neighbours.

    Parameters
    ----------
    frames : mapping of int to Frame
        By their numbers in time.
    number : int
        The frame.
    pairs : mapping of int to Pair
        How each neighbour lies to it.
    noise : NoiseModel
        Of a frame.
    part : (slice, slice)
        With start and stop.
    """

    def __init__(
        self,
        frames: Mapping[int, Frame],
        number: int,
        pairs: Mapping[int, Pair],
        noise: NoiseModel,
        part: Part,
    ) -> None:
        self.number, self.noise, self._part = number, noise, part
        own = frames[number]
        self.noisy, self.denoised = (image[part] for image in (own.noisy, own.denoised))
        self._known = None if own.known is None else own.known[part]
        self.variance = noise.variance(self.denoised)
        self.along_y, self.along_x = _gradient(self.denoised)
        self._pool = ThreadPoolExecutor(THREADS)
        self.others = self.each(lambda k: self._neighbour(frames[k], pairs[k]), pairs)
        self._means: dict[float, Means] = {}
        self._shifts: dict[tuple[int, float], tuple[Image, Image]] = {}
        self._tensors: dict[float, tuple[Image, Image, Image, Image]] = {}

    def each(self, function: Callable[[int], T], numbers: Iterable[int]) -> dict[int, T]:
        """What a function gives for each of some numbers, on all cores."""
        chosen = list(numbers)
        return dict(zip(chosen, self._pool.map(function, chosen), strict=True))

    def _neighbour(self, frame: Frame, pair: Pair) -> Neighbour:
        (denoised, noisy), inside = warped_part(frame.splines, pair.matrix, self._part)
        gain, offset = np.float32(pair.gain), np.float32(pair.offset)
        for image in (denoised, noisy):
            image -= offset
            image /= gain
        if frame.known is not None:
            at = np.stack(places_of_part(pair.matrix, self._part))
            inside = inside & (
                ndimage.map_coordinates(frame.known.astype(np.float32), at, order=1, mode="nearest") > 0.99
            )
        if self._known is not None:
            inside = inside & self._known
        variance = self.noise.variance(gain * self.denoised[THINNED] + offset) / gain**2
        precision = min(float(self.variance[THINNED].mean() / max(float(variance.mean()), 1e-30)), MOST_PRECISE)
        first, second, difference = (
            np.where(inside, a - b, np.float32(0))
            for a, b in ((self.noisy, denoised), (noisy, self.denoised), (denoised, self.denoised))
        )
        pulls = _binned(self.along_y * difference, 2), _binned(self.along_x * difference, 2)
        return Neighbour(
            denoised,
            noisy,
            inside,
            precision,
            {1: first, 2: _binned(first, 2)},
            {1: second, 2: _binned(second, 2)},
            pulls,
        )

    def means(self, scale: float, jitter: float) -> Means:
        """The comparison at one scale."""
        if scale not in self._means:
            step = 2 if scale >= HALVED else 1
            sigma = scale / step
            variance = _binned(self.variance + np.float32(jitter) * self.along_x**2, step)
            widened = self.noise.widened(scale)
            spread = np.sqrt(gaussian(variance, sigma / 2**0.5)) * np.float32(widened**0.5 / (2 * np.pi**0.5 * scale))
            spread *= _at_borders(spread.shape[0], sigma)[:, None] * _at_borders(spread.shape[1], sigma)
            per_spread = 1 / np.maximum(spread, np.float32(1e-30))

            def both(number: int) -> tuple[Image, Image]:
                other = self.others[number]
                first, second = (gaussian(one[step], sigma) for one in (other.first, other.second))
                first *= per_spread
                second *= per_spread
                second /= np.float32(max(1 / other.precision, 1e-6) ** 0.5)
                return first, second

            found = self.each(both, self.others)
            own = gaussian(_binned(self.noisy - self.denoised, step), sigma) * per_spread
            first, second = ({number: one[k] for number, one in found.items()} for k in (0, 1))
            self._means[scale] = Means(first, second | {self.number: own}, step, self.denoised.shape)
        return self._means[scale]

    def shifts(self, number: int, window: float) -> tuple[Image, Image]:
        """How far a neighbour's features are displaced around each second pixel, along Y and X, px."""
        if (number, window) not in self._shifts:
            yy, yx, xx, per_determinant = self.tensor(window)
            to_y, to_x = (gaussian(one, window / 2, truncate=3) for one in self.others[number].pulls)
            self._shifts[number, window] = (
                (xx * to_y - yx * to_x) * per_determinant,
                (yy * to_x - yx * to_y) * per_determinant,
            )
        return self._shifts[number, window]

    def tensor(self, window: float) -> tuple[Image, Image, Image, Image]:
        """Of the frame's gradients, the same for all neighbours: yy, yx, xx and one over the determinant."""
        if window not in self._tensors:
            y, x = self.along_y, self.along_x
            yy, yx, xx = (gaussian(_binned(one, 2), window / 2, truncate=3) for one in (y * y, y * x, x * x))
            flat = np.float32(max(FLAT * float(np.mean(yy + xx)), 1e-30))
            yy, xx = yy + flat, xx + flat
            self._tensors[window] = yy, yx, xx, 1 / (yy * xx - yx**2)
        return self._tensors[window]


def _at_borders(size: int, sigma: float) -> NDArray[np.float32]:
    """By how much a Gaussian mean over white noise varies more near the ends of an axis, where noise is mirrored."""
    place = np.arange(size) + 0.5
    end = np.minimum(place, size - place)
    return np.asarray(np.sqrt(1 + np.exp(-((end / sigma) ** 2))), np.float32)


def _gradient(image: Image) -> tuple[Image, Image]:
    """Along Y and X, per px."""
    along_y, along_x = (np.asarray(np.gradient(image, axis=axis), np.float32) for axis in (0, 1))
    return along_y, along_x


def at_every_pixel(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An image of every second pixel, or of each, at every pixel."""
    if image.shape == tuple(shape):
        return image
    return np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)[: shape[0], : shape[1]]


def _binned(image: Image, step: int) -> Image:
    """Means over blocks of ``step`` px a side; an odd end is repeated."""
    if step == 1:
        return image
    height, width = image.shape
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge")
    rows = image[::2] + image[1::2]
    return np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4)
