"""Lattices that fill only parts of an image: grains, twins, particles on a support, the two sides of an interface."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft, ndimage, sparse

from napari_hush.atoms.autocorrelation import SHORTEST, LatticeFit, autocorrelation, best_pair, mean_power, with_all
from napari_hush.atoms.lockin import lock_in, noise_power
from napari_hush.atoms.spectrum import checked_plane

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SIDES = (512, 256, 128, 64)  # px, of the windows
FEWEST_PERIODS = 5.0  # across a window; what is there three times can be chance
CHANCE = 0.02  # that some window of white noise has two Bragg spots
APART = np.sin(np.deg2rad(20.0))  # between the directions of two spots
MOST_WINDOWS = 12  # of each side that are fitted, the ones with the clearest spots
MOST_FAILED = 4  # fits before a side is left
LASTING = 0.6  # of the correlation in a window
CERTAIN = 0.85  # no need to look at its parts
WHOLE = 0.12  # a Bragg spot takes whole steps along a lattice vector, to this
ALIKE = 0.1  # of the vectors of two windows in one grain
ABOVE_NOISE = 4.0  # times the lock-in's mean square in noise
WINDOW = 1.5  # periods: the lock-in's width
FAINT = 0.04  # of the strongest spot's power; fainter ones are left out
PRESENT = 0.2  # of the power in the middle of a grain
ALONE = 1.6  # times that: more than a lattice seen in one window has anywhere
FEWEST_CELLS = 25.0  # of a grain
ONE_PERIOD = 0.03  # periods that differ less are the same
REMEMBERED = 4  # planes: whoever asks for the period of an image mostly asks for its columns, too

_remembered: dict[tuple[tuple[int, ...], bytes], tuple[Grain, ...]] = {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Grain(LatticeFit):
    """A part of an image that holds one lattice, as it was found in the windows that hold the part.

    Parameters
    ----------
    vectors, height, lasting
        As in `LatticeFit`.
    mask : ndarray of bool, shape (Y, X)
        Where this lattice is, to about a period.
    """

    mask: NDArray[np.bool_]

    @property
    def cells(self) -> float:
        """How many unit cells it has room for."""
        return float(self.mask.sum() / abs(np.linalg.det(self.vectors)))


class _Seen(NamedTuple):
    """A lattice seen in one window."""

    window: tuple[slice, slice]
    fit: LatticeFit


class _Measured(NamedTuple):
    """One lattice, and how strong it is every ``step`` px: 1 in the middle of its grain, 0 in noise."""

    fit: LatticeFit
    share: NDArray[np.float64]
    step: int
    sure: bool
    """Whether it is believed without a second one of the same period."""


def find_grains(image: ArrayLike) -> tuple[Grain, ...]:
    """Find the lattices in the parts of a noisy image.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        As for `estimate_spacing`.

    Returns
    -------
    tuple of Grain
        Those of the common period first, and of these the largest; empty where there is no lattice. One crystal is one
        grain. Grains turned by less than about 6 degrees are one.

    Raises
    ------
    InputError
        If this is not one plane of numbers.

    Notes
    -----
    Windows of three sizes from 512 to 64 px, each overlapping half of the next, are searched for Bragg spots: more
    power than noise with the same radial mean would have by chance. Where there are two, the autocorrelation of the
    window has to repeat at the translations that belong to the spots, and at all others these predict. Windows with
    the same two vectors are one grain, fitted together; a lock-in at its Bragg spots says where it is. A lattice seen
    in one window alone has to have the period of another one, or repeat very well.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> lattice = Lattice(kind="hexagonal", period=11.0, grain_angle=25.0)
    >>> noisy = np.random.default_rng(0).poisson(10 * render_lattice(lattice, (256, 256), 0).image)
    >>> [round(grain.spacing, 1) for grain in find_grains(noisy)]
    [11.0, 11.0]
    """
    plane = checked_plane(image)
    return grains_of(plane)


def grains_of(plane: NDArray[np.float64]) -> tuple[Grain, ...]:
    """The grains of a `checked_plane`; of the planes that were looked at last they are remembered."""
    key = plane.shape, blake2b(np.ascontiguousarray(plane).data, digest_size=16).digest()
    found = _remembered.get(key)
    if found is None:
        found = _searched(plane)
        for grain in found:
            grain.mask.flags.writeable = False  # it is given to several
        for oldest in list(_remembered)[: max(len(_remembered) + 1 - REMEMBERED, 0)]:
            _remembered.pop(oldest, None)
        _remembered[key] = found
    return found


def _searched(plane: NDArray[np.float64]) -> tuple[Grain, ...]:
    spread = float(plane.std())
    if not spread > 0:
        return ()
    plane = (plane - plane.mean()) / spread
    groups: list[list[_Seen]] = []
    for side in [side for side in SIDES if side <= 0.75 * min(plane.shape)][:3]:
        known = [seen.window for group in groups for seen in group if seen.fit.lasting > CERTAIN]
        for seen in _seen(plane, side, known):
            for group in groups:
                if _alike(group[0].fit.vectors, seen.fit.vectors):
                    group.append(seen)
                    break
            else:
                groups.append([seen])
    measured: list[_Measured] = []
    for group in groups:
        one = _measured(plane, group)
        if one is not None and not any(_alike(other.fit.vectors, one.fit.vectors) for other in measured):
            measured.append(one)
    sure = [one.fit.spacing for one in measured if one.sure]
    agreed = [one for one in measured if any(abs(one.fit.spacing / other - 1) < ONE_PERIOD for other in sure)]
    return _in_order(_grains(agreed, plane.shape))


def deny(grains: tuple[Grain, ...], spacing: float) -> bool:
    """Whether two grains or more, all of them clear, have another period than was found in the whole image.

    Two lattices have long translations in common, or nearly so, which can be the highest peaks of the whole image.
    """
    clear = [grain for grain in grains if grain.lasting > CERTAIN]
    return len(clear) > 1 and all(abs(grain.spacing / spacing - 1) > ONE_PERIOD for grain in grains)


def several(grains: tuple[Grain, ...]) -> tuple[Grain, ...]:
    """Those whose lattice has nothing to do with that of one before: no superlattice of it; none if fewer than two."""
    kept: list[Grain] = []
    for grain in grains:
        if not any(_within_other(*pair) for one in kept for pair in ((grain, one), (one, grain))):
            kept.append(grain)
    return tuple(kept) if len(kept) > 1 else ()


def _within_other(grain: Grain, other: Grain) -> bool:
    """Whether all translations of a grain are those of another, too."""
    steps = grain.vectors @ np.linalg.inv(other.vectors)
    return bool(np.abs(steps - np.rint(steps)).max() < ALIKE)


def _seen(plane: NDArray[np.float64], side: int, known: list[tuple[slice, slice]]) -> list[_Seen]:
    """The lattices in the windows of one size that lie in no known one, those with the strongest Bragg spots only."""
    starts = [np.unique(np.linspace(0, size - side, -(-2 * size // side) - 1).astype(int)) for size in plane.shape]
    corners = np.array([(y, x) for y, x in product(*starts) if not _within(y, x, side, known)]).reshape(-1, 2)
    if not len(corners):
        return []
    candidates = []
    for some in np.array_split(corners, -(-len(corners) * side * side // (1 << 21))):
        candidates += _candidates(plane, some, side, len(corners))
    candidates.sort(key=lambda candidate: -candidate[1])
    seen: list[_Seen] = []
    failed = 0
    for window, _, spots in candidates:
        part = plane[window]
        power = mean_power(part, [(slice(0, side), slice(0, side))])
        if power is None:
            continue
        period = 1 / float(np.hypot(*spots.T).min())
        fit = best_pair(autocorrelation(power, max(1.25 * period, 3.0)))
        if fit is not None and _believed(fit, spots, side):
            seen.append(_Seen(window, fit))
        else:
            failed += 1
        if len(seen) == MOST_WINDOWS or failed == MOST_FAILED:
            break
    return seen


def _within(top: int, left: int, side: int, known: list[tuple[slice, slice]]) -> bool:
    """Whether a window is part of one of the larger ones."""
    return any(y.start <= top and top + side <= y.stop and x.start <= left and left + side <= x.stop for y, x in known)


def _believed(fit: LatticeFit, spots: NDArray[np.float64], side: int) -> bool:
    """Whether a fit repeats often enough in its window, and explains the two strongest spots."""
    if fit.lasting < LASTING or np.hypot(*fit.vectors.T).max() > side / FEWEST_PERIODS:
        return False
    steps = spots[:2] @ fit.vectors.T
    return bool(np.abs(steps - np.rint(steps)).max() < WHOLE)


def _candidates(
    plane: NDArray[np.float64], corners: NDArray[np.intp], side: int, windows: int
) -> list[tuple[tuple[slice, slice], float, NDArray[np.float64]]]:
    """Windows with Bragg spots in two directions, how clear the weaker one is, and both spots (2, 2)."""
    parts = np.stack([plane[y : y + side, x : x + side] for y, x in corners]).astype(np.float32)  # (N, S, S)
    parts -= parts.mean(axis=(1, 2), keepdims=True)
    bell = np.hanning(side).astype(np.float32)
    parts *= bell[:, None] * bell
    spectrum = fft.rfft2(parts)
    power = spectrum.real**2 + spectrum.imag**2  # (N, S, S / 2 + 1)
    radius = np.hypot(fft.fftfreq(side, 1 / side)[:, None], np.arange(side // 2 + 1))
    ring = (radius >= FEWEST_PERIODS) & (radius <= side / SHORTEST)
    logs = np.log(np.maximum(power, 1e-30))
    excess = logs - _radial(logs, radius)
    # the line that random row offsets draw
    line = power[..., :3]
    excess[..., :3] += np.log(np.maximum(line - 4 * np.median(line, axis=1, keepdims=True), 1e-30)) - logs[..., :3]
    # two spots; a Hann window makes about two pixels depend on each other
    clear = 0.5 * np.log(windows * (ring.sum() / 2) ** 2 / CHANCE)
    found = []
    n, y, x = np.nonzero((excess > np.log(clear)) & ring)
    order = np.argsort(-excess[n, y, x], kind="stable")
    n, y, x = n[order], y[order], x[order]
    for number in np.unique(n):
        mine = n == number
        values = excess[number, y[mine], x[mine]]
        places = np.stack([fft.fftfreq(side, 1 / side)[y[mine]], x[mine]], axis=1)
        first = places[0]
        sine = np.abs(first[0] * places[:, 1] - first[1] * places[:, 0])
        sine /= np.hypot(*first) * np.hypot(*places.T)
        other = np.flatnonzero(sine > APART)
        if len(other):
            top, left = corners[number]
            window = slice(int(top), int(top) + side), slice(int(left), int(left) + side)
            spots = np.stack([first, places[other[0]]]) / side
            found.append((window, float(values[other[0]]), spots))
    return found


def _radial(logs: NDArray[np.float32], radius: NDArray[np.float64]) -> NDArray[np.float32]:
    """The logarithm of the mean power at each pixel's radius (N, FY, FX); Bragg spots hardly raise it."""
    shell = np.minimum(np.rint(radius).astype(int), logs.shape[1] // 2).ravel()
    counts = np.bincount(shell)
    weights = sparse.csr_array(
        ((1 / counts[shell]).astype(np.float32), (shell, np.arange(len(shell)))), shape=(len(counts), len(shell))
    )
    means = (weights @ logs.reshape(len(logs), -1).T).T  # (N, shells)
    # the logarithm of an exponential distribution has the mean log(mean) - 0.577
    return np.asarray((means + np.float32(np.euler_gamma))[:, shell].reshape(logs.shape))


def _alike(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two pairs of vectors make one lattice."""
    steps = second @ np.linalg.inv(first)
    whole = np.rint(steps)
    return bool(np.abs(steps - whole).max() < ALIKE and abs(abs(np.linalg.det(whole)) - 1) < 0.5)


def _measured(plane: NDArray[np.float64], group: list[_Seen]) -> _Measured | None:
    """Fit the windows of one grain together, and measure the strength of its lattice everywhere."""
    top = max(seen.fit.lasting for seen in group)
    good = [seen for seen in group if seen.fit.lasting > top - 0.1]
    best = max(good, key=lambda seen: (_side(seen), seen.fit.lasting))  # the largest windows are the most precise
    windows = [seen.window for seen in good if _side(seen) == _side(best)]
    power = mean_power(plane, windows)
    if power is None:
        return None
    fit = with_all(autocorrelation(power, max(1.25 * float(np.hypot(*best.fit.vectors.T).max()), 3.0)), best.fit)
    if fit.lasting < LASTING:
        return None
    spots = _spots(plane[best.window], fit)
    if len(spots) < 2:
        return None
    floor = len(spots) * noise_power(plane[best.window], spots, fit.spacing, window=WINDOW)
    step = max(int(fit.spacing / 2), 1)
    rows, columns = (np.arange(0, size, step) for size in plane.shape)
    strength = (np.abs(lock_in(plane, spots, WINDOW * fit.spacing, rows=rows, columns=columns)) ** 2).sum(axis=0)
    inside = tuple(slice(-(-part.start // step), -(-part.stop // step)) for part in best.window)
    bulk = float(np.percentile(strength[inside], 90)) - floor
    if bulk <= 0:
        return None
    share = np.where(strength > ABOVE_NOISE * floor, (strength - floor) / bulk, 0.0)
    # one window can hold ripples or writing: then the same frequencies are stronger elsewhere, or the cell falls apart
    alone = fit.lasting > CERTAIN and float(share.max()) < ALONE and _alike(best.fit.vectors, fit.vectors)
    sure = len(group) > 1 or alone
    return _Measured(fit, share, step, sure)


def _side(seen: _Seen) -> int:
    return int(seen.window[0].stop - seen.window[0].start)


def _spots(part: NDArray[np.float64], fit: LatticeFit) -> NDArray[np.float64]:
    """The Bragg spots (K, 2) of a lattice that a part shows, of those shorter than 1.7 inverse spacings."""
    orders = np.array([(1, 0), (0, 1), (1, 1), (1, -1)]) @ np.linalg.inv(fit.vectors).T
    orders = orders[np.hypot(*orders.T) < min(1.7 / fit.spacing, 0.5)]
    grid = [np.arange(0, size, max(int(fit.spacing), 1)) for size in part.shape]
    found = lock_in(part, orders, WINDOW * fit.spacing, rows=grid[0], columns=grid[1])
    power = (np.abs(found) ** 2).mean(axis=(1, 2))
    return np.asarray(orders[power > FAINT * power.max()])


def _grains(measured: list[_Measured], shape: tuple[int, ...]) -> list[Grain]:
    """Give each place to the lattice that is strongest there, as a share of what it is in its own grain."""
    maps = []
    for one in measured:
        index = [np.arange(size) // one.step for size in shape]
        maps.append(one.share[np.ix_(*index)])
    if not maps:
        return []
    owner = np.argmax(maps, axis=0)
    grains = []
    for number, (one, share) in enumerate(zip(measured, maps, strict=True)):
        area = abs(float(np.linalg.det(one.fit.vectors)))
        labels, count = ndimage.label((owner == number) & (share > PRESENT))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        large = sizes >= FEWEST_CELLS * area
        large[0] = False
        if large.any():
            fit = one.fit
            grains.append(Grain(vectors=fit.vectors, mask=large[labels], lasting=fit.lasting, height=fit.height))
    return grains


def _in_order(grains: list[Grain]) -> tuple[Grain, ...]:
    """The period that most of the lattice's area has comes first, and of it the largest grain."""

    def common(grain: Grain) -> int:
        alike = [other for other in grains if abs(other.spacing / grain.spacing - 1) < ONE_PERIOD]
        return sum(int(other.mask.sum()) for other in alike)

    return tuple(sorted(grains, key=lambda grain: (-common(grain), -int(grain.mask.sum()))))
