"""Whether the two images of a pair show the same field, as far as the noise lets it be seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from napari_hush.training.data.patches import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Complex = NDArray[np.complex64]

COARSEST = 3.0  # periods across the part that is compared
FINEST = 0.2  # periods per px
RINGS = 10  # of spatial frequencies between these, each with the same weight
WINDOW = 1.5  # how much less random the waves are under the window that fades the rim
SEEN = 8.0  # standard deviations of what chance gives, from which on two images show the same
UNSEEN = 4.0  # below which that is not seen
CLEARER = 2.0  # by how much another clean image must agree better
AS_NOISY = 1.25  # how noisy an image may be beside those that agree with theirs, before its noise is the reason
CLEAR = 0.65  # its noise at most, as a share of what white noise has; beyond it the noise hides too much
SMALLEST = 48  # side of a part that has waves enough, px


@dataclass(frozen=True, eq=False)
class Waves:
    """The coarse waves of the middle of an image.

    Parameters
    ----------
    shape : (int, int)
        Of the part, px: only waves of equal parts can be compared.
    waves : ndarray
        With the same power in each ring of frequencies.
    noise : float
        The power of the finest waves; that of white noise is 1.
    """

    shape: tuple[int, int]
    waves: Complex
    noise: float


def waves_of(plane: NDArray[np.generic]) -> Waves:
    """Look at a plane (Y, X): hot pixels and the scale of its values do not count, only the order of these."""
    values = finite(np.asarray(plane))
    ranks = stats.rankdata(values, axis=None).reshape(values.shape)
    rim = [np.hanning(n + 2)[1:-1] for n in values.shape]
    power = np.fft.rfft2((ranks - ranks.mean()) / ranks.size * rim[0][:, None] * rim[1])
    rings, fine = _rings(values.shape)
    noise = float(np.mean(np.abs(power[fine]) ** 2) / np.mean(np.abs(power) ** 2))
    kept, ring = power[rings >= 0], rings[rings >= 0]
    count = np.maximum(np.bincount(ring, minlength=RINGS), 1)
    mean = np.bincount(ring, np.abs(kept) ** 2, minlength=RINGS) / count
    waves = kept / np.sqrt(np.maximum(mean, 1e-30))[ring]
    return Waves(values.shape, waves.astype(np.complex64), noise)


@lru_cache(maxsize=16)
def _rings(shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The ring of each wave, -1 outside; and the finest waves, which are noise for the most part."""
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    radius = np.hypot(y, x)
    side = min(shape)
    edges = np.geomspace(COARSEST / side, FINEST, RINGS + 1)
    rings = np.digitize(radius, edges) - 1
    rings[rings >= RINGS] = -1
    return rings, radius > 0.4


def agreement(first: Sequence[Waves], second: Sequence[Waves]) -> NDArray[np.float64]:
    """How far each of the first images shows the same as each of the second ones, turned contrast or not.

    Returns
    -------
    ndarray, shape (len(first), len(second))
        In standard deviations of what images that have nothing to do with one another give.
    """
    a, b = (np.stack([w.waves for w in side]) for side in (first, second))
    common = np.abs((a @ b.conj().T).real)
    chance = np.sqrt(0.5 * (np.abs(a) ** 2 @ (np.abs(b) ** 2).T))
    return np.asarray(common / (WINDOW * np.maximum(chance, 1e-9)), dtype=np.float64)


def strangers(pairs: Mapping[int, tuple[Waves, Waves]]) -> tuple[dict[int, int | None], bool]:
    """Find pairs whose images show different fields.

    That is said of a pair where another clean image agrees with its noisy one, clearly better than its own does; or
    where most other pairs agree, and its noisy image is no noisier than theirs. Noise, blur and a contrast that is
    turned alone make no stranger.

    Parameters
    ----------
    pairs : mapping of int to (Waves, Waves)
        The noisy and the clean image of each.

    Returns
    -------
    strangers : dict of int to int or None
        Which pairs, and whose clean image agrees with the noisy one where there is such a one.
    seen : bool
        Whether there is a pair of which it can be seen that both images show the same.
    """
    own: dict[int, float] = {}
    found: dict[int, int | None] = {}
    for shape in {noisy.shape for noisy, _ in pairs.values()}:
        numbers = [number for number, (noisy, _) in pairs.items() if noisy.shape == shape]
        table = agreement([pairs[k][0] for k in numbers], [pairs[k][1] for k in numbers])
        best = table.argmax(axis=1)
        for row, number in enumerate(numbers):
            own[number] = float(table[row, row])
            if table[row, best[row]] > max(SEEN, CLEARER * own[number]):
                found[number] = numbers[best[row]]
    agreeing = [number for number, much in own.items() if much > SEEN]
    if 2 * len(agreeing) > len(own):
        usual = min(CLEAR, AS_NOISY * float(np.median([pairs[k][0].noise for k in agreeing])))
        for number, much in own.items():
            if much < UNSEEN and number not in found and pairs[number][0].noise <= usual:
                found[number] = None
    return found, any(much > UNSEEN for number, much in own.items() if number not in found)
