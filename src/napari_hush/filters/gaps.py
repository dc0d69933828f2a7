"""Pixels without a value: masked ones become NaN, and gaps get the value of the nearest pixel that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unmasked(values: Any) -> NDArray[Any]:
    """A plain array of what may be a masked one: NaN where something is masked.

    Parameters
    ----------
    values : array_like
        Real numbers.

    Returns
    -------
    ndarray
        The input itself where it is a plain array; of a masked one a copy that can hold NaN: float32 of integers up to
        16 bits, float64 of longer ones.

    Examples
    --------
    >>> unmasked(np.ma.masked_equal(np.array([1, 2, 3], np.uint8), 2))
    array([ 1., nan,  3.], dtype=float32)
    """
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    floats = values.data.astype(np.result_type(values.dtype, np.float16 if values.dtype.kind == "f" else np.float32))
    floats[np.ma.getmaskarray(values)] = np.nan
    return np.asarray(floats)


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
