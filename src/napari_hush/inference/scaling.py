"""Bring planes to the scale at which a model works, and its results back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.filters.resampling import reach, resample_part, resampled_size
from napari_hush.inference.holes import read_filled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_hush.inference.tiles.runner import Read

NEAR_ENOUGH = 0.02  # of a period: a resampling would cost more than it brings
STRETCHED = 0.04  # by which the factor of one axis may differ, so that nothing is to be filled up at the border
MEASURED = 0.9  # of what a resampled pixel looks at; a negative lobe of the filter takes less than this from it
BLOCK = 1024  # px along each side of what is looked at at once


@dataclass(frozen=True)
class ScaledPlane:
    """A plane as it is, and as the network sees it.

    Parameters
    ----------
    shape : (int, int)
        Y, X of the plane, px.
    factor : float
        Pixels that the network sees per pixel of the plane; 1 changes nothing.
    stride : int
        Of the network, px. A plane that is resampled anyway gets a size of whole strides: what a network makes of a
        border that goes on with a mirrored image is three times as far off as what it makes of an end.
    """

    shape: tuple[int, int]
    factor: float = 1.0
    stride: int = 1

    @property
    def factors(self) -> tuple[float, float]:
        """Along Y and X."""
        if self.factor == 1:
            return 1.0, 1.0
        whole = [max(round(size * self.factor / self.stride), 1) * self.stride / size for size in self.shape]
        y, x = (one if abs(one / self.factor - 1) < STRETCHED else self.factor for one in whole)
        return y, x

    @property
    def seen_shape(self) -> tuple[int, int]:
        """Y, X of what the network sees, px."""
        fy, fx = self.factors
        return resampled_size(self.shape[0], fy), resampled_size(self.shape[1], fx)

    @property
    def keep(self) -> int:
        """Px around a part of the network's result that bringing it back looks at."""
        return 0 if self.factor == 1 else reach(1 / min(self.factors), antialias=False) + 1

    def read(self, read: Read, fill: float, y: slice, x: slice) -> np.ndarray:
        """A part of what the network sees, (C, Y, X).

        Parameters
        ----------
        read : callable
            Gives (C, Y, X) of the plane for two slices.
        fill : float
            What takes the place of pixels that are NaN and have no finite neighbour.
        y, x : slice
            Of what the network sees, px.
        """
        if self.factor == 1:
            return read(y, x)
        return resample_part(partial(self._filled, read, fill), y, x, self.shape, self.factors)

    def known(self, read: Read) -> Read:
        """Whether each pixel that the network sees was measured: for two slices, (C, Y, X)."""

        def finite(y: slice, x: slice) -> np.ndarray:
            return np.isfinite(read(y, x))

        def share(y: slice, x: slice) -> np.ndarray:
            return self.read(lambda v, u: finite(v, u).astype(np.float32), 1.0, y, x) > MEASURED

        return finite if self.factor == 1 else share

    def blocks(self, read: Read) -> Iterator[np.ndarray]:
        """All that the network sees, once, in parts."""
        height, width = self.seen_shape
        for top, left in product(range(0, height, BLOCK), range(0, width, BLOCK)):
            y, x = slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width))
            yield self.read(read, np.nan, y, x)

    def seen_region(self, region: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """The part that the network must give for a part of the plane, each y0, y1, x0, x1."""
        y0, y1, x0, x1 = region
        (top, bottom), (left, right) = (self._seen(y0, y1, 0), self._seen(x0, x1, 1))
        return top, bottom, left, right

    def place(self, core: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """The part of the plane whose pixels have their centres in a part of the result; parts side by side meet."""
        if self.factor == 1:
            return core
        fy, fx = self.factors
        ends = [int(np.ceil(end / f - 0.5 - 1e-9)) for end, f in zip(core, (fy, fy, fx, fx), strict=True)]
        height, width = self.shape
        return min(ends[0], height), min(ends[1], height), min(ends[2], width), min(ends[3], width)

    def native(self, side: tuple[int, int] | None) -> tuple[int, int] | None:
        """The size of a tile in px of the plane."""
        fy, fx = self.factors
        return side and (max(round(side[0] / fy), 1), max(round(side[1] / fx), 1))

    def back(
        self, values: np.ndarray, origin: tuple[int, int], y: slice, x: slice, holes: np.ndarray | None = None
    ) -> np.ndarray:
        """Bring a part of the result to the plane's pixels.

        Parameters
        ----------
        values : ndarray, shape (C, Y', X')
            Of the network, with `keep` px around what is wanted.
        origin : (int, int)
            Where ``values`` begins in what the network sees, px.
        y, x : slice
            Of the plane: what is wanted.
        holes : ndarray, shape (C, Y, X), optional
            The image there: what is not finite in it, is not finite in the result.

        Returns
        -------
        ndarray, shape (C, Y, X), float32
        """

        def read(rows: slice, columns: slice) -> np.ndarray:
            top, left = origin
            return values[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]

        fy, fx = self.factors
        made = resample_part(read, y, x, self.seen_shape, (1 / fy, 1 / fx), antialias=False)
        if holes is None or holes.dtype.kind != "f":
            return made
        with np.errstate(over="ignore"):
            holes = holes.astype(np.float32)
        return np.where(np.isfinite(holes), made, holes)

    def _filled(self, read: Read, fill: float, y: slice, x: slice) -> np.ndarray:
        filled, _ = read_filled(read, y, x, self.shape, fill)
        return filled

    def _seen(self, start: int, stop: int, axis: int) -> tuple[int, int]:
        if self.factor == 1:
            return start, stop
        # the first and last pixel's centres, and one more against rounding
        low, high = (int(np.floor((pixel + 0.5) * self.factors[axis])) for pixel in (start, stop - 1))
        return max(low - 1, 0), min(high + 2, self.seen_shape[axis])


def scale_factor(spacing: float | None, period: float | None) -> float:
    """By how much an image is resampled for a model, see `ScaledPlane`; 1 where there is no lattice or no need."""
    if spacing is None or period is None or abs(spacing / period - 1) < NEAR_ENOUGH:
        return 1.0
    return period / spacing
