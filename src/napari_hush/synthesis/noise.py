"""What a scanning microscope does to a clean image; each noise is one frozen dataclass and one line in `NOISES`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.signal import lfilter

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Noise(Protocol):
    """Anything that maps an image (Y, X) to an image of the same shape in the same intensity units."""

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Return a noisy copy."""
        ...


def _check(noise: object, **ranges: tuple[float, float]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(noise, name)
        if not low <= value <= high:
            raise ValueError(f"{type(noise).__name__}: {name} must lie between {low:g} and {high:g}; got {value}")


def _ar1(n: int, correlation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a stationary first-order autoregressive series of unit variance."""
    drive = rng.standard_normal(n) * np.sqrt(1 - correlation**2)
    drive[0] = rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -correlation], drive))


@dataclass(frozen=True, kw_only=True)
class RowJitter:
    """Scan lines start at slightly wrong places.

    Parameters
    ----------
    rms : float
        Standard deviation of the shift along X, px.
    correlation : float
        Correlation between neighbouring rows, 0 to below 1.
    advance : float
        Constant shift towards lower X, px: what a later `DetectorLag` drags the image along.
    """

    rms: float = 0.3
    correlation: float = 0.5
    advance: float = 0.0

    def __post_init__(self) -> None:
        _check(self, rms=(0, np.inf), correlation=(0, 0.999))

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Shift each row of (Y, X) by cubic (Catmull-Rom) interpolation; the ends repeat."""
        height, width = image.shape
        shift = self.rms * _ar1(height, self.correlation, rng) + self.advance
        whole = np.floor(shift).astype(np.intp)
        f = (shift - whole).astype(np.float32)[:, None]
        taps = (  # R. Keys, IEEE Trans. ASSP 29, 1153 (1981), https://doi.org/10.1109/TASSP.1981.1163711, a = -1/2
            ((-0.5 * f + 1) * f - 0.5) * f,
            (1.5 * f - 2.5) * f * f + 1,
            ((-1.5 * f + 2) * f + 0.5) * f,
            (0.5 * f - 0.5) * f * f,
        )
        columns = np.arange(width) + whole[:, None]  # (Y, X)
        out = np.zeros_like(image, dtype=np.float32)
        for k, tap in enumerate(taps):
            out += tap * np.take_along_axis(image, np.clip(columns + (k - 1), 0, width - 1), axis=1)
        return out


@dataclass(frozen=True, kw_only=True)
class Poisson:
    """Counting statistics.

    Parameters
    ----------
    dose : float
        Counts per pixel where the image is 1. The result is counts divided by the dose; negative values count as 0.
    """

    dose: float = 10.0

    def __post_init__(self) -> None:
        _check(self, dose=(1e-6, 1e9))

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Count the electrons of (Y, X)."""
        return (rng.poisson(np.maximum(image, 0) * self.dose) / self.dose).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class DetectorLag:
    """An afterglow along the fast axis: each pixel keeps a part of the one before.

    Parameters
    ----------
    correlation : float
        The part that is kept, and so the correlation of white noise between neighbours along X. The image moves by
        ``correlation / (1 - correlation)`` px towards higher X.
    """

    correlation: float = 0.3

    def __post_init__(self) -> None:
        _check(self, correlation=(0, 0.95))

    @property
    def delay(self) -> float:
        """How far the image is dragged towards higher X, px."""
        return self.correlation / (1 - self.correlation)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Filter (Y, X) along X; each row starts as if its first pixel had lasted for ever."""
        c = self.correlation
        start = c * image[:, :1].astype(np.float64)
        return np.asarray(lfilter([1 - c], [1.0, -c], image, axis=1, zi=start)[0], dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Gaussian noise of the electronics.

    Parameters
    ----------
    sigma : float
        Standard deviation, in units of the image.
    """

    sigma: float = 0.05

    def __post_init__(self) -> None:
        _check(self, sigma=(0, np.inf))

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Add white noise to (Y, X)."""
        return image + np.float32(self.sigma) * rng.standard_normal(image.shape, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class RowOffsets:
    """Each scan line has its own zero level.

    Parameters
    ----------
    sigma : float
        Standard deviation, in units of the image.
    correlation : float
        Correlation between neighbouring rows, 0 to below 1.
    """

    sigma: float = 0.03
    correlation: float = 0.5

    def __post_init__(self) -> None:
        _check(self, sigma=(0, np.inf), correlation=(0, 0.999))

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Add one value per row of (Y, X)."""
        rows = self.sigma * _ar1(image.shape[0], self.correlation, rng)
        return image + rows[:, None].astype(np.float32)


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

    fraction: float = 0.002
    salt: float = 0.5
    height: float = 1.0

    def __post_init__(self) -> None:
        _check(self, fraction=(0, 1), salt=(0, 1), height=(0, np.inf))

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Replace some pixels of (Y, X)."""
        out = image.copy()
        hit = np.flatnonzero(rng.random(image.shape, dtype=np.float32) < self.fraction)
        low, high = float(image.min()), float(image.max())
        bright = high + self.height * (high - low) * rng.random(len(hit))
        out.flat[hit] = np.where(rng.random(len(hit)) < self.salt, bright, low)
        return out


@dataclass(frozen=True, kw_only=True)
class MissingLines:
    """Scan lines that were lost and show the line before.

    Parameters
    ----------
    fraction : float
        Share of the rows, 0 to 1. The first row is never lost.
    """

    fraction: float = 0.005

    def __post_init__(self) -> None:
        _check(self, fraction=(0, 1))

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Replace some rows of (Y, X) by the last good one."""
        rows = np.arange(image.shape[0])
        lost = rng.random(len(rows)) < self.fraction
        lost[0] = False
        return image[np.maximum.accumulate(np.where(lost, 0, rows))]


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """The steps of an analogue-to-digital converter.

    Parameters
    ----------
    levels : int
        Number of equal steps between the image's minimum and maximum; 255 for 8 bits.
    """

    levels: int = 255

    def __post_init__(self) -> None:
        _check(self, levels=(1, 2**32))

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Round (Y, X) to the nearest level."""
        low, high = float(image.min()), float(image.max())
        step = (high - low) / self.levels or 1.0
        return np.asarray(low + np.rint((image - low) / step) * step, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Compose:
    """Several noises, one after the other.

    Parameters
    ----------
    noises : tuple of Noise
        In the order in which they act.
    """

    noises: tuple[Noise, ...] = ()

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Apply every noise to (Y, X)."""
        image = np.asarray(image, dtype=np.float32)
        for noise in self.noises:
            image = noise(image, rng)
        return image


NOISES: dict[str, type[Noise]] = {
    "row-jitter": RowJitter,
    "poisson": Poisson,
    "detector-lag": DetectorLag,
    "readout": Readout,
    "row-offsets": RowOffsets,
    "salt-pepper": SaltPepper,
    "missing-lines": MissingLines,
    "quantisation": Quantisation,
}
