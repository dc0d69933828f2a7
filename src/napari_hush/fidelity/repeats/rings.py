"""Fourier ring correlation: up to which detail two images of one field agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

THRESHOLD = 1 / 7
TAPER = 0.5  # share of each axis that the window fades over
SMOOTH = 1.5  # rings, width of the Gaussian that takes the noise of single rings away
CERTAIN = 3  # standard errors by which a ring lies above the threshold to count


def ring_correlation(
    first: Floats | Sequence[Floats], second: Floats | Sequence[Floats]
) -> tuple[Floats, Floats, Floats]:
    """Correlate two images on rings of equal spatial frequency.

    Parameters
    ----------
    first, second : ndarray, shape (Y, X), or (pairs, Y, X)
        Aligned images of one field. The power of several pairs is pooled, so that they give one curve.

    Returns
    -------
    frequency : ndarray, shape (rings,)
        Middles of the rings, cycles per px, up to 0.5. The ring about zero, which is brightness alone, is left out.
    correlation : ndarray, shape (rings,)
        -1 to 1; 0 where an image has no power.
    points : ndarray, shape (rings,)
        Independent points on each ring; the standard error of a correlation near zero is one over their root.

    References
    ----------
    Saxton, Baumeister, J. Microsc. 127, 127 (1982), https://doi.org/10.1111/j.1365-2818.1982.tb00405.x

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(64, 64))
    >>> frequency, correlation, points = ring_correlation(image, -image)
    >>> float(correlation.max()) < -0.999
    True
    """
    pairs_a, pairs_b = (np.asarray(image, np.float64) for image in (first, second))
    shape = pairs_a.shape[-2:]
    from scipy.signal.windows import tukey  # slow to load, and not needed for single images

    window = np.outer(*(tukey(size, TAPER) for size in shape))
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))  # (Y, X//2 + 1)
    rings = min(shape) // 2
    ring = np.minimum(np.rint(radius * 2 * rings).astype(int), rings + 1)
    twice = np.full(ring.shape, 2.0)  # the half plane that rfft leaves out is the same again
    twice[:, 0] = 1
    if shape[1] % 2 == 0:
        twice[:, -1] = 1

    def on_rings(values: Floats) -> Floats:
        sums = np.bincount(ring.ravel(), (values * twice).ravel(), rings + 2)
        return sums[1 : rings + 1].astype(np.float64)

    product, power_a, power_b = np.zeros((3, rings))
    pairs = list(zip(pairs_a.reshape(-1, *shape), pairs_b.reshape(-1, *shape), strict=True))
    for a, b in pairs:
        spectrum_a, spectrum_b = (np.fft.rfft2((image - image.mean()) * window) for image in (a, b))
        product += on_rings((spectrum_a * spectrum_b.conj()).real)
        power_a += on_rings(np.abs(spectrum_a) ** 2)
        power_b += on_rings(np.abs(spectrum_b) ** 2)
    size = np.sqrt(power_a * power_b)
    correlation = np.divide(product, size, out=np.zeros(rings), where=size > 0)
    spread = float((window**4).mean() / (window**2).mean() ** 2)  # neighbours in the spectrum that the window ties
    points = on_rings(np.ones(ring.shape)) / spread * len(pairs)
    return np.arange(1, rings + 1) / (2 * rings), correlation, points


def resolution(frequency: Floats, correlation: Floats, points: Floats, threshold: float = THRESHOLD) -> float:
    """Find the finest detail in which two images agree.

    Parameters
    ----------
    frequency, correlation, points : ndarray, shape (rings,)
        From `ring_correlation`.
    threshold : float
        The correlation that is asked for.

    Returns
    -------
    float
        Period, px, at which the correlation falls below the threshold for good. NaN where it does not up to 2 px,
        infinity where it is nowhere above.

    Notes
    -----
    The last crossing is taken, not the first: a crystal has no power between its Bragg rings, and the correlation
    falls to that of noise there. A ring counts as above if the noise of its correlation does not explain it.

    References
    ----------
    Fixed threshold of 1/7: Nieuwenhuizen et al., Nat. Methods 10, 557 (2013), https://doi.org/10.1038/nmeth.2448;
    Koho et al., Nat. Commun. 10, 3103 (2019), https://doi.org/10.1038/s41467-019-11024-z
    """
    weight = ndimage.gaussian_filter1d(points, SMOOTH, mode="constant")
    smooth = ndimage.gaussian_filter1d(points * correlation, SMOOTH, mode="constant") / weight
    error = 1 / np.sqrt(points)
    smooth_error = error / np.sqrt(2 * np.sqrt(np.pi) * SMOOTH)
    above = (correlation > threshold + CERTAIN * error) | (smooth > threshold + CERTAIN * smooth_error)
    if not above.any():
        return float("inf")
    last = int(np.flatnonzero(above)[-1])
    curve = smooth.copy()
    curve[last] = max(smooth[last], correlation[last])  # a single sharp ring is more than its neighbourhood
    below = np.flatnonzero(curve[last:] < threshold)
    if not len(below):
        return float("nan")
    end = last + int(below[0])
    share = (curve[end - 1] - threshold) / (curve[end - 1] - curve[end])
    return float(1 / (frequency[end - 1] + share * (frequency[end] - frequency[end - 1])))
