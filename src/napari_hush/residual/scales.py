"""What stands out in what was taken away, at any scale, and whether it is as much as the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import lambertw

from napari_hush.filters.smoothing import gaussian
from napari_hush.threads import in_threads, strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel

    Floats = NDArray[np.floating]

SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
SHORT = 0.3  # skewness that is taken into account on the side of the short tail, at most
ALARMS = 0.01  # share of faultless images that fail
MEDIAN = 256  # rows and columns that tell a median of an image
REACH = 4.0  # standard deviations at which a Gaussian ends
STRIP = 32  # rows that a thread looks at together: they stay in its cache


@dataclass(frozen=True, kw_only=True, eq=False)
class Scales:
    """What was taken away, at each scale, in standard deviations of the noise.

    Parameters
    ----------
    scales : tuple of float
        Standard deviations of the Gaussians, px; S of them.
    z : ndarray, shape (S, Y, X), float32
        Above 0 something of the noisy image is missing, below 0 the noisy image contradicts what was added.
    energy : ndarray, shape (S,)
        Power of what was taken away over that of the noise; 1 for a perfect result, less where noise was kept.
    threshold : float
        What noise alone passes in one image of a hundred, at any scale.
    """

    scales: tuple[float, ...]
    z: NDArray[np.float32]
    energy: NDArray[np.float64]
    threshold: float


def alarm_threshold(size: int, scales: tuple[float, ...] = SCALES) -> float:
    """The standard deviations that the noise of one image in a hundred passes somewhere.

    Parameters
    ----------
    size : int
        Pixels of the image.
    scales : tuple of float
        Standard deviations of the Gaussians, px.

    Returns
    -------
    float
        T with ``2 N sum(s^-2) / (2 (2 pi)^1.5) T exp(-T²/2) = 0.01``, the expected number of regions above T of smooth
        Gaussian fields, both signs.

    References
    ----------
    K. J. Worsley et al., "A unified statistical approach for determining significant signals in images of cerebral
    activation", Human Brain Mapping 4, 58 (1996), https://doi.org/10.1002/(SICI)1097-0193(1996)4:1<58::AID-HBM4>3.0.CO;2-O

    Examples
    --------
    >>> [round(alarm_threshold(n * n, (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)), 2) for n in (256, 2048)]
    [5.53, 6.26]
    """
    factor = max(size, 1) * sum(s**-2 for s in scales) / (2 * np.pi) ** 1.5
    return float(np.sqrt(-lambertw(-((ALARMS / factor) ** 2), -1).real))


def residual_scales(
    residual: Floats,
    brightness: Floats,
    noise: NoiseModel,
    scales: tuple[float, ...] = SCALES,
    *,
    size: int | None = None,
    shift_variance: Floats | None = None,
) -> Scales:
    """Look for what stands out in noisy minus denoised.

    Parameters
    ----------
    residual : ndarray, shape (Y, X)
        Noisy minus denoised; 0 where it does not count.
    brightness : ndarray, shape (Y, X)
        The denoised image.
    noise : NoiseModel
        Of the noisy image.
    scales : tuple of float
        Standard deviations of the Gaussians, px.
    size : int, optional
        Pixels of the image of which this is a part, for the threshold.
    shift_variance : ndarray, shape (Y, X), optional
        Of what is not known of the rows' places along X, px².

    Returns
    -------
    Scales

    Notes
    -----
    A part of an image gives the values of the whole everywhere but within four times the largest scale of its sides.
    Counts are skewed, and a mean of few of them is: z is brought to a Gaussian by the cube root of Wilson and Hilferty.
    """
    clear = noise.comparable(brightness, brightness + residual) & (residual != 0)
    r, variance, third = moments(residual, brightness, noise, clear)
    slope = None if shift_variance is None else np.gradient(np.asarray(brightness, np.float32), axis=1) * clear
    z = np.empty((len(scales), *r.shape), np.float32)
    energy = np.empty(len(scales))
    for k, scale in enumerate(scales):
        rows = np.zeros(1, np.float32)
        if slope is not None and shift_variance is not None:  # a row is at one wrong place as a whole
            rows = gaussian(slope, scale, mode="constant", axes=(1,)) ** 2
            rows *= np.asarray(shift_variance, np.float32)
            rows = gaussian(rows, scale / np.sqrt(2), mode="constant", axes=(0,))
            rows /= np.float32(2 * np.sqrt(np.pi) * scale)
        z[k], energy[k] = standardised(r, variance, third, rows, scale, noise)
    return Scales(scales=scales, z=z, energy=energy, threshold=alarm_threshold(size or r.size, scales))


def moments(
    residual: Floats, brightness: Floats, noise: NoiseModel, clear: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What was taken away, single pixels cut, and the variance and the third moment of its noise; 0 where not clear.

    Parameters
    ----------
    residual, brightness, noise
        As of `residual_scales`.
    clear : ndarray of bool, shape (Y, X)
        Pixels that count.

    Returns
    -------
    ndarray, shape (Y, X), three times
    """
    down, up = noise.cut
    r, variance, third = (np.empty(clear.shape, np.float32) for _ in range(3))

    def look(part: slice) -> None:
        bright, counts = brightness[part], clear[part]
        power = noise.variance(bright)
        deviation = np.sqrt(power)
        rest = np.clip(np.asarray(residual[part], np.float32), -down * deviation, up * deviation)
        np.multiply(rest, counts, out=r[part])
        np.multiply(power, counts, out=variance[part])
        np.multiply(noise.third_moment(bright), counts, out=third[part])

    in_threads(look, strips(len(clear), STRIP))
    return r, variance, third


def standardised(
    r: NDArray[np.float32],
    variance: NDArray[np.float32],
    third: NDArray[np.float32],
    rows: NDArray[np.float32],
    scale: float,
    noise: NoiseModel,
    *,
    relative: bool = True,
) -> tuple[NDArray[np.float32], float]:
    """One scale of `residual_scales`, and its energy.

    Parameters
    ----------
    r, variance, third : ndarray, shape (Y, X)
        What was taken away, and the variance and third moment of the noise; all 0 where nothing counts.
    rows : ndarray, shape (Y, X) or (1,)
        What the mean over this scale varies beyond that.
    scale : float
        Standard deviation of the Gaussian, px.
    noise : NoiseModel
        For its correlation.
    relative : bool
        Whether places where hardly a pixel counts are left out, in comparison with the rest of the image; else in
        comparison with the noise alone, whatever the rest is.

    Returns
    -------
    z : ndarray, shape (Y, X)
    energy : float
    """
    z, power = blurred(r, scale), blurred(variance, scale / np.sqrt(2))
    gamma = blurred(third, scale / np.sqrt(3)) if third.any() else None
    parts = strips(len(z), STRIP)
    widened = np.float32(noise.widened(scale))
    level = np.float32(noise.row_variance / (2 * np.sqrt(np.pi) * scale))

    def add_up(part: slice) -> tuple[float, float, float]:
        here = power[part]
        here /= np.float32(4 * np.pi * scale**2)
        here *= widened
        here += rows[part] if rows.ndim == 2 else rows
        here += level
        return float(here.max()), float(here.sum(dtype=np.float64)), float(np.square(z[part]).sum(dtype=np.float64))

    most, total, seen = zip(*in_threads(add_up, parts), strict=True)
    energy = sum(seen) / sum(total) if sum(total) > 0 else float("nan")
    least = np.float32(1e-12) * max(*most, 1e-30)
    floor = noise.floor / (4 * np.pi * scale**2)
    some = power[:: max(len(power) // MEDIAN, 1), :: max(power.shape[1] // MEDIAN, 1)]
    if relative and (some > least).any():
        floor = float(np.median(some[some > least]))
    faint = np.float32(0.02 * floor)
    sign = np.float32(-1.0 if noise.falling else 1.0)
    skew = sign * np.float32((noise.widened(scale) / (2 * np.pi * scale**2)) ** 2 / 3)

    def standardise(part: slice) -> None:
        here, deviation = z[part], power[part]
        nowhere = deviation <= faint
        np.sqrt(np.maximum(deviation, least, out=deviation), out=deviation)
        here /= deviation
        if gamma is not None:
            skewness = gamma[part]
            skewness *= skew
            skewness /= deviation * deviation * deviation
            _unskew(here, skewness, sign)
        here[nowhere] = 0

    in_threads(standardise, parts)
    return z, energy


def _unskew(z: NDArray[np.float32], gamma: NDArray[np.float32], sign: np.float32) -> None:
    """Bring a mean of counts to a Gaussian by the cube root of Wilson and Hilferty, in place.

    Parameters
    ----------
    z : ndarray
        In standard deviations.
    gamma : ndarray
        Its skewness; is written over.
    sign : float
        -1 where counts count downwards.
    """
    np.clip(gamma, np.float32(1e-4), np.float32(3.0), out=gamma)
    z *= sign
    # the short tail of a skewed distribution ends: there a small error of the brightness would weigh too much
    np.minimum(gamma, np.float32(SHORT), out=gamma, where=z < 0)
    z *= gamma
    z /= 2
    z += 1
    np.power(np.maximum(z, 0, out=z), np.float32(1 / 3), out=z)
    z -= 1
    z += gamma * gamma / np.float32(36)
    z *= sign * np.float32(6)
    z /= gamma


def blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian mean, with zeros outside: what is beyond the border says nothing."""
    return gaussian(image, sigma, mode="constant", truncate=REACH)
