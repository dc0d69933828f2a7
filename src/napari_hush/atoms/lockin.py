"""How strong a lattice is at each place, and how it is displaced: lock-in at Bragg spots (geometric phase analysis)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.filters.smoothing import slid_across, slid_down
from napari_hush.threads import in_threads, strips

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

STRIP = 64  # rows that are interpolated at once, so that they stay in the processor's cache
TOGETHER = 32  # sums of one matrix product: those of several spots
BLOCK = 32  # px over which the windows of one matrix product lie
REACH = 3.5  # standard deviations at which a Gaussian window ends; it is lowered to end at 0, or its step would ring


def lock_in(
    image: ArrayLike,
    spot: ArrayLike,
    sigma: float,
    *,
    rows: NDArray[np.integer] | None = None,
    columns: NDArray[np.integer] | None = None,
    origin: tuple[int, int] = (0, 0),
) -> NDArray[np.complex128]:
    """The complex amplitude of one spatial frequency, or of several, at each place.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Finite values.
    spot : array_like, shape (2,) or (K, 2)
        Frequency (y, x), cycles per px; several share the work that does not depend on them.
    sigma : float
        Standard deviation of the Gaussian window, px; it ends at 3.5 of them.
    rows, columns : ndarray of int, optional
        Where to look, px of the whole image, equally spaced; every pixel of ``image`` by default.
    origin : (int, int)
        Where ``image`` begins in the whole image, px: the phase is that of the whole.

    Returns
    -------
    ndarray of complex, shape (rows, columns) or (K, rows, columns)
        A pattern ``m + A cos(2 pi g.r + p)`` has the modulus A / 2 and the phase p at the spot g.

    Notes
    -----
    At a border the window is cut off and its rest weighs more: nothing is taken to be beyond. The mean under each
    window is taken off first, or half a window would take a high pedestal for a lattice. Computed in single precision.

    References
    ----------
    M. J. Hytch, E. Snoeck, R. Kilaas, "Quantitative measurement of displacement and strain fields from HREM
    micrographs", Ultramicroscopy 74, 131 (1998), https://doi.org/10.1016/S0304-3991(98)00035-7

    Examples
    --------
    >>> y, x = np.mgrid[:64, :64]
    >>> image = 5 + 2 * np.cos(2 * np.pi * (y + 2 * x) / 16)
    >>> round(float(abs(lock_in(image, (1 / 16, 2 / 16), 12.0)[32, 32])), 2)
    1.0
    """
    plane = np.asarray(image)
    plane = plane if plane.dtype == np.float32 else plane.astype(np.float64, copy=False)
    frequencies = np.asarray(spot, np.float64)
    axes = [
        _Windows(np.arange(start, start + size) if places is None else np.asarray(places), size, start, sigma)
        for size, start, places in zip(plane.shape, origin, (rows, columns), strict=True)
    ]
    down, across = axes
    values = np.zeros((down.padded, across.padded), np.float32)  # nothing lies beyond the image
    mean = plane.mean(dtype=np.float64)
    np.subtract(plane[down.kept, across.kept], mean, out=values[down.held, across.held], casting="same_kind")
    pairs = [(float(y), float(x)) for y, x in frequencies.reshape(-1, 2)]
    some = max(TOGETHER // (2 * down.side), 1)
    groups = [pairs[first : first + some] for first in range(0, len(pairs), some)]
    *several, (slow,) = in_threads(
        lambda group: [_mean(values, axes)] if group is None else _weighed(values, axes, group), [*groups, None]
    )
    carried = [one for group in several for one in group]
    found = np.empty((len(pairs), *slow.shape), np.complex128)

    def without_mean(number: int) -> None:
        down, across = (axis.leak(frequency) for axis, frequency in zip(axes, pairs[number], strict=True))
        leaked = slow * down.astype(np.complex64)[:, None]
        leaked *= across.astype(np.complex64)
        np.subtract(carried[number], leaked, out=found[number])

    in_threads(without_mean, range(len(pairs)))
    return found[0] if frequencies.ndim == 1 else found


def lattice_amplitude(
    image: ArrayLike, spots: NDArray[np.float64], spacing: float, *, step: int = 1, window: float = 1.0
) -> NDArray[np.float64]:
    """The local strength of a lattice: the root of the summed squares of the lock-in at its Bragg spots.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Finite values.
    spots : ndarray, shape (K, 2)
        From `bragg_spots`.
    spacing : float
        Lattice period, px.
    step : int
        Look at every ``step``-th pixel.
    window : float
        Standard deviation of the lock-in's window, in periods.

    Returns
    -------
    ndarray, shape (ceil(Y / step), ceil(X / step))
        In the image's intensity unit.
    """
    plane = np.asarray(image, np.float64)
    rows, columns = (np.arange(0, size, step) for size in plane.shape)
    found = lock_in(plane, spots, window * spacing, rows=rows, columns=columns)
    return np.asarray(np.sqrt((np.abs(found) ** 2).sum(axis=0)))


def noise_power(image: ArrayLike, spots: NDArray[np.float64], spacing: float, *, window: float = 1.0) -> float:
    """The mean square of the lock-in where there is no lattice: at frequencies as high as the spots', between them.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Noisy, finite.
    spots : ndarray, shape (K, 2)
        From `bragg_spots`.
    spacing : float
        Lattice period, px.
    window : float
        As in `lattice_amplitude`.

    Returns
    -------
    float
        Per spot, in squared intensity units: the noise floor of ``abs(lock_in(...)) ** 2``. Medians over the image,
        and the lowest quarter of the directions, so that neither edges nor weaker spots count.
    """
    length = float(np.hypot(*spots.T).mean())
    angles = np.deg2rad(np.arange(0, 180, 7.5))
    ring = length * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    taken = np.concatenate([spots, -spots])
    distance = np.hypot(*(ring[:, None] - taken).transpose(2, 0, 1)).min(axis=1)
    quiet = ring[distance > 0.35 / spacing] if (distance > 0.35 / spacing).any() else ring[distance.argmax()][None]
    step = max(int(spacing * window), 1)
    plane = np.asarray(image, np.float64)
    rows, columns = (np.arange(0, size, step) for size in plane.shape)
    found = lock_in(plane, quiet, window * spacing, rows=rows, columns=columns)
    power = np.median(np.abs(found) ** 2, axis=(1, 2))
    # weaker spots lie between the strong ones; of an exponential distribution the median is ln 2 times the mean
    return float(np.quantile(power, 0.25) / np.log(2))


def displacement(
    before: ArrayLike,
    after: ArrayLike,
    spots: NDArray[np.float64],
    spacing: float,
    *,
    step: int = 1,
    window: float = 1.0,
) -> NDArray[np.float64]:
    """How far the lattice of one image lies from that of another, at each place.

    Parameters
    ----------
    before, after : array_like, shape (Y, X)
        Finite values.
    spots : ndarray, shape (K, 2)
        Two or more Bragg spots, not all in one direction. With more than two, the displacement that fits all phases
        best: a change of the columns' shape or of their relative heights also turns the phase of a spot.
    spacing : float
        Lattice period, px.
    step : int
        Look at every ``step``-th pixel.
    window : float
        Standard deviation of the lock-in's window, in periods.

    Returns
    -------
    ndarray, shape (2, rows, columns)
        (y, x), px, from ``before`` to ``after``; up to half a period. Meaningful where both have a lattice.

    References
    ----------
    As in `lock_in`.
    """
    planes = [np.asarray(image, np.float64) for image in (before, after)]
    rows, columns = (np.arange(0, size, step) for size in planes[0].shape)
    first, second = (lock_in(plane, spots, window * spacing, rows=rows, columns=columns) for plane in planes)
    return moved(first, second, spots)


def moved(
    first: NDArray[np.complex128], second: NDArray[np.complex128], spots: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The `displacement` from one lock-in at some Bragg spots (K, Y, X) to another, (2, Y, X), px."""
    phases = np.angle(second * np.conj(first))
    # a pattern moved by u has the phase 2 pi g.(r - u)
    return np.asarray(np.einsum("ij,jyx->iyx", np.linalg.pinv(spots), phases) / (-2 * np.pi))


class _Windows:
    """Gaussian windows around equally spaced places of one axis, side by side in blocks that are alike."""

    def __init__(self, at: NDArray[np.integer], size: int, start: int, sigma: float) -> None:
        self.at, self.sigma, self.reach = at, sigma, int(REACH * sigma)
        self.step = int(at[1] - at[0]) if len(at) > 1 else 1
        if (np.diff(at) != self.step).any() or self.step < 1:
            raise ValueError("the places of a lock-in are equally spaced, ascending")
        self.side = min(max(BLOCK // self.step, 1), len(at))  # places in a block
        self.blocks = -(-len(at) // self.side)
        self.stride = self.side * self.step
        self.window = (self.side - 1) * self.step + 1 + 2 * self.reach
        self.padded = (self.blocks - 1) * self.stride + self.window
        before = int(at[0]) - start - self.reach  # where the padded axis begins in the image
        self.kept = slice(max(before, 0), min(before + self.padded, size))
        self.held = slice(self.kept.start - before, self.kept.stop - before)
        self.bell = np.exp(-0.5 * (np.arange(-self.reach, self.reach + 1) / sigma) ** 2) - np.exp(-0.5 * REACH**2)
        here = np.asarray(at) - start
        self.ends = [np.clip(edge - here + self.reach, 0, len(self.bell)) for edge in (0, size)]  # inside the image
        self.total = np.maximum(self._inside(self.bell), 1e-30)  # also in single precision

    def weights(self, frequency: float) -> NDArray[np.float32]:
        """Real and imaginary parts for the places of a block, whose first one has the phase 0: (2 side, window)."""
        carried = self._carried(frequency)
        found = np.zeros((2, self.side, self.window), np.float32)
        for k in range(self.side):
            own = carried * np.exp(-2j * np.pi * frequency * self.step * k)
            here = slice(k * self.step, k * self.step + len(own))
            found[0, k, here], found[1, k, here] = own.real, own.imag
        return found.reshape(2 * self.side, -1)

    def turn(self, frequency: float) -> NDArray[np.complex128]:
        """The phase of each place's block, over the sum of the place's weights."""
        first = np.repeat(self.at[:: self.side], self.side)[: len(self.at)]
        return np.asarray(np.exp(-2j * np.pi * frequency * first) / self.total)

    def leak(self, frequency: float) -> NDArray[np.complex128]:
        """The lock-in of a constant, 1."""
        turned = np.exp(-2j * np.pi * frequency * self.at)
        return np.asarray(self._inside(self._carried(frequency)) * turned / self.total)

    def _carried(self, frequency: float) -> NDArray[np.complex128]:
        return np.asarray(self.bell * np.exp(-2j * np.pi * frequency * np.arange(-self.reach, self.reach + 1)))

    def _inside(self, window: NDArray[Any]) -> NDArray[Any]:
        """The sum of that part of a window around each place that lies in the image."""
        sums = np.concatenate([[0], np.cumsum(window)])
        return np.asarray(sums[self.ends[1]] - sums[self.ends[0]])


def _weighed(
    values: NDArray[np.float32], axes: list[_Windows], pairs: list[tuple[float, float]]
) -> list[NDArray[np.complex64]]:
    """A padded plane through the windows of both axes, times the carrier of each pair: (places, places) each."""
    down, across = axes
    halves = slid_down(np.concatenate([down.weights(pair[0]) for pair in pairs]), values, down.stride)
    halves = halves.reshape(down.blocks, len(pairs), 2 * down.side, -1)
    carried = []
    for number, frequencies in enumerate(pairs):
        half = halves[:, number].reshape(down.blocks * 2 * down.side, -1)
        parts = slid_across(across.weights(frequencies[1]), half, across.stride)
        real, imaginary = parts.reshape(down.blocks, 2, down.side, across.blocks, 2, across.side).transpose(
            1, 4, 0, 2, 3, 5
        )
        found = np.empty((down.blocks, down.side, across.blocks, across.side), np.complex64)
        found.real, found.imag = real[0] - imaginary[1], real[1] + imaginary[0]
        whole = found.reshape(down.blocks * down.side, -1)[: len(down.at), : len(across.at)]
        turns = [axis.turn(frequency) for axis, frequency in zip(axes, frequencies, strict=True)]
        turned = whole * turns[0].astype(np.complex64)[:, None]
        turned *= turns[1].astype(np.complex64)
        carried.append(turned)
    return carried


def _mean(values: NDArray[np.float32], axes: list[_Windows]) -> NDArray[np.float32]:
    """A padded plane through the windows alone: (places, places)."""
    down, across = axes
    half = slid_down(down.weights(0.0)[: down.side], values, down.stride)
    parts = slid_across(across.weights(0.0)[: across.side], half.reshape(-1, half.shape[2]), across.stride)
    whole = parts.reshape(len(parts), -1)[: len(down.at), : len(across.at)]
    found = whole / down.total.astype(np.float32)[:, None]
    found /= across.total.astype(np.float32)
    return np.asarray(found)


def grid(shape: tuple[int, int], step: int, origin: tuple[int, int] = (0, 0)) -> list[NDArray[np.integer]]:
    """Rows and columns at which a part of a plane is looked at: multiples of ``step``, counted in the whole plane.

    Parameters
    ----------
    shape : (int, int)
        Y, X of the part, px.
    step : int
        Px.
    origin : (int, int)
        Where the part begins in the plane, px.
    """
    return [np.arange(-(-start // step) * step, start + size, step) for start, size in zip(origin, shape, strict=True)]


def interpolated(
    values: NDArray[Any],
    places: Sequence[NDArray[np.integer]],
    shape: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> NDArray[Any]:
    """Linear interpolation from the places of a `grid` to every pixel of a part, constant beyond the outermost ones.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
        At the places.
    places : (ndarray of int, ndarray of int)
        Rows and columns, px of the plane, ascending.
    shape, origin
        As of `grid`.

    Returns
    -------
    ndarray, shape ``shape``
    """
    part_of = interpolation(values, places, shape, origin)
    found = np.empty(shape, part_of(slice(0, 1)).dtype)

    def fill(rows: slice) -> None:
        found[rows] = part_of(rows)

    in_threads(fill, strips(shape[0], STRIP))
    return found


def interpolation(
    values: NDArray[Any],
    places: Sequence[NDArray[np.integer]],
    shape: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> Callable[[slice], NDArray[Any]]:
    """What gives some rows of what `interpolated` gives, in the precision of the values."""
    real = values.real.dtype
    (above, below, down), (left, right, across) = (
        _between(at, start, size, real) for at, start, size in zip(places, origin, shape, strict=True)
    )
    wide = values[:, left] * (1 - across) + values[:, right] * across

    def part_of(rows: slice) -> NDArray[Any]:
        share = down[rows, None]
        return np.asarray(wide[above[rows]] * (1 - share) + wide[below[rows]] * share)

    return part_of


def interpolation_at(
    values: NDArray[Any],
    places: Sequence[NDArray[np.integer]],
    shape: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[Any]]:
    """What gives the values of `interpolation` at single pixels, by their rows and columns in the part, (N,) each."""
    real = values.real.dtype
    (above, below, down), (left, right, across) = (
        _between(at, start, size, real) for at, start, size in zip(places, origin, shape, strict=True)
    )

    def values_at(y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray[Any]:
        rest, share = 1 - across[x], across[x]
        upper, lower = (values[row, left[x]] * rest + values[row, right[x]] * share for row in (above[y], below[y]))
        return np.asarray(upper * (1 - down[y]) + lower * down[y])

    return values_at


def _between(
    places: NDArray[np.integer], start: int, size: int, dtype: np.dtype[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]:
    """The two places between which each px of an axis lies, and the share of the second; 0 or 1 beyond the ends."""
    at = np.arange(start, start + size)
    right = np.clip(np.searchsorted(places, at, side="right"), min(1, len(places) - 1), len(places) - 1)
    left = np.maximum(right - 1, 0)
    share = np.clip((at - places[left]) / np.maximum(places[right] - places[left], 1), 0, 1)
    return left, right, share.astype(dtype)
