"""Resample images by any factor, whole or part by part: the parts equal the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Read = Callable[[slice, slice], NDArray[np.floating]]

RADIUS = 2  # of the kernel, in its own steps


def resampled_size(size: int, factor: float) -> int:
    """How many pixels an axis has after resampling.

    Parameters
    ----------
    size : int
        Before, px.
    factor : float
        Pixels after per pixel before.

    Examples
    --------
    >>> resampled_size(100, 2.4), resampled_size(100, 1 / 3)
    (240, 34)
    """
    return max(int(np.ceil(size * _checked(factor) - 1e-6)), 1)


def reach(factor: float, *, antialias: bool = True) -> int:
    """How far an output pixel looks from its place in the source, px of the source.

    Parameters
    ----------
    factor, antialias
        As of `axis_weights`.

    Examples
    --------
    >>> reach(2.4), reach(0.5), reach(0.5, antialias=False)
    (2, 4, 2)
    """
    return int(np.ceil(RADIUS * _step(factor, antialias)))


def axis_weights(
    start: int, stop: int, size: int, factor: float, *, antialias: bool = True
) -> tuple[slice, csr_array[np.float32]]:
    """Make the weights that turn source pixels of one axis into output pixels.

    Output pixel k lies at ``(k + 0.5) / factor - 0.5`` in the source, in the part as in the whole. The kernel is cubic
    (Catmull-Rom): it keeps positions, rings by 6 % at a step, and reaches two pixels. The source is mirrored beyond its
    edges (d c b a | a b c d).

    Parameters
    ----------
    start, stop : int
        Which output pixels.
    size : int
        Of the whole source axis, px.
    factor : float
        Pixels after per pixel before.
    antialias : bool
        Whether the kernel is widened by 1 / factor where the image shrinks. Without it detail that the output cannot
        hold folds back; it is right on the way back from a finer grid, where there is no such detail.

    Returns
    -------
    source : slice
        The source pixels that are needed, within the axis.
    weights : csr_array, shape (stop - start, source.stop - source.start)
        float32; rows sum to 1.

    Raises
    ------
    InputError
        If the factor is not positive, or there is no pixel to make or to read.

    References
    ----------
    R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. Acoust. Speech Signal
    Process. 29, 1153 (1981), https://doi.org/10.1109/TASSP.1981.1163711

    Examples
    --------
    >>> source, weights = axis_weights(10, 14, 100, 2.0)
    >>> source, weights.shape
    (slice(3, 9, None), (4, 6))
    """
    factor = _checked(factor)
    step = _step(factor, antialias)
    if not 0 <= start < stop or size < 1:
        raise InputError(
            f"expected output pixels start < stop of a source of 1 px or more; got {start}, {stop}, {size}"
        )
    places = (np.arange(start, stop) + 0.5) / factor - 0.5
    taps = np.floor(places - RADIUS * step).astype(np.intp)[:, None] + np.arange(int(2 * RADIUS * step) + 3)
    weights = cubic((places[:, None] - taps) / step)
    weights /= weights.sum(axis=1, keepdims=True)
    rows, columns = np.nonzero(weights)
    around = taps[rows, columns] % (2 * size)
    inside = np.minimum(around, 2 * size - 1 - around)
    low, high = int(inside.min()), int(inside.max()) + 1
    shape = (stop - start, high - low)
    matrix = csr_array((weights[rows, columns], (rows, inside - low)), shape=shape)  # adds up what is mirrored
    return slice(low, high), matrix.astype(np.float32)


def resample(
    image: ArrayLike, factor: float, *, shape: tuple[int, int] | None = None, antialias: bool = True
) -> NDArray[np.float32]:
    """Resample whole planes.

    Parameters
    ----------
    image : array_like, shape (..., Y, X)
        Without NaN, which would spread over the kernel.
    factor : float
        Pixels after per pixel before, along both axes.
    shape : (int, int), optional
        Y', X' of the output, px; left out: `resampled_size`. More than the source holds is mirrored.
    antialias : bool
        See `axis_weights`.

    Returns
    -------
    ndarray, shape (..., Y', X')
        In the image's unit; by factor 1 the same values.

    Raises
    ------
    InputError
        If the image has no two axes or no pixels, or the factor is not positive.

    Examples
    --------
    >>> image = np.arange(12.0).reshape(3, 4)
    >>> resample(image, 2).shape, bool((resample(image, 1) == image).all())
    ((6, 8), True)
    """
    values = np.asarray(image, dtype=np.float32)
    if values.ndim < 2 or not values.size:
        raise InputError(f"expected an image (..., Y, X) with pixels, got the shape {values.shape}")
    height, width = values.shape[-2:]
    new = shape or (resampled_size(height, factor), resampled_size(width, factor))
    planes = values.reshape(-1, height, width)
    made = resample_part(
        lambda y, x: planes[:, y, x], slice(0, new[0]), slice(0, new[1]), (height, width), factor, antialias=antialias
    )
    return made.reshape(*values.shape[:-2], *new)


def resample_part(
    read: Read,
    y: slice,
    x: slice,
    shape: tuple[int, int],
    factor: float | tuple[float, float],
    *,
    antialias: bool = True,
) -> NDArray[np.float32]:
    """Resample only what one part of the output needs; it is the same as in the whole.

    Parameters
    ----------
    read : callable
        Gives the source (C, Y, X) of a slice of rows and one of columns.
    y, x : slice
        The rows and columns of the output, with start and stop.
    shape : (int, int)
        Y, X of the whole source, px.
    factor : float or (float, float)
        Pixels after per pixel before, along Y and X.
    antialias : bool
        See `axis_weights`.

    Returns
    -------
    ndarray, shape (C, y.stop - y.start, x.stop - x.start)
        In the source's unit.

    Raises
    ------
    InputError
        As `axis_weights`.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((1, 40, 40), dtype=np.float32)
    >>> part = resample_part(lambda y, x: image[:, y, x], slice(20, 50), slice(7, 30), (40, 40), 1.7)
    >>> bool(np.allclose(part, resample(image, 1.7)[:, 20:50, 7:30], atol=1e-6))
    True
    """
    fy, fx = factor if isinstance(factor, tuple) else (factor, factor)
    rows, down = axis_weights(y.start, y.stop, shape[0], fy, antialias=antialias)
    columns, across = axis_weights(x.start, x.stop, shape[1], fx, antialias=antialias)
    source = np.asarray(read(rows, columns), dtype=np.float32)  # (C, Y, X)
    made = np.empty((len(source), down.shape[0], across.shape[0]), dtype=np.float32)
    for plane, out in zip(source, made, strict=True):
        narrow = np.ascontiguousarray((across @ np.ascontiguousarray(plane.T)).T)  # (Y, X')
        out[:] = down @ narrow
    return made


def _checked(factor: float) -> float:
    if not 0 < factor < np.inf:
        raise InputError(f"factor must be a positive number, pixels after per pixel before; got {factor}")
    return float(factor)


def _step(factor: float, antialias: bool) -> float:
    """Step of the kernel, px of the source."""
    return max(1.0, 1 / _checked(factor)) if antialias else 1.0


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Catmull-Rom's kernel."""
    x = np.abs(x)
    inner, outer = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))
