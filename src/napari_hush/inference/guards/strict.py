"""The strict guard: position and height of every column are those of the noisy image, by one least-squares step.

A network that knows lattices pulls columns towards their sites and towards their usual height, the more the noisier the
image is. What it took away tells by how much: for each column of the guarded result three images are fitted together to
the residual, and added: the column itself, which is its height, and its two derivatives, which are its shift.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg
from scipy.spatial import cKDTree

from napari_hush.atoms.cell import LOW_PASS
from napari_hush.atoms.lockin import REACH
from napari_hush.filters.smoothing import gaussian
from napari_hush.inference.guards.guard import Guard, guard_margin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Lengths in lattice periods.
FINE = 0.12  # standard deviation of the filter through which columns are sought
APART = 0.15  # columns are farther apart
WIDTH = 0.33  # standard deviation of a column's window
NEAREST = 1.1  # and of columns that are closer than a period: of the distance to the next one, times WIDTH
CUT = 2.5  # standard deviations at which a window ends
CHAIN = 1.5  # through neighbours of neighbours a column's fit depends on those up to here, to 1e-4 of the range

FAINTEST = 0.15  # of the brightest columns' contrast: fainter ones are left as they are
PERCENTILE = 99.5
ELSEWHERE = 0.1  # weight of what is no column's, where windows share a pixel
RIDGE = 1e-3  # of a column's own square: what two columns in one place have in common stays small
TOLERANCE = 1e-7  # of the solution
ROWS = 256  # px: the windows of so many rows are in memory at a time
KEPT = 4_000_000  # numbers, of 16 bytes each, that are kept from one time to the next


@dataclass(frozen=True, kw_only=True)
class StrictGuard:
    """An ordinary guard, and after it the columns' own positions and heights.

    Parameters
    ----------
    guard : Guard
        What comes first.
    spacing : float
        Lattice period, px.
    faintest : float
        Contrast above which a maximum of the guarded result is a column, in the image's unit.
    dark : bool
        Whether columns are darker than what is around them.
    """

    guard: Guard
    spacing: float
    faintest: float
    dark: bool = False

    @property
    def margin(self) -> int:
        """How far around a part the images must be known, px."""
        own = REACH * LOW_PASS + (REACH + 2) * FINE + CUT * WIDTH + CHAIN
        return self.guard.margin + int(np.ceil(own * self.spacing)) + 4

    def __call__(
        self, noisy: NDArray[np.floating], generated: NDArray[np.floating], origin: tuple[int, int] = (0, 0)
    ) -> Floats:
        """Guard one part of a plane.

        Parameters
        ----------
        noisy, generated, origin
            As of `Guard`. A part gives the same values as the whole plane, to 1e-4 of their range, everywhere but
            within `margin` of those of its sides that are not sides of the plane.

        Returns
        -------
        ndarray, shape (Y, X)
        """
        return self.apply(noisy, generated, origin)[0]

    def apply(
        self, noisy: NDArray[np.floating], generated: NDArray[np.floating], origin: tuple[int, int] = (0, 0)
    ) -> tuple[Floats, NDArray[np.floating] | None]:
        """Guard one part of a plane, and tell what the plain guard gave back, see `Guard.apply`."""
        guarded, given = self.guard.apply(noisy, generated, origin)
        seen = self.guard.without_spikes(np.asarray(noisy, np.float64))
        result = np.asarray(guarded, np.float64)
        return with_columns_of(seen, result, self.spacing, faintest=self.faintest, dark=self.dark), given

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for the record of a run."""
        own = {"spacing": self.spacing, "faintest": self.faintest, "dark": self.dark}
        return {**asdict(self.guard), "strict": own}


def strict_margin(spacing: float) -> int:
    """The `StrictGuard.margin` of any strict guard for a lattice period, px."""
    plain = Guard(low_pass=0.0, noise=0.0)
    only = StrictGuard(guard=plain, spacing=spacing, faintest=0.0).margin - plain.margin
    return guard_margin(spacing) + only


def measure_strict(
    planes: Sequence[NDArray[np.floating]], guard: Guard, spacing: float, *, dark: bool = False
) -> StrictGuard:
    """Measure what the strict guard needs on one or a few planes or parts of a noisy image.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X) each
        Finite.
    guard : Guard
        From `measure_guard` on the same planes.
    spacing : float
        Lattice period, px.
    dark : bool
        Whether columns are darker than what is around them.

    Returns
    -------
    StrictGuard
    """
    faintest = faintest_contrast(planes, spacing, dark=dark)
    return StrictGuard(guard=guard, spacing=spacing, faintest=faintest, dark=dark)


def faintest_contrast(planes: Sequence[NDArray[np.floating]], spacing: float, *, dark: bool = False) -> float:
    """The least contrast of a column on one or a few planes (Y, X) of a noisy image, in its unit."""
    contrasts = [_contrast(_fast(np.asarray(plane, np.float64), spacing), spacing, dark) for plane in planes]
    return FAINTEST * max(float(np.percentile(contrast, PERCENTILE)) for contrast in contrasts)


def with_columns_of(noisy: Floats, result: Floats, spacing: float, *, faintest: float, dark: bool = False) -> Floats:
    """Give the columns of a denoised image the positions and heights that they have in the noisy one.

    Parameters
    ----------
    noisy, result : ndarray, shape (Y, X)
        The noisy image and the denoised one, in one unit, finite.
    spacing : float
        Lattice period, px.
    faintest : float
        Contrast (see `faintest_contrast`) above which a maximum of the result is a column.
    dark : bool
        Whether columns are darker than what is around them.

    Returns
    -------
    ndarray, shape (Y, X)

    Notes
    -----
    With ``H`` the high-pass ``1 - G(0.55 a)``, ``h = H result`` and ``w`` the windows of the columns, Gaussians of
    0.33 a that share each pixel out among them, the sum over columns of ``w (c0 h + c1 dh/dy + c2 dh/dx)`` is fitted to
    ``H (noisy - result)`` by least squares, all columns together, and added. A uniform loss of contrast or a uniform
    shift is thus mended exactly. The position of a column is then as noisy as the noisy image makes it; what is random
    between columns is still gone. A column that the result does not show is not made, and one that it invented is
    dimmed to what the noisy image has in its place.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_columns
    >>> sites = np.mgrid[1:8, 1:8].reshape(2, -1).T * 12.0
    >>> rng = np.random.default_rng(0)
    >>> moved = sites + rng.normal(0, 0.5, sites.shape)
    >>> true, straight = (render_columns(p, np.ones(49), 2.2, (96, 96)).astype(float) for p in (moved, sites))
    >>> mended = with_columns_of(true, straight, 12.0, faintest=0.1)
    >>> bool(abs(mended - true).std() < 0.35 * abs(straight - true).std())
    True
    """
    high, residual = _fast(result, spacing), _fast(noisy - result, spacing)
    places, strengths = _columns(high, spacing, faintest, dark)
    if not len(places):
        return result
    windows = _Windows(places, strengths, spacing, result.shape)
    images = np.stack([high, *np.gradient(high)]) if min(result.shape) > 1 else np.stack([high, 0 * high, 0 * high])
    normal = sparse.csr_array((3 * len(places), 3 * len(places)))
    right, own = np.zeros((2, 3 * len(places)))
    kept = list(windows.designs(images)) if windows.entries < KEPT else None
    for rows, design, alone in kept or windows.designs(images):
        normal = normal + design @ design.T
        right += design @ residual[rows].ravel()
        own += alone
    scale = 1 / np.sqrt(np.maximum(own, 1e-12 * own.max()))
    scaled = sparse.diags_array(scale) @ normal @ sparse.diags_array(scale)
    scaled = scaled + RIDGE * sparse.eye_array(len(scale))
    changes, _ = linalg.cg(scaled, scale * right, rtol=TOLERANCE, maxiter=1000)
    mended = result.copy()
    for rows, design, _ in kept or windows.designs(images):
        mended[rows] += (design.T @ (scale * changes)).reshape(-1, result.shape[1])
    return mended


def _slow(image: Floats, sigma: float) -> Floats:
    return gaussian(image, sigma, truncate=REACH)


def _fast(image: Floats, spacing: float) -> Floats:
    return image - _slow(image, LOW_PASS * spacing)


def _contrast(high: Floats, spacing: float, dark: bool) -> Floats:
    return _slow(-high if dark else high, FINE * spacing)


def _columns(high: Floats, spacing: float, faintest: float, dark: bool) -> tuple[Floats, Floats]:
    """Places (N, 2), px, and how much of a column each is, from 0 at the threshold to 1: nothing comes by a jump."""
    contrast = _contrast(high, spacing, dark)
    tops = (contrast > faintest) & (
        contrast == ndimage.maximum_filter(contrast, 2 * max(int(APART * spacing), 1) + 1, mode="reflect")
    )
    whole = np.argwhere(tops)
    around = np.pad(contrast, 1, mode="edge")
    y, x = whole.T + 1
    steps = np.array([-1, 0, 1])
    near = around[y[:, None, None] + steps[:, None], x[:, None, None] + steps]  # (N, 3, 3)
    slope = np.stack([near[:, 2, 1] - near[:, 0, 1], near[:, 1, 2] - near[:, 1, 0]], axis=1) / 2
    bend = np.stack([near[:, 0, 1] + near[:, 2, 1], near[:, 1, 0] + near[:, 1, 2]], axis=1) - 2 * near[:, 1, 1, None]
    shift = np.clip(-slope / np.minimum(bend, -1e-300), -0.5, 0.5)
    strengths = np.clip(2 * (contrast[tops] / max(faintest, 1e-300) - 1), 0, 1)
    return whole + shift, strengths


class _Windows:
    """The windows of the columns, which add up to about 1 where there are columns, and the images seen through them."""

    def __init__(self, places: Floats, strengths: Floats, spacing: float, shape: tuple[int, ...]) -> None:
        self.places, self.strengths, self.shape = places, strengths, shape
        distances, _ = cKDTree(places).query(places, k=2)  # infinite where there is no other
        nearest = np.asarray(distances)[:, 1]
        self.sigmas = WIDTH * np.minimum(spacing, NEAREST * np.maximum(nearest, APART * spacing))
        self.half = int(np.ceil(CUT * WIDTH * spacing))
        self.total: Floats = np.zeros(shape)
        for rows, chosen in self._strips():
            weights, y, x = self._weights(chosen, rows)
            np.add.at(self.total, (y + rows.start, x), weights)

    @property
    def entries(self) -> int:
        """About how many numbers the designs have."""
        return 3 * len(self.places) * int(np.pi * (self.half + 1) ** 2)

    def designs(self, images: Floats) -> Iterator[tuple[slice, sparse.csr_array, Floats]]:
        """By rows: the images (3, Y, X) through all windows (3 N, rows X), and each one's square before it shares."""
        count, width = len(self.places), self.shape[1]
        for rows, chosen in self._strips():
            raw, y, x = self._weights(chosen, rows)
            weights = raw / (self.total[rows][y, x] + ELSEWHERE)
            seen = images[:, rows][:, y, x].transpose(1, 0, 2)  # (n, 3, K)
            inside = np.broadcast_to((raw > 0)[:, None], seen.shape)
            lengths = np.zeros((count, 3), np.intp)
            lengths[chosen] = inside.sum(axis=2)
            starts = np.concatenate([[0], np.cumsum(lengths)])
            pixels = np.broadcast_to((y * width + x)[:, None], seen.shape)[inside]  # rising: in the order of a matrix
            entries = (weights[:, None] * seen)[inside]
            shape = (3 * count, (rows.stop - rows.start) * width)
            design = sparse.csr_array((entries, pixels, starts), shape=shape)
            alone = np.zeros((count, 3))
            unit = raw / np.maximum(self.strengths[chosen, None], 1e-300)
            alone[chosen] = ((unit[:, None] * seen) ** 2).sum(axis=2)
            yield rows, design, alone.ravel()

    def _strips(self) -> Iterator[tuple[slice, NDArray[np.intp]]]:
        for start in range(0, self.shape[0], ROWS):
            rows = slice(start, min(start + ROWS, self.shape[0]))
            y = np.rint(self.places[:, 0])
            yield rows, np.flatnonzero((y >= rows.start - self.half) & (y < rows.stop + self.half))

    def _weights(self, chosen: NDArray[np.intp], rows: slice) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
        """Weights (n, K) of the chosen windows in these rows, 0 elsewhere, and rows and columns of their pixels."""
        offsets = np.indices((2 * self.half + 1,) * 2).reshape(2, -1) - self.half
        offsets = offsets[:, (offsets**2).sum(axis=0) <= (self.half + 1) ** 2]
        pixels = np.rint(self.places[chosen]).astype(np.intp)[:, :, None] + offsets  # (n, 2, K)
        square = ((pixels - self.places[chosen, :, None]) ** 2).sum(axis=1) / self.sigmas[chosen, None] ** 2
        weights = np.maximum(np.exp(-0.5 * square) - np.exp(-0.5 * CUT**2), 0) * self.strengths[chosen, None]
        y, x = pixels[:, 0] - rows.start, pixels[:, 1]
        height = rows.stop - rows.start
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < self.shape[1])
        return np.where(inside, weights, 0), np.clip(y, 0, height - 1), np.clip(x, 0, self.shape[1] - 1)
