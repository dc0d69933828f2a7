"""The autocorrelation of an image, and the two translations that explain its peaks best."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft, ndimage

from napari_hush.atoms.spectrum import without_row_offsets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHORTEST = 3.0  # px; shorter periods cannot be told from the noise of neighbouring pixels
STRONG = 0.73  # of the highest peak; SrTiO3 seen along [100] has 0.70 at half a diagonal, where Ti stands for Sr
NOISE_REACH = 2.5  # px over which noise and the smoothing of it correlate
SMOOTHING = 0.8  # px, of the image before it is correlated
FRACTIONS = np.array(  # of a cell
    [(0.5, 0.5), (0.5, 0.0), (0.0, 0.5), (1 / 3, 1 / 3), (1 / 3, -1 / 3), (1 / 3, 0.0), (0.0, 1 / 3)]
)
MOST_VECTORS = 6
AROUND = np.array(list(product((-1, 0, 1), repeat=2)))  # a pixel and its neighbours


@dataclass(frozen=True, kw_only=True, eq=False)
class LatticeFit:
    """A lattice found in an image.

    Parameters
    ----------
    vectors : ndarray, shape (2, 2)
        The two shortest independent translations (y, x), px, as rows; the shorter first.
    height : float
        Autocorrelation at the shorter one, as a share of the highest peak.
    lasting : float
        Mean autocorrelation at the translations further out, as a share of that at the two vectors: about 1 in a
        crystal, about 0 where there is none.
    """

    vectors: NDArray[np.float64]
    height: float
    lasting: float

    @property
    def spacing(self) -> float:
        """Length of the shorter vector, px."""
        return float(np.hypot(*self.vectors[0]))


class Spectra(NamedTuple):
    """Summed power spectrum of the windows (FY, FX >= 0), the autocorrelation of the window function, and the sizes."""

    power: NDArray[np.float32]
    overlap: NDArray[np.float32]
    padded: tuple[int, int]


def mean_power(plane: NDArray[np.float64], parts: Sequence[tuple[slice, slice]]) -> Spectra | None:
    """The spectra of some windows of one size; None where they are constant."""
    shape = tuple(side.stop - side.start for side in parts[0])
    window, overlap, padded = _window(shape[0], shape[1])
    total = np.zeros((padded[0], padded[1] // 2 + 1), np.float32)
    scale = float(plane.std()) or 1.0
    for part in parts:
        values = ((plane[part] - plane[part].mean()) / scale).astype(np.float32)
        spectrum = fft.rfft2(values * window, padded)
        total += without_row_offsets(spectrum.real**2 + spectrum.imag**2)
    if not total.max() > 0:
        return None
    return Spectra(total, overlap, padded)


@lru_cache(8)
def _window(*shape: int) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[int, int]]:
    """A window function (Y, X), its autocorrelation, and the size to which both are padded."""
    padded = fft.next_fast_len(2 * shape[0], real=True), fft.next_fast_len(2 * shape[1], real=True)
    window = (np.hanning(shape[0])[:, None] * np.hanning(shape[1])).astype(np.float32)
    return window, _correlated(np.abs(fft.rfft2(window, padded)) ** 2, padded, min(shape) // 3), padded


def autocorrelation(spectra: Spectra, width: float) -> NDArray[np.float64]:
    """The unbiased autocorrelation of what is finer than ``width`` px, (2R + 1, 2R + 1), zero shift in the middle."""
    power, overlap, padded = spectra
    squares = [(f**2).astype(np.float32) for f in (fft.fftfreq(padded[0])[:, None], fft.rfftfreq(padded[1]))]
    bells = [[np.exp(-2 * np.pi**2 * sigma**2 * square) for square in squares] for sigma in (width, SMOOTHING)]
    coarse, fine = (vertical * horizontal for vertical, horizontal in bells)
    reach = overlap.shape[0] // 2
    correlation = (_correlated(power * ((1 - coarse) * fine) ** 2, padded, reach) / overlap).astype(np.float64)
    return np.asarray(correlation / correlation[reach, reach])


def _correlated(power: NDArray[np.float32], padded: tuple[int, int], reach: int) -> NDArray[np.float32]:
    """The correlation of a power spectrum (FY, FX >= 0) at shifts to ``reach`` px, (2R + 1, 2R + 1)."""
    shifts = np.arange(-reach, reach + 1)
    rows = fft.ifft(power, axis=0)[shifts]  # the other rows need no second transform
    return np.asarray(fft.irfft(rows, padded[1], axis=1)[:, shifts])


def best_pair(correlation: NDArray[np.float64]) -> LatticeFit | None:
    """The pair of strong peaks that predicts the others best; of near equals the pair of shorter vectors."""
    reach = correlation.shape[0] // 2
    places = np.argwhere((correlation == ndimage.maximum_filter(correlation, 3)) & (correlation > 0)) - reach
    upper = (places[:, 0] > 0) | ((places[:, 0] == 0) & (places[:, 1] > 0))  # the other half is the same
    inside = np.abs(places).max(axis=1) < 0.8 * reach
    places = places[upper & inside & (np.hypot(*places.T) > SHORTEST - 1)]
    if len(places) < 2:
        return None
    vectors, heights = _refined(correlation, places)
    top = float(heights.max())
    order = np.argsort(np.hypot(*vectors.T))
    short = vectors[order[heights[order] >= STRONG * top][:MOST_VECTORS]]
    fits: list[LatticeFit] = []
    tried: list[float] = []
    for first, second in combinations(short, 2):
        pair = _reduced(np.stack([first, second]))
        area = 0.0 if pair is None else abs(float(np.linalg.det(pair)))
        if pair is not None and not any(abs(area / other - 1) < 0.02 for other in tried):
            tried.append(area)
            pair = _fitted(correlation, pair)
            height = float(ndimage.map_coordinates(correlation, pair[:1].T + reach, order=1)[0]) / top
            fits.append(LatticeFit(vectors=pair, height=height, lasting=_lasting(correlation, pair)))
    likely = [fit for fit in fits if fit.lasting > 0.85 * max(f.lasting for f in fits) and fit.height > 0.9 * STRONG]
    return min(likely, key=lambda fit: abs(float(np.linalg.det(fit.vectors))), default=None)


def with_all(correlation: NDArray[np.float64], fit: LatticeFit) -> LatticeFit:
    """The lattice with all its strong translations: noise can hide the shortest one, not the mean of its repeats."""
    reach = correlation.shape[0] // 2
    spline = ndimage.spline_filter(correlation)

    def mean_height(pair: NDArray[np.float64], offset: NDArray[np.float64]) -> float:
        places = np.concatenate([_steps(3), -_steps(3)]) @ pair + offset
        places = places[np.abs(places).max(axis=1) < 0.8 * reach]
        return float(ndimage.map_coordinates(spline, places.T + reach, prefilter=False).mean()) if len(places) else 0.0

    pair = _fitted(correlation, fit.vectors)
    height = top = mean_height(pair, np.zeros(2))
    for _ in range(3):
        offsets = FRACTIONS @ pair
        heights = np.array([mean_height(pair, offset) for offset in offsets])
        # half of one vector belongs to the other one
        finer = [
            _reduced(np.stack([pair[1 if abs(m) > 0 else 0], offset]))
            for (m, _), offset in zip(FRACTIONS, offsets, strict=True)
        ]
        likely = [k for k in np.argsort(-heights) if heights[k] >= STRONG * top and finer[k] is not None]
        if not likely:
            break
        chosen = finer[likely[0]]
        assert chosen is not None
        pair, height = _fitted(correlation, chosen), float(heights[likely[0]])
    return LatticeFit(vectors=pair, height=height / top, lasting=_lasting(correlation, pair))


def _refined(
    correlation: NDArray[np.float64], places: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sub-pixel positions of peaks and their heights: a parabola through the neighbours on either axis."""
    reach = correlation.shape[0] // 2
    y, x = (places + reach).T
    here = correlation[y, x]
    shifts, height = [], here.copy()
    for before, after in (
        (correlation[y - 1, x], correlation[y + 1, x]),
        (correlation[y, x - 1], correlation[y, x + 1]),
    ):
        bend = np.minimum(before - 2 * here + after, -1e-12)
        shift = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
        shifts.append(shift)
        height = height - 0.25 * (before - after) * shift
    return places + np.stack(shifts, axis=1), height


def _reduced(pair: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The shortest basis of the same lattice (Gauss); None where the vectors are nearly parallel."""
    short, long = sorted(pair, key=lambda v: float(v @ v))
    for _ in range(20):
        if np.hypot(*short) < SHORTEST:
            return None
        long = long - np.rint((long @ short) / (short @ short)) * short
        if long @ long >= short @ short * 0.9801:  # nearly equal vectors would be swapped for ever
            break
        short, long = long, short
    if abs(short[0] * long[1] - short[1] * long[0]) < 0.25 * (short @ short):
        return None
    return np.stack([short, long])


def _fitted(correlation: NDArray[np.float64], pair: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit both vectors to the peaks that they predict, nearest first."""
    reach = correlation.shape[0] // 2
    for furthest in (1, 2, 3, 5):
        near = _steps(furthest)
        near = near[np.abs(near @ pair).max(axis=1) < 0.85 * reach - 3]
        if len(near) < 2:
            break
        places = np.rint(near @ pair).astype(int)
        for _ in range(2):  # climb to the maximum beside the expected place
            heights = correlation[tuple((places + AROUND[:, None] + reach).transpose(2, 0, 1))]
            places = places + AROUND[heights.argmax(axis=0)]
        found, heights = _refined(correlation, places)
        slack = max(1.0, 0.15 * float(np.hypot(*pair[0])))
        good = (heights > 0) & (np.hypot(*(found - near @ pair).T) < slack)
        if not _are_independent(near[good]):
            break
        pair = _least_squares(near[good], found[good], np.sqrt(heights[good]))
    return pair


def _least_squares(
    steps: NDArray[np.intp], found: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The two vectors (2, 2) whose multiples lie nearest to what was found.

    Where the lattice is seen only here and there the correlation falls with the shift, and all peaks lie nearer by the
    same length: that is fitted as well, if there are peaks at several distances.
    """
    distance = np.hypot(*found.T)
    terms = np.zeros((len(steps), 2, 5))  # of each place y and x; of each vector y and x, and the common length
    terms[:, 0, 0:4:2] = terms[:, 1, 1:4:2] = steps
    terms[:, :, 4] = found / distance[:, None]
    design = terms.reshape(-1, 5)
    if len(steps) < 6 or distance.max() < 1.5 * distance.min():
        design = design[:, :4]
    weight = np.repeat(weight, 2)
    return np.asarray(
        np.linalg.lstsq(design * weight[:, None], found.ravel() * weight, rcond=None)[0][:4].reshape(2, 2)
    )


def _are_independent(steps: NDArray[np.intp]) -> bool:
    """Whether some of the steps, none of which is zero, point in different directions."""
    return len(steps) > 1 and bool((steps[0, 0] * steps[:, 1] != steps[0, 1] * steps[:, 0]).any())


@cache
def _steps(furthest: int) -> NDArray[np.intp]:
    """Whole multiples (m, n) of the two vectors, of each opposite pair one."""
    return np.array([step for step in product(range(-furthest, furthest + 1), repeat=2) if step > (0, 0)])


def _lasting(correlation: NDArray[np.float64], pair: NDArray[np.float64]) -> float:
    """How well the surroundings of a translation repeat those of no shift at all: the slope of one on the other."""
    reach = correlation.shape[0] // 2
    radius = max(0.7 * float(np.hypot(*pair[0])), 4.0)
    side = int(np.ceil(radius))
    offsets = np.argwhere(np.ones((2 * side + 1,) * 2)) - side
    distance = np.hypot(*offsets.T)
    offsets = offsets[(distance <= radius) & (distance > NOISE_REACH)]
    centres = _steps(4) @ pair
    apart = np.hypot(*centres.T) > min(radius, 8) + NOISE_REACH  # the noise of near pixels would repeat itself
    centres = centres[(np.abs(centres).max(axis=1) < 0.95 * reach - side) & apart]
    offsets = offsets[:: max(len(offsets) // 500, 1)]
    if len(centres) < 2:
        return 0.0
    home = correlation[tuple(offsets.T + reach)]
    away = ndimage.map_coordinates(correlation, (centres[:, None] + offsets + reach).reshape(-1, 2).T, order=1)
    mean = away.reshape(len(centres), -1).mean(axis=0)
    home, mean = home - home.mean(), mean - mean.mean()
    return float(home @ mean / max(float(home @ home), 1e-30))
