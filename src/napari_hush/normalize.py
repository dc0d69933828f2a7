"""Bring an image's values to a network's range and back, by one invertible linear map per image.

The map is found on the whole image, never on a tile: a normalisation that differs from tile to tile shows as
seams. An image larger than memory is streamed at most twice.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from napari_hush.errors import InputError
from napari_hush.progress import drain

Method = Literal["percentile", "match", "identity", "range", "standard"]
Blocks = Callable[[], Iterable[np.ndarray]]

OUTLIER = 1e30  # in network units; beyond it a network's sums would overflow float32
FLOAT32_MAX = float(np.finfo(np.float32).max)


class FlatImageError(InputError):
    """An image without two different values."""


@dataclass(frozen=True)
class Normalization:
    """The linear map ``(image - offset) / scale``.

    Parameters
    ----------
    offset, scale : float
        In the image's own intensity units; ``scale`` is negative where the contrast is turned, never 0.
    fill : float
        The image's median: what a network sees where the image is NaN or infinite and has no finite neighbour.
    limits : tuple of float
        In network units: what the image's values are clipped to on their way in. The way back does not clip.
    spread : float
        From one percentile of the image to the other, in its units; 0 where nobody measured it.
    """

    offset: float
    scale: float
    fill: float = 0.0
    limits: tuple[float, float] = (-OUTLIER, OUTLIER)
    spread: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        low, high = self.limits
        if not -OUTLIER <= low < high <= OUTLIER:
            raise ValueError(f"limits must be an increasing pair within {OUTLIER:g}, got {self.limits}")
        if not (math.isfinite(self.offset) and math.isfinite(self.scale) and self.scale):
            raise ValueError(f"a normalisation needs a finite offset and a finite scale other than 0, got {self}")

    def turned(self, target: tuple[float, float]) -> Normalization:
        """The same map with its contrast turned: what became the lower end of ``target`` becomes the upper one."""
        return replace(self, offset=self.offset + sum(target) * self.scale, scale=-self.scale)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Image units to network units, float32."""
        # float64 inside: a small signal on a high pedestal would lose its digits in float32
        values = (image.astype(np.float64) - self.offset) / self.scale
        return np.clip(values, *self.limits).astype(np.float32)

    def invert(self, image: np.ndarray) -> np.ndarray:
        """Network units to image units, float32."""
        values = image.astype(np.float64) * self.scale + self.offset
        return np.clip(values, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class NormalizationRule:
    """How a model wants its input normalised; the rule is the model's, the `Normalization` the image's.

    Parameters
    ----------
    method : {"percentile", "match", "identity", "range", "standard"}
        ``percentile`` maps the two percentiles of the image to the two ends of ``target``.
        ``identity`` hands the values on as they are. ``match`` is ``identity`` for an image whose values already
        lie in ``target`` and fill at least a tenth of it, and ``percentile`` (with a warning) for any other: for
        published models that expect a fixed range, such as 0-255. ``range`` maps ``source`` to ``target``, whatever
        the image holds. ``standard`` maps the mean of the image less and plus its standard deviation to the ends of
        ``target``: with (-1, 1) that is zero mean and unit variance.
    low, high : float
        Percentiles, 0 to 100.
    target : tuple of float
        The value range that the network was trained on.
    source : tuple of float, optional
        For ``range`` alone, and needed there: the values of an image, such as 0-255, that become ``target``.
    clip : bool
        Whether the image's values are clipped to ``target`` on their way into the network: for networks that never
        saw anything beyond, and whose instance normalisation lets one hot pixel change the whole image.
    """

    method: Method = "percentile"
    low: float = 1.0
    high: float = 99.0
    target: tuple[float, float] = (0.0, 1.0)
    source: tuple[float, float] | None = None
    clip: bool = False

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got {self.method!r}")
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"percentiles must satisfy 0 <= low < high <= 100, got {self.low} and {self.high}")
        if not (all(abs(end) <= OUTLIER for end in self.target) and self.target[0] < self.target[1]):
            raise ValueError(f"target must be a finite, increasing pair, got {self.target}")
        if (self.source is None) == (self.method == "range"):
            raise ValueError(f"source must be given for the method range, and for no other, got {self.source}")
        if self.source and not (
            all(abs(end) <= FLOAT32_MAX for end in self.source) and self.source[0] < self.source[1]
        ):
            raise ValueError(f"source must be a finite, increasing pair, got {self.source}")

    def fit(self, blocks: Blocks) -> Normalization:
        """Find the map for one image, see `fit_steps`."""
        return drain(self.fit_steps(blocks))

    def fit_steps(self, blocks: Blocks, level: float = 0) -> Generator[None, None, Normalization]:
        """Find the map for one image; yields after each block read, so that a long job can be left.

        Parameters
        ----------
        blocks : callable
            Each call gives a fresh iterator over blocks that cover the image once; called at most twice.
        level : number
            What was taken off the image's values in these blocks; the map is of what is left.

        Raises
        ------
        FlatImageError
            If the image has no finite value, or more than one pixel and all of them equal.

        Warns
        -----
        UserWarning
            If the values do not suit a model of fixed range: they are mapped (``match``), or handed on as they
            are (``identity``, ``range``).
        """
        wanted = (0.0, self.low, 50.0, self.high, 100.0)
        minimum, low, median, high, maximum = yield from _order_statistics_steps(blocks, wanted)
        limits = self.target if self.clip else (-OUTLIER, OUTLIER)
        if minimum == maximum:
            if _has_several_pixels(blocks):
                raise FlatImageError(
                    f"the image is constant (every finite pixel is {minimum + level:g}): there is nothing to denoise; "
                    "check that the right layer, channel or dataset was chosen"
                )
            if self.method != "range":
                return Normalization(minimum, abs(minimum) or 1.0, median, limits)
        spread = (high - low) or (maximum - minimum)
        suits = _suits(minimum + level, maximum + level, self.source or self.target)
        lowest, highest = self.target
        extremes = f"the image's run from {minimum + level:g} to {maximum + level:g}"
        if self.method in ("match", "identity"):
            trained = f"this model was trained on values from {lowest:g} to {highest:g}, but {extremes}"
            if suits or self.method == "identity":
                if not suits:
                    warnings.warn(
                        f'{trained}: expect a wrong result, or let the values be mapped (normalization="match")',
                        UserWarning,
                        stacklevel=2,
                    )
                return Normalization(-float(level), 1.0, median, limits, spread)
            warnings.warn(
                f"{trained}: its {self.low:g} and {self.high:g} percentiles ({low + level:g} and {high + level:g}) "
                "are mapped to that range, and the result back to the image's units",
                UserWarning,
                stacklevel=2,
            )
        elif self.source:
            low, high = self.source
            if not suits:
                warnings.warn(
                    f"this model takes images with values from {low:g} to {high:g}, but {extremes}: expect a wrong "
                    "result, or import the model with another value_range, or with none: then percentiles are mapped",
                    UserWarning,
                    stacklevel=2,
                )
            low, high = low - level, high - level
        if self.method == "standard":
            mean, deviation = yield from _moments_steps(blocks)
            low, high = mean - deviation, mean + deviation
        if low == high:  # a sparse image: almost every pixel has the same value
            low, high = minimum, maximum
        scale = (high - low) / (highest - lowest)
        return Normalization(low - lowest * scale, scale, median, limits, spread)


def order_statistics(blocks: Blocks, percentiles: Iterable[float]) -> list[float]:
    """Exact percentiles of an image of any size, in at most two passes and 2 MB.

    Of integers of up to 16 bits every value is counted, in one pass. Of others, radix selection on the bits of float32:
    the first pass counts the upper 16 bits of every finite value, the second the lower 16 bits inside the bins that
    hold a wanted rank. Unlike a histogram between the extremes, one
    hot pixel costs no resolution. The percentile is the nearest rank from below: always a value of the image.

    Parameters
    ----------
    blocks : callable
        Each call gives a fresh iterator over blocks that cover the image once.
    percentiles : iterable of float
        From 0 to 100.

    Returns
    -------
    list of float
        In the order asked for.

    Raises
    ------
    FlatImageError
        If no value is finite.
    """
    return drain(_order_statistics_steps(blocks, percentiles))


def _order_statistics_steps(blocks: Blocks, percentiles: Iterable[float]) -> Generator[None, None, list[float]]:
    upper = np.zeros(1 << 16, dtype=np.int64)
    whole = np.arange(-(1 << 15), 1 << 16)
    counts = np.zeros(whole.size, dtype=np.int64)
    for block in blocks():
        if block.dtype.kind in "bui" and block.dtype.itemsize <= 2:  # so few values that each of them is counted
            counts += np.bincount(np.subtract(block, whole[0], dtype=np.intp).ravel(), minlength=whole.size)
        else:
            upper += np.bincount(_ordered_keys(block) >> 16, minlength=1 << 16)
        yield
    others = int(upper.sum())
    count = others + int(counts.sum())
    if count == 0:
        raise FlatImageError("the image has no finite value (all NaN or infinite): there is nothing to denoise")
    ranks = [int(p / 100 * (count - 1)) for p in percentiles]
    if not others:
        return [float(whole[one]) for one in np.searchsorted(np.cumsum(counts), ranks, side="right")]
    upper += np.bincount(_ordered_keys(whole) >> 16, counts, minlength=1 << 16).astype(np.int64)
    below = np.concatenate([[0], np.cumsum(upper)])
    bins = [int(np.searchsorted(below, rank, side="right")) - 1 for rank in ranks]
    lower = {b: np.zeros(1 << 16, dtype=np.int64) for b in bins}
    for block in blocks():
        keys = _ordered_keys(block)
        top = keys >> 16
        for b, counts in lower.items():
            counts += np.bincount(keys[top == b] & 0xFFFF, minlength=1 << 16)
        yield
    values = []
    for rank, b in zip(ranks, bins, strict=True):
        low_bits = int(np.searchsorted(np.cumsum(lower[b]), rank - below[b], side="right"))
        values.append(_value_of_key((b << 16) | low_bits))
    return values


def _moments_steps(blocks: Blocks) -> Generator[None, None, tuple[float, float]]:
    """Mean and standard deviation of the finite values, in one pass."""
    count, mean, squares = 0, 0.0, 0.0
    for block in blocks():
        values = np.asarray(block, dtype=np.float64).ravel()
        values = values[np.isfinite(values)]
        if values.size:
            shift = float(values.mean()) - mean
            total = count + values.size
            squares += float(np.square(values - values.mean()).sum()) + shift**2 * count * values.size / total
            mean, count = mean + shift * values.size / total, total
        yield
    return mean, math.sqrt(squares / max(count, 1))


def _suits(minimum: float, maximum: float, expected: tuple[float, float]) -> bool:
    """Whether an image's values lie in a range, and fill at least a tenth of it."""
    lowest, highest = expected
    width = highest - lowest
    inside = minimum >= lowest - 0.02 * width and maximum <= highest + 0.02 * width
    return inside and (maximum - minimum >= 0.1 * width or minimum == maximum)


def _has_several_pixels(blocks: Blocks) -> bool:
    count = 0
    return any((count := count + block.size) > 1 for block in blocks())


def _ordered_keys(block: np.ndarray) -> np.ndarray:
    """The finite values as uint32 keys that sort like the float32 values themselves."""
    with np.errstate(over="ignore"):
        values = np.asarray(block).astype(np.float32).ravel()
    finite = np.isfinite(values)
    values = (values if finite.all() else values[finite]) + np.float32(0)  # -0 becomes +0
    bits = values.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _value_of_key(key: int) -> float:
    bits = key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))
