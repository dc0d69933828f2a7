"""The average cell of a lattice: where in it columns stand, and how wide they are."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hush.atoms.lockin import REACH, STRIP, grid, interpolation, interpolation_at, lock_in
from napari_hush.atoms.superlattice import multiple_of
from napari_hush.filters.smoothing import gaussian
from napari_hush.threads import in_threads, strips

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_hush.atoms.autocorrelation import LatticeFit

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

BINS = 24  # of the average cell, along each lattice vector
SMOOTH = 1.0  # bins: the Gaussian over the average cell
CERTAIN = 3.0  # standard errors of the average cell by which a column rises above what is around it
FAINT = 0.01  # of the cell's range: a smaller rise is no column
APART = 0.22  # shorter lattice vectors between two columns of a cell
NARROW, WIDE = 0.08, 0.3  # standard deviations of a column, periods
HARMONICS = 2
MOST = 12  # columns of a cell
FURTHEST = 0.05  # of a translation: how far a column may be moved from the top that it was seen as
WITHIN = 0.7  # cycles between pixels from which the nearest site is looked for
FARTHEST = 6  # px between them
EDGE = 0.15  # px beside the edge of a pixel: a place there may be the neighbour's
LOW_PASS = 0.55  # periods: slower contrast is left out; this Gaussian lets 0.3 % of the lattice through


class Cell(NamedTuple):
    """The columns of a unit cell.

    Parameters
    ----------
    vectors : ndarray, shape (2, 2)
        Reciprocal vectors (y, x) as rows, cycles per px, whose spots are strong.
    sites : list of ndarray, shape (2,)
        The columns, in shares of the translations that belong to ``vectors``.
    sigmas : tuple of float
        Standard deviation of each of them, px.
    sign : int
        1 for bright columns, -1 for dark ones.
    multiple : int
        How many times longer the true translations are: columns differ from cell to cell, see `multiple_of`.
    """

    vectors: Floats
    sites: list[Floats]
    sigmas: tuple[float, ...]
    sign: int
    multiple: int = 1


def find_cell(plane: Floats, fit: LatticeFit, inside: Mask | None = None) -> Cell | None:
    """The columns that stand out of the average cell of a noisy image, or of a part of it, (Y, X); None if none do."""
    vectors = strong_vectors(plane, fit, inside)
    phases = lattice_phases(plane, vectors, fit.spacing, (0, 0))
    cell, error = _average_cell(plane, phases, inside)
    translations = np.asarray(np.linalg.inv(vectors).T, np.float64)
    middle = np.median(cell)
    sign = 1 if cell.max() - middle >= middle - cell.min() else -1
    found = _tops(sign * cell, max(CERTAIN * error, FAINT * float(np.ptp(cell))))
    kept: list[Floats] = []
    for one in found:
        apart = [(one - other + 0.5) % 1 - 0.5 for other in kept]
        if all(np.hypot(*(d @ translations)) >= APART * fit.spacing for d in apart):
            kept.append(one)
    if not 0 < len(kept) <= MOST:
        return None
    detail = sign * _average_cell(without_slow(plane, fit.spacing), phases, inside)[0]
    sigmas = _widths(detail, kept, translations, fit.spacing)
    kept = _moved(detail, kept, sigmas, translations, fit.spacing)
    sigmas = _widths(detail, kept, translations, fit.spacing)
    return Cell(vectors, kept, sigmas, sign, multiple_of(plane, phases, vectors, inside))


def places(
    image: NDArray[Any], sites: Sequence[tuple[float, float]], vectors: Floats, period: float, origin: tuple[int, int]
) -> list[tuple[Floats, NDArray[np.intp]]]:
    """Where the columns of the cell lie in all cells of an image.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Noisy.
    sites : sequence of (float, float)
        Columns of the cell, in shares of the translations that belong to ``vectors``.
    vectors : ndarray, shape (2, 2)
        Reciprocal vectors (y, x) as rows, cycles per px.
    period : float
        Of the lattice, px.
    origin : (int, int)
        Where the image begins in the plane, px.

    Returns
    -------
    list of (ndarray, shape (N, 2), and ndarray of int, shape (N, 2))
        For each site its places, px, and which cells they belong to.

    Notes
    -----
    A place is where the phases at the pixel that it lies on say. That pixel is found from pixels a few apart, whose
    phases tell it to less than a pixel.
    """
    translations = np.linalg.inv(vectors).T
    shape = (image.shape[0], image.shape[1])
    phases = _phases_at(image, vectors, period, origin)
    side = int(np.clip(WITHIN / np.abs(vectors).sum(axis=1).max(), 1, FARTHEST))
    rows, columns = (
        np.unique(np.clip([0, *(some - start), size - 1], 0, size - 1))
        for some, start, size in zip(grid(shape, side, origin), origin, shape, strict=True)
    )

    def look(site: tuple[float, float]) -> tuple[Floats, NDArray[np.intp]]:
        def nearest(pixels: NDArray[np.intp]) -> tuple[Floats, NDArray[np.intp]]:
            """The way from the nearest site to some pixels (2, N), and its cell."""
            wrapped = phases(*pixels) - np.reshape(site, (2, 1))
            cells = np.rint(wrapped)
            wrapped -= cells  # shares of the translations
            away = [wrapped[0] * first + wrapped[1] * second for first, second in translations.T]
            return np.stack(away), cells.astype(np.intp)

        pixels = np.stack([one.ravel() for one in np.meshgrid(rows, columns, indexing="ij")])
        away, _ = nearest(pixels)
        near = np.abs(away).max(axis=0) <= side / 2 + 2
        pixels, away = pixels[:, near], away[:, near]
        for _ in range(2):
            pixels = _pixels_of(pixels - away, shape)
            away, cells = nearest(pixels)
        here = np.abs(away).max(axis=0) <= 0.5
        return (pixels - away)[:, here].T, cells[:, here].T

    found = []
    for at, numbers in in_threads(look, sites):
        once = np.ones(len(at), bool)
        if len(at) > 1:  # at the edge of a pixel a site may be found twice
            once[cKDTree(at).query_pairs(1.0, output_type="ndarray")[:, 1]] = False
        found.append((np.ascontiguousarray(at[once]), numbers[once]))
    return found


def _pixels_of(places: Floats, shape: tuple[int, int]) -> NDArray[np.intp]:
    """The pixels (2, M) of an image on which some places (2, N) lie or nearly lie, row by row."""
    several = [np.rint(places + np.reshape(by, (2, 1))) for by in product((-EDGE, EDGE), repeat=2)]
    y, x = np.concatenate(several, axis=1).astype(np.intp)
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    numbers = np.sort(y[inside] * shape[1] + x[inside])
    return np.stack(np.divmod(numbers[np.diff(numbers, prepend=-1) > 0], shape[1]))


def without_slow(image: NDArray[Any], period: float) -> NDArray[Any]:
    """What is narrower than about half a period."""
    return gaussian(image, LOW_PASS * period, truncate=REACH, rest=True)


def lattice_phases(image: NDArray[Any], vectors: Floats, period: float, origin: tuple[int, int]) -> Floats:
    """The phase of each reciprocal vector at each pixel, cycles, (2, Y, X); whole numbers lie on lattice lines."""
    slow, at = _turns(image, vectors, period, origin)
    shape = (image.shape[0], image.shape[1])
    turns = [interpolation(part, at, shape, origin) for part in slow]
    y, x = (np.arange(size) + start for size, start in zip(image.shape, origin, strict=True))
    phases = np.empty((2, *shape))

    def fill(part: slice) -> None:
        for out, turn, g in zip(phases, turns, vectors, strict=True):
            out[part] = _phase(g, y[part, None], x, turn(part))

    in_threads(fill, strips(shape[0], STRIP))
    return phases


def _phases_at(
    image: NDArray[Any], vectors: Floats, period: float, origin: tuple[int, int]
) -> Callable[[NDArray[np.intp], NDArray[np.intp]], Floats]:
    """What gives the `lattice_phases` of single pixels, (2, N), by their rows and columns in the image."""
    slow, at = _turns(image, vectors, period, origin)
    turns = [interpolation_at(part, at, (image.shape[0], image.shape[1]), origin) for part in slow]

    def phases(y: NDArray[np.intp], x: NDArray[np.intp]) -> Floats:
        pairs = zip(vectors, turns, strict=True)
        return np.stack([_phase(g, y + origin[0], x + origin[1], turn(y, x)) for g, turn in pairs])

    return phases


def _turns(
    image: NDArray[Any], vectors: Floats, period: float, origin: tuple[int, int]
) -> tuple[NDArray[np.complex64], list[NDArray[np.integer]]]:
    """The phase of each reciprocal vector, less that of its wave, as a number of modulus 1, every few px; and where."""
    rows, columns = grid((image.shape[0], image.shape[1]), max(int(period / 6), 1), origin)
    slow = lock_in(image, vectors, period, rows=rows, columns=columns, origin=origin)  # (2, y, x)
    slow /= np.maximum(np.abs(slow), 1e-300)
    return slow.astype(np.complex64), [rows, columns]


def _phase(vector: Floats, y: NDArray[Any], x: NDArray[Any], turn: NDArray[np.complex64]) -> Floats:
    """Cycles at some pixels of the plane."""
    return np.asarray(vector[0] * y + vector[1] * x + np.angle(turn) * np.float32(0.5 / np.pi))


def strong_vectors(plane: Floats, fit: LatticeFit, inside: Mask | None = None) -> Floats:
    """Two reciprocal vectors (2, 2) that span the lattice, of which the weaker spot is as strong as can be."""
    basis = np.linalg.inv(fit.vectors).T  # rows are reciprocal vectors
    numbers = [
        pair
        for pair in product(range(-HARMONICS, HARMONICS + 1), repeat=2)
        if pair > (0, 0) and np.hypot(*(np.array(pair) @ basis)) < 0.4
    ]
    step = max(int(fit.spacing / 2), 1)
    rows, columns = (np.arange(0, size, step) for size in plane.shape)
    spots = np.array([np.array(pair) @ basis for pair in numbers])
    power = np.abs(lock_in(plane, spots, fit.spacing, rows=rows, columns=columns)) ** 2
    here = None if inside is None else inside[::step, ::step]
    strength = power.mean(axis=(1, 2)) if here is None or not here.any() else power[:, here].mean(axis=1)
    order = np.argsort(-strength)
    for weaker in range(1, len(order)):
        for stronger in range(weaker):
            a, b = numbers[order[stronger]], numbers[order[weaker]]
            if abs(a[0] * b[1] - a[1] * b[0]) == 1:
                return np.asarray(spots[[order[stronger], order[weaker]]])
    return np.asarray(basis)


def _average_cell(values: Floats, phases: Floats, inside: Mask | None = None) -> tuple[Floats, float]:
    """The mean over all cells, (BINS, BINS), and its standard error: half the difference of two halves of the cells."""
    index = np.mod(np.rint(phases * BINS).astype(np.intp), BINS)
    flat = index[0] * BINS + index[1]
    board = np.floor(phases + 0.5).astype(np.intp).sum(axis=0) % 2 == 0
    halves = []
    for half in (board, ~board) if inside is None else (board & inside, ~board & inside):
        count = np.bincount(flat[half], minlength=BINS**2).reshape(BINS, BINS).astype(np.float64)
        total = np.bincount(flat[half], values[half], minlength=BINS**2).reshape(BINS, BINS)
        smooth: list[Floats] = [ndimage.gaussian_filter(part, SMOOTH, mode="wrap") for part in (total, count)]
        halves.append(smooth[0] / np.maximum(smooth[1], 1e-9))
    difference = np.abs(halves[0] - halves[1])  # largest on the flanks of columns, which jitter
    return np.asarray((halves[0] + halves[1]) / 2, np.float64), float(1.4826 * np.median(difference) / 2)


def _tops(cell: Floats, least: float) -> list[NDArray[np.float64]]:
    """Maxima of a periodic cell that rise by ``least`` above the way to any higher one, in shares, highest first."""
    size = len(cell)
    order = np.argsort(-cell, axis=None)
    owner = np.full(cell.size, -1)
    peaks: list[int] = []
    alive: dict[int, float] = {}
    for place in order:
        k = int(place)
        i, j = divmod(k, size)
        level = float(cell[i, j])
        around = [((i + di) % size) * size + (j + dj) % size for di in (-1, 0, 1) for dj in (-1, 0, 1) if di or dj]
        found = sorted({int(owner[n]) for n in around if owner[n] >= 0}, key=lambda top: -cell.flat[top])
        if not found:
            owner[k], alive[k] = k, level
            peaks.append(k)
            continue
        owner[k] = found[0]
        for lower in found[1:]:  # two hills meet: the lower one has risen so far
            if alive.pop(lower) - level < least:
                peaks.remove(lower)
            owner[owner == lower] = found[0]
    tops = []
    for top in peaks:
        i, j = divmod(top, size)
        near = cell[np.ix_(np.arange(i - 1, i + 2) % size, np.arange(j - 1, j + 2) % size)]
        tops.append(np.array([i + _vertex(near[:, 1]), j + _vertex(near[1])]) / size)
    return tops


def _widths(cell: Floats, sites: list[NDArray[np.float64]], translations: Floats, period: float) -> tuple[float, ...]:
    """The standard deviations of the columns, px, that fit a cell without its slow part best; one after the other."""
    choices = np.linspace(NARROW, WIDE, 23) * period
    squares = [_squares(translations, one) for one in sites]
    drawn = [[_bell(square, sigma, period).ravel() for sigma in choices] for square in squares]
    found = [10] * len(sites)  # 0.18 periods
    between = np.zeros(len(sites))

    def error() -> float:
        design = np.stack([*(drawn[k][n] for k, n in enumerate(found)), np.ones(cell.size)], axis=1)
        fit, *_ = np.linalg.lstsq(design, cell.ravel(), rcond=None)
        return float(((design @ fit - cell.ravel()) ** 2).sum())

    for _ in range(2):
        for k in range(len(sites)):
            errors = []
            for n in range(len(choices)):
                found[k] = n
                errors.append(error())
            found[k] = n = int(np.argmin(errors))
            between[k] = _vertex(-np.array(errors[n - 1 : n + 2])) if 0 < n < len(choices) - 1 else 0.0
    return tuple(float(choices[n] + part * (choices[1] - choices[0])) for n, part in zip(found, between, strict=True))


def _moved(
    cell: Floats, sites: list[Floats], sigmas: tuple[float, ...], translations: Floats, period: float
) -> list[Floats]:
    """The columns where they fit a cell without its slow part best: noise moves a top, a flank tilts it."""
    count = len(sites)
    steps = 0.01 * np.eye(2)
    now = [np.asarray(one) for one in sites]
    for _ in range(2):
        drawn = [_column(translations, at, s, period).ravel() for at, s in zip(now, sigmas, strict=True)]
        slopes = [
            (_column(translations, at + step, s, period) - _column(translations, at - step, s, period)).ravel() / 0.02
            for at, s in zip(now, sigmas, strict=True)
            for step in steps
        ]
        fit, *_ = np.linalg.lstsq(np.stack([*drawn, *slopes, np.ones(cell.size)], axis=1), cell.ravel(), rcond=None)
        heights, turns = fit[:count], fit[count:-1].reshape(count, 2)
        by = np.where(heights[:, None] > 0, turns / np.maximum(heights, 1e-300)[:, None], 0.0)
        now = [at + step for at, step in zip(now, by, strict=True)]
        now = [top + np.clip(at - top, -FURTHEST, FURTHEST) for at, top in zip(now, sites, strict=True)]
    return now


def _column(translations: Floats, site: Floats, sigma: float, period: float) -> Floats:
    """One column in each cell as the average cell shows it, without its slow part, (BINS, BINS)."""
    return _bell(_squares(translations, site), sigma, period)


def _bell(square: Floats, sigma: float, period: float) -> Floats:
    """The same of the squared distances from the site."""
    slow = (LOW_PASS * period) ** 2
    share = sigma**2 / (sigma**2 + slow)
    column = (np.exp(-0.5 * square / sigma**2) - share * np.exp(-0.5 * square / (sigma**2 + slow))).sum(axis=0)
    return np.asarray(ndimage.gaussian_filter(column, SMOOTH, mode="wrap"))


def _squares(translations: Floats, site: Floats) -> Floats:
    """Squared distances from a site in the cell and in those around it, px², (cells, BINS, BINS)."""
    shares = np.stack(np.meshgrid(*(np.arange(BINS) / BINS,) * 2, indexing="ij"), axis=-1)
    apart = (shares - site + 0.5) % 1 - 0.5
    cells = product(range(-3, 4), repeat=2)
    return np.stack([(((apart + np.array(cell)) @ translations) ** 2).sum(axis=-1) for cell in cells])


def _vertex(three: Floats) -> float:
    """Where the parabola through three neighbours has its top, in steps from the middle."""
    curve = three[0] - 2 * three[1] + three[2]
    return float(np.clip(0.5 * (three[0] - three[2]) / curve, -0.5, 0.5)) if curve < 0 else 0.0
