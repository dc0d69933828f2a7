"""What a lattice lost or gained in every cell alike, at all points of the reciprocal lattice."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WINDOW = 6.0  # periods, of the squares in which cells are averaged
BINS = (4, 24)  # of a cell along either vector, at least and at most; about one for each px
FEWEST = 0.3  # of a window that must count
LEAST = 0.1  # px in a bin
NARROWEST = 0.06  # periods, standard deviation of the narrowest thing that is looked at; columns are wider
CERTAIN = 3.0  # standard errors by which a difference exceeds nothing


def cell_difference(
    residual: Floats,
    image: Floats,
    phases: Floats,
    usable: NDArray[np.bool_],
    period: float,
    multiple: int = 1,
) -> float:
    """How much of a lattice is missing or added in all cells alike, for a few periods around.

    Parameters
    ----------
    residual : ndarray, shape (Y, X)
        Noisy minus denoised image, the scan's own errors taken off.
    image : ndarray, shape (Y, X)
        The noisy image.
    phases : ndarray, shape (2, Y, X)
        Of two reciprocal lattice vectors at each pixel, cycles.
    usable : ndarray of bool, shape (Y, X)
        Pixels that count: those of one grain.
    period : float
        Of the lattice, px.
    multiple : int
        How many times longer the true translations are than those of ``phases``.

    Returns
    -------
    float
        Root mean square of the average cells of the residual over that of the image's, percent; 0 where it could be
        noise, NaN where there are too few cells.

    Notes
    -----
    The average cell holds the amplitudes at all reciprocal lattice points; by Parseval's theorem its mean square is the
    sum of theirs. In windows of 6 periods it is taken twice, from every second band of rows of a cell's height: the
    mean product of both is what they have in common; noise, and rows that were shifted, add nothing to it. Points so
    far out that no column reaches them are filtered off.
    """
    apart, together = _common(residual, phases, usable, period, multiple)
    whole, _ = _common(image, phases, usable, period, multiple)
    if not whole.power > 0:
        return float("nan")
    sure = [one.power for one in (apart, together) if one.power > CERTAIN * one.error]
    return 100 * float(np.sqrt(sure[0] / whole.power)) if sure else 0.0


class _Common(NamedTuple):
    """The mean square of what both halves of the cells have in common, and its standard error."""

    power: float
    error: float


def _common(
    values: Floats, phases: Floats, usable: NDArray[np.bool_], period: float, multiple: int
) -> tuple[_Common, _Common]:
    """Window by window, and of the mean over all windows, in which fainter things are seen; NaN of too few cells."""
    each = int(np.clip(round(period), *BINS))
    bins = multiple * each
    at = np.floor(phases * each).astype(np.intp) % bins
    half = (np.arange(len(values)) // max(round(multiple * period), 1) % 2)[:, None]
    side = min(round(WINDOW * multiple * period), min(values.shape))
    rows, columns = (np.arange(size) // side for size in values.shape)
    window = rows[:, None] * (columns[-1] + 1) + columns
    enough = np.bincount(window[usable], minlength=int(window[-1, -1]) + 1) > FEWEST * side**2
    if not enough.any():
        nothing = _Common(float("nan"), float("nan"))
        return nothing, nothing
    place = (((2 * window + half) * bins + at[0]) * bins + at[1])[usable]
    shape = (len(enough), 2, bins, bins)
    width = NARROWEST * each
    count, total = (
        np.asarray(ndimage.gaussian_filter(part.reshape(shape)[enough], width, mode="wrap", axes=(2, 3)), np.float64)
        for part in (np.bincount(place, w, int(np.prod(shape))) for w in (np.ones(len(place)), values[usable]))
    )
    alike = max(np.sqrt(2 * np.pi) * width, 1.0)  # neighbouring bins are no two measurements
    return _product(count, total, alike), _product(count.sum(axis=0)[None], total.sum(axis=0)[None], alike)


def _product(count: Floats, total: Floats, alike: float) -> _Common:
    """Of the means of both halves, (windows, 2, bins, bins), without their levels."""
    filled = np.asarray((count > LEAST).all(axis=1))
    mean = total / np.maximum(count, LEAST)
    level = (mean * filled[:, None]).sum(axis=(2, 3)) / np.maximum(filled.sum(axis=(1, 2)), 1)[:, None]
    mean = mean - level[:, :, None, None]
    products, noise = mean.prod(axis=1)[filled], 0.5 * ((mean[:, 0] - mean[:, 1]) ** 2)[filled]
    return _Common(float(products.mean()), float(noise.mean()) * alike / np.sqrt(len(products)))
