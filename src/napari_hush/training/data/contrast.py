"""What is measured on whole images before they are trained on, without ever reading a very large one whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.atoms.spacing import estimate_spacing
from napari_hush.errors import InputError
from napari_hush.normalize import Normalization
from napari_hush.training.data.patches import finite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_hush.training.data.images import ImageSet
    from napari_hush.training.data.regions import Region

LARGE = 32 << 20  # px; the percentiles of larger planes are taken from a sample
LOOKED_AT = 32  # images whose contrast is measured
MEASURED = 9  # images whose lattice period is measured
SIDE = 512  # of the part that is measured, px


def blocks(images: ImageSet, number: int) -> list[NDArray[Any]]:
    """All values of an image, or of 64 windows of a very large one."""
    height, width = images.shape(number)
    if height * width <= LARGE:
        return [images.read(number, slice(0, height), slice(0, width))]
    side = min(SIDE, height, width)
    corners = np.random.default_rng(number).integers(0, [height - side + 1, width - side + 1], (64, 2))
    return [images.read(number, slice(int(y), int(y) + side), slice(int(x), int(x) + side)) for y, x in corners]


def middle(low: int, high: int, side: int = SIDE) -> slice:
    """The middle part of a line."""
    start = low + max((high - low - side) // 2, 0)
    return slice(start, min(start + side, high))


def to_unit(images: ImageSet, number: int) -> Normalization:
    """Find the map of a clean image to values from 0 to about 1; a zero that is the darkest possible stays 0.

    Raises
    ------
    InputError
        If no value is finite, or all are equal.
    """
    values = np.concatenate([block.ravel() for block in blocks(images, number)])
    values = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(values, (0.0, 99.8))) if values.size else (0.0, 0.0)
    low = min(low, 0.0)
    if not high > low:
        raise InputError("the image is constant, or has no finite value")
    return Normalization(low, high - low)


def matched(
    noisy: ImageSet,
    noisy_regions: Sequence[Region],
    map_of: Callable[[int], Normalization],
    clean: ImageSet,
    clean_regions: Sequence[Region],
) -> Normalization:
    """Find the map of the clean set that gives it the mean and the contrast of the noisy one's signal.

    Parameters
    ----------
    noisy, clean : ImageSet
        Of other fields.
    noisy_regions, clean_regions : sequence of Region
        What may be looked at.
    map_of : callable
        The map of a noisy image to network units.

    Raises
    ------
    InputError
        If the clean images are constant.
    """
    mean, contrast = _signal(noisy, map_of, noisy_regions)
    other_mean, other_contrast = _signal(clean, lambda _: Normalization(0.0, 1.0), clean_regions)
    scale = other_contrast / max(contrast, 1e-6)
    if not scale > 0:
        raise InputError("the clean images are constant: check the folder of clean images")
    return Normalization(other_mean - mean * scale, scale)


def scale_between(
    noisy: ImageSet, noisy_regions: Sequence[Region], clean: ImageSet, clean_regions: Sequence[Region]
) -> float:
    """Find how much larger the lattice of noisy images is than that of clean ones.

    Parameters
    ----------
    noisy, clean : ImageSet
        Of other fields.
    noisy_regions, clean_regions : sequence of Region
        What may be looked at.

    Returns
    -------
    float
        Ratio of the median periods; 1 where one side has no lattice, or lattices of many periods.
    """
    sides = [_period(images, regions) for images, regions in ((noisy, noisy_regions), (clean, clean_regions))]
    return sides[0] / sides[1] if sides[0] and sides[1] else 1.0


def _period(images: ImageSet, regions: Sequence[Region]) -> float:
    """The lattice period that most images have within a tenth, px; 0 if there is none."""
    found = []
    looked = np.linspace(0, len(regions) - 1, min(MEASURED, len(regions))).astype(int)
    for k in looked:
        region = regions[k]
        part = images.read(region.image, middle(region.top, region.bottom), middle(region.left, region.right))
        period = estimate_spacing(finite(part)[0])
        if period is not None and period < min(part.shape[1:]) / 6:  # else it may be anything that is there twice
            found.append(period)
    if not found:
        return 0.0
    middling = float(np.median(found))
    alike = sum(abs(period - middling) < 0.1 * middling for period in found)
    return middling if alike > 0.6 * len(looked) else 0.0


def _signal(images: ImageSet, map_of: Callable[[int], Normalization], regions: Sequence[Region]) -> tuple[float, float]:
    """Mean and standard deviation of what neighbouring rows have in common: the signal without its noise."""
    means, variances = [], []
    for k in np.linspace(0, len(regions) - 1, min(LOOKED_AT, len(regions))).astype(int):
        region, found = regions[k], map_of(regions[k].image)
        part = images.read(region.image, middle(region.top, region.bottom), middle(region.left, region.right))
        values = (finite(part).astype(np.float64) - found.offset) / found.scale
        means.append(values.mean())
        centred = values - values.mean()
        variances.append(max(float(np.mean(centred[:, 1:] * centred[:, :-1])), 0.0))
    return float(np.mean(means)), float(np.sqrt(np.mean(variances)))
