"""What an image shows around each of many places: cut out, averaged over the neighbourhood, drawn back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TOGETHER = 256  # patches that are moved at once, so that they stay in the processor's cache
NODES = np.arange(-2, 3)  # px: the samples through which a polynomial goes


class Neighbourhood:
    """Means over the neighbours of each place, weighted by a Gaussian that is cut off at two standard deviations.

    Parameters
    ----------
    places : ndarray, shape (N, 2)
        (y, x), px.
    sigma : float
        Of the Gaussian, px.
    known : ndarray of bool, shape (N,)
        The places that count.
    """

    def __init__(self, places: Floats, sigma: float, known: NDArray[np.bool_]) -> None:
        tree = cKDTree(places)
        weight = tree.sparse_distance_matrix(tree, 2 * sigma, output_type="coo_matrix").tocsr()
        weight.data = np.exp(-0.5 * (weight.data / sigma) ** 2)
        weight.setdiag(1.0)
        self.weight = (weight @ sparse.diags_array(known.astype(np.float64))).tocsr()
        self._total = np.maximum(np.asarray(self.weight.sum(axis=1)).ravel(), 1e-100)  # none: its square must not be 0
        self.shrinks = np.asarray(self.weight.power(2).sum(axis=1)).ravel() / self._total**2
        """(N,), by how much a mean varies less than the single values."""

    def mean(self, values: Floats) -> Floats:
        """Of values (N, ...)."""
        found = np.asarray(self.weight @ values.reshape(len(values), -1))
        found /= self._total[:, None]
        return found.reshape(values.shape)

    def variance(self, values: Floats, mean: Floats | None = None) -> Floats:
        """Of values (N, ...) around their mean, which may be known."""
        mean = self.mean(values) if mean is None else mean
        return np.maximum(self.mean(values**2) - mean**2, 0)


def cut_out(image: Floats, places: Floats, half: int) -> Floats:
    """What lies around each place, (N, 2 half + 1, 2 half + 1), interpolated."""
    whole = np.rint(places).astype(np.intp)
    border = half + 3
    padded = np.pad(image, border, mode="edge")
    offsets = np.arange(-half - 2, half + 3) + border
    rows, columns = ((whole[:, k, None] + offsets).clip(0, padded.shape[k] - 1) for k in (0, 1))
    return _moved(padded[rows[:, :, None], columns[:, None, :]], places - whole)


def draw_back(patches: Floats, places: Floats, shape: tuple[int, int]) -> Floats:
    """Add up patches (N, S, S), S odd, around their places."""
    whole = np.rint(places).astype(np.intp)
    half = patches.shape[1] // 2 + 1
    moved = _moved(np.pad(patches, ((0, 0), (3, 3), (3, 3))), whole - places)
    border = half + 1  # takes what hangs over the edge
    size = (shape[0] + 2 * border, shape[1] + 2 * border)
    offsets = np.arange(-half, half + 1) + border
    rows, columns = ((whole[:, k, None] + offsets).clip(0, size[k] - 1) for k in (0, 1))
    index = rows[:, :, None] * size[1] + columns[:, None, :]
    total = np.bincount(index.ravel(), moved.ravel(), minlength=size[0] * size[1]).reshape(size)
    return total[border : border + shape[0], border : border + shape[1]]


def _moved(patches: Floats, by: Floats) -> Floats:
    """Patches (N, S, S) at places that lie ``by`` (N, 2) px further, at most 0.5, (N, S - 4, S - 4)."""
    size = patches.shape[1] - 4
    rows, columns = (_weights(by[:, axis])[..., None, None] for axis in (0, 1))
    moved = np.empty((len(patches), size, size))
    for first in range(0, len(patches), TOGETHER):
        part = slice(first, first + TOGETHER)
        down = _summed(rows[part], [patches[part, k : k + size] for k in range(len(NODES))])
        moved[part] = _summed(columns[part], [down[:, :, k : k + size] for k in range(len(NODES))])
    return moved


def _summed(weights: Floats, parts: list[Floats]) -> Floats:
    """The sum of some arrays, each with its weight (N, K, 1, 1)."""
    total = weights[:, 0] * parts[0]
    for k, part in enumerate(parts[1:], start=1):
        total += weights[:, k] * part
    return total


def _weights(by: Floats) -> Floats:
    """What each sample adds to the value at ``by``, (N, 5)."""
    parts = [np.prod([(by - other) / (node - other) for other in NODES if other != node], axis=0) for node in NODES]
    return np.stack(parts, axis=1)
