"""How bright frames are beside one another, by what was measured: denoising takes contrast, spikes give some."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.series.compared import Compared
    from napari_hush.series.pairs import Pair

MATCHED = 0.05  # of the contrast: less is not worth bringing a frame onto another once more
BLOCK = 8  # px: means of blocks are compared, of which noise says little and a spike nothing beyond its own
CHANGED = 3.0  # standard deviations from which a block shows something else
STEPS = 3  # after which it is known which blocks these are
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
    shown = [np.mean([one.denoised for one in rest], axis=0)] * 2 if rest else [other.denoised, compared.denoised]
    whole = _blocks(inside).all(axis=1)
    if np.count_nonzero(whole) < 2:
        return pair
    ours, theirs, known, known_too = (
        _blocks(image)[whole].astype(np.float64) for image in (compared.noisy, other.noisy, *shown)
    )
    levels = ours.mean(axis=1), theirs.mean(axis=1)
    same = np.ones(len(ours), bool)
    gain, offset = 1.0, 0.0
    for _ in range(STEPS):
        common = _common(ours[same], known[same]), _common(theirs[same], known_too[same])
        spreads = float(known[same].var()), float(known_too[same].var())
        if not min(common) > ENOUGH * min(spreads):
            return pair
        gain = common[1] / common[0] if rest else (common[1] / spreads[1] * spreads[0] / common[0]) ** 0.5
        left = levels[1] - gain * levels[0]
        offset = float(np.median(left[same]))
        away = np.abs(left - offset)
        same = away <= CHANGED * 1.4826 * np.median(away[same])
    if abs(gain - 1) < MATCHED:
        return pair
    return replace(pair, gain=pair.gain * gain, offset=pair.offset + pair.gain * offset)


def _blocks(image: NDArray[Any]) -> NDArray[Any]:
    """The pixels of each block, (N, 64)."""
    height, width = (size // BLOCK * BLOCK for size in image.shape)
    blocks = image[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return blocks.swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)


def _common(values: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """Their covariance."""
    return float(np.mean((values - values.mean()) * (known - known.mean())))
