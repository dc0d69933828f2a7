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
    weighted = root * slope
    here, told = weighted[part], _told(weighted[part], sigma)
    known = told[1:] * told[:-1] / (told[1:] + told[:-1])

    def differences(values: NDArray[np.float32]) -> NDArray[np.float32]:
        """For each column of pixels (X,): half of the squared differences of shifts down it."""
        steps = np.diff(_shifts(values, here, told, sigma), axis=0)
        return np.asarray((0.5 * known * np.square(steps)).sum(axis=0))

    def leak_of(roll: tuple[int, int]) -> float:
        """The mean square of the shifts found here where the residual of another place was shifted by a pixel."""
        shifts = _shifts(np.roll(-here, roll, (0, 1)), here, told, sigma)
        return float((told * shifts * shifts).sum(dtype=np.float64) / told.sum(dtype=np.float64))

    found = differences(even[part])
    own = np.median([differences(np.roll(even[part], roll, (0, 1))) for roll in rolls], axis=0)
    if not found.sum() > (1 + SURELY) * own.sum():
        return Wander(np.zeros(rest.shape, np.float32), np.zeros(width, np.float32))
    leak = min(float(np.median([leak_of(roll) for roll in rolls])), MOST_LEAK)
    near, noise_near, known_near = (
        ndimage.gaussian_filter1d(one, ALONG * spacing, mode="nearest") for one in (found, own, known.sum(axis=0))
    )  # after the fly-back more
    wandering = np.maximum(near - noise_near, 0) / np.maximum(known_near, 1e-30) / (1 - leak)
    told = _told(weighted, sigma)
    shifts = _shifts(even, weighted, told, sigma)
    scatter = np.float32(2 * own.sum() / (height - 1) / width) / told
    shifts *= wandering / np.maximum(wandering + scatter, np.float32(1e-30))
    shifts -= gaussian(shifts, max(COLUMN * spacing, 1.0), axes=(0,))
    return Wander(shifts, wandering)


def _told(weighted: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """How much a window around each pixel of each row tells of a shift."""
    told = gaussian(weighted * weighted, sigma, mode="constant", axes=(1,))
    return np.asarray(np.maximum(told, np.float32(1e-6 * max(float(told.max()), 1e-30))))


def _shifts(
    even: NDArray[np.float32], weighted: NDArray[np.float32], told: NDArray[np.float32], sigma: float
) -> NDArray[np.float32]:
    """The shift in that window by least squares, px."""
    return np.asarray(gaussian(-weighted * even, sigma, mode="constant", axes=(1,)) / told)
