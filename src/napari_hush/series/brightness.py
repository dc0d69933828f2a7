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
BLOCKS = 1024  # are enough, about
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
    return compared.each(lambda number: _matched(pairs[number], compared, number), pairs)


def _matched(pair: Pair, compared: Compared, number: int) -> Pair:
    other = compared.others[number]
    rest = [one for k, one in compared.others.items() if k != number]
    whole = np.all([_blocks(one.inside).all(axis=1) for one in (other, *rest)], axis=0)
    if np.count_nonzero(whole) < 2:
        return pair

    def blocks(image: NDArray[Any]) -> NDArray[np.float64]:
        return _blocks(image)[whole].astype(np.float64)

    ours, theirs = blocks(compared.noisy), blocks(other.noisy)
    known, known_too = blocks(other.denoised), blocks(compared.denoised)
    if rest:
        known = known_too = np.mean([blocks(one.denoised) for one in rest], axis=0)
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
    """The pixels of each block, or of every second one and so on of a large image, (N, 64)."""
    height, width = (size // BLOCK * BLOCK for size in image.shape)
    blocks = image[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    thin = max(int((len(blocks) * blocks.shape[2] / BLOCKS) ** 0.5), 1)
    return blocks[::thin, :, ::thin].swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)


def _common(values: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """Their covariance."""
    return float(np.mean((values - values.mean()) * (known - known.mean())))
