"""Noisy minus denoised, judged by the noise: what is missing, what was added, whether noise was kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_hush.residual.lag import LAGGING, dragged_in_place, exact_lag, lag_of_noise, reach_of_lag
from napari_hush.residual.noise import SMALLEST, NoiseModel, measure_noise, noise_kept
from napari_hush.residual.recorded import Recorded, move_rows, place_rows
from napari_hush.residual.scales import SCALES, Scales, residual_scales
from napari_hush.residual.sharpness import detail_lost
from napari_hush.residual.spikes import find_spikes
from napari_hush.residual.support import Support, measure_support
from napari_hush.residual.wander import find_wander

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.recorded import Rows

    Floats = NDArray[np.float64]

FEW_GAPS = 0.9  # of the pixels that are there: the others change the noise by less than is known of it
SPIKES = 0.02  # share of the pixels that is left out; more, and the noise is not understood
MOST = 0.95  # of the noise is taken out of a result that kept it: of all of it nothing is known
DOUBTFUL = 1.1  # spread from which another explanation is looked for
BESIDE = 0.1  # px by which the end of a moved row may lie outside
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
    wander : float
        How far the rows of a scan wander while they are scanned, px RMS along X; NaN without a lattice, 0 where it does
        not stand out of the noise.
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
    wander: float = float("nan")
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

    comparison = _Comparison(noisy, denoised, usable, part, spacing)
    first = comparison.fit(denoised, placed=placed)
    best = comparison.look(first, scales)
    lag = lag_of_noise(first.noise.bands) if first.noise.calibrated else 0.0
    hidden = lag < LAGGING and best.spread > DOUBTFUL  # edges that are off may hide it
    if lag >= LAGGING or hidden:
        lag = exact_lag(lag, noisy, denoised, first.noise, usable, spacing)
        late = comparison.fit(dragged_in_place(denoised, lag), lag=lag)
        if not hidden or lag_of_noise(late.noise.bands) >= LAGGING:  # what is only sharper has noise without a lag
            best = min(best, comparison.look(late, scales), key=lambda one: one.spread)
    noise, found = best.noise, best.found
    residual = Residual(
        difference=difference,
        scales=scales,
        z=found.z,
        energy=found.energy * (1.0 if np.isnan(kept) else (1 - kept) ** 2),
        spread=best.spread,
        kept=kept,
        threshold=found.threshold,
        wander=best.wander,
        noise=noise,
        reason=noise.reason or (TOO_MANY.format(100 * best.spiked) if best.spiked > SPIKES else ""),
    )
    if not residual.calibrated:
        return residual, None
    residual = replace(residual, lost=detail_lost(best.rest, best.expected, noise))
    return residual, measure_support(best.expected + best.rest, best.expected + share * best.rest, noise)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A result with its rows where the scan has them, the noise that remains, and where the result says something."""

    expected: Floats
    noise: NoiseModel
    known: NDArray[np.bool_]
    shift_variance: Floats | None = None
    wander: float = float("nan")


@dataclass(frozen=True, eq=False)
class _Look:
    """What was found of one fit."""

    expected: Floats
    rest: Floats
    noise: NoiseModel
    spiked: float
    found: Scales
    spread: float
    wander: float


@dataclass(frozen=True, eq=False)
class _Comparison:
    """A noisy image, a result, the pixels that count and the part without gaps on which the noise is measured."""

    noisy: Floats
    denoised: Floats
    usable: NDArray[np.bool_]
    part: tuple[slice, slice]
    spacing: float | None

    def fit(self, candidate: Floats, *, lag: float = 0.0, placed: Rows | None = None) -> _Fit:
        """Place the rows of a candidate, and measure the noise."""
        if self.spacing is None:
            return _Fit(candidate, self._measured(self.noisy, candidate), self._known(None, lag))
        if placed is None:
            rows = place_rows(candidate, self.noisy, self.usable, self.spacing)
            expected = rows.shifted
        else:
            rows, expected = placed, move_rows(candidate, placed)
        noise, known = self._measured(self.noisy, expected), self._known(rows, lag)
        usable, unknown = self.usable & known, np.zeros(expected.shape[1])
        for _ in range(3):  # with the wandering in it, the noise seems larger than it is
            rest = np.where(usable, self.noisy - expected, 0)
            rest -= _row_levels(rest) if noise.row_levels else 0
            wander = find_wander(rest, expected, noise, usable, self.spacing)
            if not wander.variance.any():
                break
            unknown = unknown + wander.variance
            expected = wander.of(expected)
            noise = self._measured(self.noisy, expected)
        return _Fit(expected, noise, known, rows.variance[:, None] + unknown, float(np.sqrt(unknown.mean())))

    def _measured(self, seen: Floats, expected: Floats) -> NoiseModel:
        return measure_noise([seen[self.part]], [np.where(self.usable, expected, seen)[self.part]])

    def _known(self, rows: Rows | None, lag: float) -> NDArray[np.bool_]:
        """Where rows show what lies inside the result, (Y, X): beyond its ends nothing is known."""
        left, right = reach_of_lag(lag)
        shifts = np.zeros(len(self.noisy)) if rows is None else rows.shifts
        x, last = np.arange(self.noisy.shape[1]), self.noisy.shape[1] - 1
        before, after = (np.maximum(side - BESIDE, 0)[:, None] for side in (shifts, -shifts))
        return np.asarray((x >= before + left) & (x <= last - after - right))

    def look(self, fit: _Fit, scales: tuple[float, ...]) -> _Look:
        """Leave out spikes and the levels of rows, and look at the rest at every scale."""
        expected, noise = fit.expected, fit.noise
        spikes = find_spikes(self.noisy, expected, noise.variance(expected), noise.coefficients[1])
        spiked = float(spikes.mean())
        if spiked > 0:
            calm = self.noisy.copy()
            calm[spikes] = _medians(self.noisy, spikes)  # values that occur: steps stay steps
            noise = self._measured(calm, expected)
        rest = np.where(self.usable & fit.known & ~spikes, self.noisy - expected, 0)
        levels = np.zeros((len(rest), 1))
        if noise.row_levels:
            levels, noise = _row_levels(rest), replace(noise, row_variance=0.0)
            middle = float(levels.mean())
            if abs(middle) > OFFSET * float(levels.std()) * np.sqrt(ALIKE / len(levels)):
                levels -= middle  # all rows alike are no rows on levels of their own
        rest = np.where(rest != 0, rest - levels, 0)
        found = residual_scales(rest, expected, noise, scales, shift_variance=fit.shift_variance)
        return _Look(expected, rest, noise, spiked, found, _spread(found.z, scales), fit.wander)


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
