"""The averaged unit cell of a crystal as a Fourier series: fitted to all pixels, exact at any angle and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import linalg, ndimage

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FINEST = 18.0  # cycles per cell edge that a fit keeps at most: about 1000 coefficients


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitCell:
    """One cell of a crystal, averaged over a crop: ``value(r) = sum of c_h exp(2 pi i h . (r - origin) V^-1)``.

    Parameters
    ----------
    vectors : ndarray, shape (2, 2)
        V, the two lattice vectors as rows (y, x), px of the crop.
    origin : ndarray, shape (2,)
        (y, x) of the brightest column nearest to the middle of the crop, px, pixel centres at integers.
    harmonics : ndarray of int, shape (K, 2)
        h, the orders along the two reciprocal vectors; with every h there is -h.
    coefficients : ndarray of complex, shape (K,)
        c, in the crop's intensity unit.
    columns : ndarray, shape (S, 2)
        Atom columns, in fractions of the two vectors from the origin; the first is (0, 0).
    peaks : ndarray, shape (S,)
        Their heights, in the crop's intensity unit, highest first.
    residual : float
        Root mean square of what the crop has beside its periodic part, in the crop's intensity unit.
    """

    vectors: NDArray[np.float64]
    origin: NDArray[np.float64]
    harmonics: NDArray[np.intp]
    coefficients: NDArray[np.complex128]
    columns: NDArray[np.float64]
    peaks: NDArray[np.float64]
    residual: float


class TiledCrop(NamedTuple):
    """A perfect crystal and where its columns are; positions are (y, x) in px, pixel centres at integers."""

    image: NDArray[np.float32]
    """(Y, X), in the unit crop's intensity unit."""
    positions: NDArray[np.float64]
    """(N, 2) columns inside the image."""
    species: NDArray[np.intp]
    """(N,) index of each column in the cell, the brightest first."""
    vectors: NDArray[np.float64]
    """(2, 2) lattice vectors as rows (y, x), px of this image."""
    origin: NDArray[np.float64]
    """(2,) where one column of species 0 lies, px; it may lie outside."""


def fit_cell(crop: NDArray[np.float64], vectors: NDArray[np.float64], *, faintest: float = 0.1) -> UnitCell:
    """Average all cells of a crop by a least-squares fit of their common Fourier coefficients.

    Parameters
    ----------
    crop : ndarray, shape (Y, X)
        About two periods or more in each direction; it need not hold whole cells.
    vectors : ndarray, shape (2, 2)
        Its lattice vectors as rows (y, x), px.
    faintest : float
        Maxima of the cell lower than this, from 0 at its minimum to 1 at its maximum, are no columns.

    Returns
    -------
    UnitCell
        Detail down to the crop's pixel, but no finer than about 1/18 of the cell's edge. Coefficients that do not stand
        out of the residual (three standard errors) are left out.

    Raises
    ------
    InputError
        If the crop has fewer pixels than two cells, or no columns.
    """
    area = float(abs(np.linalg.det(vectors)))
    if crop.size < 2 * area:
        raise InputError(
            f"a crop of {crop.shape[0]} x {crop.shape[1]} px holds {crop.size / area:.1f} cells of {area:.0f} px²; "
            "cut out at least two periods in each direction"
        )
    middle = (np.array(crop.shape) - 1) / 2
    harmonics = orders(vectors, _FINEST)
    fit = Fit(crop.shape, frequencies(harmonics, vectors), middle)
    coefficients = fit.solve(crop)
    residual = float(np.sqrt(np.mean((crop - fit.evaluate(coefficients)) ** 2)))
    clear = np.abs(coefficients) >= 3 * residual / np.sqrt(crop.size)
    clear |= np.all(harmonics == 0, axis=1)
    harmonics, coefficients = harmonics[clear], coefficients[clear]
    columns, peaks = _columns(harmonics, coefficients, vectors, faintest)
    shift = (columns[0] + 0.5) % 1 - 0.5  # of the brightest column from the middle of the crop
    return UnitCell(
        vectors=vectors,
        origin=middle + shift @ vectors,
        harmonics=harmonics,
        coefficients=coefficients * np.exp(2j * np.pi * (harmonics @ shift)),
        columns=(columns - columns[0] + 1e-6) % 1 - 1e-6,
        peaks=peaks,
        residual=residual,
    )


def render_cell(
    cell: UnitCell,
    shape: tuple[int, int],
    *,
    angle: float = 0.0,
    scale: float = 1.0,
    origin: tuple[float, float] | None = None,
) -> TiledCrop:
    """Draw the crystal that has this cell; the parameters are those of `tile_crop`."""
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"shape must be two positive numbers of px (Y, X); got {shape!r}")
    if not (np.isfinite(scale) and scale > 0 and np.isfinite(angle)):
        raise InputError(f"scale must be positive and angle finite, in degrees; got scale={scale} and angle={angle}")
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])  # rows (y, x), from X to Y
    vectors = scale * cell.vectors @ rotation
    start = np.array(cell.origin if origin is None else origin, dtype=float)
    if start.shape != (2,) or not np.isfinite(start).all():
        raise InputError(f"origin must be a finite (y, x) in px; got {origin!r}")

    h, k = cell.harmonics.T
    waves = frequencies(cell.harmonics, vectors)
    # Of each pair h, -h only one is summed; nothing finer than the pixels of the new image may stay.
    kept = ((h > 0) | ((h == 0) & (k >= 0))) & (np.hypot(*waves.T) < 0.5)
    if np.count_nonzero(kept) < 2:
        period = float(np.hypot(*vectors.T).min())
        raise InputError(
            f"nothing of the lattice is left at {period:.2g} px per period, since two pixels are the least; "
            "ask for a larger image or fewer atoms in it"
        )
    weights = cell.coefficients[kept] * np.where((h == 0) & (k == 0), 1, 2)[kept]
    along_y, along_x = phases(shape, waves[kept], start)  # (Y, K), (X, K)
    left = along_y * weights
    image = left.real @ along_x.real.T - left.imag @ along_x.imag.T
    positions, species = _sites(cell.columns, vectors, start, shape)
    return TiledCrop(image.astype(np.float32), positions, species, vectors, start)


def orders(vectors: NDArray[np.float64], finest: float) -> NDArray[np.intp]:
    """All harmonics (K, 2) of a cell below Nyquist and below ``finest`` cycles per cell edge."""
    limit = min(0.499, finest / float(np.sqrt(abs(np.linalg.det(vectors)))))
    reach = np.floor(limit * np.hypot(*vectors.T)).astype(int)
    h, k = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    harmonics = np.stack([h.ravel(), k.ravel()], axis=1)
    return np.asarray(harmonics[np.hypot(*frequencies(harmonics, vectors).T) <= limit])


def frequencies(harmonics: NDArray[np.intp], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spatial frequencies (K, 2) along (y, x), cycles per px."""
    return np.asarray(harmonics @ np.linalg.inv(vectors).T)


def phases(
    shape: tuple[int, ...], waves: NDArray[np.float64], origin: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Plane waves as products: (Y, K) and (X, K)."""
    y, x = (np.exp(2j * np.pi * np.outer(np.arange(n) - origin[i], waves[:, i])) for i, n in enumerate(shape))
    return y, x


class Fit:
    """The least-squares problem of plane waves on one grid; that they are products makes it small."""

    def __init__(self, shape: tuple[int, ...], waves: NDArray[np.float64], origin: NDArray[np.float64]) -> None:
        self.y, self.x = phases(shape, waves, origin)
        gram = (self.y.conj().T @ self.y) * (self.x.conj().T @ self.x)  # (K, K)
        gram[np.diag_indices_from(gram)] *= 1 + 1e-10
        self.factor = linalg.cho_factor(gram)

    def solve(self, image: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Coefficients (K,) of the best fit to an image (Y, X)."""
        return np.asarray(linalg.cho_solve(self.factor, np.sum((self.y.conj().T @ image) * self.x.conj().T, axis=1)))

    def evaluate(self, coefficients: NDArray[np.complex128]) -> NDArray[np.float64]:
        """The real part of the sum (Y, X)."""
        left = self.y * coefficients
        return np.asarray(left.real @ self.x.real.T - left.imag @ self.x.imag.T)


def _columns(
    harmonics: NDArray[np.intp], coefficients: NDArray[np.complex128], vectors: NDArray[np.float64], faintest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Local maxima of the cell: fractions (S, 2) and heights (S,), highest first."""
    sizes = [int(np.ceil(max(6 * length, 24))) for length in np.hypot(*vectors.T)]
    u, v = (np.exp(2j * np.pi * np.outer(np.arange(n) / n, h)) for n, h in zip(sizes, harmonics.T, strict=True))
    values = ((u * coefficients) @ v.T).real
    heights = (values - values.min()) / max(float(np.ptp(values)), 1e-300)
    peaks = (values == ndimage.maximum_filter(values, 5, mode="wrap")) & (heights >= faintest)
    found = np.argwhere(peaks) / sizes
    factors = 2j * np.pi * harmonics
    bend = np.zeros((len(found), 2, 2))
    for _ in range(3):  # Newton's steps to the maximum of the series itself
        waves = np.exp(2j * np.pi * found @ harmonics.T) * coefficients  # (S, K)
        slope = (waves @ factors).real
        bend = np.einsum("sk,ki,kj->sij", waves, factors, factors).real
        step = -(np.linalg.pinv(bend, hermitian=True) @ slope[..., None])[..., 0]
        found = found + np.clip(step, -1 / np.array(sizes), 1 / np.array(sizes))
    height = (np.exp(2j * np.pi * found @ harmonics.T) @ coefficients).real
    round_top = np.linalg.det(bend) > 1e-4 * np.trace(bend, axis1=1, axis2=2) ** 2  # else a ridge
    order = np.flatnonzero(round_top)[np.argsort(-height[round_top], kind="stable")]
    apart = found[order][:, None] - found[order]
    same = np.all(np.abs(apart - np.rint(apart)) < 1 / np.array(sizes), axis=2)  # one maximum from two starts
    order = order[~np.any(np.tril(same, -1), axis=1)]
    if len(order) == 0:
        raise InputError("the cell of the crop has no column in it, only stripes or noise; cut out a cleaner region")
    return found[order], height[order]


def _sites(
    columns: NDArray[np.float64], vectors: NDArray[np.float64], origin: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """All columns inside an image: positions (N, 2) and species (N,)."""
    corners = np.array([(y, x) for y in (0, shape[0] - 1) for x in (0, shape[1] - 1)], dtype=float)
    fractions = (corners - origin) @ np.linalg.inv(vectors)
    low, high = np.floor(fractions.min(axis=0)).astype(int) - 1, np.ceil(fractions.max(axis=0)).astype(int) + 1
    i, j = np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1]
    cells = np.stack([i.ravel(), j.ravel()], axis=1)
    sites = origin + (cells[None] + columns[:, None]).reshape(-1, 2) @ vectors
    inside = np.all((sites >= 0) & (sites <= np.array(shape) - 1.0), axis=1)
    return sites[inside], np.repeat(np.arange(len(columns)), len(cells))[inside]
