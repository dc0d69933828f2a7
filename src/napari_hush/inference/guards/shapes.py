"""What all columns of a kind lack in shape comes back at each of them, as far as the column itself is there.

A network draws columns as it was trained to, narrower or rounder than they are. The mean of what its result lacks
around the columns of one kind shows that. A mean must not be added as it is, it would fill vacancies: each column gets
its share by its own height in the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft
from scipy.spatial import cKDTree

from napari_hush.atoms.patches import Neighbourhood, cut_out, draw_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NEAR = 2.5  # periods: the standard deviation of the neighbourhood in which a loss must be common
WINDOW = 0.25  # periods: standard deviation of the Gaussian that is a column's own
HALF = 0.75  # periods: as far as it reaches
CERTAIN = 6.0  # times its error, squared: what of the mean is believed
STRONGEST = 1.5  # times the mean: no column gets more
VACANT = (0.35, 0.7)  # times the mean: a column that is lower may be none, and gets nothing or less
DARKEST = 0.1  # of what is around a column: there is none there
OWN = 0.3  # of the Gaussian: what lies further from all columns is no column's, and comes back less
CHUNK = 1024


class Kind(NamedTuple):
    """The columns of one kind.

    Parameters
    ----------
    places : ndarray, shape (N, 2)
        (y, x), px.
    heights : ndarray, shape (N,)
        In the result.
    sigma : float
        Their standard deviation, px.
    """

    places: Floats
    heights: Floats
    sigma: float


class _Mean(NamedTuple):
    """What is seen around the columns of a kind, on the average of each one's neighbourhood."""

    lack: Floats
    error: Floats
    """Its variance, by the frequencies of a cosine transform."""
    seen: Floats
    darkest: NDArray[np.intp]
    """Which pixels of it are darkest."""
    strength: Floats
    """How high each column is, over the mean."""
    normal: Floats
    right: Floats


def lacking_shapes(lack: Floats, result: Floats, drawn: Floats, kinds: list[Kind], period: float, sign: int) -> Floats:
    """What a result lacks in the shape of its columns.

    Parameters
    ----------
    lack, result, drawn : ndarray, shape (Y, X)
        Noisy minus result, the result, and its columns as they are thought to be.
    kinds : list of Kind
        Its columns.
    period : float
        Of the lattice, px.
    sign : int
        1 for bright columns, -1 for dark ones.

    Returns
    -------
    ndarray, shape (Y, X)
        To be added to the result.

    Notes
    -----
    What a scan does to all columns alike, a shift, a skew and a blur along X, is not lacking: it was put straight. Of
    the rest that comes back which exceeds its error in the cosine transform of the mean. What is lacking where the cell
    is darkest, where no column is, is slow contrast and left out.
    """
    shape = (result.shape[0], result.shape[1])
    half = int(np.ceil(HALF * period))
    bell = _bell(half, WINDOW * period)
    means = [_mean(lack, result, drawn, kind, half, bell, period, sign) for kind in kinds]
    trees = [cKDTree(kind.places) for kind in kinds]
    given, weight = np.zeros(shape), np.zeros(shape)
    for kind, mean in zip(kinds, means, strict=True):
        nearest = [tree.query(kind.places)[1] for tree in trees]
        normal = np.sum([other.normal[n] for other, n in zip(means, nearest, strict=True)], axis=0)
        right = np.sum([other.right[n] for other, n in zip(means, nearest, strict=True)], axis=0)
        mine = mean.lack - _scanned(mean.seen, normal, right)
        waves = fft.dctn(mine, axes=(1, 2), norm="ortho")
        waves *= np.clip(1 - CERTAIN * mean.error / np.maximum(waves**2, 1e-300), 0, 1)
        mine = fft.idctn(waves, axes=(1, 2), norm="ortho")
        mine -= _between(mine, mean.darkest)
        mine *= mean.strength[:, None, None]
        given += draw_back(mine * bell, kind.places, shape)
        weight += draw_back(np.broadcast_to(bell, mine.shape), kind.places, shape)
    return np.asarray(given / np.maximum(weight, OWN))


def _bell(half: int, sigma: float) -> Floats:
    offsets = np.arange(-half, half + 1)
    return np.asarray(np.exp(-0.5 * (offsets[:, None] ** 2 + offsets**2) / sigma**2))


def _mean(
    lack: Floats, result: Floats, drawn: Floats, kind: Kind, half: int, bell: Floats, period: float, sign: int
) -> _Mean:
    whole = ((kind.places >= half) & (kind.places <= np.array(result.shape) - 1 - half)).all(axis=1)
    near = Neighbourhood(kind.places, NEAR * period, np.asarray(whole))
    missing, shown = (cut_out(image, kind.places, half) for image in (lack, result))
    mean, seen = near.mean(missing), near.mean(shown)
    waves, mean_waves = (fft.dctn(values, axes=(1, 2), norm="ortho") for values in (missing, mean))
    error = near.variance(waves, mean_waves) * near.shrinks[:, None, None]
    darkest = _darkest(sign * seen)
    column = _bell(half, kind.sigma)
    column /= (column**2).sum()
    more = sign * ((shown - seen) * column).sum(axis=(1, 2))
    other = sign * (seen - near.mean(cut_out(drawn, kind.places, half)))  # columns may have another width in the result
    other -= _between(other, darkest)
    height = near.mean(kind.heights) + (other * column).sum(axis=(1, 2))
    strength = np.where(height > 0, np.clip(1 + more / np.where(height > 0, height, 1.0), 0, STRONGEST), 0.0)
    strength *= np.clip((strength - VACANT[0]) / (VACANT[1] - VACANT[0]), 0, 1)
    normal, right = np.empty((len(mean), 4, 4)), np.empty((len(mean), 4))
    for part in _chunks(len(mean)):
        slopes = _slopes(seen[part])
        normal[part] = np.einsum("niyx,njyx,yx->nij", slopes, slopes, bell, optimize=True)
        right[part] = np.einsum("niyx,nyx,yx->ni", slopes, mean[part], bell, optimize=True)
    return _Mean(mean, error, seen, darkest, strength, normal, right)


def _chunks(count: int) -> Iterator[slice]:
    return (slice(first, first + CHUNK) for first in range(0, count, CHUNK))


def _slopes(seen: Floats) -> Floats:
    """Derivatives of patches (N, S, S): the first three along X and the second along Y, (N, 4, S, S)."""
    first = np.gradient(seen, axis=2)
    second = np.gradient(first, axis=2)
    across = np.gradient(np.gradient(seen, axis=1), axis=1)
    return np.stack([first, second, np.gradient(second, axis=2), across], axis=1)


def _scanned(seen: Floats, normal: Floats, right: Floats) -> Floats:
    """What a scan does to patches (N, S, S): a shift, a skew, and a blur along X beyond that along Y."""
    ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-300
    found = np.linalg.solve(normal + ridge * np.eye(4), right[..., None])[..., 0]
    found[:, 1] = np.maximum(found[:, 1] - found[:, 3], 0)
    found[:, 3] = 0
    scanned = np.empty_like(seen)
    for part in _chunks(len(seen)):
        scanned[part] = np.einsum("ni,niyx->nyx", found[part], _slopes(seen[part]))
    return scanned


def _darkest(patches: Floats) -> NDArray[np.intp]:
    """The pixels of each patch, counted, that are darkest."""
    flat = patches.reshape(len(patches), -1)
    count = max(int(DARKEST * flat.shape[1]), 1)
    return np.argpartition(flat, count - 1, axis=1)[:, :count]


def _between(patches: Floats, pixels: NDArray[np.intp]) -> Floats:
    """The mean of some pixels of each patch, (N, 1, 1)."""
    return np.asarray(np.take_along_axis(patches.reshape(len(patches), -1), pixels, axis=1).mean(axis=1)[:, None, None])
