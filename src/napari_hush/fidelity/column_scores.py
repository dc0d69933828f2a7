"""Does the noisy input confirm each atom column of a denoised image? What was taken away answers, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage, special
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.atoms.columns import Atoms
    from napari_hush.residual.scan.recorded import Recorded

    Floats = NDArray[np.float64]

CHANCE = 1e-3  # of a false alarm in one image, for each kind of error
RADIUS = 0.5  # of the window around a column, spacings
APART = 0.4  # a lost column is at least so far from every column of the output, spacings
HALF = 0.5  # of a column's height: by less it is brighter or dimmer, not new
FAINT = 0.3  # of the typical height: fainter columns are not missed
MOVED = 0.05  # spacings: nearer columns are at their place
TAILS = 1.6  # by which scores far out may spread wider than the others
BATCH = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnScores:
    """The columns of an output by what the input says about them; positions (y, x), px.

    Parameters
    ----------
    kept : ndarray, shape (N, 2)
        Columns that the input does not contradict.
    lost : ndarray, shape (M, 2)
        Where the input shows a column and the output none.
    new : ndarray, shape (K, 2)
        Columns of which the input has less than half.
    moved : ndarray, shape (J, 2)
        Those of the kept ones that lie elsewhere in the input.
    """

    kept: Floats
    lost: Floats
    new: Floats
    moved: Floats


def score_columns(atoms: Atoms, recorded: Recorded, spacing: float, *, dark: bool = False) -> ColumnScores:
    """Test every column of a denoised image, and every place between them, against the noisy image.

    Parameters
    ----------
    atoms : Atoms
        The columns of the output.
    recorded : Recorded
        What the instrument would have recorded of the output, and what the input shows beyond it.
    spacing : float
        Lattice period, px.
    dark : bool
        Whether columns are darker than what is around them.

    Returns
    -------
    ColumnScores
        The columns kept, lost, new and moved.

    Notes
    -----
    To the residual around each column its Gaussian, that Gaussian's two derivatives and a constant are fitted,
    weighted by the noise. Height and shift, over their standard errors, are compared with the median and the median
    absolute deviation over all columns, so that correlated noise and what happens to every column alike do not count.
    The threshold is such that noise alone contradicts a column in one image of a thousand (about 5 standard errors for
    a thousand columns). Besides, the error must matter: half of a column's height, 0.05 spacings.
    What can be seen follows from the counts in a column, n on a dark ground: the height is known to 1 / sqrt(n), the
    position to sigma / sqrt(n). A shift of 0.1 a of a column with sigma 0.18 a is certain from about 100 counts on.
    """
    sigmas, sign = atoms.sigmas, -1.0 if dark else 1.0
    typical = float(np.nanmedian(sigmas)) if np.isfinite(sigmas).any() else 0.18 * spacing
    typical = float(np.clip(typical, 0.1 * spacing, 0.25 * spacing))
    sigmas = np.clip(np.where(np.isfinite(sigmas), sigmas, typical), 0.5 * typical, 1.5 * typical)
    new = np.zeros(len(sigmas), dtype=bool)
    moved = new.copy()
    if len(sigmas):
        heights = np.maximum(atoms.heights, 1e-9 * max(float(atoms.heights.max()), 1e-30))
        whole, found, errors = fit_changes(recorded, atoms.positions, sign * heights, sigmas, spacing)
        limit = -float(special.ndtri(CHANCE / len(sigmas)))
        change = sign * whole[:, 0] / heights
        new = _scores(sign * found[:, 0], errors[:, 0]) < -limit
        new &= change - np.median(change) < -HALF
        score = np.hypot(*(_scores(found[:, k], errors[:, k]) for k in (1, 2)))
        distance = np.hypot(*(whole[:, 1:] - np.median(whole[:, 1:], axis=0)).T)
        far = float(np.sqrt(special.chdtri(2, CHANCE / len(sigmas))))
        moved = (score > far) & (distance > MOVED * spacing) & ~new
    lost = _lost(atoms, recorded, typical, spacing, sign)
    return ColumnScores(kept=atoms.positions[~new], lost=lost, new=atoms.positions[new], moved=atoms.positions[moved])


def fit_changes(
    recorded: Recorded, positions: Floats, heights: Floats, sigmas: Floats, spacing: float
) -> tuple[Floats, Floats, Floats]:
    """Fit changes of columns' heights (image units) and their shifts (y, x), px, to what was taken away.

    Parameters
    ----------
    recorded : Recorded
        What was taken away, and its noise.
    positions : ndarray, shape (N, 2)
        Columns (y, x), px.
    heights, sigmas : ndarray, shape (N,)
        Of their Gaussians; heights are negative for dark columns.
    spacing : float
        Lattice period, px.

    Returns
    -------
    ndarray, shape (N, 3), three times
        The changes; the same with single pixels cut at 4.5 standard deviations; and their standard errors.
    """
    reach = int(np.ceil(RADIUS * spacing))
    window = np.indices((2 * reach + 1,) * 2).reshape(2, -1) - reach
    window = window[:, (window**2).sum(axis=0) <= max((RADIUS * spacing) ** 2, 4.0)]  # (2, K)
    whole, found, errors = np.zeros((3, len(positions), 3))
    shape = np.array(recorded.image.shape)[:, None]
    batch = max(1, BATCH // window.shape[1])
    for k in range(0, len(positions), batch):
        part = slice(k, k + batch)
        places = np.rint(positions[part]).astype(np.intp)[:, :, None] + window  # (n, 2, K)
        inside = ((places >= 0) & (places < shape)).all(axis=1)
        y, x = np.clip(places, 0, shape - 1).transpose(1, 0, 2)
        weight = (inside & recorded.usable[y, x]) / recorded.variance[y, x]
        away = places - positions[part, :, None]
        precision = 1 / sigmas[part, None] ** 2
        bell = np.exp(-0.5 * (away**2).sum(axis=1) * precision)
        slopes = (heights[part, None] * bell * precision)[:, None] * away
        design = np.concatenate([bell[:, None], slopes, np.ones_like(bell)[:, None]], axis=1)  # (n, 4, K)
        normal = (design * weight[:, None]) @ design.transpose(0, 2, 1)
        scale = np.sqrt(np.maximum(np.einsum("nii->ni", normal), 1e-300))
        inverse = np.linalg.inv(normal / scale[:, :, None] / scale[:, None] + 1e-6 * np.eye(4))
        for values, result in ((recorded.difference, whole), (recorded.residual, found)):
            right = (design * weight[:, None]) @ values[y, x][..., None]  # (n, 4, 1)
            result[part] = ((inverse @ (right / scale[..., None]))[..., 0] / scale)[:, :3]
        enough = (weight > 0).mean(axis=1) > 0.5
        variance = np.einsum("nii->ni", inverse)[:, :3] / scale[:, :3] ** 2
        errors[part] = np.where(enough[:, None], np.sqrt(np.maximum(variance, 0)), np.inf)
    return whole, found, errors


def _scores(values: Floats, errors: Floats) -> Floats:
    """Values over their errors, with the median 0 and, where they spread wider than the errors say, the deviation 1."""
    good = np.isfinite(errors)
    if not good.any():
        return np.zeros(len(values))
    scores = (values - np.median(values[good])) / np.maximum(errors, 1e-300)
    spread = max(float(1.4826 * np.median(np.abs(scores[good]))), 0.7)
    return np.where(good, scores / spread, 0)


def _spreads(scores: Floats, image: Floats) -> Floats:
    """The standard deviation of scores among pixels of like brightness: a few counts in the dark are no Gaussian."""
    groups = np.searchsorted(np.quantile(image, [0.25, 0.5, 0.75, 0.95]), image)
    spreads = np.ones(5)
    for group in np.unique(groups):
        sizes = np.abs(scores[groups == group])
        middle, tail = np.quantile(sizes, [0.5, 0.98])
        spreads[group] = max(0.7, 1.4826 * middle, min(tail / 2.326, TAILS * 1.4826 * middle))
    return spreads[groups]


def _lost(atoms: Atoms, recorded: Recorded, sigma: float, spacing: float, sign: float) -> Floats:
    """Maxima of the residual, seen through a column's Gaussian, where the output has no column."""
    reach = int(np.ceil(RADIUS * spacing))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = np.hypot(y, x) <= max(RADIUS * spacing, 2.0)
    bell = np.where(inside, np.exp(-0.5 * (y**2 + x**2) / sigma**2), 0)
    bell = np.where(inside, bell - bell.sum() / inside.sum(), 0)
    bell /= np.sqrt((bell**2).sum())
    seen = (recorded.residual / np.sqrt(recorded.variance)).astype(np.float32)
    scores = sign * _convolved(seen, bell.astype(np.float32)).astype(np.float64)
    scores /= _spreads(scores, recorded.image)
    if sign > 0:  # counts are skewed: their root is a Gaussian (Poisson), as the score is skewed by ``skew``
        skew = np.maximum(recorded.count * float((bell**3).sum()) / np.sqrt(recorded.variance), 1e-6)
        scores = np.where(scores > 0, 2 / skew * (np.sqrt(1 + skew * np.maximum(scores, 0)) - 1), scores)
    limit = -float(special.ndtri(CHANCE * 2 * np.pi * sigma**2 / scores.size))  # about the number of places
    tops = (scores > limit) & (scores == ndimage.maximum_filter(scores, 2 * int(0.3 * spacing) + 1))
    places = np.argwhere(tops).astype(np.float64)
    border = np.minimum(places, np.array(scores.shape) - 1 - places).min(axis=1, initial=np.inf)
    places = places[border >= spacing]
    if len(places) and len(atoms.positions):
        places = places[cKDTree(atoms.positions).query(places)[0] > APART * spacing]
    if not len(places):
        return np.empty((0, 2))
    typical = float(np.median(atoms.heights)) if len(atoms.heights) else 0.0
    height = max(typical, 1e-30)
    found, _, _ = fit_changes(recorded, places, np.full(len(places), height), np.full(len(places), sigma), spacing)
    return np.asarray(places[sign * found[:, 0] > FAINT * typical])


def _convolved(image: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image (Y, X) with nothing beyond its edges, seen through an even kernel of odd sides."""
    size = [fft.next_fast_len(n + k - 1, real=True) for n, k in zip(image.shape, kernel.shape, strict=True)]
    whole = fft.irfft2(fft.rfft2(image, size) * fft.rfft2(kernel, size), size)
    top, left = (k // 2 for k in kernel.shape)
    return np.asarray(whole[top : top + image.shape[0], left : left + image.shape[1]])
