"""The noise of one image, measured on the image itself: gain, dose, afterglow, row offsets and row jitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage, optimize

from napari_hush.errors import InputError
from napari_hush.synthesis.noise.fit.jitter import bragg_peaks, measure_jitter, shift_rows
from napari_hush.synthesis.noise.fit.photon_transfer import MARGIN, band_response, filter_rows, photon_transfer
from napari_hush.synthesis.noise.fit.split import clear_frequency, periodic_part, split
from napari_hush.synthesis.noise.registry import (
    Compose,
    DetectorLag,
    GainOffset,
    Noise,
    Poisson,
    Readout,
    RowJitter,
    RowOffsets,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FittedNoise:
    """The noise of one image.

    Parameters
    ----------
    gain : float or None
        Image units per count. None, with ``offset``, ``dose`` and ``readout``, where the image does not tell.
    gain_error : float or None
        Standard error of ``gain``, image units per count, statistical only.
    offset : float or None
        Image value at zero counts, image units.
    dose : float or None
        Counts per pixel at the peaks: at the 99.5th percentile of the smooth image, freed of the afterglow.
    readout : float or None
        Standard deviation of the white noise that does not depend on the signal, image units; 0 where none is seen.
    lag : float
        The part that each pixel keeps of the one before, as in `DetectorLag`.
    row_correlation : float
        Correlation of the noise between neighbours along X, at the image's mean.
    vertical_correlation : float
        The same along Y, of the noise at high frequency along X. Far from 0 the model does not fit.
    row_offset : float
        Standard deviation of the rows' zero levels, image units.
    row_offset_correlation : float
        Correlation of the zero levels of neighbouring rows.
    jitter : float or None
        Displacement of the rows along X, rms px; None without a lattice.
    jitter_error : float or None
        Standard error of ``jitter``, px.
    jitter_correlation : float or None
        Correlation of the displacements of neighbouring rows.
    notes : tuple of str
        What could not be measured or is doubtful, and why.
    """

    gain: float | None
    gain_error: float | None
    offset: float | None
    dose: float | None
    readout: float | None
    lag: float
    row_correlation: float
    vertical_correlation: float
    row_offset: float
    row_offset_correlation: float
    jitter: float | None
    jitter_error: float | None
    jitter_correlation: float | None
    notes: tuple[str, ...] = ()

    def noise(self) -> Compose:
        """Return the noise for a clean image that is 0 at zero counts and 1 at its peaks.

        Returns
        -------
        Compose
            Jitter, Poisson, detector lag, readout and row offsets, in the units of the clean image. The lag does not
            move the image on average.

        Raises
        ------
        InputError
            If the gain or the dose could not be measured.
        """
        scale = self.converter().gain
        lag = DetectorLag(correlation=self.lag)
        noises: list[Noise] = []
        if self.jitter or self.lag:
            noises.append(
                RowJitter(rms=self.jitter or 0.0, correlation=self.jitter_correlation or 0.0, advance=lag.delay)
            )
        noises.append(Poisson(dose=self.dose or 0.0))
        if self.lag:
            noises.append(lag)
        if self.readout:
            noises.append(Readout(sigma=self.readout / scale))
        if self.row_offset:
            noises.append(RowOffsets(sigma=self.row_offset / scale, correlation=self.row_offset_correlation))
        return Compose(noises=tuple(noises))

    def converter(self) -> GainOffset:
        """Return what turns the result of `noise` into the units of the fitted image.

        Returns
        -------
        GainOffset
            From 0 at zero counts and 1 at the peaks to image units.

        Raises
        ------
        InputError
            If the gain or the dose could not be measured.
        """
        if self.gain is None or self.dose is None or self.offset is None:
            raise InputError(
                f"this image's noise has no measured gain and dose: {'; '.join(self.notes)}. Name its noise yourself, "
                "such as gaussian, under noises in the settings, or take an image of unlike brightness"
            )
        return GainOffset(gain=self.gain * self.dose, offset=self.offset)


def fit_noise(image: ArrayLike) -> FittedNoise:
    """Measure the noise of one scanned image, with a lattice or without.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Image values proportional to counts plus an offset; at least 128 px each way. Rows are scan lines.

    Returns
    -------
    FittedNoise
        What was measured, in the image's units, and notes on what was not.

    Raises
    ------
    InputError
        If the image is not two-dimensional, too small, constant or not finite.

    Notes
    -----
    Rows are straightened first, where a lattice shows how far each is displaced. Then Fourier coefficients that stand
    out of the noise make the smooth image. What is left is filtered to three bands of frequency along X that hold no
    signal; neither jitter nor row offsets reach them. There the photon-transfer relation [1]_ [2]_ is fitted: in
    pixels of like smooth value, the variance in band b is ``gain (mean - offset) S_b(lag) + readout**2 E_b``, with S_b
    the band's share of an afterglow's spectrum and E_b that of white noise. The mean comes from the image itself, not
    from the smooth one, so that a smooth image that is somewhat wrong does not bias the gain. Afterglow lowers the
    variance of a pixel by ``(1 - lag) / (1 + lag)``; its spectrum tells it from readout noise, and without afterglow
    the third moment, which Gaussian noise does not have, does so less sharply.

    References
    ----------
    .. [1] J. R. Janesick, "Photon Transfer", SPIE Press (2007), https://doi.org/10.1117/3.725073
    .. [2] A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE
       Trans. Image Process. 17, 1737 (2008), https://doi.org/10.1109/TIP.2008.2001399

    Examples
    --------
    >>> import numpy as np
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> from napari_hush.synthesis.noise.registry import Compose, DetectorLag, GainOffset, Poisson
    >>> clean = render_lattice(Lattice(period=14, background=0.2), (256, 256), 0).image
    >>> chain = Compose(noises=(Poisson(dose=30), DetectorLag(correlation=0.3), GainOffset(gain=600, offset=1000)))
    >>> fitted = fit_noise(chain(clean, np.random.default_rng(1)))
    >>> 18 < fitted.gain < 22, round(fitted.lag, 1), round(fitted.dose, -1)
    (True, 0.3, 30.0)
    """
    data = np.asarray(image)
    if data.ndim != 2 or min(data.shape) < 128:
        raise InputError(f"fit_noise needs one image (Y, X) of at least 128 x 128 px; got shape {data.shape}")
    data = data.astype(np.float64)
    if not np.isfinite(data).all():
        raise InputError("fit_noise needs finite values: the image has NaN or infinite pixels")
    if np.ptp(data) == 0:
        raise InputError("fit_noise needs noise: every pixel of the image is the same")
    notes = _clipping(data)
    periodic = periodic_part(data)
    jitter = measure_jitter(periodic, bragg_peaks(periodic))
    shifts = np.zeros(len(data))
    if isinstance(jitter, str):
        notes.append(f"jitter: {jitter}")
    else:
        shifts = jitter.shifts
        if jitter.rms < 2 * jitter.error:
            notes.append(f"jitter: within twice its error, {jitter.error:.2g} px, of none")
    straight = shift_rows(periodic, shifts)
    parts = split(straight)
    # The rows' displacement goes back into the smooth image; shifted noise would no longer be local.
    smooth = shift_rows(parts.smooth, -shifts)
    rest = periodic - smooth
    row_offset, row_offset_correlation = _row_offsets(straight)
    lowest = clear_frequency(parts.signal, data.shape[1])
    if lowest > 0.35:
        notes.append("gain: the signal reaches the highest frequencies along X, the noise is not seen alone")
    transfer = photon_transfer(data, smooth + (data - periodic), rest, parts.level, lowest, notes)
    vertical = _vertical_correlation(filter_rows(rest, band_response(data.shape[1], lowest, 0.5)))
    return FittedNoise(
        gain=transfer.gain,
        gain_error=transfer.gain_error,
        offset=transfer.offset,
        dose=transfer.dose,
        readout=transfer.readout,
        lag=transfer.lag,
        row_correlation=transfer.row_correlation,
        vertical_correlation=vertical,
        row_offset=row_offset,
        row_offset_correlation=row_offset_correlation,
        jitter=None if isinstance(jitter, str) else jitter.rms,
        jitter_error=None if isinstance(jitter, str) else jitter.error,
        jitter_correlation=None if isinstance(jitter, str) else jitter.correlation,
        notes=tuple(notes),
    )


def _clipping(image: Array) -> list[str]:
    """Say so where many pixels share the highest or lowest value: their noise is cut off."""
    notes = []
    for word, value in (("highest", image.max()), ("lowest", image.min())):
        share = float(np.mean(image == value))
        if share > 0.005:
            notes.append(
                f"gain: {100 * share:.1f} % of the pixels have the {word} value, {value:g}; clipped values bias it"
            )
    return notes


def _row_offsets(periodic: Array) -> tuple[float, float]:
    """Standard deviation and lag-1 correlation of the rows' levels, from the power at frequency 0 along X."""
    height = len(periodic)
    power = np.abs(fft.rfft2(periodic)[:, :10]) ** 2 / periodic.size
    # Medians over neighbours along Y pass by Bragg peaks; the other columns have the noise, and signal, but no offsets.
    constant = ndimage.median_filter(power[:, 0], 9, mode="wrap") / np.log(2)
    around = ndimage.median_filter(np.median(power[:, 2:], axis=1) / np.log(2), 9, mode="wrap")
    excess = (constant - around) / periodic.shape[1]  # power per row, image units squared
    first = max(4, height // 64)  # below, dents and drift
    excess[:first] = excess[first]
    excess[-first + 1 :] = excess[-first]
    covariances = fft.ifft(excess).real[:11]
    structure = 2 * (covariances[0] - covariances[1:])
    scale = max(float(np.abs(structure).max()), 1e-30)
    lags = np.arange(1, 11)

    def residuals(p: Array) -> Array:
        return np.asarray(2 * p[0] * (1 - p[1] ** lags) - structure / scale)

    fitted = optimize.least_squares(residuals, [0.5, 0.3], bounds=([0, 0], [np.inf, 0.95]))
    variance = float(fitted.x[0]) * scale
    # Below a tenth of the noise of a row's mean nothing is seen.
    if variance < 0.1 * float(np.median(around)) / periodic.shape[1]:
        return 0.0, 0.0
    return variance**0.5, float(fitted.x[1])


def _vertical_correlation(noise: Array) -> float:
    inner = noise[MARGIN:-MARGIN, MARGIN:-MARGIN]
    inner = np.clip(inner, *np.percentile(inner, (0.01, 99.99)))
    return float(np.mean(inner[1:] * inner[:-1]) / np.mean(inner**2))
