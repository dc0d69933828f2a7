"""The lattice vectors of a small crop of a crystal, to a few thousandths of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.synthesis.dents.published_mask import checked_image
from napari_hush.synthesis.lattices.unit_cell import Fit, frequencies, orders

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_FINENESS = 7.0  # cycles per cell edge that steer the refinement


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitLattice:
    """The lattice of a crop.

    Parameters
    ----------
    vectors : ndarray, shape (2, 2)
        The two shortest lattice vectors as rows (y, x), px, shortest first; among equals the first is the one nearest
        to X. From it to the second the turn goes from X towards Y, by 60 to 120 degrees.
    residual : float
        Root mean square of what is not periodic in the crop, relative to the crop's standard deviation.
    """

    vectors: NDArray[np.float64]
    residual: float

    @property
    def periods(self) -> tuple[float, float]:
        """Lengths of the two vectors, px."""
        first, second = np.hypot(*self.vectors.T)
        return float(first), float(second)

    @property
    def angles(self) -> tuple[float, float]:
        """Directions of the two vectors, degrees from X towards Y."""
        first, second = np.rad2deg(np.arctan2(*self.vectors.T))
        return float(first), float(second)


def measure_lattice(crop: ArrayLike) -> UnitLattice:
    """Find the two shortest lattice vectors of a unit crop, to a few thousandths of a pixel.

    Peaks of the overlap-normalised autocorrelation give a first guess. Then vectors and Fourier coefficients of the
    cell are fitted together to all pixels (Gauss-Newton on the variable projection), from the middle of the crop
    outwards. Sublattices are told apart by whether a larger cell fits clearly better. On a crop without noise only
    columns narrower than the pixels can resolve (sigma under 0.8 px) cost more than 0.003 px; noise costs what
    statistics demand, less in larger crops.

    Parameters
    ----------
    crop : array_like, shape (Y, X)
        A clean, synthetic or averaged crop that holds at least two periods in each direction, of any real type.

    Returns
    -------
    UnitLattice
        The lattice vectors.

    Raises
    ------
    InputError
        If the crop is no finite real (Y, X) array, is constant, has no lattice, or holds too few periods.

    References
    ----------
    Variable projection: G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10, 413 (1973),
    https://doi.org/10.1137/0710036

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> crop = render_lattice(Lattice(period=12.37, angle=11.0), (40, 40), 0).image
    >>> [round(length, 2) for length in measure_lattice(crop).periods]
    [12.37, 12.37]
    """
    values = checked_image(crop, name="crop")
    if min(values.shape) < 5:  # two periods of the shortest that pixels can show
        raise _no_lattice(values)
    values = (values - values.mean()) / values.std()
    guess = vectors = _first_guess(values)
    side = 3 * float(np.hypot(*vectors.T).max())
    while side < 0.7 * max(values.shape):  # a wider view, once the phase is safe over the narrower one
        vectors, _ = _refine(_middle(values, side), vectors, 2.5)
        side *= 2
    vectors, _ = _refine(values, vectors, 2.5)
    vectors, _ = _refine(values, vectors, _FINENESS)
    lost = np.abs(vectors - guess).max() > 0.15 * np.hypot(*guess.T).min()
    vectors, error = _refine(values, _true_cell(values, vectors), _FINENESS)
    count = len(orders(vectors, _FINENESS))
    # In noise each coefficient explains what each pixel holds; a lattice explains several times more.
    if lost or (1 - error) * (values.size - count) < 3 * error * count:
        raise _no_lattice(values)
    return UnitLattice(vectors=_shortest(vectors), residual=float(np.sqrt(error)))


def _first_guess(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two shortest shifts, to a fraction of a pixel, by which a standardised image repeats itself best."""
    from scipy import signal  # slow to load

    height, width = image.shape
    ones = np.ones_like(image)
    slopes = np.linalg.eigvalsh(np.cov([slope.ravel() for slope in np.gradient(image)]))
    if slopes[0] < 1e-3 * slopes[1]:  # stripes: no second direction
        raise _no_lattice(image)

    def correlate(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(signal.correlate(a, b, method="fft"))

    count = np.maximum(np.rint(correlate(ones, ones)), 1)
    mean, power = correlate(image, ones) / count, correlate(image**2, ones) / count  # of the part that overlaps
    other, other_power = mean[::-1, ::-1], power[::-1, ::-1]
    spread = np.sqrt(np.maximum(power - mean**2, 1e-6) * np.maximum(other_power - other**2, 1e-6))
    repeat = (correlate(image, image) / count - mean * other) / spread
    repeat[count < 0.38 * image.size] = -1  # two periods in each direction overlap by more than 0.4

    peaks = np.argwhere((repeat == ndimage.maximum_filter(repeat, 3)) & (repeat > 0))
    peaks = peaks[np.all((peaks > 0) & (peaks < np.array(repeat.shape) - 1), axis=1)]
    shifts, heights = peaks - np.array([height - 1.0, width - 1.0]), repeat[tuple(peaks.T)]
    for axis in (0, 1):
        step = np.eye(2, dtype=int)[axis]
        before, after = repeat[tuple((peaks - step).T)], repeat[tuple((peaks + step).T)]
        bend = np.minimum(before + after - 2 * repeat[tuple(peaks.T)], -1e-9)
        offset = np.clip((before - after) / (2 * bend), -0.5, 0.5)
        shifts[:, axis] += offset
        heights = heights - 0.5 * bend * offset**2
    away = np.hypot(*shifts.T) > 1.5
    strong = away & (heights > 0.7 * min(float(heights[away].max(initial=0)), 1.0)) & (heights > 0.2)
    candidates = sorted(shifts[strong].tolist(), key=lambda s: (round(float(np.hypot(*s)), 1), s))
    for second in candidates[1:]:
        pair = np.array([candidates[0], second])
        if abs(np.linalg.det(pair)) > 0.3 * np.prod(np.hypot(*pair.T)):
            return pair
    raise _no_lattice(image)


def _no_lattice(crop: NDArray[np.float64]) -> InputError:
    return InputError(
        f"no lattice found in the crop of {crop.shape[0]} x {crop.shape[1]} px; cut out a clean region with at least "
        "two periods in each direction, or pass the lattice vectors"
    )


def _middle(image: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    sizes = [min(n, int(side)) for n in image.shape]
    return image[tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(image.shape, sizes, strict=True))]


def _refine(
    image: NDArray[np.float64], vectors: NDArray[np.float64], finest: float
) -> tuple[NDArray[np.float64], float]:
    """Improve lattice vectors by Gauss-Newton steps; also return the mean square that stays unexplained."""
    harmonics = orders(vectors, finest)
    middle = (np.array(image.shape) - 1) / 2
    y, x = np.arange(image.shape[0])[:, None] - middle[0], np.arange(image.shape[1]) - middle[1]
    reciprocal = np.linalg.inv(vectors).T
    best = (vectors, np.inf)
    for _ in range(12):
        fit = Fit(image.shape, harmonics @ reciprocal, middle)
        coefficients = fit.solve(image)
        rest = image - fit.evaluate(coefficients)
        error = float(np.mean(rest**2))
        if not error < best[1] * (1 - 1e-9):
            break
        best = (np.linalg.inv(reciprocal).T, error)
        along = [fit.evaluate(2j * np.pi * h * coefficients) for h in harmonics.T]
        slopes = [axis * wave for wave in along for axis in (y, x)]  # by each element of the reciprocal vectors
        free = np.stack([(s - fit.evaluate(fit.solve(s))).ravel() for s in slopes], axis=1)
        step = np.linalg.lstsq(free, rest.ravel())[0].reshape(2, 2)
        if np.abs(step).max() > 0.2 * np.hypot(*reciprocal.T).min():
            break  # too far for a linear step: the crop does not hold this lattice
        reciprocal = reciprocal + step
    return best


def _true_cell(image: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take a smaller cell if it fits about as well, a larger one if it fits clearly better."""
    image = _middle(image, 8 * float(np.hypot(*vectors.T).max()))
    density = 4.5 / np.sqrt(abs(np.linalg.det(vectors)))

    def unexplained(cell: NDArray[np.float64]) -> float:
        harmonics = orders(cell, density * np.sqrt(abs(np.linalg.det(cell))))  # the same fineness in px for all
        middle = (np.array(image.shape) - 1) / 2
        fit = Fit(image.shape, frequencies(harmonics, cell), middle)
        rest = image - fit.evaluate(fit.solve(image))
        return 1e-6 + float(np.sum(rest**2)) / (image.size - len(harmonics))

    steps = [np.array([(n // d, b), (0, d)]) for n in (2, 3) for d in (1, n) for b in range(d)]
    error = unexplained(vectors)
    while True:
        smaller = [c for c in (np.linalg.inv(m.T) @ vectors for m in steps) if abs(np.linalg.det(c)) > 6]
        tried = [(unexplained(cell), k) for k, cell in enumerate(smaller)]
        if not tried or min(tried)[0] > 1.15 * error or 1 - min(tried)[0] < 0.9 * (1 - error):
            break
        error, vectors = min(tried)[0], smaller[min(tried)[1]]
    while True:
        larger = [c for c in (m @ vectors for m in steps) if image.size > 3.5 * abs(np.linalg.det(c))]
        tried = [(unexplained(cell), k) for k, cell in enumerate(larger)]
        if not tried or min(tried)[0] > 0.8 * error:
            return vectors
        error, vectors = min(tried)[0], larger[min(tried)[1]]


def _shortest(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce a basis to its two shortest vectors (Gauss), in one fixed order and direction."""
    first, second = sorted(vectors, key=lambda v: float(v @ v))
    while True:
        second = second - np.rint(first @ second / (first @ first)) * first
        if second @ second >= first @ first * (1 - 1e-3):
            break
        first, second = second, first
    around = [i * first + j * second for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    shortest = [v for v in around if v @ v < first @ first * (1 + 2e-3)]
    first = min(shortest, key=lambda v: abs(float(np.arctan2(v[0], v[1])) - 1e-3))
    ahead = [v for v in around if first[1] * v[0] - first[0] * v[1] > 1e-3 * (first @ first)]
    second = min(ahead, key=lambda v: (round(float(v @ v) / float(first @ first), 2), -float(first @ v)))
    return np.array([first, second])
