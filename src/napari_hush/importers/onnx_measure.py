"""How far a black box looks, and which sizes it takes: measured by giving it a part of what it was given before.

A tile equals the same place of the whole image where no pixel beyond the tile's edge has a part in it. So noise is
denoised whole, and a window of it by itself: where both differ, the edge was seen. The window begins at a multiple of
the stride that is tried, and the smallest stride is taken with which both are the same in the middle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

STRIDES = (1, 2, 4, 8, 16, 32, 64)
WINDOWS = (64, 128, 256, 512)  # px
INNER = 0.4  # of a window's side: how far an edge may be seen before a larger window is taken
TOLERANCE = 1e-5  # of the range of the result
TRIALS = 2


@dataclass(frozen=True)
class Measured:
    """What tiling needs to know of a network.

    Parameters
    ----------
    out_channels : int
        That it gives.
    stride, halo, smallest : int
        As of any network, px.
    """

    out_channels: int
    stride: int
    halo: int
    smallest: int


def measure(run: Callable[[np.ndarray], np.ndarray], in_channels: int, target: tuple[float, float]) -> Measured:
    """Find stride and halo of a network.

    Parameters
    ----------
    run : callable
        Maps float32 (1, in_channels, Y, X) to (1, channels, Y, X).
    in_channels : int
        That it takes.
    target : (float, float)
        The values that it was trained on.

    Raises
    ------
    InputError
        If it takes no images of free size, changes their size, or looks over the whole image.
    """
    tried = {stride: _try(run, in_channels, target, 2 * WINDOWS[0], stride) for stride in STRIDES}
    able = [stride for stride, result in tried.items() if isinstance(result, int)]
    if not able:
        raise InputError(str(tried[STRIDES[-1]]))
    for window in WINDOWS:
        for stride in able:
            if 4 * stride > window:
                continue
            seen = _seen(run, in_channels, target, window, stride)
            if seen is not None:
                halo = math.ceil(seen / stride) * stride
                smallest = _find_smallest(run, in_channels, target, stride)
                return Measured(int(tried[stride]), stride, halo, smallest)
    raise InputError(
        f"each pixel of its result depends on pixels more than {int(INNER * WINDOWS[-1])} px away, as with attention "
        "or a normalisation over the whole image: it cannot be computed in tiles, and such networks are not imported"
    )


def _try(
    run: Callable[[np.ndarray], np.ndarray], in_channels: int, target: tuple[float, float], side: int, stride: int
) -> int | str:
    """How many channels come out for sides that are odd multiples of a stride, or why it does not do."""
    height = (side // stride // 2 * 2 + 1) * stride
    shape = (1, in_channels, height, height + 2 * stride)
    try:
        found = run(_noise(shape, target, 0))
    except InputError:
        raise
    except Exception as error:  # whatever the runtime raises for sizes that do not fit
        reason = " ".join(str(error).split())[-160:]
        return f"it does not run on images of {height} x {height + 2 * stride} px ({reason})"
    if found.shape[2:] != shape[2:]:
        given = " x ".join(map(str, found.shape[2:]))
        return f"it makes {given} px of {height} x {height + 2 * stride} px, expected images of the same size"
    return int(found.shape[1])


def _seen(
    run: Callable[[np.ndarray], np.ndarray], in_channels: int, target: tuple[float, float], window: int, stride: int
) -> int | None:
    """How far from a window's edge the window by itself differs, px; None where it differs in the middle as well."""
    begin = (window // 2 // stride // 2 * 2 + 1) * stride
    window = window // stride * stride
    farthest = 0
    for trial in range(TRIALS):
        image = _noise((1, in_channels, begin + window + begin, begin + window + begin), target, trial)
        inside = image[:, :, begin : begin + window, begin : begin + window]
        if trial == TRIALS - 1:  # the extremes of the image, by which some normalise, lie outside for sure
            inside[...] = (inside + np.float32(sum(target) / 2)) / 2
        try:
            whole, part = run(image)[0, :, begin : begin + window, begin : begin + window], run(inside)[0]
        except InputError:
            raise
        except Exception as error:  # whatever the runtime raises, for lack of memory too
            reason = " ".join(str(error).split())[-160:]
            raise InputError(
                f"it does not run on images of {image.shape[2]} x {image.shape[3]} px ({reason})"
            ) from error
        if not (np.isfinite(whole).all() and np.isfinite(part).all()):
            raise InputError("its results are not finite on noise of the range that it was trained on")
        differs = np.abs(whole - part).max(axis=0) > TOLERANCE * max(float(np.ptp(whole)), 1e-30)
        place = np.minimum(np.arange(window), np.arange(window)[::-1])
        if differs.any():
            farthest = max(farthest, int(np.minimum.outer(place, place)[differs].max()) + 1)
        if farthest > INNER * window:
            return None
    return farthest


def _find_smallest(
    run: Callable[[np.ndarray], np.ndarray], in_channels: int, target: tuple[float, float], stride: int
) -> int:
    """The least side that it takes, px."""
    for count in (1, 2, 3, 4, 6, 8, 12):
        side = count * stride
        try:
            if run(_noise((1, in_channels, side, side), target, 0)).shape[2:] == (side, side):
                return side
        except Exception:  # whatever the runtime raises for a size that is too small
            continue
    return 16 * stride


def _noise(shape: tuple[int, ...], target: tuple[float, float], seed: int) -> np.ndarray:
    """Values of the network's range: even ones, and in the next trial a few bright points."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 1, shape)
    values = values if seed == 0 else np.where(rng.uniform(0, 1, shape) < 0.1, values, 0.1 * values)
    return (target[0] + values * (target[1] - target[0])).astype(np.float32)
