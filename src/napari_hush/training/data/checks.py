"""Pairs that would harm a training: found before it begins, listed, and left out or refused."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from napari_hush.errors import InputError
from napari_hush.training.data.contrast import middle
from napari_hush.training.data.patches import finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hush.training.data.images import ImageSet

OnBad = Literal["skip", "refuse"]
SHIFT_SIDE = 256  # of the part that is compared, px
FARTHEST = 1.5  # px between the two images of a pair
CERTAIN = 6.0  # standard deviations of the noise, before a shift is believed
MOST = 256  # images that are looked at


@dataclass(frozen=True)
class BadImage:
    """An image or pair that cannot be trained on.

    Parameters
    ----------
    number : int
        Of the image or pair.
    name : str
        Of its file or array.
    reason : str
        What is wrong with it.
    """

    number: int
    name: str
    reason: str


def usable(sets: Sequence[ImageSet], *, on_bad: OnBad = "skip", registered: bool = True) -> list[int]:
    """Look at images, or pairs of images, and return the numbers of the good ones.

    The sizes of all of them are compared, the values of at most 256, spread over the set, are read; what is wrong with
    the values of others shows when patches are drawn, see `TrainingData.draw`.

    Parameters
    ----------
    sets : sequence of ImageSet
        One, or the two sides of pairs.
    on_bad : {"skip", "refuse"}
        Whether bad ones are left out, with a warning that lists them, or refused.
    registered : bool
        Whether to look for pairs that are shifted against one another.

    Returns
    -------
    list of int
        Numbers of images.

    Raises
    ------
    InputError
        If none is left, or ``on_bad="refuse"`` and there is a bad one.
    """
    counts = [len(images) for images in sets]
    if len(set(counts)) > 1:
        raise InputError(
            f"pairs need as many noisy as clean images, got {counts[0]} and {counts[1]}: check the two "
            "folders or stacks"
        )
    read = set(np.linspace(0, counts[0] - 1, min(MOST, counts[0])).astype(int).tolist())
    bad = [
        found
        for number in range(counts[0])
        if (found := _shapes(sets, number) or (_look(sets, number, registered) if number in read else None))
    ]
    if bad and (on_bad == "refuse" or len(bad) == counts[0]):
        raise InputError(f"{len(bad)} of {counts[0]} images cannot be trained on: {_listed(bad)}")
    if bad:
        warnings.warn(f"left out {len(bad)} of {counts[0]} images: {_listed(bad)}", UserWarning, stacklevel=2)
    numbers = {found.number for found in bad}
    return [number for number in range(counts[0]) if number not in numbers]


def _listed(bad: list[BadImage]) -> str:
    words = [f"{found.name}: {found.reason}" for found in bad[:5]]
    return "; ".join([*words, *([f"and {len(bad) - 5} more"] if len(bad) > 5 else [])])


def _shapes(sets: Sequence[ImageSet], number: int) -> BadImage | None:
    shapes = [images.shape(number) for images in sets]
    if len(set(shapes)) == 1:
        return None
    return BadImage(number, sets[0].name(number), f"the noisy image is {shapes[0]} px, the clean one {shapes[1]}")


def _look(sets: Sequence[ImageSet], number: int, registered: bool) -> BadImage | None:
    name = sets[0].name(number)
    parts = [images.read(number, *(middle(0, n) for n in sets[0].shape(number))) for images in sets]
    for what, part in zip(("noisy", "clean"), parts, strict=False):
        good = np.isfinite(part)
        if good.mean() < 0.5:
            return BadImage(number, name, f"most of the {what} image is NaN or infinite")
        if part[good].min() == part[good].max():
            return BadImage(number, name, f"the {what} image is constant")
    if registered and len(parts) == 2:
        y, x = (middle(0, n, SHIFT_SIDE) for n in parts[0].shape[1:])
        shift = _shift(parts[0][:, y, x].mean(axis=0), parts[1][:, y, x].mean(axis=0))
        if np.hypot(*shift) > FARTHEST:
            return BadImage(number, name, f"the clean image is shifted by ({shift[0]:.1f}, {shift[1]:.1f}) px")
    return None


def _shift(noisy: NDArray[Any], clean: NDArray[Any]) -> tuple[float, float]:
    """How far the clean image lies from the noisy one, px; (0, 0) where the noise does not let it be seen."""
    planes = []
    for plane in (noisy, clean):
        smooth = ndimage.gaussian_filter(finite(plane).astype(np.float64), 1.0)
        rim = [np.hanning(n)[(slice(None),) + (None,) * (1 - axis)] for axis, n in enumerate(plane.shape)]
        planes.append((smooth - smooth.mean()) * rim[0] * rim[1])
    found = phase_cross_correlation(planes[0], planes[1], upsample_factor=10, normalization=None)[0]  # type: ignore[no-untyped-call]
    y, x = (float(v) for v in found)
    moved = ndimage.shift(planes[1], (y, x), order=1)
    change = moved - planes[1]
    gain = float(np.sum(planes[0] * change))
    # What the gain would be by chance: the noise, of whatever spectrum, against the change at random phases.
    noise = planes[0] - moved * (np.sum(planes[0] * moved) / (np.sum(moved**2) or 1.0))
    power = np.abs(np.fft.fft2(noise)) ** 2 * np.abs(np.fft.fft2(change)) ** 2
    chance = float(np.sqrt(power.sum()) / power.size)
    return (y, x) if gain > CERTAIN * chance else (0.0, 0.0)
