"""How one frame lies to another: an affine map, a gain and an offset, and whether a lattice leaves that open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from napari_hush.series.affine import farthest, places, spline, translation, warped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.series.affine import Matrix

    Floats = NDArray[np.floating]

SEEN = 144  # px along each axis at which the images are compared, about
COARSE = 64  # the same for candidates
CORRELATED = 768  # px: the middle of larger frames is correlated
CANDIDATES = 6  # maxima of the correlation that are refined
FAR = 0.3  # of a frame: the largest shift that is looked for
ROBUST = 2.5  # standard deviations at which a difference begins to count less
BLOCK = 32  # px: losses of blocks are compared
APART = 2.0  # px between two solutions that are not the same
DECIDED = 3.0  # standard errors by which the best solution beats the next
SETTLED = 0.004  # px: a smaller step ends the refinement
LARGEST_SHEAR = 0.2  # of what an affine map may differ from a shift
PATCH_OF_NOISE = 300.0  # px²: over so many a denoised image's errors go together
LIKELY = np.array([0.03, 0.003, 0.03, 0.003])  # y by y, y by x, x by y, x by x: drift shears rows, little else happens
TURNED = 1.0  # px that a map moves a corner once nothing is held to be likely: then a frame may be turned
BETTER = 0.9  # of the difference that such a map must leave at most
_LINEAR = np.array([1, 2, 4, 5])  # of the parameters of an affine map
CHANCE = 4.5  # standard deviations of what two fields have in common by chance, at the best of all shifts
SURELY_ALIKE = 0.5  # correlation that is no chance
LEAST_GAIN = 0.02  # what is less is no image of the same field
SCALE = 100.0  # px: unit of a place, so that all parameters are about alike


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame as it is compared with others.

    Parameters
    ----------
    image : ndarray, shape (Y, X), float32
        Finite, with little noise.
    """

    image: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Y, X, px."""
        height, width = self.image.shape
        return height, width

    @cached_property
    def coefficients(self) -> NDArray[np.float32]:
        """Of its spline."""
        return spline(self.image)

    def gradient(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Along Y and X, per px, at some rows and columns."""
        height, width = self.shape
        before, after = np.maximum(rows - 1, 0), np.minimum(rows + 1, height - 1)
        left, right = np.maximum(columns - 1, 0), np.minimum(columns + 1, width - 1)
        along_y = self.image[np.ix_(after, columns)] - self.image[np.ix_(before, columns)]
        along_x = self.image[np.ix_(rows, right)] - self.image[np.ix_(rows, left)]
        return along_y / (after - before)[:, None], along_x / (right - left)

    @cached_property
    def spread(self) -> float:
        """Standard deviation of all pixels."""
        return float(self.image.std())

    @property
    def blank(self) -> bool:
        """Whether it shows nothing: one value, or none."""
        return not self.spread > 0

    @cached_property
    def middle(self) -> tuple[slice, slice]:
        """What is correlated."""
        starts = [max(size - CORRELATED, 0) // 2 for size in self.shape]
        return slice(starts[0], starts[0] + CORRELATED), slice(starts[1], starts[1] + CORRELATED)

    @property
    def far(self) -> tuple[int, int]:
        """The largest shift that is looked for along Y and X, px."""
        y, x = (min(int(FAR * size), size - 1) for size in self.image[self.middle].shape)
        return y, x

    @property
    def padded(self) -> tuple[int, int]:
        """Y, X of the middle with room for such a shift, px."""
        y, x = (fft.next_fast_len(size + int(FAR * size) + 1, real=True) for size in self.image[self.middle].shape)
        return y, x

    @cached_property
    def transforms(self) -> list[NDArray[np.complexfloating]]:
        """Fourier transforms of the middle, of its square, and of its area, with zeros around."""
        image = self.image[self.middle]
        image = image - image.mean()
        return [np.asarray(fft.rfft2(one, self.padded)) for one in (image, image * image, np.ones_like(image))]

    @cached_property
    def power(self) -> NDArray[np.floating]:
        """Of the first of them, over the sum of all."""
        power = np.abs(self.transforms[0]) ** 2
        return np.asarray(power / max(float(power.sum()), 1e-150))


@dataclass(frozen=True)
class Pair:
    """How one frame lies to another.

    Parameters
    ----------
    matrix : ndarray, shape (3, 3)
        Takes (y, x, 1) of the first frame to the second, px.
    gain, offset : float
        The second frame is ``gain`` times the first and ``offset``.
    margin : float
        Standard errors by which this solution fits better than the next one elsewhere; infinite if there is no other.
    error : float
        Rms of the difference where both are seen, without what stands out, in image units.
    alike : bool
        Whether both show one field: their correlation is more than that of two others after any shift.
    """

    matrix: Matrix
    gain: float
    offset: float
    margin: float
    error: float
    alike: bool = True

    @property
    def decided(self) -> bool:
        """Whether no other solution fits about as well."""
        return self.margin >= DECIDED

    @property
    def inverse(self) -> Pair:
        """How the other one lies to this one."""
        gain = self.gain
        matrix = np.asarray(np.linalg.inv(self.matrix), np.float64)
        return Pair(matrix, 1 / gain, -self.offset / gain, self.margin, self.error / abs(gain), self.alike)

    def in_image_units(self, middle: float, spread: float) -> Pair:
        """Of frames as measured, where this one is of frames less ``middle`` and over ``spread``."""
        return replace(self, offset=spread * self.offset + middle * (1 - self.gain), error=spread * self.error)

    def then(self, other: Pair) -> Pair:
        """Of the first frame of this pair and the second of another one, whose first is this one's second."""
        return Pair(
            other.matrix @ self.matrix,
            other.gain * self.gain,
            other.gain * self.offset + other.offset,
            min(self.margin, other.margin),
            max(self.error, other.error),
            self.alike and other.alike,
        )


def correlated(first: Shown, second: Shown) -> tuple[NDArray[np.float64], int, int]:
    """Correlation coefficients of two frames by the shift of the second, (2 Y + 1, 2 X + 1); Y and X."""
    far, sides = first.far, first.padded
    (a, aa, one), (b, bb, _) = first.transforms, second.transforms

    def overlap(left: NDArray[np.complexfloating], right: NDArray[np.complexfloating]) -> NDArray[np.float64]:
        found = fft.irfft2(np.conj(left) * right, sides)
        return np.asarray(found[np.ix_(np.arange(-far[0], far[0] + 1), np.arange(-far[1], far[1] + 1))], np.float64)

    count = np.maximum(overlap(one, one), 1)
    own, other = overlap(a, one), overlap(one, b)
    spread = (overlap(aa, one) - own**2 / count) * (overlap(one, bb) - other**2 / count)
    least = 1e-12 * max(float(spread.max()), 1e-300)
    return (overlap(a, b) - own * other / count) / np.sqrt(np.maximum(spread, least)), far[0], far[1]


def chance(first: Shown, second: Shown) -> float:
    """Standard deviation of the correlation coefficient of two fields of such spectra that have nothing in common."""
    shared = float((first.power * second.power).sum())
    finer = np.prod(first.padded) / first.image[first.middle].size  # zeros around an image make its spectrum finer
    return float((shared / 2 * finer) ** 0.5)  # the transforms hold half of the frequencies


def pair_of(first: Shown, second: Shown, predicted: Matrix | None = None) -> Pair:
    """Find how a frame lies to another, whatever their shift.

    Parameters
    ----------
    first, second : Shown
        Of one shape.
    predicted : ndarray, shape (3, 3), optional
        Where the second frame is expected: decides where a lattice does not; by default no shift.

    Returns
    -------
    Pair
        Of the candidate with the least loss, or of the one nearest to the prediction where the margin is below 3.

    Notes
    -----
    Maxima of the cross-correlation, normalised by the overlap, are candidates; each is refined by Gauss-Newton steps
    with weights ``1 / (1 + (r / 2.5 sd)^2)``, and blocks of 32 px say by how many standard errors the best beats the
    next one.
    """
    predicted = np.eye(3) if predicted is None else predicted
    values, far_y, far_x = correlated(first, second)
    peaks = np.argwhere(values == ndimage.maximum_filter(values, 5))
    peaks = peaks[np.argsort(-values[tuple(peaks.T)])[:CANDIDATES]]
    starts = [translation((float(y - far_y), float(x - far_x))) for y, x in peaks]
    starts.append(predicted)
    tried: list[tuple[Pair, NDArray[np.floating]]] = []
    for start in starts:
        found = _refined(first, second, start, side=COARSE, steps=5, shift_first=2)
        if all(farthest(found[0].matrix, one.matrix, first.shape) > APART for one, _ in tried):
            tried.append(found)
    spread = min(max(one.error, 1e-30) for one, _ in tried)
    losses = [_block_losses(rest, spread, first.shape) for _, rest in tried]
    means = [float(np.nanmean(loss)) if np.isfinite(loss).any() else np.inf for loss in losses]
    best = int(np.argmin(means))
    margins = [_margin(loss, losses[best]) if k != best else np.inf for k, loss in enumerate(losses)]
    margin = min(margins)
    if margin < DECIDED:
        like = [k for k, one in enumerate(margins) if k == best or one < DECIDED]
        best = min(like, key=lambda k: farthest(tried[k][0].matrix, predicted, first.shape))
    return refined(first, second, tried[best][0].matrix, margin)


def refined(first: Shown, second: Shown, start: Matrix, margin: float = np.inf) -> Pair:
    """Refine a map between two frames that is right to a pixel or two.

    Parameters
    ----------
    first, second : Shown
        Of one shape.
    start : ndarray, shape (3, 3)
        Takes px of the first to the second.
    margin : float
        As of `Pair`; it is handed on.
    """
    found, _ = _refined(first, second, start, side=SEEN, steps=6)
    free, _ = _refined(first, second, found.matrix, side=SEEN, steps=1, likely=False)
    if farthest(free.matrix, found.matrix, first.shape) > TURNED:
        free, _ = _refined(first, second, found.matrix, side=SEEN, steps=12, likely=False)
        found = free if free.alike and free.error < BETTER * found.error else found
    return replace(found, margin=margin)


def _margin(loss: Floats, best: Floats) -> float:
    """By how many standard errors the losses of blocks are above the best ones; infinite where none are shared."""
    difference = loss - best
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        return float("inf")
    error = float(difference.std()) / float(len(difference)) ** 0.5
    return float(float(difference.mean()) / max(error, 1e-12))


def _refined(
    first: Shown, second: Shown, start: Matrix, *, side: int, steps: int, shift_first: int = 0, likely: bool = True
) -> tuple[Pair, NDArray[np.floating]]:
    """The refined map and the differences on a grid of about ``side`` px a side, NaN where nothing is seen."""
    shape = first.shape
    stride = max(round(min(shape) / side), 1)
    rows, columns = (np.arange(stride // 2, size, stride, dtype=np.float32) for size in shape)
    picked = rows.astype(np.intp), columns.astype(np.intp)
    own = first.image[np.ix_(*picked)].ravel().astype(np.float64)
    along_y, along_x = (one.ravel().astype(np.float64) for one in first.gradient(*picked))
    centre = [(size - 1) / 2 for size in shape]
    y, x = (
        one.ravel() / SCALE
        for one in np.meshgrid(rows - np.float32(centre[0]), columns - np.float32(centre[1]), indexing="ij")
    )
    level, contrast = float(own.mean()), max(float(own.std()), 1e-30)
    brightness = [(own - level) / contrast, np.ones_like(own)]
    shifts, whole = [along_y, along_x], [along_y, along_y * y, along_y * x, along_x, along_x * y, along_x * x]
    matrix, spread = start.copy(), 0.0
    gain = second.spread / contrast or 1.0
    rest, difference, seen = np.full(len(own), np.nan), np.zeros(len(own)), np.zeros(len(own), bool)
    found, offset, likeness = 0.0, 0.0, 0.0
    for step in range(steps):
        at = places(matrix, rows[:, None], columns)
        at_y, at_x = (np.broadcast_to(one, (len(rows), len(columns))).astype(np.float32) for one in at)
        inside = (at_y >= 0) & (at_y <= shape[0] - 1) & (at_x >= 0) & (at_x <= shape[1] - 1)
        seen = inside.ravel()
        difference = warped(second.coefficients, at_y, at_x).ravel() - own
        slopes = [gain * one for one in (shifts if step < shift_first else whole)]
        if np.count_nonzero(seen) < 2 * len(slopes + brightness):
            rest = np.full(len(own), np.nan)
            break
        known, wanted = np.stack([one[seen] for one in slopes + brightness]), difference[seen]
        left = wanted - np.median(wanted)
        for _ in range(2):
            spread = max(1.4826 * float(np.median(np.abs(left))), 1e-30)
            weighted = known / (1 + (left / (ROBUST * spread)) ** 2)
            normal, right = weighted @ known.T, weighted @ wanted
            if step >= shift_first and likely:
                prior = PATCH_OF_NOISE * spread**2 / (stride * LIKELY * SCALE) ** 2
                normal[_LINEAR, _LINEAR] += prior
                right[_LINEAR] += prior * (matrix[:2, :2] - np.eye(2)).ravel() * SCALE
            solved = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(len(normal)), right)
            left = wanted - solved @ known
        rest = np.full(len(own), np.nan)
        rest[seen] = left
        found = 1 + float(solved[-2]) / contrast
        gain = found if found > LEAST_GAIN else gain
        moved = np.zeros(6)
        moved[[0, 3] if step < shift_first else slice(None)] = solved[:-2]
        change = np.eye(3)
        change[:2, :2] += moved[[[1, 2], [4, 5]]] / SCALE
        change[:2, 2] = moved[[0, 3]] - (change[:2, :2] - np.eye(2)) @ centre
        new = matrix @ np.linalg.inv(change)
        if np.abs(new[:2, :2] - np.eye(2)).max() > LARGEST_SHEAR:
            break
        matrix = new
        if step >= max(shift_first, 1) and np.abs(moved).max() < SETTLED:
            break
    if np.count_nonzero(seen) > 2:
        # both are noisy: a regression of the one on the other would give too little
        weight = 1 / (1 + (rest[seen] / (ROBUST * max(spread, 1e-30))) ** 2)
        ours, other = own[seen], difference[seen] + own[seen]
        means = [float(np.average(one, weights=weight)) for one in (ours, other)]
        spreads = [
            float(np.average((one - mean) ** 2, weights=weight)) ** 0.5
            for one, mean in zip((ours, other), means, strict=True)
        ]
        if found > LEAST_GAIN and spreads[0] > 0:
            gain = spreads[1] / spreads[0]
        shared = float(np.average((ours - means[0]) * (other - means[1]), weights=weight))
        likeness = shared / max(spreads[0] * spreads[1], 1e-30)
        offset = means[1] - gain * means[0]
    differences = np.where(seen, rest, np.nan).reshape(len(rows), len(columns))
    return Pair(matrix, gain, offset, np.inf, spread, likeness > _least_likeness(first, second)), differences


def _least_likeness(first: Shown, second: Shown) -> float:
    """The correlation above which two frames show one field; crystals are alike wherever they lie."""
    return min(CHANCE * chance(first, second), SURELY_ALIKE)


def _block_losses(rest: Floats, spread: float, shape: tuple[int, int]) -> NDArray[np.floating]:
    """Mean robust loss of each block, flat."""
    loss = np.log1p((rest / (ROBUST * spread)) ** 2)
    side = max(round(BLOCK * rest.shape[0] / shape[0]), 2)
    height, width = (max(size // side, 1) for size in loss.shape)
    blocks = loss[: height * side, : width * side]
    blocks = blocks.reshape(height, min(side, blocks.shape[0]), width, min(side, blocks.shape[1]))
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan).ravel())
