"""What the frames around one know of it: tested pixel by pixel, what does not belong together stays apart.

A neighbour counts at a pixel only where neither it nor what was made of it differs from the frame beyond the noise, at
any scale; where its features are not displaced; and where no change in time lies between both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.filters.smoothing import gaussian
from napari_hush.series.affine import places, places_of_part
from napari_hush.series.brightness import matched
from napari_hush.series.compared import Compared, at_every_pixel
from napari_hush.series.misplaced import misplaced
from napari_hush.series.partings import GROUP, Moments, groups, summed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel
    from napari_hush.series.compared import Frame, Means, Neighbour
    from napari_hush.series.pairs import Pair

    Image = NDArray[np.float32]
    Part = tuple[slice, slice]

SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # px: standard deviations of the means that are compared
WIDENED = (6.0, 4.0, 2.0, 1.0)  # after which what was found reaches a pixel further: in all about as far as its scale
LIMIT, LATTICE_LIMIT = 4.0, 5.0  # standard deviations from which a neighbour is refused; a lattice shows jitter, too
CHANGED = 4.5  # standard deviations from which the frames before and after do not belong together
OUTLIER = 6.0  # standard deviations: one frame that is further off than this does not part those around it
LEAST_SPREAD, MOST_SPREAD = 0.5, 2.0  # of what the noise explains: less makes no test stricter, more none laxer
# px: windows of the local shift, the least shift that is refused, and the largest that is not, however noisy
WINDOWS = ((7.0, 0.3, 3.0), (14.0, 0.2, 2.0))
MISPLACED, LATTICE_MISPLACED = 0.7, 0.3  # px: where a neighbour as a whole is further off, it is not in its place
SHIFTED = 3.0  # standard deviations of the local shifts, which noise moves as well
JITTERS = 1.6  # times what the noise explains rows may be displaced, as jitter does
EDGE = 1.0  # px: by which weights fade
PART = 512  # px: side of what is done at once
HALO = 64  # px around it, more than all windows reach
THIN = 96  # pixels along each axis on which a spread is measured, about
SHARED = 0.2  # correlation of what was taken from two frames, which detail that was lost explains
STEEP = 0.98  # quantile of differences that jitter explains; what is beyond is a change


@dataclass(frozen=True, eq=False)
class Fused:
    """What a frame and its neighbours give together, (Y, X) each, in the frame's own place and unit.

    Parameters
    ----------
    denoised : ndarray, float32
        Weighted mean of what was made of each frame alone.
    noisy : ndarray, float32
        The same mean of the frames as measured.
    carried : ndarray, float32
        How many frames carry each pixel, 1 to their number.
    weight : ndarray, float32
        What they count together: 1 for this frame, as much for each other one of its noise.
    changed : ndarray, float32
        By how many standard deviations the frames from here on differ from those before, where it is more than 4.5;
        else 0.
    """

    denoised: Image
    noisy: Image
    carried: Image
    weight: Image
    changed: Image


class Fusion:
    """One frame with its neighbours.

    Parameters
    ----------
    frames : mapping of int to Frame
        By their numbers in time.
    number : int
        The frame that is wanted.
    pairs : mapping of int to Pair
        How each other one lies to it.
    noise : NoiseModel
        Of a frame.
    lattice : bool
        Whether they show a crystal.
    """

    def __init__(
        self, frames: Mapping[int, Frame], number: int, pairs: Mapping[int, Pair], noise: NoiseModel, *, lattice: bool
    ) -> None:
        self.frames, self.number, self.noise = frames, number, noise
        self.limit = LATTICE_LIMIT if lattice else LIMIT
        self.misplaced = LATTICE_MISPLACED if lattice else MISPLACED
        self.order = sorted([number, *pairs])
        self.own = frames[number]
        height, width = self.own.noisy.shape
        self.shape = height, width
        self._compared: tuple[Part, Compared] | None = None
        self.pairs = pairs
        found = matched(dict(pairs), self._comparable(self._probe))
        if any(found[k] is not pair for k, pair in pairs.items()):
            self.pairs, self._compared = found, None

    def whole(self) -> Fused:
        """All of it, part by part."""
        made = [np.empty(self.shape, np.float32) for _ in range(5)]
        for core in self._cores():
            part = tuple(
                slice(max(s.start - HALO, 0), min(s.stop + HALO, size))
                for s, size in zip(core, self.shape, strict=True)
            )
            inner = tuple(slice(c.start - p.start, c.stop - p.start) for c, p in zip(core, part, strict=True))
            for image, values in zip(made, self._fused((part[0], part[1])), strict=True):
                image[core] = values[inner]
        return Fused(*made)

    @cached_property
    def jitter(self) -> float:
        """Variance of the places along X that the noise does not explain, px²: rows of a scan start where they like."""
        compared = self._comparable(self._probe)
        gradient = compared.along_x**2

        def seen_by(number: int) -> float | None:
            other = compared.others[number]
            left = np.where(other.inside, other.first[1] ** 2 - compared.variance, 0)
            left = np.minimum(left, np.quantile(left, STEEP))
            seen = float((gradient**2)[other.inside].sum())
            return float((left * gradient)[other.inside].sum()) / seen if seen > 0 else None

        # by each neighbour: one of them may show something else
        found = [one for one in compared.each(seen_by, compared.others).values() if one is not None]
        return max(float(np.median(found)), 0.0) if found else 0.0

    def least_change(self, sigma: float, frames: int = GROUP) -> float:
        """The height of a Gaussian spot whose coming or going would just show, image units.

        Parameters
        ----------
        sigma : float
            Standard deviation of the spot, px.
        frames : int
            Before and after it.
        """
        spreads = self._spreads
        compared = self._comparable(self._probe)
        found = np.inf
        for scale in SCALES:
            own = float(np.median(np.sqrt(compared.variance + self.jitter * compared.along_x**2)))
            own *= self.noise.widened(scale) ** 0.5 / (2 * np.pi**0.5 * scale)
            kept = sigma**2 / (sigma**2 + scale**2)
            spread = _bounded(float(np.median(list(spreads.boundary[scale].values()))))
            found = min(found, CHANGED * spread * own * (2 / max(frames, 1)) ** 0.5 / kept)
        return found

    def likeness(self, number: int) -> float:
        """Correlation of the frame with a neighbour, both denoised alone; 0 where they share no place."""
        compared = self._comparable(self._probe)
        other = compared.others[number]
        ours, theirs = compared.denoised[other.inside], other.denoised[other.inside]
        if len(ours) < 2 or not ours.std() > 0 or not theirs.std() > 0:
            return 0.0
        return float(np.corrcoef(ours, theirs)[0, 1])

    @property
    def _probe(self) -> Part:
        if max(self.shape) <= PART + HALO:
            return slice(0, self.shape[0]), slice(0, self.shape[1])
        y, x = (slice(max(size - PART, 0) // 2, min(max(size - PART, 0) // 2 + PART, size)) for size in self.shape)
        return y, x

    def _cores(self) -> Iterator[Part]:
        height, width = self.shape
        if max(self.shape) <= PART + HALO:
            yield slice(0, height), slice(0, width)
            return
        for y in range(0, height, PART):
            for x in range(0, width, PART):
                yield slice(y, min(y + PART, height)), slice(x, min(x + PART, width))

    def _comparable(self, part: Part) -> Compared:
        if self._compared is None or self._compared[0] != part:
            self._compared = part, Compared(self.frames, self.number, self.pairs, self.noise, part)
        return self._compared[1]

    @cached_property
    def _spreads(self) -> _Spreads:
        """How strongly each comparison varies, measured in the middle of the frame."""
        compared = self._comparable(self._probe)
        first, second, boundary = {}, {}, {}
        for scale in SCALES:
            means = compared.means(scale, self.jitter)
            for number in self.pairs:
                first[number, scale] = _spread(_thin(means.first[number]))
                second[number, scale] = _spread(_thin(means.second[number]))
            moments = Moments(summed((_thin(means.second[number]) for number in self.order), OUTLIER), {})
            boundary[scale] = {
                (place, many): _spread(moments.step(place, many))
                for place in range(moments.count - 1)
                for many in groups(moments.count, place, single=True)
            }
        windows = [window for window, *_ in WINDOWS]
        for window in windows:
            compared.tensor(window)  # once, before each neighbour wants it

        def shifted(number: int) -> list[tuple[float, ...]]:
            return [tuple(_shift_spread(one, int(w)) for one in compared.shifts(number, w)) for w in windows]

        shifts = {
            (number, window): one
            for number, found in compared.each(shifted, self.pairs).items()
            for window, one in zip(windows, found, strict=True)
        }
        own = compared.noisy - compared.denoised
        independent = compared.each(lambda k: _independent(own, compared.others[k]), compared.others)
        left = compared.each(lambda k: misplaced(compared, k, self._probe), self.pairs)
        return _Spreads(first, second, boundary, shifts, independent, left)

    def _moments(self, second: Mapping[int, Image], scale: float, outlier: float | None = None) -> Moments:
        """The frames at one scale in their order in time."""
        spreads = {key: _bounded(one) for key, one in self._spreads.boundary[scale].items()}
        images = (second[number] for number in self.order)
        return Moments(summed(images, outlier), spreads, single=outlier is None)

    def _tested(self, compared: Compared) -> tuple[dict[int, Image], dict[int, NDArray[np.bool_]], Image]:
        """By how many standard deviations each neighbour differs, where a change comes after a frame, and `changed`."""
        jitter, spreads = self.jitter, self._spreads
        changed = np.zeros(compared.denoised.shape, np.float32)
        largest: dict[int, Image] = {}
        steps: dict[int, Image] = {}
        places = range(len(self.order) - 1)
        before = self.order.index(self.number) - 1
        for scale in reversed(SCALES):  # widened step by step, from the coarse scales to the fine ones
            means = compared.means(scale, jitter)

            def apart_by(number: int, scale: float = scale, means: Means = means) -> Image:
                z = np.abs(means.first[number])
                z /= np.float32(_bounded(spreads.first[number, scale]))
                other = np.abs(means.second[number])
                other /= np.float32(_bounded(spreads.second[number, scale]))
                z = _larger(np.maximum(z, other, out=z), largest.get(number))
                return _widened(z) if scale in WIDENED else z

            largest.update(compared.each(apart_by, self.pairs))
            told, parting = self._moments(means.second, scale), self._moments(means.second, scale, OUTLIER)
            parted = parting.partings(compared.each(parting.strongest, places), CHANGED)

            def step(place: int, scale: float = scale, parted: Mapping[int, Image] = parted) -> Image:
                z = _larger(parted[place], steps.get(place))
                return _widened(z) if scale in WIDENED else z

            steps.update(compared.each(step, places))
            if before >= 0:
                found = told.partings({before: told.strongest(before)}, CHANGED)[before]
                np.maximum(changed, means.full(found), out=changed)
        apart = {self.order[place]: z > CHANGED for place, z in steps.items()}
        return largest, apart, np.where(changed > CHANGED, changed, np.float32(0))

    def _fused(self, part: Part) -> tuple[Image, Image, Image, Image, Image]:
        spreads = self._spreads  # before the part: they are measured on one of their own
        compared = self._comparable(part)
        shape = compared.denoised.shape
        largest, apart, changed = self._tested(compared)
        last_row = np.array([0.0, 0.0, 1.0])
        own = self.order.index(self.number)
        height, width = (np.array([one.start, one.stop], float) for one in part)
        corners = height[:, None], width[None]

        def counted(number: int) -> Image:
            """What a neighbour of its own noise counts at each pixel: 0 where it does not belong to the frame."""
            good = (largest[number] < self.limit) & compared.others[number].inside
            off = np.vstack([spreads.misplaced[number], last_row])
            if np.hypot(*places(off, *corners)).max() >= self.misplaced:
                off_y, off_x = places_of_part(off, part)
                good &= off_y**2 + off_x**2 < self.misplaced**2
            for window, least, most in WINDOWS:
                along_y, along_x = compared.shifts(number, window)
                limits = [min(max(least, SHIFTED * one), most) for one in spreads.shifts[number, window]]
                near = (along_y / limits[0]) ** 2 + (along_x / limits[1]) ** 2 < 1
                good &= at_every_pixel(near, shape)
            place = self.order.index(number)
            for k in range(min(place, own), max(place, own)):
                good &= ~apart[self.order[k]]
            return gaussian(good.astype(np.float32), EDGE) * np.float32(spreads.independent[number])

        for window, *_ in WINDOWS:
            compared.tensor(window)  # once, before each neighbour wants it
        total, carried = np.ones(shape, np.float32), np.ones(shape, np.float32)
        denoised, noisy = compared.denoised.copy(), compared.noisy.copy()
        for number, weight in compared.each(counted, self.pairs).items():
            other = compared.others[number]
            carried += weight
            weight *= np.float32(other.precision)
            total += weight
            denoised += weight * other.denoised
            noisy += weight * other.noisy
        return denoised / total, noisy / total, np.minimum(carried, np.float32(len(self.order))), total, changed


@dataclass(frozen=True, eq=False)
class _Spreads:
    first: dict[tuple[int, float], float]
    second: dict[tuple[int, float], float]
    boundary: dict[float, dict[tuple[int, int], float]]
    shifts: dict[tuple[int, float], tuple[float, ...]]
    independent: dict[int, float]
    misplaced: dict[int, NDArray[np.float64]]


def _independent(own: Image, other: Neighbour) -> float:
    """What a neighbour is worth beside a frame with which it shares noise: a copy nothing, one with its own noise 1."""
    ours, theirs = own[other.inside], (other.noisy - other.denoised)[other.inside]
    if len(ours) < 2:
        return 0.0
    spread = float(ours.std()) * float(theirs.std())
    shared = float(np.mean((ours - ours.mean()) * (theirs - theirs.mean()))) / max(spread, 1e-30)
    shared = max(shared - SHARED, 0.0) / (1 - SHARED)
    return (1 - shared) / (1 + shared)


def _widened(image: Image) -> Image:
    """The largest value of each pixel and its eight neighbours."""
    padded = np.pad(image, 1, mode="edge")
    rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def _larger(image: Image, before: Image | None) -> Image:
    """The larger of both at each pixel; what was found before may be known at each second one only."""
    return image if before is None else np.maximum(image, at_every_pixel(before, image.shape), out=image)


def _bounded(spread: float) -> float:
    """What differences are measured in: what varies, but not what frames of different things differ by."""
    return min(max(spread, LEAST_SPREAD), MOST_SPREAD)


def _spread(image: Image) -> float:
    """Standard deviation of most of the values, by their median absolute deviation from 0."""
    return 1.4826 * float(np.median(np.abs(image)))


def _thin(image: Image) -> Image:
    """As many pixels as a spread is measured on."""
    return image[:: max(image.shape[0] // THIN, 1), :: max(image.shape[1] // THIN, 1)]


def _shift_spread(image: Image, apart: int) -> float:
    """The same of local shifts; of what displaces whole rows, as differences along them do not, only some is noise."""
    apart = min(apart, image.shape[1] // 2)
    along = _spread(_thin(image[:, apart:] - image[:, :-apart]))
    return min(_spread(_thin(image)), JITTERS * along / 2**0.5)
