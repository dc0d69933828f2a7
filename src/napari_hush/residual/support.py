"""How much of the visible detail of a result is carried by the data, place by place and scale by scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.filters.smoothing import gaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel

    Floats = NDArray[np.floating]

SCALES = (1.0, 2.0, 4.0, 8.0)  # px; each band reaches to twice its scale
AROUND = 3.0  # scales over which a band is compared with what was taken away
CARRIED = 2.0  # standard deviations: of such detail the sign is right in 95 of 100 pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Support:
    """What of a result's detail is carried by the data.

    Parameters
    ----------
    scales : tuple of float
        Of the bands, px; S of them.
    detail : ndarray, shape (S, Y, X), float32
        What the result shows in each band, in the image's unit.
    value : ndarray, shape (S, Y, X), float32
        The part of it that the noisy image carries, in standard deviations of its noise in that band; from 2 on the
        sign of the detail is right in at least 95 % of the pixels.
    resolution : float
        The finest width of a detail (full width at half maximum, px) from which on at least half of the detail's power
        has a support of 2 or more; NaN where no band has.
    """

    scales: tuple[float, ...]
    detail: NDArray[np.float32]
    value: NDArray[np.float32]
    resolution: float


def measure_support(noisy: Floats, denoised: Floats, noise: NoiseModel, scales: tuple[float, ...] = SCALES) -> Support:
    """Measure what of a result's detail the noisy image carries.

    Parameters
    ----------
    noisy, denoised : ndarray, shape (Y, X)
        In one intensity unit, finite; rows on one level.
    noise : NoiseModel
        Of the noisy image.
    scales : tuple of float
        Of the bands, px.

    Returns
    -------
    Support

    Notes
    -----
    A band is the difference of two Gaussian means, of the scale and of twice the scale. With ``o``, ``i``, ``r`` the
    bands of result, noisy image and their difference, in standard deviations of the noise, and ``L`` a mean over three
    scales: the noise that was left in the result is ``k = 1 - sqrt(L(r²))``, its share of the detail ``k² / L(o²)``;
    ``g = (L(o i) - k) / L(o²)`` is what remains of the detail when it is compared with the noisy image. The support
    is ``|o| min(1 - k² / L(o²), g)``: neither kept noise nor what the noisy image does not show counts.
    """
    variance = noise.variance(denoised)
    planes = [np.asarray(plane, np.float32) for plane in (denoised, noisy)]
    details, values = [], []
    means: dict[float, list[NDArray[np.float32]]] = {}
    for scale in scales:
        for width in (scale, 2 * scale):  # one band ends where the next begins
            if width not in means:
                means[width] = _mirrored(planes, width)
        fine, coarse = means.pop(scale), means[2 * scale]
        out, seen = (a - b for a, b in zip(fine, coarse, strict=True))
        sigma = np.sqrt(_mirrored([variance], scale)[0] * np.float32(band_power(scale, noise)))
        o, i = out / sigma, seen / sigma
        width = AROUND * scale
        power, both, rest = _mirrored([o * o, o * i, (i - o) ** 2], width)
        kept = np.clip(1 - np.sqrt(np.maximum(rest, 0)), 0, 1)
        power = np.maximum(power, 1e-12)
        own = 1 - kept**2 / power
        shown = np.clip((both - kept) / power, 0, 1)
        details.append(out)
        values.append(np.abs(o) * np.maximum(np.minimum(own, shown), 0))
    detail, value = np.stack(details), np.stack(values)
    return Support(scales=scales, detail=detail, value=value, resolution=_resolution(scales, detail, value))


def band_power(scale: float, noise: NoiseModel) -> float:
    """The variance of a band of noise of unit variance whose spectrum along X is known."""
    frequency = np.linspace(0, 0.5, len(noise.bands))
    y = np.linspace(0, 0.5, 65)[:, None]
    square = y**2 + frequency**2
    band = np.exp(-2 * np.pi**2 * scale**2 * square) - np.exp(-8 * np.pi**2 * scale**2 * square)
    plain = 0.1125 / (np.pi * scale**2)  # of white noise, the integral of the squared difference of two Gaussians
    weight = band**2
    return plain * float((weight * np.asarray(noise.bands)).sum() / weight.sum())


def _mirrored(planes: list[NDArray[np.float32]], sigma: float) -> list[NDArray[np.float32]]:
    return [gaussian(plane, sigma) for plane in planes]


def _resolution(scales: tuple[float, ...], detail: NDArray[np.float32], value: NDArray[np.float32]) -> float:
    for scale, one, support in zip(scales, detail, value, strict=True):
        power = one.astype(np.float64) ** 2
        total = float(power.sum())
        if total > 0 and float(power[support >= CARRIED].sum()) >= 0.5 * total:
            return 2.355 * scale
    return float("nan")
