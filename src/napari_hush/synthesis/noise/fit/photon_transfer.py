"""The photon-transfer relation of one image: gain, offset, afterglow and readout from variances against means."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft, ndimage, optimize

from napari_hush.synthesis.noise.fit.split import lag_spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_PEAK = 99.5  # percentile of the smooth image that counts as its peak
MARGIN = 12  # px at the border, where filters wrap
_BANDS = 3
_BINS = 20
_UPPER = 0.2  # cycles per px along Y
_BETTER = 5.0  # drop of chi squared that tells readout noise from none


class Transfer(NamedTuple):
    """What `photon_transfer` finds; the fields are those of `napari_hush.synthesis.noise.fit.noise.FittedNoise`."""

    gain: float | None
    gain_error: float | None
    offset: float | None
    dose: float | None
    readout: float | None
    lag: float
    row_correlation: float


class _Evidence(NamedTuple):
    """What gain, offset, lag and readout are fitted to."""

    bands: Array
    """(B, X) frequency responses, with the frequencies."""
    k: Array
    band: NDArray[np.intp]
    """(N,) the band of each bin; then its mean, its variance, its independent samples."""
    means: Array
    variances: Array
    samples: Array
    slow_k: Array
    """(S,) frequencies below the bands, with the noise level there."""
    slow: Array
    mean: float
    """Of the image; then the third moment in the band above the lowest frequency, its error, and the band (X,)."""
    third: float
    third_error: float
    every: Array


def _residuals(p: Array, e: _Evidence) -> Array:
    """Model minus measurement in standard errors, for p = gain, offset, lag, readout variance."""
    gain, offset, lag, readout = p
    shares = np.array([np.mean(band**2 * lag_spectrum(lag, e.k)) for band in e.bands])
    model = gain * (e.means - offset) * shares[e.band] + readout * np.mean(e.bands**2, axis=1)[e.band]
    error = np.maximum(model, 0.05 * e.variances) * np.sqrt(2 / e.samples)
    below = (gain * (e.mean - offset) * lag_spectrum(lag, e.slow_k) + readout - e.slow) / (0.04 * e.slow)
    # Signal can raise the level below the bands, so a model under it is a lesser fault.
    below = np.where(below < 0, 0.5, 1.0) * below
    moment = (gain**2 * (e.mean - offset) * _third_strength(e.every, lag) - e.third) / e.third_error
    return np.concatenate([(model - e.variances) / error, below, [moment]])


def _solve(start: Array, e: _Evidence) -> tuple[Array, Array]:
    """Fit with readout noise, and without; keep the simpler unless the other is clearly better. Also the covariance."""
    scale = np.array([start[0], np.ptp(e.means), 1.0, e.variances.mean() / np.mean(e.bands**2)])
    first = np.array([1.0, start[1] / scale[1], np.clip(start[2], 0.001, 0.8), 0.02])
    low, high = np.array([1e-3, -np.inf, 0, 0]), np.array([1e3, np.inf, 0.9, np.inf])
    fits = []
    for free in (3, 4):
        rest = np.zeros(4 - free)

        def residuals(s: Array, rest: Array = rest) -> Array:
            return _residuals(np.append(s, rest) * scale, e)

        fits.append(
            optimize.least_squares(
                residuals,
                first[:free],
                bounds=(low[:free], high[:free]),
                max_nfev=100,
            )
        )
    spread = max(1.0, 2 * fits[1].cost / len(e.means))
    best = fits[1] if 2 * (fits[0].cost - fits[1].cost) > _BETTER * spread else fits[0]
    free = len(best.x)
    covariance = np.zeros((4, 4))
    jacobian = np.asarray(best.jac, np.float64)
    covariance[:free, :free] = np.linalg.pinv(jacobian.T @ jacobian) * spread
    return np.append(best.x, np.zeros(4 - free)) * scale, covariance * scale[:, None] * scale


def photon_transfer(
    image: Array, smooth: Array, rest: Array, level: Array, lowest: float, notes: list[str]
) -> Transfer:
    """Fit gain, offset, lag and readout to the variance of ``rest`` in three bands above the frequency ``lowest``."""
    width = image.shape[1]
    k = np.abs(fft.fftfreq(width))
    edges = np.linspace(lowest, 0.5, _BANDS + 1)
    bands = np.stack([band_response(width, a, b) for a, b in pairwise(edges)])  # (B, X)
    white = np.mean(bands**2, axis=1)  # E_b
    squares = [filter_rows(rest, band) ** 2 for band in bands]
    every = band_response(width, lowest, 0.5)
    high = filter_rows(rest, every)
    inside = np.zeros(image.shape, dtype=bool)
    inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    slow_k, slow = _below(level, lowest)
    found = np.array([0.0, 0.0, _first_lag(rest, lowest), 0.0])
    covariance = np.zeros((4, 4))
    for attempt in range(4):
        gain, offset, lag, readout = (float(v) for v in found)
        sharp, sharp_smooth = _unlag(image, lag), _unlag(smooth, lag)
        mask = inside & ~_widened(np.abs(high) > 4 * np.percentile(np.abs(high), 99))
        if attempt:
            counting = gain * np.maximum(_spread(sharp_smooth, _footprint(every, lag)) - offset, 0)
            sigma = np.sqrt(counting * np.mean(every**2 * lag_spectrum(lag, k)) + readout * np.mean(every**2))
            spikes = np.abs(high) > 6 * sigma + 4 * gain
            mask = inside & ~_widened(spikes)
        # The level below the bands knows no mask: what spikes, which are white, add to it is taken off.
        spiky = float(np.mean(high[inside] ** 2) - np.mean(high[mask] ** 2)) / float(np.mean(every**2))
        binned = []
        for band, square in zip(bands, squares, strict=True):
            spot = _footprint(band, lag)
            binned.append(_binned(_spread(sharp, spot)[mask], _spread(sharp_smooth, spot)[mask], square[mask]))
        index = np.repeat(np.arange(_BANDS), [b.shape[1] for b in binned])
        means, variances, pixels = np.concatenate(binned, axis=1)
        third, third_error = _third_moment(rest, high, every, mask)
        evidence = _Evidence(
            bands,
            k,
            index,
            means,
            variances,
            pixels * white[index],
            slow_k,
            np.maximum(slow - spiky, 0.1 * slow),
            float(image.mean()),
            third,
            third_error,
            every,
        )
        if not attempt:
            shares = np.array([np.mean(band**2 * lag_spectrum(lag, k)) for band in bands])
            slope, zero = np.polyfit(means, variances / shares[index], 1, w=np.sqrt(pixels))
            slope = max(slope, 1e-3 * variances.mean() / (white.mean() * np.ptp(means)))
            found = np.array([slope, min(float(means.min()), -zero / slope), lag, 0.0])
        for _ in range(2):
            found, covariance = _solve(found, evidence)
    gain, offset, lag, readout = (float(v) for v in found)
    lag = lag if lag > 0.005 else 0.0  # less is not seen
    error = float(covariance[0, 0]) ** 0.5
    pixel = gain * (image.mean() - offset) * (1 - lag) / (1 + lag)  # counting variance at the mean
    correlation = float(lag * pixel / (pixel + readout))
    if not error < 0.3 * gain:
        notes.append(
            f"gain: the variance hardly grows with the brightness: {gain:.3g}, standard error {error:.2g} image units"
        )
        return Transfer(None, None, None, None, None, lag, correlation)
    if lag < 0.1 and readout == 0:
        notes.append("readout: without afterglow it is hardly told from counting noise; taken as 0")
    if offset < image.min() - np.ptp(image):
        # Counts on a high pedestal and readout noise look alike; on images from 0 on the former would hardly show.
        floor = float(np.percentile(smooth[inside], 100 - _PEAK))
        readout += gain * (floor - offset) * (1 - lag) / (1 + lag)
        notes.append(
            f"offset: the noise hardly depends on the signal, as if zero counts lay at {offset:.3g}; taken as readout "
            f"noise above {floor:.3g}"
        )
        offset = floor
    peak = float(np.percentile(_unlag(smooth, lag)[inside], _PEAK))
    return Transfer(gain, error, offset, (peak - offset) / gain, readout**0.5, lag, correlation)


def _widened(spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels (Y, X) to which filters carry a spike."""
    return np.asarray(ndimage.binary_dilation(spikes, np.ones((1, 13), dtype=bool)))


def band_response(width: int, low: float, high: float, edge: float = 0.03) -> Array:
    """Response (X,) of a band with sinusoidal edges; the edges of neighbours add up to 1."""

    def step(at: float) -> Array:
        return np.asarray(0.5 + 0.5 * np.sin(np.pi * np.clip((k - at) / edge, -0.5, 0.5)))

    k = np.abs(fft.fftfreq(width))
    return step(low) if high >= 0.5 else step(low) * (1 - step(high))


def filter_rows(image: Array, response: Array) -> Array:
    """Filter (Y, X) along X, round the border."""
    return np.asarray(
        fft.irfft(fft.rfft(image, axis=1) * response[: image.shape[1] // 2 + 1], n=image.shape[1], axis=1)
    )


def _spread(image: Array, kernel: Array) -> Array:
    """Convolve (Y, X) along X with a kernel (X,) centred at its first element."""
    return np.asarray(fft.irfft(fft.rfft(image, axis=1) * fft.rfft(kernel), n=image.shape[1], axis=1))


def _unlag(image: Array, lag: float) -> Array:
    """Undo the afterglow along X."""
    return (image - lag * np.roll(image, 1, axis=1)) / (1 - lag)


def _footprint(response: Array, lag: float) -> Array:
    """How much each pixel's counts add to the variance of a band behind it (X,), sum 1."""
    squared = np.abs(fft.ifft(response * _afterglow(len(response), lag))) ** 2
    return np.asarray(squared / squared.sum())


def _first_lag(rest: Array, lowest: float) -> float:
    """The lag whose spectrum has the shape of that of ``rest`` above a frequency."""
    k = fft.rfftfreq(rest.shape[1])
    power = np.mean(np.abs(fft.rfft(rest, axis=1)) ** 2, axis=0)
    use = (k >= lowest) & (k < 0.5)

    def unlike(lag: float) -> float:
        ratio = power[use] / lag_spectrum(lag, k[use])
        return float(np.log(ratio.mean()) - np.log(ratio).mean())

    return float(np.clip(optimize.minimize_scalar(unlike, bounds=(-0.2, 0.8), method="bounded").x, 0, 0.8))


def _below(level: Array, lowest: float) -> tuple[Array, Array]:
    """The noise level at six frequencies along X below the bands, if there is room."""
    if lowest < 0.15:
        return np.empty(0), np.empty(0)
    k = np.linspace(0, 0.5, len(level))
    edges = np.linspace(0.03, lowest - 0.02, 7)
    slow = [float(level[(k >= a) & (k < b)].mean()) for a, b in pairwise(edges)]
    return (edges[1:] + edges[:-1]) / 2, np.array(slow)


def _binned(values: Array, smooth: Array, squares: Array) -> Array:
    """Means of ``values`` and of ``squares`` in bins of like ``smooth``, and their number of pixels: (3, bins)."""
    low, high = np.percentile(smooth, (0.3, 99.7))
    place = ((smooth - low) * (_BINS / max(high - low, 1e-300))).astype(np.intp).clip(0, _BINS - 1)
    pixels, first, second = (np.bincount(place, weights, minlength=_BINS) for weights in (None, values, squares))
    full = pixels > min(400, len(values) / 100)
    return np.stack([first[full] / pixels[full], second[full] / pixels[full], pixels[full].astype(np.float64)])


def _afterglow(width: int, lag: float) -> Array:
    """Complex response (X,) of the afterglow."""
    return np.asarray((1 - lag) / (1 - lag * np.exp(-2j * np.pi * fft.fftfreq(width))))


def _third_moment(rest: Array, high: Array, response: Array, mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean of the squared noise of a band times the noise nearby, and its standard error.

    Gaussian noise leaves 0, counting ``gain**2 (mean - offset)`` times `_third_strength`. The second factor is taken
    at high frequency along Y, where there is least signal.
    """
    ky = np.abs(fft.fftfreq(len(rest)))[:, None]
    upper = fft.ifft(fft.fft(rest, axis=0) * (ky > _UPPER), axis=0).real
    product = np.where(mask, _spread(upper, _footprint(response, 0.0)) * high**2, np.nan)
    blocks = [b for rows in np.array_split(product, 16) for b in np.array_split(rows, 16, axis=1)]
    means = np.array([np.nanmean(b) for b in blocks if np.isfinite(b).sum() > b.size // 2])
    third, error = float(means.mean()), float(means.std()) / len(means) ** 0.5
    return third, max(error, 0.1 * abs(third), 1e-300)


def _third_strength(response: Array, lag: float) -> float:
    afterglow = _afterglow(len(response), lag)
    squared = np.abs(fft.ifft(response * afterglow)) ** 2
    nearby = fft.ifft(fft.fft(_footprint(response, 0.0)) * afterglow).real
    return float((1 - 2 * _UPPER) * np.sum(squared * nearby))
