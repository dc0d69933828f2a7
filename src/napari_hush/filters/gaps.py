"""Pixels without a value get that of the nearest one that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray


def filled(images: NDArray[np.float64], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fill gaps.

    Parameters
    ----------
    images : ndarray, shape (..., Y, X)
        One image, or several with the same gaps.
    bad : ndarray of bool, shape (Y, X)
        Where the gaps are; not everywhere.

    Returns
    -------
    ndarray, shape (..., Y, X)
        The same array where there is no gap.

    Examples
    --------
    >>> image = np.array([[1.0, np.nan, np.nan, 4.0]])
    >>> filled(image, np.isnan(image))
    array([[1., 1., 4., 4.]])
    """
    if not bad.any():
        return images
    y, x = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
    return np.asarray(images[..., y, x])
