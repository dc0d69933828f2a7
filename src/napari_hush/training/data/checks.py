"""Pairs that would harm a training: found before it begins, listed, and left out or refused."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from napari_hush.errors import InputError
from napari_hush.training.data.belonging import SMALLEST, Waves, strangers, waves_of
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
TURNED = 0.9  # share of the best agreement of moved images
MOST = 256  # images that are looked at at once
RUN = 4  # neighbours among these
FEWEST = 3  # pairs of which none is seen to agree, before that is said


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

    The sizes of all of them are compared, the values of at most 256, spread over the set, are read, and of all where
    pairs among these show different fields; what is wrong with the values of others shows when patches are drawn, see
    `TrainingData.draw`.

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
        If none is left, or ``on_bad="refuse"`` and there is a bad one, or most pairs show different fields.
    """
    counts = [len(images) for images in sets]
    if len(set(counts)) > 1:
        raise InputError(
            f"pairs need as many noisy as clean images, got {counts[0]} and {counts[1]}: check the two "
            "folders or stacks"
        )
    bad = {number: odd for number in range(counts[0]) if (odd := _shapes(sets, number))}
    looked_at = [number for number in _spread(counts[0]) if number not in bad]
    found, strange = _look_at(sets, looked_at, registered)
    if strange and len(looked_at) + len(bad) < counts[0]:  # there may be more of them
        rest = [number for number in range(counts[0]) if number not in bad and number not in looked_at]
        for start in range(0, len(rest), MOST):
            found |= _look_at(sets, rest[start : start + MOST], registered)[0]
    bad |= found
    named = [bad[number] for number in sorted(bad)]
    if bad and (on_bad == "refuse" or len(bad) == counts[0]):
        raise InputError(f"{len(bad)} of {counts[0]} images cannot be trained on: {_listed(named)}")
    if bad:
        warnings.warn(f"left out {len(bad)} of {counts[0]} images: {_listed(named)}", UserWarning, stacklevel=2)
    return [number for number in range(counts[0]) if number not in bad]


def _spread(count: int) -> list[int]:
    """Which images are looked at: runs of neighbours, among which those lie that a missing file has shifted."""
    if count <= MOST:
        return list(range(count))
    starts = np.linspace(0, count - RUN, max(MOST // RUN, 1)).astype(int)
    return sorted({number for start in starts for number in range(start, min(start + RUN, count))})


def _look_at(sets: Sequence[ImageSet], numbers: Sequence[int], registered: bool) -> tuple[dict[int, BadImage], bool]:
    """What is wrong with the values of some images, and whether there are pairs among them that show other fields."""
    bad: dict[int, BadImage] = {}
    waves: dict[int, tuple[Waves, Waves]] = {}
    for number in numbers:
        parts = [images.read(number, *(middle(0, n) for n in sets[0].shape(number))) for images in sets]
        if reason := _emptiness(parts):
            bad[number] = BadImage(number, sets[0].name(number), reason)
        elif len(parts) == 2:
            planes = [part.mean(axis=0, dtype=np.float64) for part in parts]
            if min(planes[0].shape) >= SMALLEST:
                waves[number] = (waves_of(planes[0]), waves_of(planes[1]))
            if registered and (reason := _apart(planes)):
                bad[number] = BadImage(number, sets[0].name(number), reason)
    strange, seen = strangers(waves)
    for number, other in strange.items():
        where = "" if other is None else f", which {sets[1].name(other)} shows"
        reason = f"{sets[1].name(number)} shows another field{where}"
        bad[number] = BadImage(number, sets[0].name(number), reason)
    if 2 * len(strange) > len(waves):
        named = [bad[number] for number in sorted(strange)]
        raise InputError(
            f"{len(strange)} of {len(waves)} pairs show different fields: {_listed(named)}; the two sides are not in "
            "the same order, or one of them lacks an image"
        )
    if len(waves) >= FEWEST and not seen and not strange:
        warnings.warn(
            "in no pair does the noise let it be seen that both images show the same field: look whether they do",
            UserWarning,
            stacklevel=3,
        )
    return bad, bool(strange)


def _listed(bad: list[BadImage]) -> str:
    words = [f"{found.name}: {found.reason}" for found in bad[:5]]
    return "; ".join([*words, *([f"and {len(bad) - 5} more"] if len(bad) > 5 else [])])


def _shapes(sets: Sequence[ImageSet], number: int) -> BadImage | None:
    shapes = [images.shape(number) for images in sets]
    if len(set(shapes)) == 1:
        return None
    return BadImage(number, sets[0].name(number), f"the noisy image is {shapes[0]} px, the clean one {shapes[1]}")


def _emptiness(parts: Sequence[NDArray[Any]]) -> str:
    """Why there is nothing to learn from an image or a pair; empty where there is."""
    for what, part in zip(("noisy", "clean"), parts, strict=False):
        good = np.isfinite(part)
        if good.mean() < 0.5:
            return f"most of the {what} image is NaN or infinite"
        if part[good].min() == part[good].max():
            return f"the {what} image is constant"
    return ""


def _apart(planes: Sequence[NDArray[Any]]) -> str:
    """How far the images of a pair lie apart, in words; empty where that is not seen."""
    y, x = (middle(0, n, SHIFT_SIDE) for n in planes[0].shape)
    shift = _shift(planes[0][y, x], planes[1][y, x])
    return f"the clean image is shifted by ({shift[0]:.1f}, {shift[1]:.1f}) px" if np.hypot(*shift) > FARTHEST else ""


def _shift(noisy: NDArray[Any], clean: NDArray[Any]) -> tuple[float, float]:
    """How far the clean image lies from the noisy one, px; (0, 0) where the noise does not let it be seen."""
    planes = []
    for plane in (noisy, clean):
        smooth = ndimage.gaussian_filter(finite(plane).astype(np.float64), 1.0)
        rim = [np.hanning(n)[(slice(None),) + (None,) * (1 - axis)] for axis, n in enumerate(plane.shape)]
        planes.append((smooth - smooth.mean()) * rim[0] * rim[1])
    found = phase_cross_correlation(planes[0], planes[1], upsample_factor=10, normalization=None)[0]  # type: ignore[no-untyped-call]
    y, x = (float(v) for v in found)
    if np.sum(planes[0] * planes[1]) < 0 and _turned(planes[0], planes[1]):
        return 0.0, 0.0
    moved = ndimage.shift(planes[1], (y, x), order=1)
    change = moved - planes[1]
    gain = float(np.sum(planes[0] * change))
    # What the gain would be by chance: the noise, of whatever spectrum, against the change at random phases.
    noise = planes[0] - moved * (np.sum(planes[0] * moved) / (np.sum(moved**2) or 1.0))
    power = np.abs(np.fft.fft2(noise)) ** 2 * np.abs(np.fft.fft2(change)) ** 2
    chance = float(np.sqrt(power.sum()) / power.size)
    return (y, x) if gain > CERTAIN * chance else (0.0, 0.0)


def _turned(noisy: NDArray[np.float64], clean: NDArray[np.float64]) -> bool:
    """Whether the contrast of one image is the other's turned: as they lie they differ more than moved they agree."""
    common = np.fft.ifft2(np.fft.fft2(noisy) * np.fft.fft2(clean).conj()).real
    return bool(-common[0, 0] > TURNED * common.max())
