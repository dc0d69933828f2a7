"""Pixels that stick out: cosmic rays, dead pixels, salt and pepper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

OUT = 5.0  # standard deviations by which a spike sticks out of its neighbours
TWINS = 2  # spikes may touch: so many, itself among them, are as high
SURE = 2.5  # standard deviations from the result: at an end of the range on which spikes lie, that is one more
INVENTED = 0.25  # of what sticks out: more of it in the result, turned, and the result made it
RING = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def find_spikes(noisy: Floats, denoised: Floats, variance: Floats, count: float = 0.0) -> NDArray[np.bool_]:
    """Pixels that stick out of their neighbours by more than noise, or a count in the dark, can.

    Parameters
    ----------
    noisy, denoised : ndarray, shape (Y, X)
        As measured, and what was made of it.
    variance : ndarray, shape (Y, X)
        Of the noise.
    count : float
        What one count adds, image units.

    Returns
    -------
    ndarray of bool, shape (Y, X)
        In what was taken away they lie 5 standard deviations above all of their 8 neighbours but one, or below: spikes
        touch at times, and beside an edge of the image they stick out of nothing else. What sticks out of the result
        itself, the other way, is no spike: the denoiser made it. Where some lie on one end of the range of values, the
        others there that the result does not explain are spikes as well.
    """
    found = np.zeros(noisy.shape, dtype=bool)
    if min(noisy.shape) < 3:
        return found
    rest = noisy - denoised
    limit = OUT * np.sqrt(variance + count**2)
    y, x = np.nonzero(np.abs(rest) > limit)
    sign = np.sign(rest[y, x])[:, None]
    own, around = _beside(rest, y, x)
    highest = np.sort(sign * around, axis=1)[:, -TWINS]
    shown, beside = _beside(denoised, y, x)
    turned = -sign[:, 0] * (shown - np.median(beside, axis=1))
    out = (sign[:, 0] * own - highest > limit[y, x]) & (turned < INVENTED * np.abs(own))
    found[y[out], x[out]] = True
    for end in (noisy.min(), noisy.max()):  # salt and pepper: the others are as bright as those that stand alone
        at_end = noisy == end
        if (found & at_end).any():
            found |= at_end & (np.abs(rest) > SURE * np.sqrt(variance))
    return found


def _beside(image: Floats, y: NDArray[np.intp], x: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Pixels (N,) and their neighbours (N, 8), those beyond the border mirrored."""
    last = np.array(image.shape) - 1
    moved = [
        (last[0] - np.abs(last[0] - np.abs(y + dy)), last[1] - np.abs(last[1] - np.abs(x + dx))) for dy, dx in RING
    ]
    return image[y, x], np.stack([image[at] for at in moved], axis=1)
