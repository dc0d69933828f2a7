"""What an instrument would have recorded of a denoised image: its scan and its blur are fitted, so that noise remains.

A noisy scan differs from a perfect denoised image by more than noise: rows start at wrong places or have their own
zero level, a detector drags the image along X. None of that is an error of the denoiser.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage, optimize

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TAPS = [(0, x) for x in range(-4, 5)] + [(y, x) for y in (-1, 1) for x in (-1, 0, 1)]
JITTER = 0.05  # expected rms of the rows' shifts, spacings
FURTHEST = 0.3  # a row is never taken to be further off, spacings
BLOCKS = 16  # a row's level is the median of so many means: a dent does not count
CUT = 4.5  # standard deviations at which one pixel's residual is cut: spikes are single pixels
PADDING = 32
STRIP = 16
PIECE = 1024  # px: longer ones a linear algebra library shares among threads, which costs more than it brings


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """A denoised image as the instrument would have recorded it, and the noise on top.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        The expected recording: rows shifted, blurred, on their own level.
    shifted : ndarray, shape (Y, X)
        The denoised image with its rows shifted, nothing else.
    levels : ndarray, shape (Y, 1)
        What each row of the input lies above the output.
    variance : ndarray, shape (Y, X)
        Of the noise at each pixel, from its brightness.
    difference : ndarray, shape (Y, X)
        Input minus ``image``, 0 where not usable.
    residual : ndarray, shape (Y, X)
        The same, cut at 4.5 standard deviations.
    usable : ndarray of bool, shape (Y, X)
        Finite in both images, and no repeated scan line.
    plain : Rows
        Where the rows are as long as no blur is fitted.
    shifts : ndarray, shape (Y,)
        Of the rows along X, px.
    shift_variance : ndarray, shape (Y,)
        What the noise leaves unknown of them, px².
    lag : float
        Share of the pixel before that the detector keeps, from the noise's correlation along X, 0 to 0.9.
    count : float
        Brightness that one count adds, as far as the noise grows with the brightness; 0 where it does not.
    """

    image: Floats
    shifted: Floats
    levels: Floats
    variance: Floats
    difference: Floats
    residual: Floats
    usable: NDArray[np.bool_]
    plain: Rows
    shifts: Floats
    shift_variance: Floats
    lag: float
    count: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """A denoised image with its rows where the scan has them.

    Parameters
    ----------
    shifted : ndarray, shape (Y, X)
        The image.
    shifts, variance : ndarray, shape (Y,)
        Of the rows along X, px, and what the noise leaves unknown of them, px².
    falls : ndarray, shape (Y,)
        How far along Y beyond its own place each row was scanned, px.
    """

    shifted: Floats
    shifts: Floats
    variance: Floats
    falls: Floats


def record(output: Floats, noisy: Floats, usable: NDArray[np.bool_], spacing: float | None) -> Recorded:
    """Fit what the instrument did to a denoised image.

    Parameters
    ----------
    output, noisy : ndarray, shape (Y, X)
        Denoised and as measured; finite.
    usable : ndarray of bool, shape (Y, X)
        Pixels that count.
    spacing : float or None
        Lattice period, px. Without a lattice rows are not shifted.

    Returns
    -------
    Recorded
        The fit.

    Notes
    -----
    Three things are fitted in turn, weighted by the noise: shifts of each row along X and, to second order, along Y
    (Gauss-Newton, with a prior of 0.05 periods rms), one small kernel for all (nine pixels along X, three along Y: lag,
    blur, gain), and a level for each row. So an error that is the same at all columns, or in a whole row, is not seen
    in the residual.
    """
    scan = _Scan(output, noisy, usable & ~_repeated(noisy)[:, None], spacing)
    first = rows = scan.begun()
    kernel, levels, variance = None, scan.levels, scan.alike
    for again in (False, True):
        if again:
            rows = scan.placed(rows, kernel, levels, variance)
        kernel = _kernel(rows.shifted, noisy - levels, scan.usable / variance)
        image = _blurred(rows.shifted, kernel)
        levels = _levels(noisy - image, output)
        image += levels
        variance, count = _variance(noisy - image, image, scan.usable)
    deviation = np.sqrt(variance)
    difference = np.where(scan.usable, noisy - image, 0)
    residual = np.clip(difference, -CUT * deviation, CUT * deviation)
    lag = _lag(residual / deviation)
    return Recorded(
        image=image,
        shifted=rows.shifted,
        levels=levels,
        variance=variance,
        difference=difference,
        residual=residual,
        usable=scan.usable,
        plain=scan.plain(first),
        shifts=rows.shifts,
        shift_variance=rows.variance,
        lag=lag,
        count=count * (1 + lag) / (1 - lag),
    )


def place_rows(output: Floats, noisy: Floats, usable: NDArray[np.bool_], spacing: float) -> Rows:
    """Only shift the rows of a denoised image; a blur stays in the residual. Arguments as of `record`."""
    scan = _Scan(output, noisy, usable & ~_repeated(noisy)[:, None], spacing)
    return scan.plain(scan.begun())


def move_rows(image: Floats, rows: Rows) -> Floats:
    """An image (Y, X) with its rows where those of another one were placed."""
    return along(rows)(fallen(image, rows.falls))


def fallen(image: Floats, falls: Floats) -> Floats:
    """An image (Y, X) whose rows were scanned so many px (Y,) farther down, to second order."""
    slope = np.gradient(image, axis=0)
    return np.asarray(image + falls[:, None] * (slope + falls[:, None] * (0.5 * np.gradient(slope, axis=0))))


def along(rows: Rows) -> Callable[[Floats], Floats]:
    """What moves the rows of images of one size along X to where those of another one were placed."""
    width = rows.shifted.shape[1]
    turns = _turns(rows.shifts, _length(width))
    return lambda image: _back(_spectrum(image) * turns, width)


class _Movable:
    """An image whose rows can be moved along X, and to second order along Y, by the spectra of its rows."""

    def __init__(self, image: Floats) -> None:
        slope = np.gradient(image, axis=0)
        self.width = image.shape[1]
        self.spectra = [_spectrum(part) for part in (image, slope, 0.5 * np.gradient(slope, axis=0))]

    def fallen(self, falls: Floats) -> NDArray[np.complex128]:
        """The image with its rows (Y,) scanned so many px farther down."""
        plain, slope, bend = self.spectra
        return plain + falls[:, None] * (slope + falls[:, None] * bend) if falls.any() else plain

    def falling(self, falls: Floats) -> NDArray[np.complex128]:
        """How that changes with ``falls``."""
        _, slope, bend = self.spectra
        return np.asarray(slope + 2 * falls[:, None] * bend)

    def turns(self, shifts: Floats) -> NDArray[np.complex128]:
        """What moves the rows (Y,) by so many px along X."""
        return _turns(shifts, _length(self.width))

    def moved(self, spectrum: NDArray[np.complex128], turns: NDArray[np.complex128]) -> Floats:
        """The image of a spectrum, its rows moved."""
        return _back(spectrum * turns, self.width)


class _Scan:
    """The rows of a denoised image, to be moved to where those of the noisy one are."""

    def __init__(self, output: Floats, noisy: Floats, usable: NDArray[np.bool_], spacing: float | None) -> None:
        self.output, self.noisy, self.usable, self.spacing = output, noisy, usable, spacing
        self.alike: Floats = np.full(noisy.shape, max(float(np.var(noisy - output)), 1e-30))
        self.levels = _levels(noisy - output, output)
        self.movable = _Movable(output)

    def begun(self) -> Rows:
        """The rows as noise that is alike everywhere places them."""
        still = np.zeros(len(self.noisy))
        rows = Rows(shifted=self.output, shifts=still, variance=still, falls=still)
        return self.placed(rows, None, self.levels, self.alike)

    def plain(self, first: Rows) -> Rows:
        """The rows placed once more, by noise that depends on the brightness."""
        if self.spacing is None:
            return first
        levels = _levels(self.noisy - first.shifted, self.output)
        image = first.shifted + levels
        return self.placed(first, None, levels, _variance(self.noisy - image, image, self.usable)[0])

    def placed(self, rows: Rows, kernel: Floats | None, levels: Floats, variance: Floats) -> Rows:
        """Move the rows by a few steps of Gauss and Newton."""
        if self.spacing is None:
            return rows
        weight = self.usable / variance
        prior = 1 / (JITTER * self.spacing) ** 2
        most = FURTHEST * self.spacing
        fallen = self.movable.fallen(rows.falls)
        for _ in range(3):
            expected = (rows.shifted if kernel is None else _blurred(rows.shifted, kernel)) + levels
            slope = -np.gradient(expected, axis=1)  # with the shift
            weighted = weight * slope
            normal = np.einsum("yx,yx->y", weighted, slope) + prior
            right = np.einsum("yx,yx->y", weighted, self.noisy - expected) - rows.shifts * prior
            shifts = np.clip(rows.shifts + right / normal, -most, most)
            turns = self.movable.turns(shifts)
            rows = Rows(shifted=self.movable.moved(fallen, turns), shifts=shifts, variance=1 / normal, falls=rows.falls)
        expected = (rows.shifted if kernel is None else _blurred(rows.shifted, kernel)) + levels
        slope = self.movable.moved(self.movable.falling(rows.falls), turns)
        weighted = weight * slope
        step = np.einsum("yx,yx->y", weighted, self.noisy - expected) - rows.falls * prior
        step /= np.einsum("yx,yx->y", weighted, slope) + prior
        falls = np.clip(rows.falls + step, -most / 3, most / 3)
        shifted = self.movable.moved(self.movable.fallen(falls), turns)
        return Rows(shifted=shifted, shifts=rows.shifts, variance=rows.variance, falls=falls)


def _length(width: int) -> int:
    """Of rows of so many px, with what is added at their ends."""
    return int(fft.next_fast_len(width + 2 * PADDING, real=True))


def _spectrum(image: Floats) -> NDArray[np.complex128]:
    """Of the rows of an image (Y, X), which go on mirrored: (Y, length // 2 + 1)."""
    padded = np.pad(image, ((0, 0), (PADDING, PADDING)), mode="symmetric")
    return np.asarray(fft.rfft(padded, _length(image.shape[1]), axis=1))


def _back(spectrum: NDArray[np.complex128], width: int) -> Floats:
    """The rows (Y, width) of a spectrum."""
    return np.asarray(fft.irfft(spectrum, _length(width), axis=1)[:, PADDING : PADDING + width])


def _turns(shifts: Floats, length: int) -> NDArray[np.complex128]:
    """What moves rows (Y,) by their shifts, in the Fourier plane of rows of this length: (Y, length // 2 + 1)."""
    step = 32  # a power is the product of a coarse and a fine one: a complex exponential takes much longer
    count = length // 2 + 1
    coarse, fine = (
        np.exp(-2j * np.pi / length * shifts[:, None] * powers)
        for powers in (step * np.arange(-(-count // step)), np.arange(step))
    )
    return np.asarray((coarse[:, :, None] * fine[:, None]).reshape(len(shifts), -1)[:, :count])


def dragged(image: Floats, lag: float) -> Floats:
    """An image (Y, X) after a detector that keeps a part ``lag`` of the pixel before."""
    columns = (1 - lag) * np.asarray(image, np.float64).T  # (X, Y): each is one piece of memory
    columns[0] += lag * image[:, 0]
    for before, column in pairwise(columns):
        column += lag * before
    return np.ascontiguousarray(columns.T)


def neighbour_correlation(residual: Floats, axis: int) -> float:
    """Correlation of neighbouring pixels along an axis; NaN for a constant."""
    values = np.moveaxis(residual - residual.mean(), axis, 0)
    power = float((values**2).mean())
    return float((values[1:] * values[:-1]).mean()) / power if power > 0 else float("nan")


def _lag(noise: Floats) -> float:
    """An afterglow's share: of white noise on top the correlations c s and c² s of neighbours along X remain."""
    first = neighbour_correlation(noise, 1) - max(neighbour_correlation(noise, 0), 0)
    if not first > 0.05:
        return max(first, 0.0)
    second = float((noise[:, 2:] * noise[:, :-2]).mean() / max(float((noise**2).mean()), 1e-30))
    surely = second - 3 / np.sqrt(noise.size)
    return float(np.clip(surely / first, first, min(2.5 * first, 0.9)))


def _repeated(noisy: Floats) -> NDArray[np.bool_]:
    """Scan lines that were lost and show the line before."""
    same = np.zeros(len(noisy), dtype=bool)
    same[1:] = (noisy[1:] == noisy[:-1]).all(axis=1)
    return same if same.mean() < 0.2 else np.zeros_like(same)


def _levels(difference: Floats, output: Floats) -> Floats:
    """Medians of each row, (Y, 1), without what follows the output's own rows: that would be an error of its slope."""
    blocks = np.array_split(difference, min(BLOCKS, max(difference.shape[1] // 8, 1)), axis=1)
    levels = np.median([block.mean(axis=1) for block in blocks], axis=0)
    rows = output.mean(axis=1) - output.mean()
    levels = levels - (levels @ rows) / max(float(rows @ rows), 1e-30) * rows
    return np.asarray(levels[:, None])


def _blurred(image: Floats, kernel: Floats) -> Floats:
    square = np.zeros((3, 9))
    for value, (y, x) in zip(kernel, TAPS, strict=True):
        square[1 + y, 4 + x] = value
    return np.asarray(ndimage.convolve(image, square, mode="nearest"))


def _kernel(image: Floats, target: Floats, weight: Floats) -> Floats:
    """Weighted least squares for the taps and a constant, which is left to the levels."""
    size, width = len(TAPS) + 1, image.shape[1]
    padded = np.pad(image - float(image.mean()), ((1, 1), (4, 4)), mode="edge")
    total = np.zeros((size + 1, size + 1))
    parts = np.empty((size + 1, STRIP, width))
    for first in range(0, len(image), STRIP):
        last = min(first + STRIP, len(image))
        root = np.sqrt(weight[first:last])
        for k, (y, x) in enumerate(TAPS):
            parts[k, : len(root)] = padded[1 + first - y : 1 + last - y, 4 - x : 4 - x + width] * root
        parts[-2, : len(root)], parts[-1, : len(root)] = root, target[first:last] * root
        flat = parts[:, : len(root)].reshape(size + 1, -1)
        for start in range(0, flat.shape[1], PIECE):
            piece = flat[:, start : start + PIECE]
            total += piece @ piece.T
    normal, right = total[:-1, :-1], total[:-1, -1]
    # a flat image says nothing about its blur: what is not known stays 0
    ridge = 1e-9 * np.trace(normal[:-1, :-1]) / len(TAPS) + 1e-12 * normal[-1, -1]
    identity = np.array([float(t == (0, 0)) for t in TAPS])
    right[:-1] += ridge * identity
    normal[np.arange(size - 1), np.arange(size - 1)] += ridge
    return np.asarray(np.linalg.solve(normal, right)[:-1])


def _variance(difference: Floats, image: Floats, usable: NDArray[np.bool_]) -> tuple[Floats, float]:
    """The noise's variance, a rising or falling linear function of the brightness, and its slope."""
    low, high = np.percentile(image[usable], [0.5, 99.5])
    span = max(float(high - low), 1e-12)
    bright = np.clip((image - low) / span, 0, 1)
    known, squares = bright[usable], difference[usable] ** 2
    edges = np.quantile(known, np.linspace(0, 1, 21)[1:-1])
    bins = np.searchsorted(edges, known)
    counts = np.bincount(bins, minlength=20)
    filled = counts > 0

    def means(values: Floats) -> Floats:
        return np.bincount(bins, values, minlength=20) / np.maximum(counts, 1)

    levels = means(known)[filled]
    powers = means(np.minimum(squares, 16 * means(squares)[bins]))[filled]
    design = np.stack([levels, 1 - levels], axis=1)
    model = np.full(len(powers), max(float(np.mean(powers)), 1e-30))
    for _ in range(3):  # weights from the fit: the measured powers themselves would favour low ones
        found = optimize.nnls(design / model[:, None], powers / model)[0]
        model = np.maximum(design @ found, 0.02 * model.max() + 1e-30)
    bright = np.maximum(bright, 0.03)  # where hardly anything was counted the variance is a guess
    variance = np.maximum(found[0] * bright + found[1] * (1 - bright), (1e-4 * span) ** 2 + 1e-30)
    return variance, max(float(found[0] - found[1]) / span, 0.0)
