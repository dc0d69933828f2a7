"""Noise that strikes each pixel by itself: counting, electronics, coherent light, the converter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from scipy import ndimage

from napari_hush.declare import Bounds, check_fields

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Poisson:
    """Counting statistics.

    Parameters
    ----------
    dose : float
        Counts per pixel where the image is 1. The result is counts divided by the dose; negative values count as 0.
    """

    dose: Annotated[float, Bounds(1e-6, 1e9)] = 10.0

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Count the electrons of (Y, X)."""
        return (rng.poisson(np.maximum(image, 0) * self.dose) / self.dose).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Gaussian noise of the electronics.

    Parameters
    ----------
    sigma : float
        Standard deviation, in units of the image.
    """

    sigma: Annotated[float, Bounds(0, np.inf)] = 0.05

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Add white noise to (Y, X)."""
        return image + np.float32(self.sigma) * rng.standard_normal(image.shape, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Additive Gaussian noise, white or with a grain.

    Parameters
    ----------
    sigma : float
        Standard deviation, in units of the image.
    grain : float
        Size of the grain, px: the sigma of the Gaussian that has smoothed the white noise, as resampling and
        demosaicing do. 0: white. The standard deviation is ``sigma`` whatever the grain.
    """

    sigma: Annotated[float, Bounds(0, np.inf)] = 0.1
    grain: Annotated[float, Bounds(0, 100)] = 0.0

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Add noise of mean 0 to (Y, X)."""
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        if self.grain:
            reach = int(4 * self.grain) + 1
            taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.grain) ** 2)
            taps /= np.sqrt(np.sum(taps**2))  # keeps the variance of white noise
            for axis in (0, 1):
                noise = ndimage.convolve1d(noise, taps, axis=axis, mode="wrap")
        return (image + np.float32(self.sigma) * noise).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Speckle:
    """The interference of coherent light: noise that multiplies the image.

    Parameters
    ----------
    sigma : float
        Standard deviation of the factor, whose mean is 1. 1 is fully developed speckle; the average of N independent
        looks has ``N ** -0.5``.

    Notes
    -----
    The factor follows the gamma distribution of integrated intensities [1]_: dark stays dark, nothing turns negative.

    References
    ----------
    .. [1] J. W. Goodman, "Some fundamental properties of speckle", J. Opt. Soc. Am. 66, 1145 (1976),
       https://doi.org/10.1364/JOSA.66.001145
    """

    sigma: Annotated[float, Bounds(0, 10)] = 0.3

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Multiply each pixel of (Y, X) by its own factor."""
        if not self.sigma:
            return image.copy()
        looks = self.sigma**-2
        return (image * rng.standard_gamma(looks, image.shape, dtype=np.float32) / np.float32(looks)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class GainOffset:
    """The linear part of a detector's chain; no randomness.

    Parameters
    ----------
    gain : float
        Output units per unit of the image, positive.
    offset : float
        Output where the image is 0, output units.
    """

    gain: Annotated[float, Bounds(1e-30, 1e30)] = 1.0
    offset: Annotated[float, Bounds(-1e30, 1e30)] = 0.1

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Return ``gain * image + offset`` for (Y, X)."""
        return np.asarray(np.float64(self.gain) * image + self.offset, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class SaltPepper:
    """Single pixels that are far too bright or dark.

    Parameters
    ----------
    fraction : float
        Share of the pixels, 0 to 1.
    salt : float
        Share of those that are bright, 0 to 1; the others fall to the image's minimum.
    height : float
        Bright pixels lie up to this many times the image's range above its maximum, uniformly from 0.
    """

    fraction: Annotated[float, Bounds(0, 1)] = 0.002
    salt: Annotated[float, Bounds(0, 1)] = 0.5
    height: Annotated[float, Bounds(0, np.inf)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Replace some pixels of (Y, X)."""
        out = image.copy()
        hit = np.flatnonzero(rng.random(image.shape, dtype=np.float32) < self.fraction)
        low, high = float(image.min()), float(image.max())
        bright = high + self.height * (high - low) * rng.random(len(hit))
        out.flat[hit] = np.where(rng.random(len(hit)) < self.salt, bright, low)
        return out


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """The steps of an analogue-to-digital converter.

    Parameters
    ----------
    levels : int
        Number of equal steps between the image's minimum and maximum; 255 for 8 bits.
    """

    levels: Annotated[int, Bounds(1, 2**32)] = 255

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Round (Y, X) to the nearest level."""
        low, high = float(image.min()), float(image.max())
        step = (high - low) / self.levels or 1.0
        return np.asarray(low + np.rint((image - low) / step) * step, dtype=np.float32)
