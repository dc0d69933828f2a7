"""Whether what was taken away looks like what is shown: then the result is a blurred one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.residual.scales import blurred, moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel

    Floats = NDArray[np.floating]

SCALES = (1.0, 2.0, 4.0, 8.0)  # px; each band reaches to twice its scale
SURE = 5.0  # standard deviations: less is no loss
MIXED = 0.25  # of the noise's power, at most, that result and residual share: k (1 - k) of a kept share k


def detail_lost(residual: Floats, result: Floats, noise: NoiseModel) -> float:
    """How much more of its own detail a result should show.

    Parameters
    ----------
    residual : ndarray, shape (Y, X)
        Noisy minus denoised; 0 where it does not count.
    result : ndarray, shape (Y, X)
        The denoised image.
    noise : NoiseModel
        Of the noisy image.

    Returns
    -------
    float
        The largest share of the shown detail's amplitude, over the bands of 1 to 8 px, that is surely missing; 0 where
        none is.

    Notes
    -----
    With the band ``d`` of the result, the difference of its Gaussian means of a scale and of twice the scale, and the
    residual ``r``, the matched filter ``sum(r d / var) / sum(d² / var)`` is the share by which ``d`` is too weak, and 0
    for the truth. Any denoiser leaves a share ``0 <= k <= 1`` of the noise at each frequency, which adds ``k (1 - k)``
    of the noise's power in that band to the sum: a quarter of it is taken off, more than that it cannot be. So what
    one place cannot show, the whole image does: a blur of two pixels in the fluorescence of a few counts.
    """
    clear = noise.comparable(result, result + residual) & (residual != 0)
    r, variance, _ = moments(residual, result, noise, clear)
    weight = clear / np.where(clear, variance, 1)
    image = np.asarray(result, np.float32) - np.float32(np.mean(result))
    share = blurred(np.ones(image.shape, np.float32), SCALES[0])
    finer = blurred(image, SCALES[0]) / share
    most = 0.0
    for scale in SCALES:
        share = blurred(np.ones(image.shape, np.float32), 2 * scale)
        coarser = blurred(image, 2 * scale) / share
        detail = finer - coarser
        finer = coarser
        template = detail * weight
        wide = max(noise.widened(scale), 1.0)
        shared = MIXED * wide * float(clear.sum()) * 0.75 / (2 * np.pi * scale**2)
        missing = float((template * r).sum(dtype=np.float64)) - shared
        own = float((template * detail).sum(dtype=np.float64))
        if own > 0 and missing > SURE * np.sqrt(own * wide):
            most = max(most, missing / own)
    return most
