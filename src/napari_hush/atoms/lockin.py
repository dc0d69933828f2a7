"""How strong a lattice is at each place, and how it is displaced: lock-in at Bragg spots (geometric phase analysis)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

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
        Where to look, px of the whole image; every pixel of ``image`` by default.
    origin : (int, int)
        Where ``image`` begins in the whole image, px: the phase is that of the whole.

    Returns
    -------
    ndarray of complex, shape (rows, columns) or (K, rows, columns)
        A pattern ``m + A cos(2 pi g.r + p)`` has the modulus A / 2 and the phase p at the spot g.

    Notes
    -----
    At a border the window is cut off and its rest weighs more: nothing is taken to be beyond. The mean under each
    window is taken off first, or half a window would take a high pedestal for a lattice.

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
    plane = np.asarray(image, np.float64)
    frequencies = np.asarray(spot, np.float64)
    windows = [
        _window(np.arange(size) if places is None else np.asarray(places) - start, size, sigma)
        for size, start, places in zip(plane.shape, origin, (rows, columns), strict=True)
    ]
    mean = _sandwich(windows, plane)
    found = np.empty((len(frequencies.reshape(-1, 2)), *mean.shape), np.complex128)
    for number, pair in enumerate(frequencies.reshape(-1, 2)):
        carriers = [
            (window @ sparse.diags_array(np.exp(-2j * np.pi * frequency * (np.arange(size) + start)))).tocsr()
            for window, frequency, size, start in zip(windows, pair, plane.shape, origin, strict=True)
        ]
        leak = np.multiply.outer(*(np.asarray(carrier.sum(axis=1)) for carrier in carriers))
        found[number] = _sandwich(carriers, plane) - mean * leak
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
    phases = np.angle(second * np.conj(first))
    # a pattern moved by u has the phase 2 pi g.(r - u)
    return np.asarray(np.einsum("ij,jyx->iyx", np.linalg.pinv(spots), phases) / (-2 * np.pi))


def _sandwich(pair: list[sparse.csr_array], plane: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Weigh the columns of a plane by the first of two matrices and its rows by the second."""
    down, across = pair
    return np.asarray((across @ (down @ plane).T).T)


def _window(at: NDArray[np.integer], size: int, sigma: float) -> sparse.csr_array:
    """Rows that weigh an axis by a Gaussian around each place: (places, size)."""
    reach = int(REACH * sigma)
    offsets = np.arange(-reach, reach + 1)
    bell = np.exp(-0.5 * (offsets / sigma) ** 2) - np.exp(-0.5 * REACH**2)
    index = at[:, None] + offsets
    inside = (index >= 0) & (index < size)
    weights = np.where(inside, bell, 0.0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    return sparse.csr_array((weights[inside], index[inside], starts), shape=(len(at), size))


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
    vertical, horizontal = (
        _interpolator(at, start, size) for at, start, size in zip(places, origin, shape, strict=True)
    )
    return np.asarray((horizontal @ (vertical @ values).T).T)


def _interpolator(places: NDArray[np.integer], start: int, size: int) -> sparse.csr_array:
    """Linear interpolation from ``places`` to every px of an axis, constant beyond the ends: (size, places)."""
    at = np.arange(start, start + size)
    right = np.clip(np.searchsorted(places, at, side="right"), 1, max(len(places) - 1, 1))
    left = right - 1
    if len(places) == 1:
        return sparse.csr_array((np.ones(size), np.zeros(size, int), np.arange(size + 1)), shape=(size, 1))
    share = np.clip((at - places[left]) / (places[right] - places[left]), 0, 1)
    values = np.stack([1 - share, share], axis=1).ravel()
    index = np.stack([left, right], axis=1).ravel()
    return sparse.csr_array((values, index, np.arange(0, 2 * size + 1, 2)), shape=(size, len(places)))
