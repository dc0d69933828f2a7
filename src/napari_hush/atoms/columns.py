"""Atom columns: one fixed detector that finds and fits them, and their match with columns that are known."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from napari_hush.errors import InputError
from napari_hush.filters.gaps import filled
from napari_hush.filters.smoothing import gaussian

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

# The detector, lengths in lattice spacings: the same for every image and method, never tuned.
_FINE, _COARSE, _APART, _BORDER = 0.15, 0.7, 0.3, 1.0
_THRESHOLD, _PERCENTILE = 0.2, 99.5
_SAMPLES, _FINEST = 16, 4  # grid per spacing on which maxima are sought: on its pixels a pair 2 px apart has only one
_ROWS, _OVERLAP = 256, 12  # px; a spline forgets its border by a factor of 3.7 per px

_WINDOW, _REACH = 0.45, 0.3  # radius that is fitted; a fit that goes farther from its maximum has lost its column
_SIGMA, _LEAST_SIGMA, _LARGEST_SIGMA = 0.18, 0.06, 0.3
_SWEEPS = 2  # from the second on the neighbours' Gaussians are taken away first
_STEPS, _ENOUGH = 6, 1e-3  # the most steps of a fit, and the length of one that ends it
_BATCH = 1 << 15  # pixels fitted at a time: they stay in the processor's cache


@dataclass(frozen=True, kw_only=True)
class Atoms:
    """Atom columns found in one image.

    Parameters
    ----------
    positions : ndarray, shape (N, 2)
        Centres (y, x), px, pixel centres at integers.
    heights : ndarray, shape (N,)
        Peak above the local background, in the image's unit; positive for dark columns too.
    sigmas : ndarray, shape (N,)
        Standard deviation of the fitted Gaussian, px; NaN where the fit failed.
    fitted : ndarray of bool, shape (N,)
        False where the fit failed. The position is then the maximum of g (see `find_atoms`), and the height that of a
        Gaussian with a sigma of 0.18 spacings there.
    """

    positions: Floats
    heights: Floats
    sigmas: Floats
    fitted: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Which found columns are which true ones.

    Parameters
    ----------
    pairs : ndarray of int, shape (K, 2)
        Indices into the true and the found positions.
    distances : ndarray, shape (K,)
        Between the two of each pair, px.
    missed : ndarray of int
        Indices of true positions without a partner.
    extra : ndarray of int
        Indices of found positions without a partner.
    """

    pairs: NDArray[np.intp]
    distances: Floats
    missed: NDArray[np.intp]
    extra: NDArray[np.intp]

    @property
    def recall(self) -> float:
        """Fraction of the true columns that were found; NaN where there are none."""
        return _ratio(len(self.pairs), len(self.pairs) + len(self.missed))

    @property
    def precision(self) -> float:
        """Fraction of the found columns that are true; NaN where nothing was found."""
        return _ratio(len(self.pairs), len(self.pairs) + len(self.extra))

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; NaN where there is neither a true nor a found column."""
        return _ratio(2 * len(self.pairs), 2 * len(self.pairs) + len(self.missed) + len(self.extra))


def find_atoms(image: ArrayLike, spacing: float, *, dark: bool = False) -> Floats:
    """Find atom columns with one fixed detector, to a fraction of a pixel.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Any real type, in any unit. Pixels that are not finite are replaced by the nearest finite one.
    spacing : float
        Lattice spacing, px, from `estimate_spacing`; for isolated atoms about five times their sigma. It sets every
        length of the detector. For a crystal with several columns per cell the distance between nearest columns shows
        more of them than the lattice period: see Notes.
    dark : bool
        Whether columns are darker than what is around them, as in annular bright field.

    Returns
    -------
    ndarray, shape (N, 2)
        Centres (y, x), px, pixel centres at integers; from the strongest maximum to the weakest.

    Raises
    ------
    InputError
        If the image is no real (Y, X) array or mostly not finite, or the spacing is not a number over 2 px.

    Notes
    -----
    With ``a`` the spacing and ``G(s)`` a Gaussian filter of sigma ``s``, maxima of ``g = G(0.15 a) - G(0.7 a)`` of the
    image count where they are at least 0.3 a apart, above 0.2 times the 99.5th percentile of g, and farther than 1 a
    from the border. Each is refined by `fit_atoms`. So a column is not seen where its contrast in g is under a fifth
    of the strongest ones': with the period as the spacing that is a second column in the cell of less than about 0.6
    of the first one's peak. Two columns of sigma ``s`` merge where they are closer than 2.2 sqrt(s² + (0.15 a)²).

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> image, positions, _, _ = render_lattice(Lattice(period=10.0), (64, 64), 0)
    >>> found = find_atoms(image, 10.0)
    >>> len(found), bool(match_atoms(positions, found, 2.5).distances.max() < 0.05)
    (20, True)
    """
    return fit_atoms(image, spacing, dark=dark).positions


def fit_atoms(image: ArrayLike, spacing: float, *, dark: bool = False) -> Atoms:
    """Find atom columns as `find_atoms` does, with the Gaussian that was fitted to each.

    Parameters
    ----------
    image, spacing, dark
        As for `find_atoms`.

    Returns
    -------
    Atoms
        Positions, heights and widths.

    Raises
    ------
    InputError
        As `find_atoms`.

    Notes
    -----
    A round Gaussian, its sigma held between 0.06 and 0.3 spacings, on a constant background is fitted by least squares
    (Levenberg-Marquardt) to the pixels within 0.45 spacings of each maximum, then once more after the Gaussians of all
    other columns are taken away. A fit that moves by more than 0.3 spacings, or has no positive height, is given up.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> atoms = fit_atoms(render_lattice(Lattice(period=10.0, sigma=0.2), (64, 64), 0).image, 10.0)
    >>> bool(atoms.fitted.all()), round(float(atoms.sigmas.mean()), 1)
    (True, 2.0)
    """
    values = _checked(image, spacing)
    size, border = np.array(values.shape), _BORDER * spacing
    values = np.median(values) - values if dark else values - np.median(values)
    start, scale = np.empty((0, 2)), 1.0
    if (size - 1 >= 2 * border).all():
        start, scale = _maxima(values, spacing)
    fits, fitted = _fit(values / scale, start, spacing)
    kept = ((fits[:, 2:4] >= border) & (fits[:, 2:4] <= size - 1 - border)).all(axis=1)
    return Atoms(
        positions=fits[kept, 2:4],
        heights=scale * np.maximum(fits[kept, 0], 0),
        sigmas=np.where(fitted, np.exp(fits[:, 4]), np.nan)[kept],
        fitted=fitted[kept],
    )


def column_contrast(image: Floats, spacing: float) -> Floats:
    """What is as wide as a column, ``G(0.15 a) - G(0.7 a)``: the detector seeks its maxima.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Finite.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    ndarray, shape (Y, X)
    """
    return np.asarray(gaussian(image, _FINE * spacing) - gaussian(image, _COARSE * spacing))


def match_atoms(true: ArrayLike, found: ArrayLike, radius: float) -> Matches:
    """Pair true and found positions one to one: as many pairs as can be, and of those the nearest in sum.

    Parameters
    ----------
    true : array_like, shape (N, 2)
        (y, x), px.
    found : array_like, shape (M, 2)
        (y, x), px.
    radius : float
        Largest distance within a pair, px.

    Returns
    -------
    Matches
        The pairs, ordered by their index in ``true``, and what was left over.

    Raises
    ------
    InputError
        If the positions are not finite (N, 2) arrays or the radius is no positive number.

    Examples
    --------
    >>> matches = match_atoms([(0, 0), (0, 9)], [(0, 1), (5, 5), (0, 2)], 2.5)
    >>> matches.pairs.tolist(), matches.missed.tolist(), matches.extra.tolist()
    ([[0, 0]], [1], [1, 2])
    """
    points = [_positions(true, "true"), _positions(found, "found")]
    if not 0 < radius < np.inf:
        raise InputError(f"radius must be a positive number of px; got {radius}")
    near = cKDTree(points[0]).sparse_distance_matrix(cKDTree(points[1]), radius, output_type="ndarray")
    i, j, distance = near["i"], near["j"], near["v"]
    alone = (np.bincount(i, minlength=1)[i] == 1) & (np.bincount(j, minlength=1)[j] == 1)
    chosen = np.flatnonzero(alone)
    if not alone.all():
        rest = np.flatnonzero(~alone)
        chosen = np.concatenate([chosen, rest[_assign(i[rest], j[rest], distance[rest] / radius)]])
    chosen = chosen[np.argsort(i[chosen])]
    pairs = np.stack([i[chosen], j[chosen]], axis=1).astype(np.intp)
    missed, extra = (np.setdiff1d(np.arange(len(p)), pairs[:, k]) for k, p in enumerate(points))
    return Matches(pairs=pairs, distances=distance[chosen], missed=missed, extra=extra)


def _checked(image: ArrayLike, spacing: float) -> Floats:
    values = np.asarray(image)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "biuf":
        raise InputError(f"expected one plane (Y, X) of real numbers, got shape {values.shape} of {values.dtype}")
    if not isinstance(spacing, Real) or not 2 < spacing < np.inf:
        raise InputError(f"spacing must be the lattice period, a number over 2 px; got {spacing!r}")
    values = values.astype(np.float64)
    bad = ~np.isfinite(values)
    if 2 * np.count_nonzero(bad) > values.size:
        raise InputError("more than half of the image's pixels are NaN or infinite; crop it to what was recorded")
    return filled(values, bad)


def _positions(points: ArrayLike, name: str) -> Floats:
    values = np.asarray(points, dtype=np.float64)
    values = values.reshape(-1, 2) if values.size == 0 else values
    if values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise InputError(f"{name} must be finite positions (N, 2), (y, x) in px; got shape {values.shape}")
    return values


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _maxima(values: Floats, spacing: float) -> tuple[Floats, float]:
    """Places (N, 2) of the maxima of g, the highest first, and the height of the highest."""
    contrast = column_contrast(values, spacing)
    # What rounding and the cut-off tails of the filters leave is no column.
    threshold = max(_THRESHOLD * np.percentile(contrast, _PERCENTILE), 3e-5 * np.abs(values).max())
    fineness = min(int(np.ceil(_SAMPLES / spacing)), _FINEST)
    tops, heights = [], []
    for first in range(0, contrast.shape[0], _ROWS):  # by strips: a finer copy of the whole would be large
        low = max(first - _OVERLAP, 0)
        strip = contrast[low : first + _ROWS + _OVERLAP]
        for axis in (0, 1):
            strip = _finer(strip, fineness, axis)
        y, x = np.nonzero((strip > threshold) & (strip == ndimage.maximum_filter(strip, 3)))
        here = (y >= (first - low) * fineness) & (y < (first - low + _ROWS) * fineness)
        y, x = y[here], x[here]
        tops.append(np.stack([low + y / fineness, x / fineness], axis=1))
        heights.append(strip[y, x])
    places = np.concatenate(tops)[np.argsort(-np.concatenate(heights), kind="stable")]

    keep = np.ones(len(places), dtype=bool)
    pairs = cKDTree(places).query_pairs(max(_APART * spacing, 1.5 / fineness), output_type="ndarray")
    for higher, lower in pairs[np.argsort(pairs[:, 0], kind="stable")]:
        if keep[higher]:
            keep[lower] = False
    margin = _WINDOW * spacing + 2  # columns in the border are fitted too, as neighbours
    keep &= ((places >= margin) & (places <= np.array(values.shape) - 1 - margin)).all(axis=1)
    return places[keep], float(contrast.max()) if len(places) else 1.0


def _finer(values: Floats, fineness: int, axis: int) -> Floats:
    """Interpolate by a cubic spline to ``fineness`` samples per pixel along one axis."""
    weights = np.moveaxis(ndimage.spline_filter1d(values, 3, axis=axis, mode="mirror"), axis, 0)
    finer = np.empty((fineness * len(weights), weights.shape[1]))
    for k in range(fineness):
        t = k / fineness
        taps = [0, (1 - t) ** 3 / 6, 2 / 3 - t**2 * (2 - t) / 2, 2 / 3 - (1 - t) ** 2 * (1 + t) / 2, t**3 / 6]
        finer[k::fineness] = ndimage.correlate1d(weights, taps, axis=0, mode="mirror")
    return np.moveaxis(finer, 0, axis)


def _fit(values: Floats, start: Floats, spacing: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Fit all columns: height, background, y, x, log sigma (N, 5), and which of the fits hold."""
    middle = np.rint(start).astype(np.intp)
    reach = int(_WINDOW * spacing) + 1
    window = np.indices((2 * reach + 1,) * 2).reshape(2, -1) - reach
    window = window[:, (window**2).sum(axis=0) <= max((_WINDOW * spacing) ** 2, 4.0)]  # (2, K)
    flat = np.array([values.shape[1], 1])
    first = np.zeros((len(start), 5))
    first[:, 2:4], first[:, 4] = start, np.log(_SIGMA * spacing)
    fits, good = first.copy(), np.zeros(len(start), dtype=bool)
    others = values  # set after the first sweep
    batch = max(1, _BATCH // window.shape[1])
    for sweep in range(_SWEEPS):
        for k in range(0, len(start), batch):
            part = slice(k, k + batch)
            places = (middle[part] @ flat)[:, None] + flat @ window  # (n, K)
            data = values.take(places)
            if sweep:
                data -= others.take(places)
            near = _Window(middle[part], window)
            data += np.where(good[part, None], near.bells(fits[part]), 0)
            guess = _scaled(np.where(good[part, None], fits[part], first[part]), data, near)
            found = _descend(guess, data, near, spacing)
            moved = np.hypot(*(found[:, 2:4] - start[part]).T)
            good[part] = np.isfinite(found).all(axis=1) & (found[:, 0] > 0) & (moved <= _REACH * spacing)
            fits[part] = np.where(good[part, None], found, _scaled(first[part], data, near))
        if sweep + 1 < _SWEEPS:
            others = _draw(fits[good], values.shape)
    return fits, good


class _Window:
    """Pixels around columns: their middles (n, 2), and the offsets (2, K) of the pixels of each."""

    def __init__(self, middle: NDArray[np.intp], window: NDArray[np.intp]) -> None:
        self.middle, self.reach = middle, int(window.max(initial=0))
        self.window, self.offsets = window + self.reach, np.arange(-self.reach, self.reach + 1)

    def taken(self, chosen: NDArray[np.intp]) -> _Window:
        """Only some of the columns."""
        return _Window(self.middle[chosen], self.window - self.reach)

    def away(self, fits: Floats) -> Floats:
        """Rows and columns of the windows less the column's own, px, (n, 2, 2 reach + 1)."""
        return np.asarray((self.middle - fits[:, 2:4])[:, :, None] + self.offsets)

    def pixels(self, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
        """What belongs to rows and columns (n, 2 reach + 1), at each pixel (n, K)."""
        return rows.take(self.window[0], axis=1), columns.take(self.window[1], axis=1)

    def bells(self, fits: Floats) -> Floats:
        """Each column's Gaussian (n, K); it is a product, and exponentials are dear."""
        rows, columns = np.exp(-0.5 * self.away(fits) ** 2 * np.exp(-2 * fits[:, 4])[:, None, None]).transpose(1, 0, 2)
        down, across = self.pixels(fits[:, :1] * rows, columns)
        down *= across
        return down


def _scaled(fits: Floats, data: Floats, near: _Window) -> Floats:
    """Give Gaussians the height and the background that suit the data best."""
    unit = fits.copy()
    unit[:, 0] = 1
    bells = near.bells(unit)
    deviation = bells - bells.mean(axis=1, keepdims=True)
    unit[:, 0] = (deviation * data).sum(axis=1) / (deviation**2).sum(axis=1)
    unit[:, 1] = data.mean(axis=1) - unit[:, 0] * bells.mean(axis=1)
    return unit


def _descend(guess: Floats, data: Floats, near: _Window, spacing: float) -> Floats:
    """Least squares by Levenberg and Marquardt, all columns at once."""
    fits = guess.copy()
    sigmas = np.log(np.array([_LEAST_SIGMA, _LARGEST_SIGMA]) * spacing)
    damping = np.full(len(fits), 1e-3)
    cost = _squares(data - near.bells(fits) - fits[:, 1:2])
    active = np.arange(len(fits))
    for _ in range(_STEPS):
        now, points, values = fits[active], near.taken(active), data[active]
        precision = np.exp(-2 * now[:, 4])[:, None, None]
        away = points.away(now)
        turned = away * precision
        square = away * turned  # in squared standard deviations
        bell = np.exp(-0.5 * square)
        slopes = np.empty((len(now), 5, values.shape[1]))  # with height, background, y, x and log sigma
        down, across = points.pixels(bell[:, 0], bell[:, 1])
        np.multiply(down, across, out=slopes[:, 0])
        slopes[:, 1] = 1
        bells = now[:, :1] * slopes[:, 0]
        for k, part in enumerate(points.pixels(turned[:, 0], turned[:, 1])):
            np.multiply(bells, part, out=slopes[:, 2 + k])
        np.multiply(bells, np.add(*points.pixels(square[:, 0], square[:, 1])), out=slopes[:, 4])
        normal = slopes @ slopes.transpose(0, 2, 1)  # (n, 5, 5)
        gradient = slopes @ (values - bells - now[:, 1:2])[..., None]
        diagonal = np.einsum("nii->ni", normal)
        diagonal *= 1 + damping[active, None]
        diagonal += 1e-12 * diagonal.max(axis=1, keepdims=True)
        step = np.linalg.solve(normal, gradient)[..., 0]
        step[:, 2:4] = np.clip(step[:, 2:4], -0.1 * spacing, 0.1 * spacing)
        step[:, 4] = np.clip(now[:, 4] + np.clip(step[:, 4], -0.3, 0.3), *sigmas) - now[:, 4]
        new = now + step
        new_cost = _squares(values - points.bells(new) - new[:, 1:2])
        better = new_cost <= cost[active]
        fits[active[better]], cost[active[better]] = new[better], new_cost[better]
        damping[active] *= np.where(better, 0.2, 5.0)
        active = active[~better | (np.abs(step[:, 2:4]).max(axis=1) > _ENOUGH * spacing)]
        if not len(active):
            break
    return fits


def _squares(values: Floats) -> Floats:
    return np.asarray(np.einsum("nk,nk->n", values, values))


def _draw(fits: Floats, shape: tuple[int, ...]) -> Floats:
    """Add up the Gaussians of all columns, each cut off at four of the largest sigmas."""
    half = int(np.ceil(4 * np.exp(fits[:, 4].max(initial=-np.inf))))
    window = np.arange(-half, half + 1)
    width = shape[1] + 2 * half
    canvas = np.zeros((shape[0] + 2 * half) * width)
    batch = max(1, _BATCH // len(window) ** 2)
    for k in range(0, len(fits), batch):
        part = fits[k : k + batch]
        centre = np.rint(part[:, 2:4]).astype(np.intp)
        away = window - (part[:, 2:4] - centre)[..., None]  # (n, 2, W)
        bells = np.exp(-0.5 * away**2 * np.exp(-2 * part[:, 4, None, None]))
        spots = part[:, 0, None, None] * bells[:, 0, :, None] * bells[:, 1, None, :]
        rows, columns = ((centre[:, axis, None] + half + window) for axis in (0, 1))
        np.add.at(canvas, (rows[:, :, None] * width + columns[:, None]).ravel(), spots.ravel())
    return canvas.reshape(-1, width)[half : half + shape[0], half : half + shape[1]]


def _assign(i: NDArray[np.intp], j: NDArray[np.intp], distance: Floats) -> NDArray[np.intp]:
    """Choose among edges (i, j) of lengths from 0 to 1 the matching with the most edges, then the least length."""
    (left, i), (right, j) = (np.unique(ends, return_inverse=True) for ends in (i, j))
    n, m = len(left), len(right)
    # Each left point has an idle partner of its own, at a price that no sum of distances outweighs.
    weights = np.concatenate([1 + distance / (n + 1), np.full(n, 3.0)])
    idle = np.arange(n)
    graph = sparse.csr_array((weights, (np.concatenate([i, idle]), np.concatenate([j, m + idle]))), shape=(n, n + m))
    return np.flatnonzero(min_weight_full_bipartite_matching(graph)[1][i] == j)
