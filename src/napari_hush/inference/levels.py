"""A small signal on a high pedestal: the pedestal is taken off exactly, before single precision, and added again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.io import convert_dtype
from napari_hush.progress import MEASURING, Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_hush.inference.planes import Planes
    from napari_hush.normalize import Normalization

    Level = int | float

HIGH = 256.0  # times the spread of the values: a pedestal; below it float32 keeps 1/60,000 of the spread
KEPT = 1000.0  # steps within the spread that a number type must have for a result
PLANES, ROWS, COLUMNS = 5, 16, 256  # looked at: a level needs no more than to lie near the values


def level_steps(source: Planes, *, each: bool) -> Generator[Progress, None, tuple[tuple[Level, ...], ...]]:
    """The level to be taken off each channel, in the image's own type; yields after each part read.

    Parameters
    ----------
    source : Planes
        The image as it came: without levels.
    each : bool
        Whether each plane has levels of its own; else all share those of each channel.

    Returns
    -------
    tuple of tuple
        For `Planes`: for each plane, or once for all, the level of each channel; empty where there is no pedestal.
    """
    if np.dtype(source.image.dtype).itemsize == 1:  # float32 holds all of them
        return ()
    indices = list(source.indices())
    if each:
        parts = [[index] for index in indices]
    else:
        parts = [[indices[number] for number in np.unique(np.linspace(0, len(indices) - 1, PLANES).astype(int))]]
    levels = []
    for some in parts:
        found = []
        for channel in range(source.n_channels):
            found.append((yield from _level_steps(source, some, channel)))
        levels.append(tuple(found))
    return tuple(levels) if any(map(any, levels)) else ()


def lowered(values: np.ndarray, level: Level) -> np.ndarray:
    """Values less a level, float64: exact wherever float64 holds what is left.

    Examples
    --------
    >>> lowered(np.array([2**60 + 1, 2**60 - 2]), 2**60)
    array([ 1., -2.])
    """
    if values.dtype.kind == "f":
        wide: Any = np.longdouble if values.dtype.itemsize > 8 else np.float64
        return np.asarray(values.astype(wide) - wide(level), np.float64)
    rough = values.astype(np.float64) - float(level)
    # modulo 2**64, so that no step of it overflows; right as long as the difference fits into 64 bits
    near = values.astype(np.uint64) - np.uint64(level % 2**64)
    return np.where(np.abs(rough) < 2.0**62, near.view(np.int64).astype(np.float64), rough)


def raised(values: np.ndarray, level: Level, dtype: Any) -> np.ndarray:
    """Values and a level, in a number type: integers are clipped and rounded, see `convert_dtype`.

    Examples
    --------
    >>> raised(np.array([0.6, -2.0]), 2**60, "int64") - 2**60
    array([ 1, -2])
    """
    target = np.dtype(dtype)
    if not level:
        return values if target.kind == "f" and target.itemsize >= 4 else convert_dtype(values, target)
    if target.kind == "f" or abs(level) < 2**52:
        wide: Any = np.longdouble if target.itemsize > 8 else np.float64
        return convert_dtype(values.astype(wide) + wide(level), target)
    limits = np.iinfo(target)
    whole = convert_dtype(values, np.int64)
    low, high = (min(max(end - int(level), -(2**63)), 2**63 - 1) for end in (limits.min, limits.max))
    near = np.clip(whole, low, high).astype(np.uint64) + np.uint64(int(level) % 2**64)
    return np.asarray(near, target)


def result_dtype(level: Level, norm: Normalization) -> np.dtype[Any]:
    """The number type that holds a result: float32, or float64 where that would round away detail.

    Parameters
    ----------
    level : int or float
        What was taken off the values.
    norm : Normalization
        Of what is left.

    Raises
    ------
    InputError
        If no type does: the pedestal must be taken off by whoever knows what it is.
    """
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        if _holds(dtype, level + norm.fill, norm.spread):
            return dtype
    raise InputError(
        f"the image's values lie around {level} and spread over {norm.spread:.3g} only, and no float holds a result "
        f"there: subtract {level} from the image first, or give an integer array as out"
    )


def step_words(level: Level, dtype: np.dtype[Any]) -> str:
    """In which steps a number type goes where an image lies, for a person.

    Examples
    --------
    >>> step_words(10**7, np.dtype(np.float32))
    'the image lies around 1e+07, where float32 goes in steps of 1'
    """
    return f"the image lies around {level:.7g}, where {dtype} goes in steps of {_step(dtype, level):.3g}"


def as_float64(values: np.ndarray) -> np.ndarray:
    """Values in float64.

    Raises
    ------
    InputError
        If they are integers of 64 bits that differ by less than float64 tells there.

    Examples
    --------
    >>> as_float64(np.array([1, 2]))
    array([1., 2.])
    """
    floats = values.astype(np.float64)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8 and values.size:
        middle = int(values.reshape(-1)[values.size // 2])
        if abs(middle) > 2**53 and not _holds(np.dtype(np.float64), middle, float(np.ptp(lowered(values, middle)))):
            raise InputError(
                f"the values lie around {middle} and differ by less than float64 tells there: subtract {middle} first"
            )
    return floats


def _step(dtype: np.dtype[Any], level: Level) -> float:
    """From one number to the next around a level."""
    with np.errstate(over="ignore"):
        return float(np.spacing(np.abs(np.array(level, np.float64)).astype(dtype))) if dtype.kind == "f" else 1.0


def _holds(dtype: np.dtype[Any], level: Level, spread: float) -> bool:
    """Whether a number type resolves the spread of values around a level."""
    if not level or abs(level) > np.finfo(dtype).max:  # beyond it all are infinite, and holes
        return True
    return _step(dtype, level) * KEPT <= spread or not spread


def _level_steps(source: Planes, indices: list[tuple[int, ...]], channel: int) -> Generator[Progress, None, Level]:
    """The median of some rows of some planes, where it is high above their spread; else 0."""
    height, width = source.plane_shape
    rows = np.unique(np.linspace(0, height - 1, ROWS).astype(int))
    step = max(width // COLUMNS, 1)
    found = []
    for index in indices:
        for some in np.split(rows, np.flatnonzero(np.diff(rows // source.chunk_shape[0])) + 1):  # of one chunk at once
            band = source.read(index, [channel], slice(int(some[0]), int(some[-1]) + 1), slice(0, width))
            found += [band[0, row, ::step] for row in some - some[0]]
            yield Progress(0, 1, MEASURING)
    values = np.concatenate(found).astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0
    low, middle, high = np.percentile(values, [1, 50, 99]).tolist()
    if not abs(middle) > HIGH * (high - low):
        return 0
    return int(middle) if np.dtype(source.image.dtype).kind in "iu" else float(middle)
