"""Whether an image is none: labels of regions, or a mask, which a denoiser would turn into numbers without meaning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 512  # px of a plane that are looked at
FLAT = 0.75  # of the neighbours of a pixel beside the background that have its value
FLATTER = 0.9  # the same, where the values are so few that they may be the steps of a scale
FEW = 8  # values
REGIONS = 0.8  # of the values are those of regions, not of single pixels
NAMED = {"label", "labels", "mask", "masks", "seg", "segmentation"}


def looks_like_labels(data: Any, source: str = "") -> str:
    """Say what an image looks like that is a mask or labels of regions; nothing of any other.

    Parameters
    ----------
    data : array_like, shape (..., Y, X)
        Only the middle of the middle plane is read.
    source : str, optional
        The name of its file: one called mask or labels, or in the group ``labels`` of an OME-NGFF, is believed sooner.

    Returns
    -------
    str
        Such as "labels of regions (12 different whole numbers in flat areas)"; empty where it looks like an image.

    Examples
    --------
    >>> import numpy as np
    >>> looks_like_labels(np.kron(np.arange(16).reshape(4, 4), np.ones((20, 20), int)))
    'labels of regions (16 different whole numbers in flat areas)'
    >>> looks_like_labels(np.random.default_rng(0).poisson(0.1, (64, 64)))
    ''
    """
    kind = np.dtype(data.dtype).kind
    if kind == "b":
        return "a mask (True and False)"
    if kind not in "ui" or len(data.shape) < 2:
        return ""
    part = _middle(data)
    values, ranks = np.unique(part, return_inverse=True)
    if len(values) < 2 or min(part.shape) < 2:
        return ""
    ranks = ranks.reshape(part.shape)
    flat, regions, jump = _neighbours(ranks, len(values))
    called = _is_called_so(source)
    few = flat >= FLATTER and len(values) <= FEW
    many = flat >= FLAT and jump > 1
    if not (((few or many) and regions >= REGIONS) or (called and flat >= FLAT / 2)):
        return ""
    if len(values) == 2:
        return f"a mask ({values[0]} and {values[1]})"
    return f"labels of regions ({len(values)} different whole numbers in flat areas)"


def _middle(data: Any) -> NDArray[Any]:
    """Of the middle plane; a last axis of few is one of colours, of which the first is taken."""
    shape = tuple(data.shape)
    colours = len(shape) > 2 and shape[-1] <= 4 < shape[-2]
    planes = shape[:-3] if colours else shape[:-2]
    sides = shape[-3:-1] if colours else shape[-2:]
    parts = tuple(slice(max(size - SIDE, 0) // 2, max(size - SIDE, 0) // 2 + SIDE) for size in sides)
    key = (*(n // 2 for n in planes), *parts, *((0,) if colours else ()))
    return np.asarray(data[key])


def _neighbours(ranks: NDArray[Any], count: int) -> tuple[float, float, float]:
    """How flat it is beside its commonest value.

    Of the pairs of neighbours of which one at least has another value: which share is equal; for which share of these
    values half of the pairs are; and how far in rank the unequal ones lie apart, in the median.
    """
    background = int(np.bincount(ranks.ravel(), minlength=count).argmax())
    equal, all_pairs, jumps = np.zeros(count), np.zeros(count), []
    for one, other in ((ranks[1:], ranks[:-1]), (ranks[:, 1:], ranks[:, :-1])):
        same = one == other
        equal += 2 * np.bincount(one[same], minlength=count)
        all_pairs += np.bincount(one.ravel(), minlength=count) + np.bincount(other.ravel(), minlength=count)
        jumps.append(np.abs(one[~same] - other[~same]))
    kept = (np.arange(count) != background) & (all_pairs > 0)
    apart = np.concatenate(jumps)
    if not kept.any() or not apart.size:
        return 0.0, 0.0, 0.0
    shares = equal[kept] / all_pairs[kept]
    return float(equal[kept].sum() / all_pairs[kept].sum()), float((shares >= 0.5).mean()), float(np.median(apart))


def _is_called_so(source: str) -> bool:
    path = Path(source.partition(":/")[0] if ":/" in source else source)
    inside = any(part.endswith(".zarr") for part in path.parts) and "labels" in path.parts
    return inside or bool(NAMED & set(re.split(r"[^a-z]+", path.name.lower())))
