"""How far a neighbour that was brought onto a frame is still displaced: more and more over it, if it is turned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.series.compared import FLAT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.series.compared import Compared

    Part = tuple[slice, slice]

THIN = 2  # px: each second one is looked at
SCALE = 100.0  # px: unit of a place, so that all parameters are about alike


def misplaced(compared: Compared, number: int, part: Part) -> NDArray[np.float64]:
    """The displacement of a neighbour's features as an affine map of their place.

    Parameters
    ----------
    compared : Compared
        The frame with its neighbours.
    number : int
        The neighbour.
    part : (slice, slice)
        Of the frame that is compared.

    Returns
    -------
    ndarray, shape (2, 3)
        Takes (y, x, 1), px of the frame, to the displacement along Y and X, px. What differs by more than a fraction of
        a feature's width is told too small, but not as nothing.
    """
    other = compared.others[number]
    thin = slice(None, None, THIN)
    along_y, along_x, difference, inside = (
        image[thin, thin]
        for image in (compared.along_y, compared.along_x, other.denoised - compared.denoised, other.inside)
    )
    y = np.arange(part[0].start, part[0].stop, THIN)[:, None] / SCALE
    x = np.arange(part[1].start, part[1].stop, THIN)[None] / SCALE
    place = [np.broadcast_to(one, inside.shape)[inside] for one in (y, x, np.ones((1, 1)))]
    known = np.stack([slope[inside] * one for slope in (along_y, along_x) for one in place], axis=1).astype(np.float64)
    normal = known.T @ known
    flat = FLAT * float(np.trace(normal)) / max(len(normal), 1)
    solved = -np.linalg.solve(normal + max(flat, 1e-30) * np.eye(6), known.T @ difference[inside].astype(np.float64))
    return np.asarray(solved.reshape(2, 3) / [SCALE, SCALE, 1.0])
