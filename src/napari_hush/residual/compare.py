"""Noisy minus denoised, judged by the noise: what is missing, what was added, whether noise was kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_hush.residual.explanation import Explanation, Look
from napari_hush.residual.noise import SMALLEST, NoiseModel, noise_kept
from napari_hush.residual.scales import SCALES
from napari_hush.residual.scan.lag import LAGGING, dragged_in_place, exact_lag, lag_of_noise
from napari_hush.residual.sharpness import detail_lost
from napari_hush.residual.support import Support, measure_support

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.scan.recorded import Recorded, Rows

    Floats = NDArray[np.float64]

FEW_GAPS = 0.9  # of the pixels that are there: the others change the noise by less than is known of it
SPIKES = 0.02  # share of the pixels that is left out; more, and the noise is not understood
MOST = 0.95  # of the noise is taken out of a result that kept it: of all of it nothing is known
DOUBTFUL = 1.1  # spread from which another explanation is looked for
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

    best = _best_look(noisy, denoised, Explanation(noisy, usable, part, spacing), scales, placed)
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


def _best_look(
    noisy: Floats, denoised: Floats, explanation: Explanation, scales: tuple[float, ...], placed: Rows | None
) -> Look:
    """What is left of the noisy image by the better one of two explanations: as it is, or seen by a slow detector."""

    def plain() -> Look:
        return explanation.look(explanation.wandering(first), scales)

    def late() -> Look | None:
        exact = exact_lag(lag, noisy, denoised, first.noise, explanation.usable, explanation.spacing)
        fit = explanation.placed(dragged_in_place(denoised, exact), lag=exact)
        if lag < LAGGING and lag_of_noise(fit.noise.bands) < LAGGING:
            return None  # the result is only sharper: its noise has no lag
        return explanation.look(explanation.wandering(fit), scales)

    first = explanation.placed(denoised, rows=placed)
    lag = lag_of_noise(first.noise.bands) if first.noise.calibrated else 0.0
    best, other = (late(), plain) if lag >= LAGGING else (plain(), late)
    if best is None or best.spread > DOUBTFUL:
        found = [one for one in (best, other()) if one is not None]
        best = min(found, key=lambda one: one.spread)
    return best


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
