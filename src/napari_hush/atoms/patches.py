"""What an image shows around each of many places: cut out, averaged over the neighbourhood, drawn back."""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided

from napari_hush.filters.smoothing import SMALL
from napari_hush.threads import in_threads, strips, threads_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Singles = NDArray[np.float32]
    Numbers = NDArray[np.intp]
    Fill = Callable[[Numbers, Singles], object]

T = TypeVar("T")

NODES = np.arange(-2, 3)  # px: the samples through which a polynomial goes
LAGRANGE = np.linalg.inv(np.vander(NODES, increasing=True))  # from powers of a place to weights of the samples
STRIP = 64  # rows that one thread copies at a time
RUN = 24  # places whose means are one matrix product


class _Run(NamedTuple):
    """Places that lie beside each other, and those that may be their neighbours: runs of the bands around them."""

    own: slice
    near: tuple[slice, ...]
    weights: tuple[NDArray[np.float32], ...]

    def among(self, known: NDArray[np.bool_]) -> _Run:
        """The same without the weights of places that do not count."""
        if all(known[part].all() for part in self.near):
            return self
        return self._replace(weights=tuple(w * known[part] for w, part in zip(self.weights, self.near, strict=True)))


class Neighbourhood:
    """Means over the neighbours of each place, weighted by a Gaussian that is cut off at two standard deviations.

    Parameters
    ----------
    places : ndarray, shape (N, 2)
        (y, x), px. In the order of `in_bands` their values need not be copied.
    sigma : float
        Of the Gaussian, px.
    known : ndarray of bool, shape (N,), optional
        The places that count; all by default.

    Notes
    -----
    Neighbours are found in three bands, each as high as the Gaussian reaches, in which places are ordered along X:
    those of a few places are then three runs of rows, and their weighted sums three small matrix products.
    """

    def __init__(self, places: NDArray[np.float64], sigma: float, known: NDArray[np.bool_] | None = None) -> None:
        self._order = in_bands(places, sigma)
        self._sorted = bool((np.diff(self._order) > 0).all())
        at = places[self._order]
        numbers = _bands(at, sigma)
        self._ends = ends = np.searchsorted(
            numbers, np.arange(-1, (numbers[-1] if len(numbers) else 0) + 3)
        )  # of bands, two beyond
        self._runs = in_threads(
            lambda band: [_run_of(at, sigma, own, ends[band : band + 4]) for own in _runs(ends[band + 1 : band + 3])],
            range(len(ends) - 3),
        )
        self._most = max((part.size for band in self._runs for run in band for part in run.weights), default=1) or 1
        self._sums = np.zeros((2, len(places)))
        self._weigh(None)
        if known is not None:
            self._weigh(known[self._order])

    def among(self, known: NDArray[np.bool_]) -> Neighbourhood:
        """The same, of which other places count."""
        other = copy(self)
        other._weigh(known[self._order])
        return other

    def mean(self, values: Floats) -> Floats:
        """Of values (N, ...), in their precision."""
        kind = np.float32 if values.dtype == np.float32 else np.float64
        flat: Floats = np.ascontiguousarray(values.reshape(len(values), -1), kind)
        flat = flat if self._sorted else flat[self._order]
        found: Floats = np.zeros(flat.shape, kind)
        in_threads(lambda band: self._add(band, [(0, flat)] * 3, (0, found)), self._runs)
        return self._back(found).reshape(values.shape)

    def by_band(self, size: int, fill: Fill, use: Callable[[Numbers, Singles, Singles], T]) -> list[T]:
        """Means of so many values of each place that all of them at once would take much memory.

        Parameters
        ----------
        size : int
            Values of each place, M.
        fill : callable
            Called with the numbers of some places, (n,), and an array (n, M), for their values.
        use : callable
            Of the numbers of the places in a band, their values and their means, (n, M) each, which hold until it
            returns.

        Returns
        -------
        list
            What ``use`` gives, by band.
        """
        longest = int(np.diff(self._ends).max())

        def go(bands: range) -> list[T]:
            held, means = np.empty((3, longest, size), np.float32), np.empty((longest, size), np.float32)

            def filled(band: int) -> tuple[int, Singles]:
                first, last = self._ends[band + 1 : band + 3]
                values = held[band % 3, : last - first]
                if last > first:
                    fill(self._order[first:last], values)
                return int(first), values

            found: list[T] = []
            near = [filled(bands.start - 1), filled(bands.start)]
            for band in bands:
                near = [*near[-2:], filled(band + 1)]
                start, values = near[1]
                if not len(values):
                    continue
                mean = means[: len(values)]
                mean[:] = 0
                self._add(self._runs[band], near, (start, mean))
                found.append(use(self._order[start : start + len(values)], values, mean))
            return found

        count = len(self._runs)
        each = -(-count // threads_here())  # neighbours of a share's outermost bands are made by two threads
        shares = [range(first, min(first + each, count)) for first in range(0, count, each)]
        return [one for share in in_threads(go, shares) for one in share]

    def variance(self, values: Floats) -> Floats:
        """Of values (N, ...) around their mean."""
        return np.maximum(self.mean(values**2) - self.mean(values) ** 2, 0)

    def _add(self, band: list[_Run], near: list[tuple[int, Floats]], total: tuple[int, Floats]) -> None:
        """Add up the values of three bands for the places of the middle one; each from which place on, and (n, M)."""
        size = max(SMALL // self._most, 1)
        sources = [(start, _pieces(values, size)) for start, values in near]
        sums = _pieces(total[1], size)
        for own, parts, weights in band:
            here = slice(own.start - total[0], own.stop - total[0])
            for part, share, (start, pieces) in zip(parts, weights, sources, strict=True):
                weight = share.astype(total[1].dtype, copy=False)
                for values, out in zip(pieces, sums, strict=True):
                    out[:, here] += weight @ values[:, part.start - start : part.stop - start]
            total[1][here] /= self._total[own, None]

    def _weigh(self, known: NDArray[np.bool_] | None) -> None:
        """Let some places count, given in order."""
        total, squares = np.copy(self._sums)

        def weigh(band: list[_Run]) -> list[_Run]:
            found = []
            for whole in band:
                run = whole if known is None else whole.among(known)
                found.append(run)
                if known is None or run is not whole:
                    weights = np.concatenate(run.weights, axis=1)
                    total[run.own] = weights.sum(axis=1)
                    squares[run.own] = np.einsum("np,np->n", weights, weights)
            return found

        self._runs = in_threads(weigh, self._runs)
        self._sums = np.stack([total, squares])
        self._total = np.maximum(total, 1e-100)  # none: its square must not be 0
        self.shrinks = self._back(squares / self._total**2)
        """(N,), by how much a mean varies less than the single values."""

    def _back(self, values: Floats) -> Floats:
        if self._sorted:
            return values
        found = np.empty_like(values)
        found[self._order] = values
        return found


def in_bands(places: NDArray[np.float64], sigma: float) -> NDArray[np.intp]:
    """An order of places (N, 2): by bands as high as the Gaussian of a `Neighbourhood` reaches, in each along X."""
    return np.lexsort((places[:, 1], _bands(places, sigma)))


def _bands(places: NDArray[np.float64], sigma: float) -> NDArray[np.intp]:
    y = places[:, 0]
    return np.asarray((y - y.min(initial=0.0)) // (2 * sigma * (1 + 1e-9)), np.intp)


def _runs(ends: NDArray[np.intp]) -> Iterator[slice]:
    return (slice(first, min(first + RUN, int(ends[1]))) for first in range(int(ends[0]), int(ends[1]), RUN))


def _run_of(at: NDArray[np.float64], sigma: float, own: slice, ends: NDArray[np.intp]) -> _Run:
    """A run and the weights of its neighbours; ``ends`` are those of its band and the two beside it."""
    reach = 2 * sigma
    sides = at[own.start, 1] - reach, at[own.stop - 1, 1] + reach
    near = []
    for first, last in pairwise(ends):
        start, stop = first + np.searchsorted(at[first:last, 1], sides)
        near.append(slice(int(start), int(stop)))
    y, x = np.concatenate([at[part] for part in near]).T
    square = (at[own, :1] - y) ** 2 + (at[own, 1:] - x) ** 2
    weights = np.exp((square * (-0.5 / sigma**2)).astype(np.float32))
    weights[square > reach**2] = 0
    cuts = np.cumsum([part.stop - part.start for part in near])[:-1]
    return _Run(own, tuple(near), tuple(np.split(weights, cuts, axis=1)))


def _pieces(values: NDArray[Any], size: int) -> list[NDArray[Any]]:
    """Views of rows (N, M) as (pieces, N, size), and the rest as one more piece."""
    row, step = values.strides
    whole, rest = divmod(values.shape[1], size)
    found = [as_strided(values, (whole, len(values), size), (size * step, row, step))] if whole else []
    return [*found, values[None, :, whole * size :]] if rest else found


def padded(images: Sequence[Floats], half: int, offsets: Sequence[float], unit: float = 1.0) -> Singles:
    """Images (Y, X) in a unit above an offset each, with the border that `cut_out` needs: (Y', images, X')."""
    border = half + 3
    height, width = (size + 2 * border for size in images[0].shape)
    found = np.empty((height, len(images), width), np.float32)
    for number, (image, offset) in enumerate(zip(images, offsets, strict=True)):
        lines = found[border:-border, number]

        def fill(rows: slice, lines: Singles = lines, image: Floats = image, offset: float = offset) -> None:
            np.divide(image[rows] - offset, unit, out=lines[rows, border:-border], casting="same_kind")
            lines[rows, :border] = lines[rows, border, None]
            lines[rows, -border:] = lines[rows, -border - 1, None]

        in_threads(fill, strips(len(image), STRIP))
    found[:border], found[-border:] = found[border], found[-border - 1]
    return found


def cut_out(images: Singles, places: NDArray[np.float64], half: int, turned: Singles | None = None) -> Singles:
    """What lies around each place, (N, images, 2 half + 1, 2 half + 1), interpolated.

    Parameters
    ----------
    images : ndarray, shape (Y + 2 half + 6, images, X + 2 half + 6)
        As from `padded`.
    places : ndarray, shape (N, 2)
        (y, x), px of the images without their border.
    half : int
        Px.
    turned : ndarray, shape (M, 2 half + 1), optional
        What both sides of each patch are multiplied by: a transform of it.
    """
    whole = np.rint(places).astype(np.intp)
    size = 2 * half + 1
    high, many, wide = images.shape
    row, image, pixel = images.strides
    start = [(whole[:, k] + 1).clip(0, n - size - 4) for k, n in ((0, high), (1, wide))]
    windows = (high - size - 3, wide - size - 3, size + 4, many, size + 4)
    patches = as_strided(images, windows, (row, pixel, row, image, pixel), writeable=False)[start[0], start[1]]
    taps = np.stack([np.eye(size, size + 4, k) for k in range(len(NODES))]).astype(np.float32)
    if turned is not None:
        taps = turned @ taps
    down, across = (_matrices(places[:, k] - whole[:, k], taps) for k in (0, 1))
    side = taps.shape[1]
    moved = down @ patches.reshape(len(places), size + 4, -1)  # the images beside each other
    moved = moved.reshape(len(places), side * many, size + 4) @ across.transpose(0, 2, 1)
    return np.asarray(moved.reshape(len(places), side, many, side).transpose(0, 2, 1, 3))


class Drawn(NamedTuple):
    """Patches, and the bells that they were weighed by, drawn into a part of an image."""

    part: tuple[slice, slice]
    total: NDArray[np.float64]
    bells: NDArray[np.float64]


def draw_back(
    patches: NDArray[np.float32], places: NDArray[np.float64], shape: tuple[int, int], bell: NDArray[np.float32]
) -> Drawn:
    """Add up patches (N, S, S), S odd, around their places (N, 2), each weighed by a bell (S,) along both axes."""
    whole = np.rint(places).astype(np.intp)
    size = patches.shape[1]
    half = size // 2 + 1
    taps = np.stack([np.eye(size + 2, size, k - 3) for k in range(len(NODES))]).astype(np.float32) * bell
    down, across = (_matrices(whole[:, k] - places[:, k], taps) for k in (0, 1))
    moved = (down @ patches) @ across.transpose(0, 2, 1)
    own = down.sum(axis=2)[:, :, None] * across.sum(axis=2)[:, None, :]
    # a border takes what hangs over the edge
    low = [int(whole[:, k].min()) - half for k in (0, 1)]
    height, width = (int(whole[:, k].max()) + half + 1 - low[k] for k in (0, 1))
    offsets = np.arange(-half, half + 1)
    rows, columns = (whole[:, k, None] + offsets - low[k] for k in (0, 1))
    index = (rows[:, :, None] * width + columns[:, None, :]).ravel()
    start = [min(max(low[k], 0), shape[k]) for k in (0, 1)]
    inside = [slice(start[k], max(min(low[k] + n, shape[k]), start[k])) for k, n in ((0, height), (1, width))]
    kept = tuple(slice(part.start - low[k], part.stop - low[k]) for k, part in enumerate(inside))
    total, bells = (
        np.bincount(index, one.ravel(), minlength=height * width).astype(np.float64, copy=False).reshape(height, width)
        for one in (moved, own)
    )
    return Drawn((inside[0], inside[1]), total[kept], bells[kept])


def _matrices(by: NDArray[np.float64], taps: Singles) -> Singles:
    """What moves each patch along one axis by at most 0.5 px, (N, M, S), of what takes its samples in turn, (5, M, S).

    A polynomial goes through the samples at `NODES`.
    """
    weights = np.vander(by, len(NODES), increasing=True) @ LAGRANGE
    found = weights.astype(np.float32) @ taps.reshape(len(taps), -1)
    return np.asarray(found).reshape(len(by), *taps.shape[1:])
