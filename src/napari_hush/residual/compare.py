"""Noisy minus denoised, judged by the noise: what is missing, what was added, whether noise was kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, optimize

from napari_hush.filters.resampling import cubic
from napari_hush.residual.noise import CUT, SMALLEST, NoiseModel, measure_noise, noise_kept
from napari_hush.residual.recorded import Recorded, dragged, move_rows, place_rows
from napari_hush.residual.scales import SCALES, residual_scales
from napari_hush.residual.sharpness import detail_lost
from napari_hush.residual.spikes import find_spikes
from napari_hush.residual.support import Support, measure_support

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

UNSURE = 0.1  # of a lag that the noise's spectrum alone tells
LAGGING = 0.05  # of a detector's pixel before: less changes nothing that could be seen
FEW_GAPS = 0.9  # of the pixels that are there: the others change the noise by less than is known of it
SPIKES = 0.02  # share of the pixels that is left out; more, and the noise is not understood
MOST = 0.95  # of the noise is taken out of a result that kept it: of all of it nothing is known
OFFSET, ALIKE = 5.0, 4.0  # standard errors by which all rows are off; so many rows in turn may be alike
TOO_MANY = "its noise is spikes: {:.2g} % of its pixels stick out of their neighbours"


@dataclass(frozen=True, kw_only=True, eq=False)
class Residual:
    """What was taken away, against the noise of the image.

    Parameters
    ----------
    difference : ndarray, shape (Y, X)
        Noisy minus denoised, image units; NaN where one of them was not finite. Truth minus denoised where there is no
        noisy image.
    scales : tuple of float
        Standard deviations of the Gaussians through which it was looked at, px; S of them, none without a noisy image.
    z : ndarray, shape (S, Y, X), float32
        In standard deviations of the noise: above 0 something of the noisy image is missing, below 0 the noisy image
        contradicts what the result shows.
    energy : ndarray, shape (S,)
        Power of what was taken away over that of the noise; 1 for a perfect result, less where noise was kept.
    spread : float
        The largest standard deviation of ``z`` at any scale beyond what chance explains; 1 for a perfect result.
    lost : float
        Share of the shown detail's amplitude that is surely missing all over the image, see `detail_lost`.
    kept : float
        Share of the noise's amplitude that is still in the result.
    threshold : float
        What noise alone passes in one image of a hundred, at any scale.
    noise : NoiseModel or None
        Of the noisy image.
    reason : str
        Why nothing can be said; empty where the noise is understood.
    """

    difference: Floats
    scales: tuple[float, ...] = ()
    z: NDArray[np.float32]
    energy: NDArray[np.float64]
    spread: float = float("nan")
    lost: float = float("nan")
    kept: float = float("nan")
    threshold: float = float("nan")
    noise: NoiseModel | None = None
    reason: str = ""

    @property
    def calibrated(self) -> bool:
        """Whether the noise is understood, so that ``z`` says how sure one can be."""
        return not self.reason

    @property
    def missing(self) -> float:
        """The largest ``z``; NaN where it is not known."""
        return float(self.z.max()) if self.calibrated and self.z.size else float("nan")

    @property
    def contradicted(self) -> float:
        """The largest ``-z``; NaN where it is not known."""
        return float(-self.z.min()) if self.calibrated and self.z.size else float("nan")


def no_residual(difference: Floats, reason: str) -> Residual:
    """What is known where there is nothing to compare with."""
    return Residual(
        difference=difference, z=np.zeros((0, *difference.shape), np.float32), energy=np.zeros(0), reason=reason
    )


def compare_residual(
    noisy: Floats,
    denoised: Floats,
    usable: NDArray[np.bool_] | None = None,
    spacing: float | None = None,
    *,
    scales: tuple[float, ...] = SCALES,
    recorded: Recorded | None = None,
) -> tuple[Residual, Support | None]:
    """Test what was taken away at every scale, and what of the result's detail the data carry.

    Parameters
    ----------
    noisy, denoised : ndarray, shape (Y, X)
        In one intensity unit, finite.
    usable : ndarray of bool, shape (Y, X), optional
        Pixels that count; all by default.
    spacing : float, optional
        Lattice period, px: then the rows' shifts of the scan are fitted first.
    scales : tuple of float
        Standard deviations of the Gaussians, px.
    recorded : Recorded, optional
        From `record` on the same images, which saves the fit of the rows' shifts.

    Returns
    -------
    residual : Residual
    support : Support or None
        None where the noise is not understood.

    Notes
    -----
    The noise's variance by brightness is measured in the residual, whose edges are gone; how much of it was kept comes
    from the noisy image alone. A slow detector drags the image as it drags its noise, whose spectrum tells by how much:
    if the dragged result explains the noisy image better, it is the one that is compared. Of noise of which a share k
    was kept, r / (1 - k) was there, r what was taken away: a result is compared as it would be without it, for where
    the noise that it still has is low, it looks darker than the place is, and a darker place has less noise.
    """
    usable = np.ones(noisy.shape, dtype=bool) if usable is None else usable
    difference = np.where(usable, noisy - denoised, np.nan)
    if min(noisy.shape) < SMALLEST:
        return no_residual(difference, f"the image is smaller than {SMALLEST} px"), None
    placed = None if recorded is None or not usable.all() else recorded.plain
    if not usable.all():  # rows that are moved, and a slow detector, carry what a gap was filled with into its border
        reach = 2.0 if spacing is None else 4 + 0.3 * spacing
        usable = np.asarray(ndimage.distance_transform_edt(usable) > reach)
    # a few gaps do not matter for the noise; of many the largest part without them is taken
    part = (slice(None), slice(None)) if usable.mean() > FEW_GAPS else _largest_part(usable)
    kept = noise_kept(noisy[part], denoised[part])
    share = float(np.clip(kept, 0, MOST)) if np.isfinite(kept) else 0.0
    denoised = denoised - share / (1 - share) * (noisy - denoised)

    def measured(seen: Floats, expected: Floats) -> NoiseModel:
        return measure_noise([seen[part]], [np.where(usable, expected, seen)[part]])

    def fitted(candidate: Floats) -> _Fit:
        expected, unknown = candidate, None
        if candidate is denoised and spacing is not None and placed is not None:
            expected, unknown = move_rows(denoised, placed), placed.variance
        elif spacing is not None:
            rows = place_rows(candidate, noisy, usable, spacing)
            expected, unknown = rows.shifted, rows.variance
        return _Fit(expected, measured(noisy, expected), unknown)

    first = fitted(denoised)
    lag = _lag(np.asarray(first.noise.bands)) if first.noise.calibrated else 0.0
    candidates = [denoised]
    if lag >= LAGGING:
        if spacing is None:  # rows at wrong places would make it sharp where it is not
            lag = _sharper(lag, noisy, denoised, first.noise, usable)
        candidates.append(_dragged(denoised, lag))
    best: Residual | None = None
    for candidate in candidates:
        fit = first if candidate is denoised else fitted(candidate)
        expected, noise = fit.expected, fit.noise
        spikes = find_spikes(noisy, expected, noise.variance(expected), noise.coefficients[1])
        spiked = float(spikes.mean())
        if spiked > 0:
            calm = noisy.copy()
            calm[spikes] = _medians(noisy, spikes)  # values that occur: steps stay steps
            noise = measured(calm, expected)
        rest = np.where(usable & ~spikes, noisy - expected, 0)
        levels = np.zeros((len(rest), 1))
        if noise.row_levels:
            levels, noise = _row_levels(rest), replace(noise, row_variance=0.0)
            middle = float(levels.mean())
            if abs(middle) > OFFSET * float(levels.std()) * np.sqrt(ALIKE / len(levels)):
                levels -= middle  # all rows alike are no rows on levels of their own
        rest = np.where(rest != 0, rest - levels, 0)
        found = residual_scales(rest, expected, noise, scales, shift_variance=fit.shift_variance)
        spread = _spread(found.z, scales)
        if best is not None and spread >= best.spread:
            continue
        best = Residual(
            difference=difference,
            scales=scales,
            z=found.z,
            energy=found.energy * (1.0 if np.isnan(kept) else (1 - kept) ** 2),
            spread=spread,
            kept=kept,
            threshold=found.threshold,
            noise=noise,
            reason=noise.reason or (TOO_MANY.format(100 * spiked) if spiked > SPIKES else ""),
        )
        seen = expected, rest, noise
    assert best is not None
    if not best.calibrated:
        return best, None
    expected, rest, noise = seen
    best = replace(best, lost=detail_lost(rest, expected, noise))
    return best, measure_support(expected + rest, expected + share * rest, noise)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A result with its rows where the scan has them, and the noise that remains."""

    expected: Floats
    noise: NoiseModel
    shift_variance: Floats | None


def _largest_part(usable: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The largest rectangle without gaps, to 8 px."""
    height, width = (size // 8 for size in usable.shape)
    blocks = usable[: height * 8, : width * 8].reshape(height, 8, width, 8)
    whole = np.asarray(blocks.all(axis=(1, 3)))
    best, found = 0, (slice(0, 0), slice(0, 0))
    run = np.zeros(width, np.intp)  # how far up from this row each column is whole
    for row in range(height):
        run = np.where(whole[row], run + 1, 0)
        for left in range(width):
            lowest = run[left]
            for right in range(left, width):
                lowest = min(lowest, run[right])
                if not lowest:
                    break
                if lowest * (right - left + 1) > best:
                    best = int(lowest * (right - left + 1))
                    found = slice(8 * (row + 1 - lowest), 8 * (row + 1)), slice(8 * left, 8 * (right + 1))
    return found


def _dragged(image: Floats, lag: float) -> Floats:
    """An image as a slow detector records it, but not moved: an instrument's software brings it back to its place."""
    delay = lag / (1 - lag)
    whole, part = int(np.floor(delay)), delay - np.floor(delay)
    taps = cubic(np.arange(-1, 3) - part)  # a Fourier shift rings at hard edges
    padded = np.pad(np.asarray(image, np.float64), ((0, 0), (1, whole + 2)), mode="edge")
    width = image.shape[1]
    return dragged(sum(tap * padded[:, whole + k : whole + k + width] for k, tap in enumerate(taps)), lag)


def _sharper(lag: float, noisy: Floats, denoised: Floats, noise: NoiseModel, usable: NDArray[np.bool_]) -> float:
    """The lag near that of the noise's spectrum, into which edges leak, that leaves least."""
    weight = usable / noise.variance(denoised)

    def left(one: float) -> float:
        return float(np.minimum((noisy - _dragged(denoised, one)) ** 2 * weight, CUT**2).sum())

    least, most = max(lag - UNSURE, 0.0), min(lag + UNSURE, 0.9)
    return float(optimize.minimize_scalar(left, bounds=(least, most), method="bounded", options={"xatol": 0.005}).x)


def _lag(bands: Floats) -> float:
    """The share of the pixel before in a first-order spectrum ``1 / (1 + c² - 2 c cos(2 pi f))``."""
    frequency = np.linspace(0, 0.5, len(bands))
    shares = np.linspace(0, 0.9, 91)[:, None]
    models = 1 / (1 + shares**2 - 2 * shares * np.cos(2 * np.pi * frequency))
    models /= models.mean(axis=1, keepdims=True)
    return float(shares[((np.log(models) - np.log(np.maximum(bands, 1e-6))) ** 2).sum(axis=1).argmin(), 0])


def _medians(image: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Of some pixels and their 8 neighbours."""
    around = np.pad(image, 1, mode="symmetric")
    y, x = np.nonzero(chosen)
    return np.asarray(np.median([around[y + i, x + j] for i in range(3) for j in range(3)], axis=0))


def _row_levels(residual: Floats) -> Floats:
    """Medians over parts of each row, (Y, 1)."""
    parts = np.array_split(residual, min(16, max(residual.shape[1] // 8, 1)), axis=1)
    return np.asarray(np.median([part.mean(axis=1) for part in parts], axis=0))[:, None]


def _spread(z: NDArray[np.float32], scales: tuple[float, ...]) -> float:
    """The largest standard deviation beyond three standard errors of its own."""
    found = 0.0
    for one, scale in zip(z, scales, strict=True):
        count = max(one.size / (2 * np.pi * scale**2), 2.0)
        found = max(found, float(one.std(dtype=np.float64)) / (1 + 3 / np.sqrt(2 * count)))
    return found
