"""Which Fourier coefficients of one image are signal and which are noise; the parts that fitting a noise needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft, ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_SURE = 6.0  # times the noise power: 0.25 % of pure noise exceeds it
_LIKELY = 3.0  # enough beside a sure coefficient


class SplitNoise(NamedTuple):
    """An image as a smooth part that is mostly signal, and a rest that is mostly noise."""

    smooth: Array
    """(Y, X), image units."""
    rest: Array
    """(Y, X), without mean; noise, and signal too weak to be told from it."""
    signal: NDArray[np.bool_]
    """(Y, X//2 + 1), which coefficients went into the smooth part."""
    level: Array
    """(X//2 + 1,) noise power per pixel at each frequency along X, from the rows of high frequency along Y."""


def lag_spectrum(lag: float, frequency: Array) -> Array:
    """Power response of an afterglow that keeps the part ``lag``; 1 at frequency 0 (cycles per px)."""
    return np.asarray((1 - lag) ** 2 / (1 - 2 * lag * np.cos(2 * np.pi * frequency) + lag**2))


def periodic_part(image: Array) -> Array:
    """Take away the smooth image that makes opposite borders (Y, X) differ, so that its Fourier transform has no cross.

    L. Moisan, J. Math. Imaging Vis. 39, 161 (2011), https://doi.org/10.1007/s10851-010-0227-1
    """
    height, width = image.shape
    jumps = np.zeros_like(image)
    jumps[0] += image[-1] - image[0]
    jumps[-1] -= image[-1] - image[0]
    jumps[:, 0] += image[:, -1] - image[:, 0]
    jumps[:, -1] -= image[:, -1] - image[:, 0]
    laplacian = 2 * np.cos(2 * np.pi * fft.fftfreq(height))[:, None] + 2 * np.cos(2 * np.pi * fft.rfftfreq(width)) - 4
    laplacian[0, 0] = 1
    border = fft.rfft2(jumps) / laplacian
    border[0, 0] = 0
    return np.asarray(image - fft.irfft2(border, s=image.shape))


def noise_level(power: Array) -> Array:
    """Noise power at each frequency along X, from the median over the upper half of the frequencies along Y.

    Parameters
    ----------
    power : ndarray, shape (Y, K)
        Squared magnitudes of Fourier coefficients, all frequencies along Y.

    Returns
    -------
    ndarray, shape (K,)
        Smooth along X. Noise is exponentially distributed there, so its median is ln 2 of its mean.
    """
    high = np.abs(fft.fftfreq(len(power))) > 0.25
    level = ndimage.median_filter(np.median(power[high], axis=0) / np.log(2), size=25, mode="nearest")
    return np.asarray(ndimage.gaussian_filter1d(level, 6, mode="nearest"))


def split(periodic: Array) -> SplitNoise:
    """Separate the coefficients of a periodic image (Y, X) that stand out of the noise from the others."""
    spectrum = fft.rfft2(periodic)
    power = np.abs(spectrum) ** 2 / periodic.size
    level = noise_level(power)
    near = np.ones((3, 3))
    sure = power > _SURE * level
    # Alone, a coefficient must stand out further: among 100,000 of noise hundreds are "sure".
    sure &= (ndimage.convolve(sure.astype(np.float32), near, mode="wrap") > 1) | (power > 15 * level)
    beside = ndimage.binary_dilation(sure, near.astype(bool))
    signal = sure | (beside & (power > _LIKELY * level))
    signal[0, :3] = signal[:3, 0] = signal[-2:, 0] = True
    smooth = fft.irfft2(spectrum * signal, s=periodic.shape)
    return SplitNoise(np.asarray(smooth), periodic - smooth, signal, level)


def clear_frequency(signal: NDArray[np.bool_], width: int) -> float:
    """The frequency along X, cycles per px, above which hardly a coefficient is signal; between 0.12 and 0.38."""
    share = ndimage.uniform_filter1d(signal[:, :-3].mean(axis=0), 15, mode="reflect")
    loud = np.flatnonzero(share > 0.003)
    last = fft.rfftfreq(width)[loud[-1]] if len(loud) else 0.0
    return float(np.clip(last + 0.03, 0.12, 0.38))
