"""Gaussian means of images, and other sums over a window that slides along an axis, as many small matrix products.

Matrix products run several times faster than a filter that goes pixel by pixel, as long as they are small: large ones a
linear algebra library shares among threads, which wait for each other where the machine is busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from napari_hush.threads import in_threads, strips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mode = Literal["reflect", "nearest", "constant"]

SMALL = 1 << 18  # multiplications of one product: no library shares so few among threads
SIDE = 32  # px that one product gives
STRIP = 8 * SIDE  # rows that one thread does at a time
PADS: dict[str, Any] = {"reflect": "symmetric", "nearest": "edge", "constant": "constant"}


def gaussian(
    image: NDArray[np.floating],
    sigma: float,
    *,
    mode: Mode = "reflect",
    truncate: float = 4.0,
    axes: Sequence[int] = (0, 1),
    rest: bool = False,
) -> NDArray[Any]:
    """As `scipy.ndimage.gaussian_filter`, in single precision.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Finite.
    sigma : float
        Standard deviation, px.
    mode : {"reflect", "nearest", "constant"}
        What lies beyond the border.
    truncate : float
        Standard deviations at which the Gaussian ends.
    axes : sequence of int
        Along which it is taken.
    rest : bool
        Whether to give what it leaves out: the image minus its mean.

    Returns
    -------
    ndarray, shape (Y, X)
        float64 for a float64 image, else float32. A high pedestal costs no precision, but with zeros beyond the border.

    Examples
    --------
    >>> from scipy import ndimage
    >>> image = np.random.default_rng(0).normal(size=(60, 50))
    >>> bool(abs(gaussian(image, 3.0) - ndimage.gaussian_filter(image, 3.0)).max() < 1e-6)
    True
    """
    reach = int(truncate * sigma + 0.5)
    if not reach or not image.size:
        return np.zeros_like(image) if rest else image.copy()
    kind = np.float64 if image.dtype == np.float64 else np.float32
    pedestal = mode != "constant" and not image.min() <= 0 <= image.max()  # else zeros stay zeros
    mean = kind(image.mean(dtype=np.float64)) if pedestal else kind(0)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    bell /= bell.sum()
    weights = np.zeros((SIDE, SIDE + 2 * reach), np.float32)
    for k in range(SIDE):
        weights[k, k : k + len(bell)] = bell
    beyond = [(reach, reach + -size % SIDE) if axis in axes else (0, 0) for axis, size in enumerate(image.shape)]
    # rows that are looked at, counted from 1: what mirrored ones repeat, and 0 for zeros
    rows = np.pad(np.arange(1, image.shape[0] + 1), beyond[0], mode=PADS[mode])
    found = np.empty(image.shape, kind)

    def smooth(part: slice) -> None:
        seen = rows[part.start : part.stop + sum(beyond[0])]
        seen = seen[: len(seen) - (part.stop < image.shape[0]) * (beyond[0][1] - reach)]
        values = (image[seen - 1] - mean if mean else image[seen - 1]).astype(np.float32, copy=False)
        if mode == "constant":
            values[seen == 0] = 0
        if 0 in axes:
            values = slid_down(weights, values, SIDE).reshape(-1, values.shape[1])
        if 1 in axes:
            values = slid_across(weights, np.pad(values, [(0, 0), beyond[1]], mode=PADS[mode]), SIDE)
            values = values.reshape(len(values), -1)
        np.add(values[: part.stop - part.start, : image.shape[1]], mean, out=found[part], dtype=kind)
        if rest:
            np.subtract(image[part], found[part], out=found[part])

    in_threads(smooth, strips(image.shape[0], STRIP))
    return found


def slid_down(weights: NDArray[np.float32], image: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Weighted sums over windows of rows.

    Parameters
    ----------
    weights : ndarray, shape (M, H)
        M sums over a window of H rows.
    image : ndarray, shape (Y, X)
    step : int
        Rows from one window to the next.

    Returns
    -------
    ndarray, shape (windows, M, X)
        ``weights @ image[k * step : k * step + H]``.
    """
    many, reach = weights.shape
    count, width = (len(image) - reach) // step + 1, image.shape[1]
    found = np.empty((count, many, width), np.float32)
    image = np.ascontiguousarray(image)
    (row, pixel), (window, line, _) = image.strides, found.strides
    for start, parts, size in _parts(width, many * reach):
        seen = as_strided(image[:, start:], (count, parts, reach, size), (step * row, size * pixel, row, pixel))
        out = as_strided(found[..., start:], (count, parts, many, size), (window, size * pixel, line, pixel))
        np.matmul(weights, seen, out=out)
    return found


def slid_across(weights: NDArray[np.float32], image: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """The same over windows of columns: (Y, windows, M)."""
    many, reach = weights.shape
    height, count = len(image), (image.shape[1] - reach) // step + 1
    found = np.empty((height, count, many), np.float32)
    image = np.ascontiguousarray(image)
    (row, pixel), (line, window, _) = image.strides, found.strides
    for start, parts, size in _parts(height, many * reach):
        seen = as_strided(image[start:], (parts, count, size, reach), (size * row, step * pixel, row, pixel))
        out = as_strided(found[start:], (parts, count, size, many), (size * line, window, line, pixel))
        np.matmul(seen, weights.T, out=out)
    return found


def _parts(length: int, work: int) -> list[tuple[int, int, int]]:
    """Start, number and size of equal parts of an axis, and of the rest, that keep a product small."""
    size = min(max(SMALL // work, 1), length)
    whole = length // size
    rest = length - whole * size
    return [(0, whole, size), *([(whole * size, 1, rest)] if rest else [])]
