"""How bright frames are beside one another, by what was measured: denoising takes contrast, spikes give some."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.series.compared import Compared
    from napari_hush.series.pairs import Pair

MATCHED = 0.02  # of the contrast: less is not worth bringing a frame onto another once more
BLOCK = 8  # px: of the means of blocks the median is no spike's
ENOUGH = 0.2  # of what the other frames show must be in both: with less nothing can be said


def matched(pairs: dict[int, Pair], compared: Compared) -> dict[int, Pair]:
    """Pairs with gains and offsets by the frames as measured; each itself where it was right.

    Parameters
    ----------
    pairs : dict of int to Pair
        Of the frame and each neighbour.
    compared : Compared
        The frame with its neighbours, brought onto it by these pairs.

    Notes
    -----
    The gain of a neighbour is the ratio of what it and the frame, as measured, have in common with the other neighbours
    denoised. Those have other noise than both, and what denoising took from them is in both. With one neighbour the
    slopes of either on the other one, denoised, tell the square of it.
    """
    return {number: _matched(pair, compared, number) for number, pair in pairs.items()}


def _matched(pair: Pair, compared: Compared, number: int) -> Pair:
    other = compared.others[number]
    rest = [one for k, one in compared.others.items() if k != number]
    inside = np.asarray(np.all([other.inside, *(one.inside for one in rest)], axis=0))
    if np.count_nonzero(inside) < BLOCK**2:
        return pair
    ours, theirs = compared.noisy[inside].astype(np.float64), other.noisy[inside].astype(np.float64)
    if rest:
        known = np.asarray(np.mean([one.denoised[inside] for one in rest], axis=0, dtype=np.float64))
        common = _common(ours, known), _common(theirs, known)
        good = min(common) > ENOUGH * float(known.var())
        gain = common[1] / common[0] if good else 1.0
    else:
        first, second = other.denoised[inside].astype(np.float64), compared.denoised[inside].astype(np.float64)
        spreads = [max(float(one.var()), 1e-30) for one in (first, second)]
        slopes = _common(ours, first) / spreads[0], _common(theirs, second) / spreads[1]
        gain = (slopes[1] / slopes[0]) ** 0.5 if min(slopes) > 0 else 1.0
    if abs(gain - 1) < MATCHED:
        return pair
    offset = _level(np.where(inside, other.noisy - np.float32(gain) * compared.noisy, np.float32("nan")))
    return replace(pair, gain=pair.gain * gain, offset=pair.offset + pair.gain * offset)


def _common(values: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """Their covariance."""
    return float(np.mean((values - values.mean()) * (known - known.mean())))


def _level(image: NDArray[np.float32]) -> float:
    """Of an image with gaps, whatever single pixels hold."""
    height, width = (size // BLOCK * BLOCK for size in image.shape)
    blocks = image[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    count = np.isfinite(blocks).sum(axis=(1, 3))
    means = np.asarray(np.nansum(blocks, axis=(1, 3), dtype=np.float64))[count > 0] / count[count > 0]
    return float(np.median(means)) if len(means) else 0.0
