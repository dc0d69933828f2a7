"""Affine maps between frames, and frames brought onto one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Matrix = NDArray[np.float64]


def translation(shift: tuple[float, float]) -> Matrix:
    """The map (3, 3) that adds a shift (y, x), px."""
    matrix = np.eye(3)
    matrix[:2, 2] = shift
    return matrix


def places(matrix: Matrix, y: NDArray[np.floating], x: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Where a map takes places, px.

    Parameters
    ----------
    matrix : ndarray, shape (3, 3)
        Takes (y, x, 1) of one frame to another.
    y, x : ndarray
        Of one shape, or that broadcast.
    """
    (a, b, c), (d, e, f), _ = matrix
    return a * y + b * x + c, d * y + e * x + f


def places_of_part(matrix: Matrix, part: tuple[slice, slice]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where a map takes each pixel of a part, px; each (Y, X) of the part."""
    rows = np.arange(part[0].start, part[0].stop, dtype=np.float32)[:, None]
    columns = np.arange(part[1].start, part[1].stop, dtype=np.float32)
    y, x = (np.asarray(at, np.float32) for at in places(matrix, rows, columns))
    return y, x


def farthest(first: Matrix, second: Matrix, shape: tuple[int, int]) -> float:
    """How far two maps take a pixel of a frame apart at most, px."""
    y, x = (np.array([0.0, 0.0, n, n]) if k else np.array([0.0, n, 0.0, n]) for k, n in enumerate(shape))
    (a, b), (c, d) = places(first, y, x), places(second, y, x)
    return float(np.hypot(a - c, b - d).max())


def spline(image: Floats) -> NDArray[np.float32]:
    """Coefficients of the cubic spline through an image, as `warped` wants them."""
    return np.asarray(ndimage.spline_filter(image.astype(np.float32), order=3, output=np.float32, mode="mirror"))


def warped(coefficients: Floats, y: Floats, x: Floats) -> NDArray[np.float32]:
    """An image at places between its pixels, float32 of their shape.

    Parameters
    ----------
    coefficients : ndarray, shape (Y, X)
        Of `spline`.
    y, x : ndarray
        Places, px.
    """
    at = np.stack([y, x])
    return np.asarray(
        ndimage.map_coordinates(coefficients, at, order=3, mode="mirror", prefilter=False, output=np.float32)
    )


def warped_part(
    splines: Sequence[Floats], matrix: Matrix, part: tuple[slice, slice]
) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
    """Parts of frames brought onto another frame.

    Parameters
    ----------
    splines : sequence of ndarray, shape (Y, X)
        Of `spline` through images of one frame, finite.
    matrix : ndarray, shape (3, 3)
        Takes px of the other frame to px of this one.
    part : (slice, slice)
        Of the other frame, with start and stop.

    Returns
    -------
    images : list of ndarray, shape of the part
    inside : ndarray of bool
        Where this frame shows anything.
    """
    y, x = places_of_part(matrix, part)
    height, width = splines[0].shape
    inside = (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)
    return [warped(one, y, x) for one in splines], inside
