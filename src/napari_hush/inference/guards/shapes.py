"""What all columns of a kind lack in shape comes back at each of them, as far as the column itself is there.

A network draws columns as it was trained to, narrower or rounder than they are. The mean of what its result lacks
around the columns of one kind shows that. A mean must not be added as it is, it would fill vacancies: each column gets
its share by its own height in the result.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from scipy import fft
from scipy.spatial import cKDTree

from napari_hush.atoms.patches import Drawn, Neighbourhood, cut_out, draw_back, padded
from napari_hush.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Images = NDArray[np.floating]
    Singles = NDArray[np.float32]
    Numbers = NDArray[np.intp]

T = TypeVar("T")

NEAR = 2.5  # periods: the standard deviation of the neighbourhood in which a loss must be common
WINDOW = 0.25  # periods: standard deviation of the Gaussian that is a column's own
HALF = 0.75  # periods: as far as it reaches
CERTAIN = 6.0  # times its error, squared: what of the mean is believed
STRONGEST = 1.5  # times the mean: no column gets more
VACANT = (0.35, 0.7)  # times the mean: a column that is lower may be none, and gets nothing or less
DARKEST = 0.1  # of what is around a column: there is none there
OWN = 0.3  # of the Gaussian: what lies further from all columns is no column's, and comes back less
CHUNK = 256  # patches that are worked on at once, so that they stay in the processor's cache


class Kind(NamedTuple):
    """The columns of one kind.

    Parameters
    ----------
    places : ndarray, shape (N, 2)
        (y, x), px; in the order of `in_bands`, or it takes longer.
    heights : ndarray, shape (N,)
        In the result.
    sigma : float
        Their standard deviation, px.
    near : Neighbourhood
        Of the places, `NEAR` periods wide.
    """

    places: Floats
    heights: Floats
    sigma: float
    near: Neighbourhood


class _Window(NamedTuple):
    """What patches of one size are seen through, and what is done to them; S px."""

    half: int
    bell: Singles
    """What is a column's own, along one axis, (S,)."""
    waves: Singles
    """The cosine transform along one axis, (S, S)."""
    slopes: Singles
    """The first three derivatives along X, side by side, (S, 3 S)."""
    turned: Singles
    """The same with the cosine transform along X, one after the other, (3, S, S)."""
    across: Singles
    """The second derivative along Y, (S, S)."""


class _Images(NamedTuple):
    """What lacks, and the result beside its drawn columns, each ``padded``."""

    lack: Singles
    shown: Singles


class _Mean(NamedTuple):
    """What is seen around some columns of a kind, on the average of each one's neighbourhood."""

    numbers: Numbers
    """Of the columns, (n,)."""
    lack: Singles
    """By the frequencies of a cosine transform."""
    error: Singles
    """Its variance."""
    seen: Singles
    darkest: NDArray[np.bool_]
    """Which pixels of it are darkest."""
    strength: Singles
    """How high each column is, over the mean."""
    scan: Floats
    """Normal matrix and right side of the fit of what a scan does, (n, 4, 5)."""


class _Canvas:
    """Where patches are drawn, and how much of a column's own lies at each pixel, (Y, X) each."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.total, self.bells = np.zeros((2, *shape), np.float32)
        self._lock = Lock()

    def add(self, drawn: Drawn) -> None:
        with self._lock:
            self.total[drawn.part] += drawn.total
            self.bells[drawn.part] += drawn.bells


def lacking_shapes(lack: Images, result: Images, drawn: Images, kinds: list[Kind], period: float, sign: int) -> Images:
    """What a result lacks in the shape of its columns.

    Parameters
    ----------
    lack, result, drawn : ndarray, shape (Y, X)
        Noisy minus result, the result, and its columns as they are thought to be.
    kinds : list of Kind
        Its columns.
    period : float
        Of the lattice, px.
    sign : int
        1 for bright columns, -1 for dark ones.

    Returns
    -------
    ndarray, shape (Y, X)
        To be added to the result.

    Notes
    -----
    What a scan does to all columns alike, a shift, a skew and a blur along X, is not lacking: it was put straight. Of
    the rest that comes back which exceeds its error in the cosine transform of the mean. What is lacking where the cell
    is darkest, where no column is, is slow contrast and left out. Patches are computed in single precision.
    """
    shape = (result.shape[0], result.shape[1])
    window = _window(period)
    unit = float(max(np.ptp(lack), np.ptp(result))) or 1.0  # squares are to stay within what single precision holds
    level = float(result.mean(dtype=np.float64))
    images = _Images(padded([lack], window.half, [0.0], unit), padded([result, drawn], window.half, [level, 0.0], unit))
    kind_of = result.dtype
    del lack, result, drawn
    kinds = [kind._replace(heights=kind.heights / unit) for kind in kinds]
    canvas = _Canvas(shape)

    def draw(kind: Kind, mean: _Mean, scan: Floats) -> None:
        canvas.add(_drawn(mean, _solved(scan), kind.places[mean.numbers], shape, window))

    if len(kinds) == 1:  # each mean is used where it is made
        _means(images, shape, kinds[0], window, sign, lambda mean: draw(kinds[0], mean, mean.scan))
    else:
        _draw_several([(kind, _means(images, shape, kind, window, sign, _kept)) for kind in kinds], draw)
    np.maximum(canvas.bells, OWN, out=canvas.bells)
    canvas.total /= canvas.bells
    return np.multiply(canvas.total, unit, dtype=kind_of)


def _draw_several(kinds: list[tuple[Kind, list[_Mean]]], draw: Callable[[Kind, _Mean, Floats], None]) -> None:
    """Draw what several kinds lack: what a scan does it does to all of them, so the fits add up to one."""
    trees, scans = [], []
    for kind, means in kinds:
        scan = np.empty((len(kind.places), 4, 5))
        for mean in means:
            scan[mean.numbers] = mean.scan
        scans.append(scan)
        trees.append(cKDTree(kind.places))
    for number, (kind, means) in enumerate(kinds):
        near = list(zip(scans, trees, strict=True))
        others = [scan[tree.query(kind.places)[1]] for scan, tree in near[:number] + near[number + 1 :]]
        scan = np.sum([scans[number], *others], axis=0)

        def one(mean: _Mean, kind: Kind = kind, scan: Floats = scan) -> None:
            draw(kind, mean, scan[mean.numbers])

        in_threads(one, means)


def _drawn(mean: _Mean, scan: Singles, places: Floats, shape: tuple[int, int], window: _Window) -> Drawn:
    """What comes back around the columns of a band.

    The patches of one band lie over those of the two beside it alone, so that it doesn't matter which is added first.
    """
    parts = [
        draw_back(_lacking(mean, scan, window, part), places[part], shape, window.bell) for part in _chunks(len(places))
    ]
    y, x = (
        slice(min(one.part[axis].start for one in parts), max(one.part[axis].stop for one in parts)) for axis in (0, 1)
    )
    total, bells = np.zeros((2, y.stop - y.start, x.stop - x.start), np.float32)
    for one in parts:
        here = tuple(
            slice(part.start - all_of.start, part.stop - all_of.start)
            for part, all_of in zip(one.part, (y, x), strict=True)
        )
        total[here] += one.total
        bells[here] += one.bells
    return Drawn((y, x), total, bells)


def _window(period: float) -> _Window:
    half = int(np.ceil(HALF * period))
    unit = np.eye(2 * half + 1)
    slope = np.asarray(np.gradient(unit, axis=0))
    along = np.concatenate([slope.T, (slope @ slope).T, (slope @ slope @ slope).T], axis=1)
    waves = fft.dct(unit, axis=0, norm="ortho")
    turned = along.reshape(len(unit), 3, -1).transpose(1, 0, 2) @ waves.T
    parts = _bell(half, WINDOW * period), waves, along, turned, slope @ slope
    return _Window(half, *(part.astype(np.float32) for part in parts))


def _bell(half: int, sigma: float) -> Floats:
    return np.asarray(np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2))


def _means(
    images: _Images, shape: tuple[int, int], kind: Kind, window: _Window, sign: int, use: Callable[[_Mean], T]
) -> list[T]:
    """What is seen around the columns of a kind, band by band, and what is made of each."""
    half, places = window.half, kind.places
    whole = ((places >= half) & (places <= np.array(shape) - 1 - half)).all(axis=1)
    near = kind.near.among(np.asarray(whole))
    side = 2 * half + 1
    bell = _bell(half, kind.sigma)
    column = np.multiply.outer(bell, bell).ravel().astype(np.float32)
    column /= (column**2).sum()
    heights = near.mean(kind.heights)

    def look(numbers: Numbers, values: Singles) -> None:
        around = values.reshape(len(numbers), 4, side, side)
        for part in _chunks(len(numbers)):
            at = places[numbers[part]]
            around[part, :1] = cut_out(images.lack, at, half, window.waves)
            around[part, 1:3] = cut_out(images.shown, at, half)
            np.square(around[part, 0], out=around[part, 3])

    def measure(numbers: Numbers, values: Singles, means: Singles) -> T:
        flat = values.reshape(len(numbers), 4, -1)
        lack, seen, drawn, error = means.reshape(flat.shape).transpose(1, 0, 2)
        darkest, strength = np.empty(seen.shape, bool), np.empty(len(numbers), np.float32)
        scan = np.empty((len(numbers), 4, 5))
        shrinks = near.shrinks[numbers].astype(np.float32)
        for part in _chunks(len(numbers)):
            error[part] = np.maximum(error[part] - lack[part] ** 2, 0) * shrinks[part, None]
            darkest[part] = _darkest(sign * seen[part])
            other = sign * (seen[part] - drawn[part])  # columns may have another width in the result
            other -= _between(other, darkest[part])
            height = heights[numbers[part]] + other @ column
            more = sign * ((flat[part, 1] - seen[part]) @ column)
            share = np.where(height > 0, np.clip(1 + more / np.where(height > 0, height, 1.0), 0, STRONGEST), 0.0)
            strength[part] = share * np.clip((share - VACANT[0]) / (VACANT[1] - VACANT[0]), 0, 1)
            scan[part] = _scan(lack[part], seen[part], window)
        return use(_Mean(numbers, lack, error, seen, darkest, strength, scan))

    return near.by_band(4 * side**2, look, measure)


def _kept(mean: _Mean) -> _Mean:
    """A copy: what it was made in is used again."""
    return mean._replace(lack=mean.lack.copy(), error=mean.error.copy(), seen=mean.seen.copy())


def _chunks(count: int) -> Iterator[slice]:
    return (slice(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK))


def _turned(patches: Singles, matrix: Singles) -> Singles:
    """Patches (N, S²) multiplied by a matrix on both sides, (N, S, S)."""
    side = len(matrix)
    return np.asarray(matrix @ patches.reshape(-1, side, side) @ matrix.T)


def _scan(lack: Singles, seen: Singles, window: _Window) -> Floats:
    """Normal matrix and right side of the fit of what a scan does to what lacks, (N, 4, 5).

    It makes derivatives of what is seen: the first three along X, and the second along Y.
    """
    count, side = len(seen), len(window.bell)
    square = seen.reshape(count, side, side)
    parts = np.empty((count, 5, side, side), np.float32)
    parts[:, :3] = (square @ window.slopes).reshape(count, side, 3, side).transpose(0, 2, 1, 3)
    parts[:, 3] = window.across @ square
    parts[:, 4] = _turned(lack, window.waves.T)
    flat = parts.reshape(count, 5, -1)
    weighed = flat[:, :4] * np.multiply.outer(window.bell, window.bell).ravel()
    return np.asarray(weighed @ flat.transpose(0, 2, 1), np.float64)


def _solved(scan: Floats) -> Singles:
    """How much of each slope along X a scan made: a shift, a skew, and a blur beyond that along Y, (N, 3)."""
    normal, right = scan[..., :4], scan[..., 4:]
    ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-300
    found = np.linalg.solve(normal + ridge * np.eye(4), right)[..., 0]
    found[:, 1] = np.maximum(found[:, 1] - found[:, 3], 0)
    return found[:, :3].astype(np.float32)


def _lacking(mean: _Mean, scan: Singles, window: _Window, part: slice) -> Singles:
    """What comes back around some columns, (N, S, S)."""
    side = len(window.bell)
    slope = (scan[part] @ window.turned.reshape(3, -1)).reshape(-1, side, side)
    scanned = window.waves @ (mean.seen[part].reshape(-1, side, side) @ slope)
    waves = mean.lack[part] - scanned.reshape(len(scanned), -1)
    square = waves**2
    waves *= np.maximum(square - CERTAIN * mean.error[part], 0) / np.maximum(square, 1e-30)
    mine = _turned(waves, window.waves.T).reshape(len(waves), -1)
    mine -= _between(mine, mean.darkest[part])
    mine *= mean.strength[part, None]
    return mine.reshape(len(mine), *window.waves.shape)


def _darkest(patches: Singles) -> NDArray[np.bool_]:
    """Which pixels of each patch (N, S²) are darkest."""
    count = max(int(DARKEST * patches.shape[1]), 1)
    return np.asarray(patches <= np.partition(patches, count - 1, axis=1)[:, count - 1, None])


def _between(patches: Singles, pixels: NDArray[np.bool_]) -> Singles:
    """The mean of some pixels of each patch, (N, 1)."""
    return np.asarray((np.einsum("np,np->n", patches, pixels) / pixels.sum(axis=1))[:, None], np.float32)
