"""Change an image's number type without wrapping around."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from napari_hush.errors import InputError

BLOCK = 1 << 22  # values converted at a time: the float64 copies stay at some tens of MB


def convert_dtype(data: Any, dtype: Any) -> np.ndarray:
    """Clip to the range of another type and round half to even; values never wrap around.

    Parameters
    ----------
    data : array_like, shape (..., Y, X)
        Booleans, integers or floats.
    dtype : dtype_like
        Any integer or float type. A finite value beyond a float type's range becomes its largest; infinity and NaN
        stay in a float.

    Returns
    -------
    ndarray
        In this machine's byte order; the input itself where nothing is to do.

    Raises
    ------
    InputError
        If there is no such type, or if the data are complex or no numbers.

    Warns
    -----
    UserWarning
        If NaN had to become 0 because integers have none.

    Examples
    --------
    >>> import numpy as np
    >>> convert_dtype(np.array([-3.0, 0.5, 1.5, 300.0]), "uint8")
    array([  0,   0,   2, 255], dtype=uint8)
    """
    target = _number_type(dtype)
    source = np.asarray(data)
    if source.dtype.kind not in "buif":
        raise InputError(f"expected integers or floats to convert to {target}, got {source.dtype}")
    if source.dtype == target:
        return source.astype(target, copy=False)
    result = np.empty(source.shape, target)
    # flat views where the memory allows: a single huge plane is cut into blocks as well
    flat = source.reshape(-1) if source.flags.c_contiguous else np.atleast_1d(source)
    out = result.reshape(flat.shape)
    step = max(BLOCK * flat.shape[0] // max(flat.size, 1), 1)
    missing = 0
    for start in range(0, flat.shape[0], step):
        part = slice(start, start + step)
        out[part], count = _convert(flat[part], target)
        missing += count
    if missing:
        warnings.warn(f"{missing} NaN pixels became 0: {target} has no NaN", UserWarning, stacklevel=2)
    return result


def _number_type(dtype: Any) -> np.dtype[Any]:
    try:
        target: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    except TypeError as error:
        raise InputError(f"there is no number type {dtype!r}; use for example uint8, uint16 or float32") from error
    if target.kind not in "uif":
        raise InputError(f"expected an integer or float type such as uint16 or float32, got {target}")
    return target


def _convert(source: np.ndarray, target: np.dtype[Any]) -> tuple[np.ndarray, int]:
    """One block, and how many NaN it held that became 0."""
    if target.kind == "f":
        if source.dtype.kind != "f" or source.dtype.itemsize < target.itemsize:
            source = source.astype(np.float64)
        largest = source.dtype.type(min(np.finfo(target).max, np.finfo(source.dtype).max))
        clipped = np.where(np.isfinite(source), np.clip(source, -largest, largest), source)
        return clipped.astype(target), 0
    limits = np.iinfo(target)
    if source.dtype.kind == "b":
        return source.astype(target), 0
    if source.dtype.kind in "ui":
        own = np.iinfo(source.dtype)
        return np.clip(source, max(limits.min, own.min), min(limits.max, own.max)).astype(target), 0
    values = np.rint(source.astype(np.float64))
    nan = np.isnan(values)
    values[nan] = 0
    # the largest 64-bit integers are no float64: what reaches the next power of two is set by hand
    above = values >= float(limits.max)
    below = values <= float(limits.min)
    values[above | below] = 0
    result = values.astype(target)
    result[above] = limits.max
    result[below] = limits.min
    return result, int(nan.sum())
