"""A noisy image explained by a result: its rows placed, its noise measured, spikes left out; what is then left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.residual.noise import NoiseModel, measure_noise
from napari_hush.residual.scales import Scales, residual_scales
from napari_hush.residual.scan.lag import reach_of_lag
from napari_hush.residual.scan.recorded import move_rows, place_rows
from napari_hush.residual.scan.wander import find_wander
from napari_hush.residual.spikes import find_spikes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.scan.recorded import Rows

    Floats = NDArray[np.float64]

BESIDE = 0.1  # px by which the end of a moved row may lie outside
OFFSET, ALIKE = 5.0, 4.0  # standard errors by which all rows are off; so many rows in turn may be alike
PASSES = 3  # with the wandering of rows in it, the noise seems larger than it is


@dataclass(frozen=True, eq=False)
class Fit:
    """A result as the instrument would have recorded it.

    Parameters
    ----------
    expected : ndarray, shape (Y, X)
        The result with its rows where the scan has them.
    noise : NoiseModel
        Of what is left.
    known : ndarray of bool, shape (Y, X)
        Where the result says something: not beyond the ends of moved rows.
    shift_variance : ndarray, shape (Y, X), optional
        Of what is not known of the rows' places along X, px².
    wander : float
        How far rows wander while they are scanned, px RMS; NaN without a lattice.
    """

    expected: Floats
    noise: NoiseModel
    known: NDArray[np.bool_]
    shift_variance: Floats | None = None
    wander: float = float("nan")


@dataclass(frozen=True, eq=False)
class Look:
    """What stands out of one fit.

    Parameters
    ----------
    expected, noise, wander
        As of the `Fit`; the noise without spikes.
    rest : ndarray, shape (Y, X)
        Noisy minus expected, without spikes and levels of rows; 0 where it does not count.
    spiked : float
        Share of the pixels that are spikes.
    found : Scales
        The rest at every scale.
    spread : float
        Largest standard deviation of it beyond what chance explains.
    """

    expected: Floats
    rest: Floats
    noise: NoiseModel
    spiked: float
    found: Scales
    spread: float
    wander: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """How a result explains a noisy image.

    Parameters
    ----------
    noisy : ndarray, shape (Y, X)
        Finite.
    usable : ndarray of bool, shape (Y, X)
        Pixels that count.
    part : (slice, slice)
        Without gaps: there the noise is measured.
    spacing : float or None
        Lattice period, px; None: no lattice, whose rows are not placed.
    """

    noisy: Floats
    usable: NDArray[np.bool_]
    part: tuple[slice, slice]
    spacing: float | None

    def placed(self, candidate: Floats, *, lag: float = 0.0, rows: Rows | None = None) -> Fit:
        """Place the rows of a candidate, as a whole, and measure the noise."""
        if self.spacing is None:
            return Fit(candidate, self._measured(self.noisy, candidate), self._known(None, lag))
        if rows is None:
            rows = place_rows(candidate, self.noisy, self.usable, self.spacing)
            expected = rows.shifted
        else:
            expected = move_rows(candidate, rows)
        unknown = np.broadcast_to(rows.variance[:, None], expected.shape)
        return Fit(expected, self._measured(self.noisy, expected), self._known(rows, lag), unknown)

    def wandering(self, fit: Fit) -> Fit:
        """Let the rows wander."""
        if self.spacing is None or fit.shift_variance is None:
            return fit
        expected, noise = fit.expected, fit.noise
        usable, unknown = self.usable & fit.known, np.zeros(expected.shape[1])
        for _ in range(PASSES):
            rest = np.where(usable, self.noisy - expected, 0)
            rest -= _row_levels(rest) if noise.row_levels else 0
            wander = find_wander(rest, expected, noise, usable, self.spacing)
            if not wander.variance.any():
                break
            unknown = unknown + wander.variance
            expected = wander.of(expected)
            noise = self._measured(self.noisy, expected)
        return Fit(expected, noise, fit.known, fit.shift_variance + unknown, float(np.sqrt(unknown.mean())))

    def _measured(self, seen: Floats, expected: Floats) -> NoiseModel:
        return measure_noise([seen[self.part]], [np.where(self.usable, expected, seen)[self.part]])

    def _known(self, rows: Rows | None, lag: float) -> NDArray[np.bool_]:
        """Where rows show what lies inside the result, (Y, X): beyond its ends nothing is known."""
        left, right = reach_of_lag(lag)
        shifts = np.zeros(len(self.noisy)) if rows is None else rows.shifts
        x, last = np.arange(self.noisy.shape[1]), self.noisy.shape[1] - 1
        before, after = (np.maximum(side - BESIDE, 0)[:, None] for side in (shifts, -shifts))
        return np.asarray((x >= before + left) & (x <= last - after - right))

    def look(self, fit: Fit, scales: tuple[float, ...]) -> Look:
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
        return Look(expected, rest, noise, spiked, found, _spread(found.z, scales), fit.wander)


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
