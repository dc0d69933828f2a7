"""How rows wander while they are scanned: shifts along X that change within a row, told apart from moved columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from napari_hush.filters.smoothing import gaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel

    Floats = NDArray[np.float64]

WINDOW = 0.25  # spacings along X in which a row's shift is one: a Gaussian's standard deviation
ALONG = 1.0  # spacings along X over which all rows wander alike
COLUMN = 0.08  # spacings along Y: shifts that last longer are those of columns
ROLLS = ((0.31, 0.13), (0.43, 0.37), (0.57, 0.61), (0.71, 0.83), (0.23, 0.53))  # of an image, against its own noise
ROWS = 512  # that tell how far they wander
MOST_LEAK = 0.7  # of wandering that is taken for noise, since it is found in the residual of other places
SURELY = 0.15  # share by which the shifts must pass those that are found with the residual of other places


class Wander(NamedTuple):
    """What the rows of one image do while they are scanned."""

    shifts: NDArray[np.float32]
    """(Y, X) by which they are off, px along X, as far as the row above and below are not."""
    variance: NDArray[np.float32]
    """(X,) of the shifts, px²; 0 where they do not stand out of the noise."""

    def of(self, image: Floats) -> Floats:
        """An image (Y, X) as such rows show it, on the average of what of their shifts is not known."""
        slope = np.gradient(image, axis=1)
        return np.asarray(image - self.shifts * slope + 0.5 * self.variance * np.gradient(slope, axis=1))


def find_wander(rest: Floats, expected: Floats, noise: NoiseModel, usable: NDArray[np.bool_], spacing: float) -> Wander:
    """Fit a shift along X around each pixel of each row.

    Parameters
    ----------
    rest : ndarray, shape (Y, X)
        Noisy minus expected.
    expected : ndarray, shape (Y, X)
        The denoised image with each row where the scan has it as a whole.
    noise : NoiseModel
        Of the noisy image.
    usable : ndarray of bool, shape (Y, X)
        Pixels that count.
    spacing : float
        Lattice period, px.

    Returns
    -------
    Wander

    Notes
    -----
    Columns last for many rows, and so do the shifts of columns that a result moved; rows wander independently. What the
    shifts of neighbouring rows differ by, beyond what they differ by with the residual of other places in the image, is
    their wandering. Of that the part that changes from row to row is taken out; the rest is only counted as unknown.
    """
    slope = np.gradient(np.asarray(expected, np.float32), axis=1)
    variance = noise.variance(expected)
    weight = np.asarray(usable * (float(variance.mean()) / variance), np.float32)
    root, sigma = np.sqrt(weight), WINDOW * spacing
    even = root * np.asarray(rest, np.float32)  # as strong everywhere
    first = (len(rest) - min(len(rest), ROWS)) // 2
    part = slice(first, first + ROWS)
    height, width = rest[part].shape
    rolls = [(round(y * height), round(x * width)) for y, x in ROLLS]
    chance = [_differences(np.roll(even[part], roll, (0, 1)), root[part], slope[part], sigma) for roll in rolls]
    known, found = _differences(even[part], root[part], slope[part], sigma)
    own = np.median([squares for _, squares in chance], axis=0)
    if not found.sum() > (1 + SURELY) * own.sum():
        return Wander(np.zeros(rest.shape, np.float32), np.zeros(width, np.float32))
    leak = min(float(np.median([_leak(root[part], slope[part], roll, sigma) for roll in rolls])), MOST_LEAK)
    near, noise_near, known_near = (
        ndimage.gaussian_filter1d(one, ALONG * spacing, mode="nearest") for one in (found, own, known)
    )  # after the fly-back more
    wandering = np.maximum(near - noise_near, 0) / np.maximum(known_near, 1e-30) / (1 - leak)
    shifts, told = _shifts(even, root, slope, sigma)
    scatter = np.float32(2 * own.sum() / (height - 1) / width) / told
    shifts *= wandering / np.maximum(wandering + scatter, np.float32(1e-30))
    shifts -= gaussian(shifts, max(COLUMN * spacing, 1.0), axes=(0,))
    return Wander(shifts, wandering)


def _shifts(
    even: NDArray[np.float32], root: NDArray[np.float32], slope: NDArray[np.float32], sigma: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least squares in a window around each pixel of each row: the shift, and how much tells of it."""
    weighted = root * slope
    moved = gaussian(-weighted * even, sigma, mode="constant", axes=(1,))
    told = gaussian(weighted * weighted, sigma, mode="constant", axes=(1,))
    told = np.maximum(told, np.float32(1e-6 * max(float(told.max()), 1e-30)))
    return moved / told, told


def _leak(root: NDArray[np.float32], slope: NDArray[np.float32], roll: tuple[int, int], sigma: float) -> float:
    """The mean square of the shifts that are found here where it is the residual of another place that was shifted."""
    shifts, told = _shifts(np.roll(-root * slope, roll, (0, 1)), root, slope, sigma)
    return float((told * shifts * shifts).sum(dtype=np.float64) / told.sum(dtype=np.float64))


def _differences(
    even: NDArray[np.float32], root: NDArray[np.float32], slope: NDArray[np.float32], sigma: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each column of pixels (X,): how much tells of shifts, and half of the squared differences down it."""
    shifts, told = _shifts(even, root, slope, sigma)
    known = told[1:] * told[:-1] / (told[1:] + told[:-1])
    return known.sum(axis=0), (0.5 * known * np.square(np.diff(shifts, axis=0))).sum(axis=0)
