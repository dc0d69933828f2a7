"""How far scan rows are displaced along X, measured on the lattice: each row against the rows around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft, ndimage, optimize

from napari_hush.synthesis.noise.fit.split import noise_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_ROWS, _COLUMNS = 40.0, 24.0  # sigma of the window over which the lattice is averaged, px
_SEGMENTS = 6
_LAGS = 10


class Jitter(NamedTuple):
    """The displacement of the rows of one image."""

    rms: float
    """px, without the noise of the measurement and without drift slower than about 40 rows."""
    correlation: float
    """Between neighbouring rows."""
    error: float
    """Standard error of ``rms``, px."""
    shifts: Array
    """(Y,) the most likely shift of each row towards lower X, px; 0 near the upper and lower border."""


def bragg_peaks(periodic: Array) -> Array:
    """Find the frequencies of a lattice in (Y, X).

    Parameters
    ----------
    periodic : ndarray, shape (Y, X)
        An image whose opposite borders fit.

    Returns
    -------
    ndarray, shape (N, 2)
        Frequencies (y, x), cycles per px, x not negative; at most 60, the strongest first. Empty without a lattice.
    """
    height, width = periodic.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(fft.rfft2((periodic - periodic.mean()) * window)) ** 2
    ky, kx = fft.fftfreq(height)[:, None], fft.rfftfreq(width)
    # Jitter spreads a peak along ky over its own column, where it must not look like more peaks.
    floor = np.maximum(30 * noise_level(power), 40 * np.percentile(power, 75, axis=0))
    peaks = (power == ndimage.maximum_filter(power, size=11, mode="wrap")) & (power > floor)
    peaks &= power > 8 * ndimage.uniform_filter(power, 31, mode="wrap")
    radius = np.hypot(ky, kx)
    peaks &= (radius > 5 / min(height, width)) & (radius < 0.48)
    y, x = np.nonzero(peaks)
    order = np.argsort(-power[y, x])[:60]
    return np.stack([ky[y[order], 0], kx[x[order]]], axis=1)


def measure_jitter(periodic: Array, peaks: Array) -> Jitter | str:
    """Measure the displacement of the rows of (Y, X) against the lattice averaged over the rows around.

    Parameters
    ----------
    periodic : ndarray, shape (Y, X)
        An image whose opposite borders fit.
    peaks : ndarray, shape (N, 2)
        Its Bragg peaks, cycles per px.

    Returns
    -------
    Jitter or str
        The reason, where there is nothing to measure.

    Notes
    -----
    A row that is displaced by u towards lower X differs from the averaged lattice M by ``u dM/dx``: least squares
    gives u in each of six segments of the row. Jitter is common to the segments and noise is not, so products of
    different segments have the jitter's covariance as their mean, with no model of the noise. The averaging takes slow
    displacement out of u; the growth of its structure function over 1 to 10 rows gives it back, under the assumption
    of a first-order autoregressive series.
    """
    height, width = periodic.shape
    across = peaks[peaks[:, 1] > 2 / width]
    if len(peaks) < 2 or len(across) < 1:
        return "no lattice stands out of the noise, or none with a period along X"
    margin_y, margin_x = int(1.2 * _ROWS), int(_COLUMNS)
    if height < 2 * margin_y + 4 * _LAGS or width < 2 * margin_x + 64:
        return f"the image is too small: {height} x {width} px"
    ky, kx = fft.fftfreq(height)[:, None], fft.rfftfreq(width)
    spectrum = fft.rfft2(periodic)
    windows = np.zeros(spectrum.shape)
    for y, x in peaks:
        dy = (ky - y + 0.5) % 1 - 0.5
        windows = np.maximum(windows, np.exp(-2 * np.pi**2 * (_ROWS**2 * dy**2 + _COLUMNS**2 * (kx - x) ** 2)))
    slow = np.exp(-2 * np.pi**2 * _COLUMNS**2 * (ky**2 + kx**2))
    rest = spectrum * (1 - np.maximum(windows, slow)) * windows.max(axis=0)
    inside = (slice(margin_y, height - margin_y), slice(margin_x, width - margin_x))
    difference = fft.irfft2(rest, s=periodic.shape)[inside]
    slope = fft.irfft2(spectrum * windows * (2j * np.pi * kx), s=periodic.shape)[inside]
    rows, columns = slope.shape
    starts = np.linspace(0, columns, _SEGMENTS, endpoint=False).astype(int)
    moment = np.add.reduceat(difference * slope, starts, axis=1)  # (rows, segments): information times displacement
    information = np.add.reduceat(slope**2, starts, axis=1)

    def covariance(a: slice, b: slice) -> float:
        def cross(values: Array) -> float:
            return float((values[a].sum(axis=1) * values[b].sum(axis=1) - (values[a] * values[b]).sum(axis=1)).sum())

        return cross(moment) / cross(information)

    covariances = [covariance(slice(0, rows - lag), slice(lag, rows)) for lag in range(_LAGS + 1)]
    structure = 2 * (covariances[0] - np.array(covariances[1:]))
    lags = np.arange(1, _LAGS + 1)
    scale = max(float(np.abs(structure).max()), 1e-12)

    def residuals(p: Array) -> Array:
        return np.asarray(2 * p[0] * (1 - p[1] ** lags) - structure / scale)

    fitted = optimize.least_squares(residuals, [0.5, 0.3], bounds=([0, 0], [np.inf, 0.95]))
    variance = float(fitted.x[0]) * scale
    white = float((moment**2 - max(covariances[0], 0) * information**2).sum() / information.sum())
    total = information.sum(axis=1)
    shot = max(white, 0.0) / float(np.mean(total))
    # Standard error of a variance from `rows` displacements, each blurred by the noise of its measurement.
    error = (variance + shot) * (2 / rows) ** 0.5 / max(2 * variance**0.5, (variance + shot) ** 0.5)
    shifts = np.zeros(height)
    if covariances[0] > 0:
        shifts[inside[0]] = moment.sum(axis=1) * covariances[0] / (covariances[0] * total + max(white, 0.0))
    return Jitter(variance**0.5, float(fitted.x[1]), error, shifts)


def shift_rows(periodic: Array, shifts: Array) -> Array:
    """Move each row of (Y, X) towards higher X by ``shifts`` (Y,), px, in Fourier space: noise keeps its spectrum."""
    width = periodic.shape[1]
    turns = np.exp(-2j * np.pi * fft.rfftfreq(width) * shifts[:, None])
    return np.asarray(fft.irfft(fft.rfft(periodic, axis=1) * turns, n=width, axis=1))
