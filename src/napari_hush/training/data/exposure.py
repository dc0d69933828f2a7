"""One scale for both sides of pairs, where targets were recorded longer, or with another offset."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.training.data.contrast import middle
from napari_hush.training.data.pairing import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hush.training.data.images import ImageSet

    Floats = NDArray[np.float64]

LOOKED_AT = 64  # pairs
BLOCK = 8  # px; over their means there is hardly noise
LEAST = 0.5  # share of the contrast by which both sides must differ: less is what noise or a blur did to the input
CERTAIN = 5.0  # standard deviations
OTHER = 0.5  # share of the contrast by which a single pair is off the line of all
ROUNDS = 20
HUBER = 1.345  # standard deviations beyond which a block counts less


@dataclass(frozen=True)
class Exposure:
    """How a target's values follow from those of its input: ``offset + gain * input``.

    Parameters
    ----------
    offset, gain : float
        In the target's units, and in those per unit of the input.
    """

    offset: float
    gain: float

    def __str__(self) -> str:
        return f"{self.offset:.4g} + {self.gain:.4g} * input"

    def to_input(self, target: NDArray[np.generic]) -> Floats:
        """A target in the units of its input."""
        return (target.astype(np.float64) - self.offset) / self.gain


def exposure_between(noisy: ImageSet, clean: ImageSet, numbers: Sequence[int]) -> Exposure | None:
    """Find one line for all pairs; None where both sides have the same scale, or the noise hides the line.

    The input is fitted as a function of the target, not the other way round: noise in what a line is fitted over makes
    it flatter.

    Parameters
    ----------
    noisy, clean : ImageSet
        In one order.
    numbers : sequence of int
        Of the pairs.

    Warns
    -----
    UserWarning
        With the line, if there is one; and if single pairs are far off it.
    """
    chosen = [numbers[k] for k in np.linspace(0, len(numbers) - 1, min(LOOKED_AT, len(numbers))).astype(int)]
    pairs = {number: both for number in chosen if len((both := _blocks(noisy, clean, number))[0]) > 2}
    if not pairs:
        return None
    alike = _alike(pairs)
    x, y = (np.concatenate([pairs[number][k] for number in alike]) for k in (0, 1))
    ends = np.percentile(y, (1, 99))
    if not ends[1] > ends[0]:
        return None
    line, errors = _line(y, x, ends)  # the input's values at both ends
    contrast = float(np.ptp(line))
    if contrast < CERTAIN * float(np.hypot(*errors)):
        return None
    if np.all(np.abs(line - ends) < np.maximum(LEAST * contrast, CERTAIN * errors)):
        return None
    gain = float((ends[1] - ends[0]) / (line[1] - line[0]))
    found = Exposure(float(ends[0] - gain * line[0]), gain)
    warnings.warn(
        f"the targets have another scale than the inputs, target = {found}: they are brought to the inputs' units, in "
        "which the model's results will be",
        UserWarning,
        stacklevel=3,
    )
    if far := [noisy.name(number) for number in pairs if number not in alike]:
        warnings.warn(
            f"{len(far)} of {len(pairs)} pairs that were looked at have another scale than the rest ({listed(far)}): "
            "train on targets of one exposure, or scale them before",
            UserWarning,
            stacklevel=3,
        )
    return found


def _blocks(noisy: ImageSet, clean: ImageSet, number: int) -> tuple[Floats, Floats]:
    """The means of the blocks in the middle of both images that have no gap."""
    if noisy.shape(number) != clean.shape(number) or noisy.channels != clean.channels:  # refused elsewhere
        return np.empty(0), np.empty(0)
    window = [middle(0, n) for n in noisy.shape(number)]
    sides = []
    for images in (noisy, clean):
        part = images.read(number, *window).astype(np.float64)
        part[~np.isfinite(part)] = np.nan
        height, width = (n // BLOCK * BLOCK for n in part.shape[1:])
        cut = part[:, :height, :width].reshape(len(part), height // BLOCK, BLOCK, width // BLOCK, BLOCK)
        sides.append(cut.mean(axis=(2, 4)).ravel())
    good = np.isfinite(sides[0]) & np.isfinite(sides[1])
    return sides[0][good], sides[1][good]


def _line(over: Floats, values: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """A line that heeds outliers little: its values at two places, and their standard errors."""
    middle_, half = ends.mean(), np.ptp(ends) / 2
    terms = np.stack([np.ones_like(over), (over - middle_) / half], axis=1)
    weights = np.ones_like(over)
    for _ in range(ROUNDS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)[0]
        rest = values - terms @ found
        sigma = max(1.4826 * float(np.median(np.abs(rest))), 1e-12 * float(np.ptp(values)), 1e-300)
        weights = 1 / np.maximum(np.abs(rest) / (HUBER * sigma), 1.0)
    covariance = sigma**2 * np.linalg.pinv((terms * weights[:, None]).T @ terms)
    at = np.array([[1.0, -1.0], [1.0, 1.0]])
    return at @ found, np.sqrt(np.einsum("ij,jk,ik->i", at, covariance, at))


def _alike(pairs: dict[int, tuple[Floats, Floats]]) -> list[int]:
    """The pairs whose own line is about the one that most have: a single one of another exposure would turn it."""
    numbers, means, slopes, errors = [], [], [], []
    for number, (x, y) in pairs.items():
        ends = np.percentile(y, (1, 99))
        if ends[1] > ends[0]:
            line, error = _line(y, x, ends)
            numbers.append(number)
            means.append((line.mean(), ends.mean(), float(np.ptp(ends))))
            slopes.append(float(np.diff(line)[0] / np.ptp(ends)))
            errors.append(float(np.hypot(*error) / np.ptp(ends)))
    if len(numbers) < 3:
        return numbers or list(pairs)
    at, slope = np.array(means), float(np.median(slopes))
    offset = float(np.median(at[:, 0] - slope * at[:, 1]))
    away = np.abs(at[:, 0] - offset - slope * at[:, 1])
    away += 0.5 * at[:, 2] * np.maximum(np.abs(np.array(slopes) - slope) - CERTAIN * np.array(errors), 0)
    contrast = abs(slope) * float(np.median(at[:, 2]))
    return [number for number, far in zip(numbers, away, strict=True) if far <= OTHER * contrast] or numbers
