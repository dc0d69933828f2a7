"""Affine maps between frames, and frames brought onto one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Matrix = NDArray[np.float64]
    Spline = NDArray[np.float32 | np.complex64]

BEYOND = 8  # px around a frame in which its spline goes on, mirrored
AT_ONCE = 1 << 14  # places: what is held of so many stays in a processor's cache


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


def spline(*images: Floats) -> Spline:
    """Coefficients of the cubic splines through one or two images, as `warped` wants them.

    Returns
    -------
    ndarray, shape (Y + 16, X + 16)
        float32; of two images complex64, the second one as imaginary part: both are looked up at once.
    """
    made = [
        ndimage.spline_filter(image.astype(np.float32), order=3, output=np.float32, mode="mirror") for image in images
    ]
    both = np.empty(made[0].shape, np.complex64 if len(made) > 1 else np.float32)
    floats = both.view(np.float32)
    for k, one in enumerate(made):
        floats[:, k :: len(made)] = one
    return np.pad(both, BEYOND, mode="reflect")


def warped(coefficients: Spline, y: Floats, x: Floats) -> list[NDArray[np.float32]]:
    """Images at places between their pixels, float32 of the places' shape each.

    Parameters
    ----------
    coefficients : ndarray
        Of `spline`.
    y, x : ndarray, shape (Y, X)
        Places, px. Up to 7 px beyond the border the images are mirrored; further out they may be anything finite.
    """
    made = np.empty(y.shape, coefficients.dtype)
    count = made.itemsize // 4
    width, flat = coefficients.shape[1], coefficients.ravel()
    rows = max(AT_ONCE // y.shape[1], 1)
    for start in range(0, len(y), rows):
        part = slice(start, start + rows)
        low_y, low_x = np.floor(y[part]), np.floor(x[part])
        along_y, along_x = _bells(y[part] - low_y, count), _bells(x[part] - low_x, count)
        first = (low_y.astype(np.intp) + BEYOND - 1) * width + low_x.astype(np.intp) + BEYOND - 1
        found = np.empty(first.shape, coefficients.dtype)
        values, line, total = found.view(np.float32), np.empty_like(along_x[0]), made[part].view(np.float32)
        for row, weight in enumerate(along_y):
            for column, other in enumerate(along_x):
                np.take(flat[row * width + column :], first, mode="clip", out=found)
                if column == 0:
                    np.multiply(values, other, out=line)
                else:
                    values *= other
                    line += values
            if row == 0:
                np.multiply(line, weight, out=total)
            else:
                line *= weight
                total += line
    floats = made.view(np.float32)
    return [np.ascontiguousarray(floats[:, k::count]) for k in range(count)]


def _bells(after: Floats, count: int) -> list[NDArray[np.float32]]:
    """Weights of the four coefficients around places so far after the second one, each ``count`` times in a row."""
    t = np.empty((after.shape[0], count * after.shape[1]), np.float32)
    for k in range(count):
        t[:, k::count] = after
    left, square = 1 - t, t * t
    first, last = left * left * left / 6, square * t / 6
    second = square * (t / 2 - 1) + np.float32(2 / 3)
    return [first, second, 1 - first - second - last, last]


def warped_part(
    coefficients: Spline, matrix: Matrix, part: tuple[slice, slice]
) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
    """Parts of frames brought onto another frame.

    Parameters
    ----------
    coefficients : ndarray
        Of `spline` through one or two images of one frame, finite.
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
    height, width = (size - 2 * BEYOND for size in coefficients.shape)
    inside = (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)
    return warped(coefficients, y, x), inside
