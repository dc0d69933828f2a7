"""When something changed at a pixel: groups of frames on either side of each moment are compared.

A group sees a change from some way off, too: three frames from two moments away, at a third of its strength. Frames
are therefore parted at the strongest change first, and what lies between two partings is compared within itself only
(binary segmentation: `Scott and Knott 1974 <https://doi.org/10.2307/2529204>`_).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

GROUP = 3  # frames on either side of a change in time


def groups(count: int, place: int, *, single: bool = False) -> tuple[int, ...]:
    """How many frames on either side of a place in time are compared: a few, and all of ``count``; or one, too."""
    several = (GROUP, count) if max(place + 1, count - 1 - place) > GROUP else (GROUP,)
    return (1, *several) if single else several


@dataclass(frozen=True, eq=False)
class Moments:
    """The frames of a series at one scale, and the moments between them.

    Parameters
    ----------
    sums : sequence of ndarray, float32, each (Y, X)
        Of the first frames in time, none at first, so one more than there are frames.
    spreads : mapping of (int, int) to float
        By how much a comparison at a place in time of so many frames varies more than the noise explains.
    single : bool
        Whether single frames are compared, too: what only one of them shows is found.
    """

    sums: Sequence[Image]
    spreads: Mapping[tuple[int, int], float]
    single: bool = False

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self.sums) - 1

    def step(self, place: int, many: int) -> Image:
        """By how many standard deviations the frames after a place in time differ from those before it."""
        first, middle, last = max(place + 1 - many, 0), place + 1, min(place + 1 + many, self.count)
        before, after = middle - first, last - middle
        unit = self.spreads.get((place, many), 1.0) * (1 / before + 1 / after) ** 0.5
        difference = self.sums[last] - self.sums[middle]
        difference *= np.float32(1 / (after * unit))
        earlier = self.sums[middle] - self.sums[first]
        earlier *= np.float32(1 / (before * unit))
        difference -= earlier
        return difference

    def strongest(self, place: int) -> Image:
        """The largest step at a place in time, whatever number of frames sees it."""
        found = [np.abs(self.step(place, many)) for many in groups(self.count, place, single=self.single)]
        for one in found[1:]:
            np.maximum(found[0], one, out=found[0])
        return found[0]

    def partings(self, steps: Mapping[int, Image], limit: float) -> dict[int, Image]:
        """Steps without those of which a stronger one close by is the reason: they become 0.

        Parameters
        ----------
        steps : mapping of int to ndarray
            ``strongest`` of each place that is wanted.
        limit : float
            Standard deviations of a change.
        """
        where = np.nonzero(np.any([image > limit for image in steps.values()], axis=0))
        if not len(where[0]):
            return dict(steps)
        kept = self._segmented(np.stack([one[where] for one in self.sums]), limit)
        found = {}
        for place, image in steps.items():
            found[place] = image.copy()
            found[place][where] = kept[place]
        return found

    def _segmented(self, sums: Image, limit: float) -> Image:
        """Of sums (N + 1, K) the steps (N - 1, K) at which frames are parted, 0 elsewhere."""
        kept = np.zeros((self.count - 1, sums.shape[1]), np.float32)
        left = np.arange(sums.shape[1])
        while len(left):
            parted = kept[:, left] > 0
            steps = self._within(sums[:, left], parted)
            steps[parted] = 0
            place = steps.argmax(axis=0)
            step = steps[place, np.arange(len(left))]
            found = step > limit
            left = left[found]
            kept[place[found], left] = step[found]
        return kept

    def _within(self, sums: Image, parted: NDArray[np.bool_]) -> Image:
        """The strongest step of each place (N - 1, K), of frames between two partings only."""
        count = self.count
        places = np.arange(count - 1, dtype=np.int32)[:, None]
        least = np.maximum.accumulate(np.where(parted, places + 1, np.int32(0)), axis=0)
        least = np.concatenate([np.zeros_like(least[:1]), least[:-1]])  # the first frame that may be looked at before
        most = np.minimum.accumulate(np.where(parted, places + 1, np.int32(count))[::-1], axis=0)[::-1]
        most = np.concatenate([most[1:], np.full_like(most[:1], count)])
        strongest = np.zeros(parted.shape, np.float32)
        for place in range(count - 1):
            middle = place + 1
            for many in groups(count, place, single=self.single):
                first, last = np.maximum(least[place], middle - many), np.minimum(most[place], middle + many)
                begin, end = (np.take_along_axis(sums, one[None], axis=0)[0] for one in (first, last))
                per_before, per_after = (1 / (one.astype(np.float32)) for one in (middle - first, last - middle))
                step = np.abs((end - sums[middle]) * per_after - (sums[middle] - begin) * per_before)
                step /= np.float32(self.spreads.get((place, many), 1.0)) * np.sqrt(per_before + per_after)
                np.maximum(strongest[place], step, out=strongest[place])
        return strongest


def summed(images: Iterable[Image], outlier: float | None = None) -> list[Image]:
    """Of the first images, none at first; each no further from the two nearest in time than ``outlier``."""
    images = list(images)
    if outlier is not None and len(images) > 2:
        last = len(images) - 1
        nearest = [(images[k - 1 if k else 2], images[k + 1 if k < last else k - 2]) for k in range(last + 1)]
        images = [
            np.clip(image, np.minimum(*near) - np.float32(outlier), np.maximum(*near) + np.float32(outlier))
            for image, near in zip(images, nearest, strict=True)
        ]
    sums = [np.zeros(images[0].shape, np.float32)]
    for image in images:
        sums.append(sums[-1] + image)
    return sums
