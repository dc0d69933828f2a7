"""Does a slice of tomography show the streaks of few projections? Its spectrum is then a fan of evenly spaced lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from napari_hush.inference.planes import middle_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST = 96  # px
LARGEST = 1024  # px: of larger planes the middle is looked at
FROM, TO = 0.15, 0.45  # cycles per px
STEPS = 4096  # of the direction, over 180 degrees
FEWEST = 10  # lines: fewer can be edges
STANDS_OUT = 15.0  # times the usual strength of such a period
TEETH = 0.9  # share of the lines that must be there
ALIKE = 0.3  # of their usual height, and its inverse
STREAKS = "the streaks of"


def kept_away(projections: int) -> str:
    """Why nothing of such a slice is given back, for a person.

    Examples
    --------
    >>> kept_away(30)
    'the streaks of 30 projections stand out of the noise, and are not of the sample'
    """
    return f"{STREAKS} {projections} projections stand out of the noise, and are not of the sample"


def count_projections(plane: NDArray[np.floating]) -> int | None:
    """Count the directions from which a slice was reconstructed, if they are so few that they throw streaks.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)
        Finite.

    Returns
    -------
    int or None
        None where no even fan of lines stands out, as in any other image.

    Notes
    -----
    By the projection-slice theorem a slice from N directions has its power on N evenly spaced lines through the centre
    of the Fourier plane. Along each direction the median of the logarithm of the power is taken, so that neither Bragg
    spots nor single edges count; the result must be periodic, with a peak on (nearly) each of the N lines.

    References
    ----------
    .. [1] A. C. Kak, M. Slaney, "Principles of Computerized Tomographic Imaging", SIAM (2001), chapter 3,
       https://doi.org/10.1137/1.9780898719277
    """
    if min(plane.shape) < SMALLEST:
        return None
    side = min(*plane.shape, LARGEST)
    part = np.asarray(plane[middle_part(plane.shape, side)], np.float64)
    profile = _fan(part)
    if profile is None:
        return None
    strength = np.abs(fft.rfft(profile))
    most = min(int(side * 0.5), len(strength) // 4)
    best: tuple[float, int] | None = None
    for n in range(FEWEST, most):
        around = strength[max(n // 2, 4) : 2 * n + 1]
        ratio = float(strength[n] / max(float(np.median(around)), 1e-300))
        if ratio > STANDS_OUT and (best is None or strength[n] > strength[best[1]]):
            best = ratio, n
    if best is None or _teeth(profile, best[1]) < TEETH:
        return None
    return best[1]


def _fan(part: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Power by direction, a logarithm, without what changes slowly."""
    side = len(part)
    window = np.hanning(side)
    values = (part - part.mean()) * window[:, None] * window
    power = np.abs(fft.fftshift(fft.fft2(values, workers=-1))) ** 2
    if not power.max() > 0:
        return None
    log = np.log(power + 1e-14 * power.max())
    radius = np.arange(FROM * side, TO * side)[:, None]
    angle = np.arange(STEPS) * (np.pi / STEPS)
    places = [side // 2 + radius * np.sin(angle), side // 2 + radius * np.cos(angle)]
    polar = ndimage.map_coordinates(log, places, order=1)  # (radii, directions)
    return np.asarray(np.median(polar - np.median(polar, axis=1, keepdims=True), axis=0))


def _teeth(profile: NDArray[np.float64], n: int) -> float:
    """The share of the n lines on which there is more than between them, and about as much as on the others."""
    phase = -np.angle(fft.rfft(profile)[n]) / (2 * np.pi)  # of the lines, periods
    at = (np.arange(n) + phase) * (STEPS / n)
    on, before, after = (
        np.interp((at + shift * STEPS / n) % STEPS, np.arange(STEPS), profile) for shift in (0, -0.5, 0.5)
    )
    height = on - (before + after) / 2
    usual = float(np.median(height))
    return float(np.mean((height > ALIKE * usual) & (height < usual / ALIKE))) if usual > 0 else 0.0
