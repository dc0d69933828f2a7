"""Companions: what the other copies of a place in a crystal look like, as further channels for a network.

TomoGAN gives its network the neighbouring slices of a volume as channels; a crystal has such neighbours within one
image. A companion is the mean of the image shifted by some lattice translations, the image itself left out.

Z. Liu, T. Bicer, R. Kettimuthu, D. Gursoy, F. De Carlo, I. Foster, "TomoGAN: low-dose synchrotron x-ray tomography
with generative adversarial networks", J. Opt. Soc. Am. A 37, 422 (2020), https://doi.org/10.1364/JOSAA.375595
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

from napari_hush.atoms.spacing import find_lattices
from napari_hush.inference.holes import fill_holes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Read = Callable[[slice, slice], NDArray[Any]]

FAR = 4.0  # periods: how far away a far neighbour stands; drift and strain add up further out
LEAST = 0.5  # of a copy: where there is less, a place has no companion
WHOLE = 1536  # px; the crystals of larger planes are searched in windows
WINDOW = 1024


@dataclass(frozen=True, eq=False)
class Crystal:
    """A part of a plane with one lattice.

    Parameters
    ----------
    vectors : ndarray, shape (2, 2)
        The two shortest translations as rows (y, x), px.
    box : (slice, slice)
        Where it was searched, in the plane.
    mask : ndarray of bool, optional
        Where in the box it is, (Y, X) of the box; None everywhere, and then it goes on around the box.
    """

    vectors: NDArray[np.float64]
    box: tuple[slice, slice]
    mask: NDArray[np.bool_] | None = None

    @cached_property
    def translations(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The eight nearest translations, and all up to `FAR` periods, (N, 2) px each."""
        steps = np.arange(-8, 9)
        numbers = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        numbers = numbers[np.any(numbers != 0, axis=1)]
        all_of_them = numbers @ self.vectors
        lengths = np.hypot(*all_of_them.T)
        near = all_of_them[np.argsort(lengths, kind="stable")[:8]]
        farthest = max(FAR * np.hypot(*self.vectors.T).min(), np.hypot(*near.T).max() + 1e-9)
        return near, all_of_them[lengths <= farthest]

    @cached_property
    def reach(self) -> int:
        """How far the translations go along an axis, px."""
        return int(np.ceil(max(np.abs(one).max() for one in self.translations))) + 1

    @cached_property
    def kernels(self) -> list[NDArray[np.float32]]:
        """One pixel of light at each translation, shared between four pixels, (2 r + 1, 2 r + 1) around the middle."""
        made = []
        for places in self.translations:
            kernel = np.zeros((2 * self.reach + 1, 2 * self.reach + 1))
            low = np.floor(places).astype(int)
            part = places - low
            for down in (0, 1):
                for across in (0, 1):
                    share = np.abs(1 - down - part[:, 0]) * np.abs(1 - across - part[:, 1])
                    np.add.at(kernel, (low[:, 0] + down + self.reach, low[:, 1] + across + self.reach), share)
            made.append(kernel.astype(np.float32))
        return made


@dataclass(frozen=True, eq=False)
class LatticeCompanions:
    """The crystals of one plane, and the means of their copies.

    Parameters
    ----------
    shape : (int, int)
        Y, X of the plane, px.
    crystals : tuple of Crystal
        Empty where there is no lattice: then the image is its own companion.

    Examples
    --------
    >>> import napari_hush as hush
    >>> noisy = hush.sample("dented-lattice").noisy
    >>> found = LatticeCompanions.measured_on(noisy)
    >>> near, far = found.of(noisy)
    >>> bool(far.std() < near.std() < noisy.std())
    True
    """

    shape: tuple[int, int]
    crystals: tuple[Crystal, ...] = ()

    @classmethod
    def measure(cls, read: Read, shape: tuple[int, int]) -> LatticeCompanions:
        """Find the crystals of a noisy plane: one that fills it, or several grains; of a large plane in windows.

        Parameters
        ----------
        read : callable
            Gives (Y, X) of the plane, as the network sees it, for two slices.
        shape : (int, int)
            Y, X of the plane, px.
        """
        crystals: list[Crystal] = []
        for box in product(*([slice(0, n)] if n <= WHOLE else _windows(n) for n in shape)):
            found = find_lattices(read(*box))
            crystals += [Crystal(grain.vectors, (box[0], box[1]), grain.mask) for grain in found.grains]
            if not found.grains and found.first is not None:
                crystals.append(Crystal(found.first.vectors, (box[0], box[1])))
        return cls(shape, tuple(crystals))

    @classmethod
    def measured_on(cls, image: NDArray[np.floating]) -> LatticeCompanions:
        """Find the crystals of a noisy image (Y, X) in memory, see `measure`."""
        return cls.measure(lambda y, x: image[y, x], (image.shape[0], image.shape[1]))

    @property
    def reach(self) -> int:
        """How far a companion looks, px."""
        return max((crystal.reach for crystal in self.crystals), default=0)

    def of(self, image: NDArray[np.floating], known: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Make the companions of the whole plane, see `read`.

        Parameters
        ----------
        image : ndarray, shape (Y, X)
            Finite values.
        known : ndarray of bool, shape (Y, X), optional
            False where the image was filled.
        """
        of_known = None if known is None else lambda y, x: known[y, x]
        return self.read(lambda y, x: image[y, x], slice(0, self.shape[0]), slice(0, self.shape[1]), of_known)

    def read(self, read: Read, y: slice, x: slice, known: Read | None = None) -> NDArray[np.float64]:
        """Make the companions of a part, from the image around it: the same values in every part.

        Parameters
        ----------
        read : callable
            Gives (Y, X) of the plane for two slices; finite.
        y, x : slice
            Of the plane, px.
        known : callable, optional
            Gives in the same way whether a pixel is known, (Y, X): what was filled is nobody's companion.

        Returns
        -------
        ndarray, shape (2, Y, X), float64
            The mean of the eight nearest translations, and of all that are up to `FAR` periods away.
        """
        here = [crystal for crystal in self.crystals if all(map(_meet, crystal.box, (y, x)))]
        reach = max((crystal.reach for crystal in here), default=0)
        rows = slice(max(y.start - reach, 0), min(y.stop + reach, self.shape[0]))
        columns = slice(max(x.start - reach, 0), min(x.stop + reach, self.shape[1]))
        image = np.asarray(read(rows, columns))
        top, left = y.start - rows.start, x.start - columns.start
        inner = (slice(top, top + y.stop - y.start), slice(left, left + x.stop - x.start))
        made = np.repeat(image[inner][None].astype(np.float64), 2, axis=0)
        seen = np.ones(image.shape, np.bool_) if known is None else np.asarray(known(rows, columns), np.bool_)
        # what stands on a pedestal keeps its digits
        level = float(image[seen].mean(dtype=np.float64)) if seen.any() else 0.0
        for crystal in here:
            place = _put(crystal, np.zeros(image.shape, np.bool_), (rows.start, columns.start))
            given = seen if crystal.mask is None else seen & place
            place = place[inner]
            if not place.any() or not given.any():
                continue
            size = [fft.next_fast_len(n + crystal.reach, real=True) for n in image.shape]
            weight = fft.rfft2(given.astype(np.float32), size)
            light = fft.rfft2(np.where(given, image - level, 0).astype(np.float32), size)
            for channel, kernel in enumerate(crystal.kernels):
                shape = fft.rfft2(_wrapped(kernel, size), size)
                copies = fft.irfft2(weight * shape, size)[inner]
                total = fft.irfft2(light * shape, size)[inner]
                good = place & (copies > LEAST)
                made[channel][good] = total[good].astype(np.float64) / copies[good] + level
        return made

    def turned(self, *, up: bool, over: bool, turn: bool) -> LatticeCompanions:
        """The same for a plane that is flipped along Y and X, and whose axes then change places."""
        sign = np.array([-1.0 if up else 1.0, -1.0 if over else 1.0])

        def moved(crystal: Crystal) -> Crystal:
            vectors, mask = crystal.vectors * sign, crystal.mask
            y, x = (
                slice(n - one.stop, n - one.start) if flip else one
                for n, one, flip in zip(self.shape, crystal.box, (up, over), strict=True)
            )
            if mask is not None:
                mask = mask[:: -1 if up else 1, :: -1 if over else 1]
                mask = mask.T if turn else mask
            return Crystal(vectors[:, ::-1] if turn else vectors, (x, y) if turn else (y, x), mask)

        shape = (self.shape[1], self.shape[0]) if turn else self.shape
        return replace(self, shape=shape, crystals=tuple(map(moved, self.crystals)))


def _windows(size: int) -> list[slice]:
    """A side in windows of `WINDOW` px or somewhat less, each beginning where the last one ends."""
    ends = np.linspace(0, size, -(-size // WINDOW) + 1).astype(int)
    return [slice(int(start), int(stop)) for start, stop in pairwise(ends)]


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _put(crystal: Crystal, canvas: NDArray[np.bool_], origin: tuple[int, int]) -> NDArray[np.bool_]:
    """Write where a crystal is into a part (Y, X) of the plane that begins at ``origin``."""
    parts = []
    for box, start, size in zip(crystal.box, origin, canvas.shape, strict=True):
        parts.append(slice(max(box.start - start, 0), max(min(box.stop - start, size), 0)))
    y, x = parts
    if crystal.mask is None:
        canvas[y, x] = True
    else:
        top, left = (start - box.start for start, box in zip(origin, crystal.box, strict=True))
        canvas[y, x] = crystal.mask[y.start + top : y.stop + top, x.start + left : x.stop + left]
    return canvas


def _wrapped(kernel: NDArray[np.float32], size: list[int]) -> NDArray[np.float32]:
    """A kernel with its middle at the first pixel, going on from the far ends."""
    reach = len(kernel) // 2
    canvas = np.zeros(size, dtype=np.float32)
    places = np.arange(-reach, reach + 1)
    np.add.at(canvas, np.ix_(places % size[0], places % size[1]), kernel)
    return canvas


def measured_companions(read: Read, shape: tuple[int, int], fill: float) -> LatticeCompanions:
    """Measure the lattices of a plane; parameters as of `companions_of`."""
    return LatticeCompanions.measure(_first_filled(read, fill), shape)


def companions_of(found: LatticeCompanions, read: Read, fill: float, known: Read | None = None) -> Read:
    """What gives the companions of a plane, (2, Y, X), for two slices.

    Parameters
    ----------
    found : LatticeCompanions
        Of the plane.
    read : callable
        Gives (C, Y, X) of the plane, as the network sees it, for two slices; the first channel counts.
    fill : float
        What takes the place of pixels without a finite neighbour.
    known : callable, optional
        Gives in the same way whether pixels were measured.
    """
    filled = _first_filled(read, fill)
    first = None if known is None else lambda y, x: known(y, x)[0]
    return lambda y, x: found.read(filled, y, x, first)


def _first_filled(read: Read, fill: float) -> Read:
    def filled(y: slice, x: slice) -> NDArray[Any]:
        block = fill_holes(read(y, x)[:1], fill)
        return np.asarray(block[0])

    return filled
