"""What goes wrong along the rows of a scan: the fast axis is X, one scan line is one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_hush.declare import Bounds, check_fields

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _ar1(n: int, correlation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a stationary first-order autoregressive series of unit variance."""
    from scipy.signal import lfilter  # slow to load

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

    rms: Annotated[float, Bounds(0, np.inf)] = 0.3
    correlation: Annotated[float, Bounds(0, 0.999)] = 0.5
    advance: Annotated[float, Bounds(-np.inf, np.inf)] = 0.0

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

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
        out = np.zeros_like(image, dtype=np.float32)
        reached = _rows_from(image, whole - 1, width + 3)  # (Y, X + 3)
        for k, tap in enumerate(taps):
            out += tap * reached[:, k : k + width]
        return out


def _rows_from(image: NDArray[np.float32], start: NDArray[np.intp], length: int) -> NDArray[np.float32]:
    """Cut ``length`` px out of each row of (Y, X), from its own start, which may lie outside: the ends repeat."""
    height, width = image.shape
    start = np.clip(start, -length, width)  # beyond, a row is all end
    before, after = max(-int(start.min()), 0), max(int(start.max()) + length - width, 0)
    padded = np.empty((height, before + width + after), dtype=image.dtype)
    padded[:, before : before + width] = image
    padded[:, :before] = image[:, :1]
    padded[:, before + width :] = image[:, -1:]
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)
    return np.asarray(windows[np.arange(height), start + before])


@dataclass(frozen=True, kw_only=True)
class DetectorLag:
    """An afterglow along the fast axis: each pixel keeps a part of the one before.

    Parameters
    ----------
    correlation : float
        The part that is kept, and so the correlation of white noise between neighbours along X. The image moves by
        ``correlation / (1 - correlation)`` px towards higher X.
    """

    correlation: Annotated[float, Bounds(0, 0.95)] = 0.3

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    @property
    def delay(self) -> float:
        """How far the image is dragged towards higher X, px."""
        return self.correlation / (1 - self.correlation)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Filter (Y, X) along X; each row starts as if its first pixel had lasted for ever."""
        from scipy.signal import lfilter  # slow to load

        c = self.correlation
        start = c * image[:, :1].astype(np.float64)
        return np.asarray(lfilter([1 - c], [1.0, -c], image, axis=1, zi=start)[0], dtype=np.float32)


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

    sigma: Annotated[float, Bounds(0, np.inf)] = 0.03
    correlation: Annotated[float, Bounds(0, 0.999)] = 0.5

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Add one value per row of (Y, X)."""
        rows = self.sigma * _ar1(image.shape[0], self.correlation, rng)
        return image + rows[:, None].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class MissingLines:
    """Scan lines that were lost and show the line before.

    Parameters
    ----------
    fraction : float
        Share of the rows, 0 to 1. The first row is never lost.
    """

    fraction: Annotated[float, Bounds(0, 1)] = 0.005

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Replace some rows of (Y, X) by the last good one."""
        rows = np.arange(image.shape[0])
        lost = rng.random(len(rows)) < self.fraction
        lost[0] = False
        return image[np.maximum.accumulate(np.where(lost, 0, rows))]


@dataclass(frozen=True, kw_only=True)
class Spikes:
    """Cosmic rays and discharges: strong pixels, or short streaks along the scan row.

    Parameters
    ----------
    fraction : float
        Share of the pixels in which a spike begins, 0 to 1.
    height : float
        Mean height above the image, in times the image's range (maximum minus minimum); exponentially distributed.
    length : float
        Mean length along X, px, at least 1; geometrically distributed. A streak ends with its row.
    """

    fraction: Annotated[float, Bounds(0, 1)] = 0.001
    height: Annotated[float, Bounds(0, np.inf)] = 1.0
    length: Annotated[float, Bounds(1, 1e6)] = 2.0

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Add spikes to (Y, X); where two meet, their heights add up."""
        y, x = np.nonzero(rng.random(image.shape, dtype=np.float32) < self.fraction)
        heights = rng.exponential(self.height * float(np.ptp(image)), len(x))
        ends = np.minimum(x + rng.geometric(1 / self.length, len(x)), image.shape[1])
        steps = np.zeros((image.shape[0], image.shape[1] + 1))  # the streaks' differences along X
        np.add.at(steps, (y, x), heights)
        np.subtract.at(steps, (y, ends), heights)
        added = np.cumsum(steps, axis=1)[:, :-1]
        added[np.cumsum(_counted(steps.shape, y, x, ends), axis=1)[:, :-1] == 0] = 0  # no rounding rest after a streak
        return np.asarray(image + added, dtype=np.float32)


def _counted(
    shape: tuple[int, ...], y: NDArray[np.intp], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.int32]:
    """+1 where a streak begins and -1 where it has ended, (Y, X + 1)."""
    steps = np.zeros(shape, dtype=np.int32)
    np.add.at(steps, (y, starts), 1)
    np.subtract.at(steps, (y, ends), 1)
    return steps
