"""Affine maps between frames, and frames brought onto one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Matrix = NDArray[np.float64]


REACH = 3  # px around a place in which its coefficients lie
LEAST = 8  # px that are looked at in any case


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


def warped(splines: Sequence[Floats], y: Floats, x: Floats) -> list[NDArray[np.float32]]:
    """Images at places between their pixels, float32 of the places' shape; mirrored beyond their borders.

    Parameters
    ----------
    splines : sequence of ndarray, shape (Y, X), float32
        Of `spline`, of images of one shape.
    y, x : ndarray
        Places, px.

    Notes
    -----
    The sixteen coefficients around a place are read as four values between two pixels each way, which PyTorch does
    fast (`Sigg and Hadwiger 2005, GPU Gems 2, chapter 20`).
    """
    box = tuple(_box(at, size) for at, size in zip((y, x), splines[0].shape, strict=True))
    images = torch.from_numpy(np.stack([one[box] for one in splines])[None])
    rows, columns = (
        _pairs(np.asarray(at - part.start, np.float32).ravel(), part.stop - part.start)
        for at, part in zip((y, x), box, strict=True)
    )
    made = torch.zeros((len(splines), y.size))
    for weight_y, at_y in rows:
        for weight_x, at_x in columns:
            grid = torch.stack([at_x, at_y], dim=-1)[None, None]
            looked_up = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=True)[0, :, 0]
            made.addcmul_(looked_up, weight_y * weight_x)
    return list(made.numpy().reshape(len(splines), *y.shape))


def _box(at: Floats, size: int) -> slice:
    """The pixels along an axis between which places lie."""
    start = int(np.clip(np.floor(float(at.min())) - REACH, 0, max(size - LEAST, 0)))
    return slice(start, int(np.clip(np.floor(float(at.max())) + REACH + 1, min(start + LEAST, size), size)))


def _pairs(at: NDArray[np.float32], size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights of two pairs of coefficients each, and the places between both, from -1 to 1 over an axis."""
    place = torch.from_numpy(at)
    pixel = place.floor()
    f = place - pixel
    g = 1 - f
    first, fourth = g**3 / 6, f**3 / 6
    left, right = first + (4 - 6 * f**2 + 3 * f**3) / 6, fourth + (4 - 6 * g**2 + 3 * g**3) / 6
    found = (left, pixel - first / left), (right, pixel + 1 + fourth / right)
    return [(weight, where * (2 / max(size - 1, 1)) - 1) for weight, where in found]


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
    return warped(splines, y, x), inside
