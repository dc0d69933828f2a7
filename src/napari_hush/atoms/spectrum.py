"""The Bragg spots of a lattice in the power spectrum of a noisy image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft, ndimage

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

WINDOW = 512  # px of the windows whose spectra are averaged
ROW_LINE = 5  # pixels of a spectrum with a Hann window, padded to twice its size
CHANCE = 0.02  # of a false Bragg spot in white noise
SEPARATE = 0.2  # times the inverse spacing; the window of a lock-in does not tell nearer spots apart
FAINT = 0.04  # of the strongest spot's power; fainter ones are left out


def bragg_spots(image: ArrayLike, spacing: float, *, count: int = 2) -> NDArray[np.float64]:
    """Find the strongest Bragg spots of a lattice.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Noisy or clean.
    spacing : float
        Lattice period, px, from `estimate_spacing`.
    count : int
        How many at most. Several grains have several sets of spots.

    Returns
    -------
    ndarray, shape (K, 2)
        Spatial frequencies (y, x), cycles per px, the strongest first; of each opposite pair one. K is 0 where nothing
        stands out of the spectrum.

    Raises
    ------
    InputError
        If the spacing is not above 2 px or this is not one plane of numbers.

    Examples
    --------
    >>> import napari_hush as hush
    >>> noisy = hush.sample("dented-lattice").noisy
    >>> spots = bragg_spots(noisy, 12.0)
    >>> [round(1 / float(length), 1) for length in np.hypot(*spots.T)]
    [12.0, 12.0]
    """
    _check_spacing(spacing)
    power, step = _spectrum(checked_plane(image))
    side = min(power.shape[0] // 2, int(1.8 / spacing / step))
    power = power[(inside := slice(power.shape[0] // 2 - side, power.shape[0] // 2 + side + 1)), inside]
    y, x = np.meshgrid(*(np.arange(-side, side + 1),) * 2, indexing="ij")
    radius = np.hypot(y, x) * step * spacing  # in units of 1 / spacing
    ring = (radius > 0.55) & (radius < 1.7)
    peaks = (power == ndimage.maximum_filter(power, 3)) & ring & ((y > 0) | ((y == 0) & (x > 0)))
    shell = np.rint(np.hypot(y, x)).astype(int)
    ordered = power.ravel()[np.lexsort((power.ravel(), shell.ravel()))]
    ends = np.cumsum(np.bincount(shell.ravel()))
    first = np.concatenate([[0], ends[:-1]])
    background = (ordered[(first + ends - 1) // 2] + ordered[(first + ends) // 2]) / 2  # medians of the shells
    # noise has an exponential distribution of power; a twelfth of the padded pixels is independent
    clear = np.log2(max(ring.sum() / 12, 1) / CHANCE)  # times the median
    places = np.argwhere(peaks & (power > clear * ndimage.median_filter(background, 5)[shell]))
    if not len(places):
        return np.empty((0, 2))
    places = places[np.argsort(-power[tuple(places.T)])]
    places = places[power[tuple(places.T)] > FAINT * power[tuple(places[0])]]
    spots = (places - side) * step
    return _apart([], spots, spacing, count)


def with_spots_of(
    spots: NDArray[np.float64], others: Sequence[NDArray[np.float64]], spacing: float
) -> NDArray[np.float64]:
    """Bragg spots (K, 2), and those of other sets (N, 2) that a lock-in tells apart from them."""
    return _apart(list(spots), np.concatenate(others), spacing)


def _apart(
    kept: list[NDArray[np.float64]], spots: NDArray[np.float64], spacing: float, count: int | None = None
) -> NDArray[np.float64]:
    """Add spots that lie apart from those before them, or their opposites."""
    for spot in spots:
        if all(min(np.hypot(*(spot - k)), np.hypot(*(spot + k))) > SEPARATE / spacing for k in kept):
            kept.append(spot)
        if len(kept) == count:
            break
    return np.stack(kept)


def independent_pair(spots: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The two strongest of some Bragg spots (K, 2) that are at least 15 degrees apart, (2, 2); None without such."""
    for k, other in enumerate(spots[1:], 1):
        first = spots[0]
        sine = abs(first[0] * other[1] - first[1] * other[0]) / (np.hypot(*first) * np.hypot(*other))
        if sine > np.sin(np.deg2rad(15)):
            return np.asarray(spots[[0, k]])
    return None


def checked_plane(image: ArrayLike) -> NDArray[np.float64]:
    """One finite plane (Y, X), float64: outliers are clipped, what is not finite becomes the mean."""
    plane = np.asarray(image)
    if plane.ndim != 2 or plane.dtype.kind not in "biuf" or 0 in plane.shape:
        raise InputError(f"expected one image (Y, X) of numbers, got shape {plane.shape} of {plane.dtype}")
    plane = plane.astype(np.float64)
    finite = np.isfinite(plane)
    if not finite.any():
        raise InputError("the image has no finite value (all NaN or infinite)")
    low, high = np.percentile(plane if finite.all() else plane[finite], (0.05, 99.95))
    if low < high:
        plane = np.clip(plane, low, high)
    return plane if finite.all() else np.where(finite, plane, plane[finite].mean())


def without_row_offsets(power: NDArray[Any]) -> NDArray[Any]:
    """Take the line that random row offsets draw into a power spectrum (FY, FX >= 0) away; peaks on it stay."""
    line = power[:, :ROW_LINE]
    power[:, :ROW_LINE] = np.maximum(line - 4 * np.median(line, axis=0), 0)
    return power


def _check_spacing(spacing: float) -> None:
    if not (np.isfinite(spacing) and spacing > 2):
        raise InputError(f"spacing is the lattice period in px, above 2; got {spacing}")


def _spectrum(plane: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The power spectrum averaged over windows, zero frequency in the middle, and the width of its pixels."""
    sides = [min(size, WINDOW) for size in plane.shape]
    length = 2 * fft.next_fast_len(max(sides))
    total = np.zeros((length, length // 2 + 1))
    window = (np.hanning(sides[0])[:, None] * np.hanning(sides[1])).astype(np.float32)
    for y in np.unique(np.linspace(0, plane.shape[0] - sides[0], -(-plane.shape[0] // WINDOW)).astype(int)):
        for x in np.unique(np.linspace(0, plane.shape[1] - sides[1], -(-plane.shape[1] // WINDOW)).astype(int)):
            part = plane[y : y + sides[0], x : x + sides[1]]
            part = (part - part.mean()).astype(np.float32)
            spectrum = fft.rfft2(part * window, (length, length))
            total += without_row_offsets(spectrum.real**2 + spectrum.imag**2)
    half = fft.fftshift(total, axes=0)[1:, : length // 2]  # FY from -(length / 2 - 1), FX from 0; length is even
    return np.concatenate([half[::-1, :0:-1], half], axis=1), 1 / length
