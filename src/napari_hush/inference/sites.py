"""Columns that a network took away come back, each with its own height in the noisy image.

Which columns there are is read off the average cell of the noisy image, in which even a faint sublattice is plain. An
average must not be added, it would fill vacancies: what comes back is the height of each single site.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree

from napari_hush.atoms.lockin import REACH, grid, interpolated, lock_in
from napari_hush.atoms.spacing import find_lattice
from napari_hush.inference.planes import middle_part
from napari_hush.smoothing import gaussian
from napari_hush.synthesis.lattices.lattice import render_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hush.atoms.autocorrelation import LatticeFit

    Floats = NDArray[np.float64]

BINS = 24  # of the average cell, along each lattice vector
CERTAIN = 3.0  # standard errors of the average cell by which a column rises above what is around it
FAINT = 0.01  # of the cell's range: a smaller rise is no column
APART = 0.22  # shorter lattice vectors between two columns of a cell
NARROW, WIDE = 0.08, 0.3  # standard deviations of a column, periods
NEAR = 2.5  # periods: the standard deviation of the neighbourhood in which a loss must be common
AGREED = 3.0  # standard errors by which the mean loss there differs from nothing
WORTH = 0.25  # of a single height's noise: a smaller loss is left
CONTRAST = (0.7, 1.6)  # widths of a column whose Gaussian means are compared
OVERLAP = 3.0  # periods over which columns without their slow part overlap
HARMONICS = 2
MOST = 12  # columns of a cell
ENOUGH = (384, 28.0)  # px, or periods if they are more: so much of a plane is averaged
MARGIN = 11.0  # periods: what lies further away does not matter
LOW_PASS = 0.55  # periods: the guard's Gaussian; it lets 0.3 % of the lattice through, slower contrast is right already


@dataclass(frozen=True, kw_only=True)
class SiteGuard:
    """The columns of a cell and where the cells lie; heights and places in px and the image's unit.

    Parameters
    ----------
    vectors : ((float, float), (float, float))
        Reciprocal vectors (y, x), cycles per px, whose spots are strong.
    sites : tuple of (float, float)
        Columns of the cell, in shares of the translations that belong to ``vectors``.
    sigmas : tuple of float
        Standard deviation of each of them, px.
    period : float
        Of the lattice, px.
    sign : int
        1 for bright columns, -1 for dark ones.
    """

    vectors: tuple[tuple[float, float], tuple[float, float]]
    sites: tuple[tuple[float, float], ...]
    sigmas: tuple[float, ...]
    period: float
    sign: int = 1

    @property
    def margin(self) -> int:
        """How far around a part the images must be known, px."""
        return site_margin(self.period)

    def __call__(self, noisy: Floats, generated: Floats, origin: tuple[int, int] = (0, 0)) -> tuple[Floats, Floats]:
        """Give lost columns back.

        Parameters
        ----------
        noisy, generated : ndarray, shape (Y, X)
            The same part of the noisy image and of a result with the same slow contrast, finite.
        origin : (int, int)
            Where the part begins in the plane, px.

        Returns
        -------
        result, given : ndarray, shape (Y, X)
            The result, and what was added.
        """
        found = self.positions(noisy, origin)
        kinds = np.concatenate([np.full(len(at), k) for k, at in enumerate(found)])
        positions = np.concatenate(found)
        given = np.zeros(generated.shape)
        if not len(positions):
            return generated, given
        heights = self._heights(noisy - generated, positions, kinds)
        shown, lost = (self._contrasts(image, positions, kinds) for image in (generated, noisy - generated))
        back = np.zeros(len(positions))
        for kind in range(len(self.sites)):
            mine = kinds == kind
            if mine.sum() >= 4:
                back[mine] = self._lost(heights[mine], lost[mine] - shown[mine], positions[mine])
        chosen = back != 0
        if chosen.any():
            given = self._drawn(positions[chosen], back[chosen], kinds[chosen], generated.shape)
        return generated + given, given

    def positions(self, noisy: Floats, origin: tuple[int, int] = (0, 0)) -> list[Floats]:
        """For each column of the cell where it lies in all cells, (N, 2), px of the part."""
        vectors = np.array(self.vectors)
        cells, translations = _phases(noisy, vectors, self.period, origin), np.linalg.inv(vectors).T
        found = []
        for site in self.sites:
            wrapped = cells - np.reshape(site, (2, 1, 1))
            wrapped -= np.rint(wrapped)  # shares of the translations from the nearest site to here
            away = np.einsum("ki,kyx->iyx", translations, wrapped)
            here = (np.abs(away) <= 0.5).all(axis=0)
            at = np.argwhere(here) - away[:, here].T
            if len(at) > 1:  # at the edge of a pixel a site may be found twice
                close = cKDTree(at).query_pairs(1.0, output_type="ndarray")
                at = np.delete(at, np.unique(close[:, 1]), axis=0) if len(close) else at
            found.append(np.asarray(at))
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for the record of a run."""
        return asdict(self)

    def _heights(self, residual: Floats, positions: Floats, kinds: NDArray[np.intp]) -> Floats:
        """What each column lacks: all are fitted together, since the slow parts that they are without overlap."""
        detail = self._detail(self._detail(residual))
        square = np.array(self.sigmas) ** 2
        slow = (LOW_PASS * self.period) ** 2
        right = np.zeros(len(positions))
        for kind, sigma in enumerate(self.sigmas):
            mine = kinds == kind
            seen = gaussian(detail, sigma, truncate=REACH)
            right[mine] = ndimage.map_coordinates(seen, positions[mine].T, order=3, mode="nearest")
            right[mine] *= self.sign * 2 * np.pi * sigma**2
        tree = cKDTree(positions)
        pairs = tree.sparse_distance_matrix(tree, OVERLAP * self.period, output_type="coo_matrix")
        first, second = square[kinds[pairs.row]], square[kinds[pairs.col]]
        pairs.data = _overlap(first, second, pairs.data**2, slow)
        own = np.sqrt(_overlap(square, square, np.zeros(len(square)), slow))[kinds]
        scaled = sparse.diags_array(1 / own) @ pairs.tocsr() @ sparse.diags_array(1 / own)
        scaled.setdiag(1.0)
        heights, _ = cg(scaled, right / own, rtol=1e-7, maxiter=200)
        return np.asarray(heights) / own

    def _contrasts(self, image: Floats, positions: Floats, kinds: NDArray[np.intp]) -> Floats:
        """How far each column stands out of what is just around it, also where a larger neighbour's flank lies."""
        found = np.zeros(len(positions))
        for kind, sigma in enumerate(self.sigmas):
            near, far = (gaussian(image, width * sigma) for width in CONTRAST)
            mine = kinds == kind
            found[mine] = self.sign * ndimage.map_coordinates(near - far, positions[mine].T, order=1, mode="nearest")
        return found

    def _lost(self, heights: Floats, excess: Floats, positions: Floats) -> Floats:
        """The heights where the neighbourhood has lost, else 0."""
        tree = cKDTree(positions)
        pairs = tree.sparse_distance_matrix(tree, 2 * NEAR * self.period, output_type="coo_matrix")
        weight = pairs.tocsr()
        weight.data = np.exp(-0.5 * (weight.data / (NEAR * self.period)) ** 2)
        weight.setdiag(1.0)
        total = np.asarray(weight.sum(axis=1)).ravel()
        mean = np.asarray(weight @ heights) / total
        spread = np.sqrt(np.maximum(np.asarray(weight @ heights**2) / total - mean**2, 0))
        error = spread * np.sqrt(np.asarray(weight.power(2).sum(axis=1)).ravel()) / total
        erased = np.asarray(weight @ excess) > 0  # more than half was lost; less is for the strict guard
        lost = erased & (mean > AGREED * error) & (mean > WORTH * spread)
        return np.where(lost, heights, 0.0)

    def _drawn(self, positions: Floats, heights: Floats, kinds: NDArray[np.intp], shape: tuple[int, ...]) -> Floats:
        image = np.zeros(shape)
        for kind, sigma in enumerate(self.sigmas):
            mine = kinds == kind
            image += render_columns(positions[mine], self.sign * heights[mine], sigma, (shape[0], shape[1]))
        return self._detail(image)

    def _detail(self, image: Floats) -> Floats:
        return _without_slow(image, self.period)


def _without_slow(image: Floats, period: float) -> Floats:
    """What is narrower than about half a period."""
    return np.asarray(image - gaussian(image, LOW_PASS * period, truncate=REACH))


def _overlap(first: Floats, second: Floats, square: Floats, slow: float) -> Floats:
    """The product of two bells without their slow parts; squares of their widths, of their distance, of the low-pass.

    A bell of the width s, squared, without its slow part is a difference of Gaussians, and so is their product.
    """
    parts = ((1.0, 0.0), (-2.0, slow), (1.0, 2 * slow))
    found = [w * np.exp(-0.5 * square / (first + second + v)) / (first + second + v) for w, v in parts]
    return np.asarray(2 * np.pi * first * second * np.sum(found, axis=0))


def site_margin(period: float) -> int:
    """The `SiteGuard.margin` for a lattice period, px."""
    return int(np.ceil(MARGIN * period)) + 2


def measure_sites(planes: Sequence[NDArray[np.floating]], spacing: float) -> SiteGuard | None:
    """Find the columns of the average cell of a noisy image.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X) each
        One or a few planes or parts of the noisy image, finite; the one with the clearest lattice is taken.
    spacing : float
        Lattice period, px.

    Returns
    -------
    SiteGuard or None
        None where there is no lattice, or no column stands out of the average cell.
    """
    best: tuple[LatticeFit, Floats] | None = None
    for plane in planes:
        values = np.asarray(plane, np.float64)
        values = values[middle_part(values.shape, int(max(ENOUGH[0], ENOUGH[1] * spacing)))]
        fit = find_lattice(values) if min(values.shape) >= 32 else None
        if fit is not None and (best is None or fit.lasting > best[0].lasting):
            best = fit, values
    if best is None or not 0.9 < best[0].spacing / spacing < 1.1:
        return None
    fit, plane = best
    vectors = _strong_vectors(plane, fit)
    phases = _phases(plane, vectors, fit.spacing, (0, 0))
    cell, error = _average_cell(plane, phases)
    translations = np.asarray(np.linalg.inv(vectors).T, np.float64)
    middle = np.median(cell)
    sign = 1 if cell.max() - middle >= middle - cell.min() else -1
    found = _tops(sign * cell, max(CERTAIN * error, FAINT * float(np.ptp(cell))))
    kept: list[NDArray[np.float64]] = []
    for one in found:
        apart = [(one - other + 0.5) % 1 - 0.5 for other in kept]
        if all(np.hypot(*(d @ translations)) >= APART * fit.spacing for d in apart):
            kept.append(one)
    if not 0 < len(kept) <= MOST:
        return None
    detail = _average_cell(_without_slow(plane, fit.spacing), phases)[0]
    sigmas = _widths(sign * detail, kept, translations, fit.spacing)
    return SiteGuard(
        vectors=((float(vectors[0, 0]), float(vectors[0, 1])), (float(vectors[1, 0]), float(vectors[1, 1]))),
        sites=tuple((float(y), float(x)) for y, x in kept),
        sigmas=sigmas,
        period=spacing,
        sign=sign,
    )


def _phases(image: Floats, vectors: Floats, period: float, origin: tuple[int, int]) -> Floats:
    """The phase of each reciprocal vector at each pixel, cycles, (2, Y, X); whole numbers lie on lattice lines."""
    step = max(int(period / 6), 1)
    shape = (image.shape[0], image.shape[1])
    rows, columns = grid(shape, step, origin)
    slow = lock_in(image, vectors, period, rows=rows, columns=columns, origin=origin)  # (2, y, x)
    slow /= np.maximum(np.abs(slow), 1e-300)
    turn = [interpolated(part.astype(np.complex64), (rows, columns), shape, origin) for part in slow]
    y, x = (np.arange(size) + start for size, start in zip(image.shape, origin, strict=True))
    return np.stack(
        [
            g[0] * y[:, None] + g[1] * x + np.angle(part) * np.float32(0.5 / np.pi)
            for g, part in zip(vectors, turn, strict=True)
        ]
    )


def _strong_vectors(plane: Floats, fit: LatticeFit) -> Floats:
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
    strength = (np.abs(lock_in(plane, spots, fit.spacing, rows=rows, columns=columns)) ** 2).mean(axis=(1, 2))
    order = np.argsort(-strength)
    for weaker in range(1, len(order)):
        for stronger in range(weaker):
            a, b = numbers[order[stronger]], numbers[order[weaker]]
            if abs(a[0] * b[1] - a[1] * b[0]) == 1:
                return np.asarray(spots[[order[stronger], order[weaker]]])
    return np.asarray(basis)


def _average_cell(values: Floats, phases: Floats) -> tuple[Floats, float]:
    """The mean over all cells, (BINS, BINS), and its standard error: half the difference of two halves of the cells."""
    index = np.mod(np.rint(phases * BINS).astype(np.intp), BINS)
    flat = index[0] * BINS + index[1]
    board = np.floor(phases + 0.5).astype(np.intp).sum(axis=0) % 2 == 0
    halves = []
    for half in (board, ~board):
        count = np.bincount(flat[half], minlength=BINS**2).reshape(BINS, BINS).astype(np.float64)
        total = np.bincount(flat[half], values[half], minlength=BINS**2).reshape(BINS, BINS)
        smooth: list[Floats] = [ndimage.gaussian_filter(part, 1.0, mode="wrap") for part in (total, count)]
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
    drawn = [[_column(translations, one, sigma, period).ravel() for sigma in choices] for one in sites]
    found = [10] * len(sites)  # 0.18 periods

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
            found[k] = int(np.argmin(errors))
    return tuple(float(choices[n]) for n in found)


def _column(translations: Floats, site: Floats, sigma: float, period: float) -> Floats:
    """One column in each cell, without its slow part, (BINS, BINS)."""
    slow = (LOW_PASS * period) ** 2
    square = _squares(translations, site)
    share = sigma**2 / (sigma**2 + slow)
    return np.asarray(
        (np.exp(-0.5 * square / sigma**2) - share * np.exp(-0.5 * square / (sigma**2 + slow))).sum(axis=0)
    )


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
