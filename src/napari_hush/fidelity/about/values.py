"""The values of one channel: their range, what is cut off at its ends, holes, and a bar of text below the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.inference.planes import middle_part
from napari_hush.residual.noise import EXTREMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_hush.inference.planes import Planes

ALL = 1 << 25  # pixels: of stacks that have more the middle plane is looked at
SIDE = 4096  # px: and of larger planes their middle
BESIDE = 2.0  # times as many as on the value next to it
BAR = (8, 0.3)  # rows of a bar of text, at least, and the share of the rows, at most
FLAT, LIVELY = 0.6, 0.3  # of neighbours in a row that are equal: at least in a bar, at most in the image above
LETTERS = 0.02  # of a bar that is not its ground, at least


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values of one channel.

    Parameters
    ----------
    low, high : float or None
        The lowest and the highest finite value, image units; None where there is none.
    at_low, at_high : float
        Share of the finite pixels that have exactly these.
    holes : float
        Share of the pixels that are NaN, infinite or masked.
    low_is_piled, high_is_piled : bool
        Whether many more pixels lie on that value than on the one next to it.
    whole : bool
        Whether everything was looked at, and not the middle plane or its middle alone.
    """

    low: float | None
    high: float | None
    at_low: float = 0.0
    at_high: float = 0.0
    holes: float = 0.0
    low_is_piled: bool = False
    high_is_piled: bool = False
    whole: bool = True

    @property
    def constant(self) -> bool:
        """Whether all pixels that have a value have the same one."""
        return self.low is not None and self.low == self.high

    @property
    def range_words(self) -> str:
        """Lowest and highest value."""
        if self.low is None or self.high is None:
            return "not found: no pixel has a value"
        if self.constant:
            return f"all pixels have the value {self.low:.6g}"
        return f"{self.low:.6g} to {self.high:.6g}" + ("" if self.whole else " (of the middle)")

    @property
    def ends_words(self) -> str:
        """What lies on the ends of the range."""
        if self.low is None or self.constant:
            return "not found: there is no range of values"
        words = []
        for end, share, piled in (
            (self.low, self.at_low, self.low_is_piled),
            (self.high, self.at_high, self.high_is_piled),
        ):
            if piled and end == 0 and end == self.low:
                words.append(f"{percent(share)} of the pixels are 0: cut off there, or without a count")
            elif piled:
                side = "below" if end == self.low else "above"
                words.append(f"cut off {side} {end:.6g}, which {percent(share)} of the pixels have")
            elif share >= EXTREMES[0]:
                words.append(f"{percent(share)} of the pixels are {end:.6g}, no more than of the values beside it")
        return "; ".join(words) or "nothing is cut off"

    @property
    def holes_words(self) -> str:
        """How much has no value."""
        return f"{percent(self.holes)} of the pixels have no value" if self.holes else "none"


def measure_values(source: Planes, channel: int, *, bar: int = 0) -> Values:
    """Measure the values of one channel.

    Parameters
    ----------
    source : Planes
        As it came, with its own levels.
    channel : int
        Which one.
    bar : int
        Rows at the bottom that do not count.
    """
    parts, whole = _parts(source, bar)
    low, high = np.inf, -np.inf
    known = 0
    for finite in _read(source, channel, parts):
        known += finite.size
        if finite.size:
            low, high = min(low, finite.min()), max(high, finite.max())
    holes = 1 - known / sum((y.stop - y.start) * (x.stop - x.start) for _, y, x in parts)
    if not known:
        return Values(low=None, high=None, holes=holes, whole=whole)
    (at_low, near_low), (at_high, near_high) = _at_ends(source, channel, parts, low, high)
    least = max(EXTREMES[0] * known, EXTREMES[1]) if low < high else np.inf
    return Values(
        low=float(low),
        high=float(high),
        at_low=at_low / known,
        at_high=at_high / known,
        holes=holes,
        low_is_piled=at_low >= least and at_low > BESIDE * near_low,
        high_is_piled=at_high >= least and at_high > BESIDE * near_high,
        whole=whole,
    )


def _at_ends(
    source: Planes, channel: int, parts: list[tuple[tuple[int, ...], slice, slice]], low: float, high: float
) -> list[tuple[int, int]]:
    """How many pixels lie on either end, and on the value next to it."""
    on, beside, nearest = [0, 0], [0, 0], [high, low]
    for values in _read(source, channel, parts):
        for k, (end, innermost) in enumerate(((low, np.min), (high, np.max))):
            on[k] += int((values == end).sum())
            others = values[values != end]
            if not others.size:
                continue
            one = innermost(others)
            if one != nearest[k] and innermost([one, nearest[k]]) == one:
                nearest[k], beside[k] = one, 0
            beside[k] += int((others == one).sum()) if one == nearest[k] else 0
    return list(zip(on, beside, strict=True))


def _parts(source: Planes, bar: int) -> tuple[list[tuple[tuple[int, ...], slice, slice]], bool]:
    """What is looked at, and whether that is everything."""
    indices = list(source.indices())
    height, width = source.plane_shape[0] - bar, source.plane_shape[1]
    whole = (slice(0, height), slice(0, width))
    if len(indices) * height * width <= ALL:
        return [(index, *whole) for index in indices], True
    y, x = middle_part((height, width), SIDE) if height * width > ALL else whole
    return [(indices[len(indices) // 2], y, x)], False


def _read(
    source: Planes, channel: int, parts: list[tuple[tuple[int, ...], slice, slice]]
) -> Iterator[NDArray[np.generic]]:
    """The finite values of each part."""
    for index, y, x in parts:
        part = source.read(index, [channel], y, x)[0]
        yield part[np.isfinite(part)] if part.dtype.kind == "f" else part.ravel()


def rows_of_bar(plane: NDArray[np.generic]) -> int:
    """How many rows at the bottom of a plane (Y, X) are a bar of text as scanning microscopes draw it; 0 if none.

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(0, 200, (100, 80))
    >>> image[88:], image[92:96, 10:30] = 255, 0
    >>> rows_of_bar(image)
    12
    """
    if min(plane.shape) < 2 * BAR[0]:
        return 0
    equal = (plane[:, 1:] == plane[:, :-1]).mean(axis=1)
    lively = np.flatnonzero(equal < LIVELY)
    above = int(lively[-1]) + 1 if lively.size else 0
    rows = len(plane) - above
    if not (BAR[0] <= rows <= BAR[1] * len(plane) and (equal[above:] >= FLAT).all()):
        return 0
    values, counts = np.unique(plane[above:], return_counts=True)
    letters = 1 - counts.max() / counts.sum()
    return rows if len(values) > 1 and letters >= LETTERS and float(np.median(equal[:above])) < LIVELY else 0


def percent(share: float) -> str:
    """A share as a person reads it: two digits, and never 100 % of what is not all.

    Examples
    --------
    >>> percent(0.0123), percent(0.9999), percent(1.0)
    ('1.2 %', '99.9 %', 'all')
    """
    if share >= 1:
        return "all"
    return f"{min(100 * share, 99.9):.2g} %" if share < 0.995 else "99.9 %"
