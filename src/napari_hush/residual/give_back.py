"""What stands out of the noise in what a network took away is given back, at every scale."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft, ndimage

from napari_hush.filters.smoothing import gaussian
from napari_hush.residual.noise import NoiseModel, measure_noise
from napari_hush.residual.scales import REACH, alarm_threshold, blurred, moments, standardised
from napari_hush.residual.spikes import find_spikes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

SCALES = (6.0, 4.0, 3.0, 2.0, 1.5, 1.0)  # px, from coarse to fine
GROWN = 1.5  # scales around a place that stands out are given back with it
UNEVEN = 0.1  # of the noise's variance: row levels that vary more are not to be given back
SIDED = 0.25  # of images whose rows are like their columns 0.13 at most, of a slow detector (0.2) 0.6 at least
SOFT = 0.5  # scales over which that fades


@dataclass(frozen=True, kw_only=True)
class GiveBack:
    """How strong the noise of an image is, and what stands out of it.

    Parameters
    ----------
    noise : NoiseModel
        Measured on the noisy image alone, once.
    threshold : float
        Standard deviations of the noise beyond which something stands out, see `alarm_threshold`.
    scales : tuple of float
        Standard deviations of the Gaussians, px, coarse ones first.
    """

    noise: NoiseModel
    threshold: float
    scales: tuple[float, ...] = SCALES

    @property
    def margin(self) -> int:
        """How far around a part the images must be known, px."""
        return give_back_margin(self.scales)

    def __call__(self, noisy: Floats, generated: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give back what is missing, and take off what is contradicted.

        Parameters
        ----------
        noisy, generated : ndarray, shape (Y, X)
            The same part of the noisy image and of a result, in one unit, finite. A part gives the same values as the
            whole plane everywhere but within `margin` of those of its sides that are not sides of the plane.

        Returns
        -------
        result : ndarray, shape (Y, X)
        given : ndarray, shape (Y, X)
            What was added to ``generated``.
        """
        made = np.asarray(generated, np.float32)
        seen = np.asarray(noisy, np.float32)
        given = np.zeros(1, np.float32)
        spikes = find_spikes(seen, made, self.noise.variance(made), self.noise.coefficients[1])
        changed = True
        for scale in self.scales:
            if changed:
                result = made + given
                clear = self.noise.comparable(result, seen) & ~spikes
                rest, variance, third = moments(seen - result, result, self.noise, clear)
                del result
            nothing = np.zeros(1, np.float32)
            z, _ = standardised(rest, variance, third, nothing, scale, self.noise, relative=False)
            out = (z > self.threshold) | (z < -self.threshold)
            del z
            changed = bool(out.any())
            if not changed:
                continue
            radius = int(np.ceil(GROWN * scale))
            y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
            grown = ndimage.binary_dilation(out, y**2 + x**2 <= (GROWN * scale) ** 2)
            back = blurred(rest, scale)
            back /= np.maximum(blurred(clear.astype(np.float32), scale), np.float32(0.3))
            back *= gaussian(grown.astype(np.float32), SOFT * scale, truncate=3.0)
            given = given + back
        return made + given, np.broadcast_to(given, made.shape)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for the record of a run."""
        return asdict(self)


def give_back_margin(scales: tuple[float, ...] = SCALES) -> int:
    """The `GiveBack.margin` of these scales, px."""
    reach = [int(REACH * s + 0.5) + int(np.ceil(GROWN * s)) + int(3 * SOFT * s + 0.5) + 1 for s in scales]
    return sum(reach) + 1


def measure_give_back(planes: Sequence[Floats], size: int) -> GiveBack | str:
    """Measure the noise of an image for a `GiveBack`.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X) each
        One or a few planes or parts of the noisy image, finite.
    size : int
        Pixels of the whole plane.

    Returns
    -------
    GiveBack, or str
        Why nothing can be given back: the noise is not understood.
    """
    noise = measure_noise(planes)
    if not noise.calibrated:
        return noise.reason
    if noise.row_variance > UNEVEN * float(np.mean([noise.variance(plane).mean() for plane in planes])):
        return "each of its rows lies on a level of its own"
    if max(_sided(np.asarray(plane, np.float64)) for plane in planes) > SIDED:
        return "its rows differ from its columns: they start at wrong places, or the detector is slow"
    return GiveBack(noise=noise, threshold=alarm_threshold(size, SCALES))


def _sided(plane: NDArray[np.float64]) -> float:
    """By how much more slow than fast change there is along X than along Y, where the other direction is fast; a log.

    Edges and textures run in all directions. A slow detector, and rows at wrong places, do not.
    """
    power = np.abs(fft.fft2(plane - plane.mean(), workers=-1)) ** 2
    ratios = []
    for one in (power, power.T):
        across, along = (np.abs(fft.fftfreq(size)) for size in one.shape)
        upper = one[across > 0.25]
        slow, fast = (along > max(1 / 64, 2.5 / len(along))) & (along < 9 / 64), along > 3 / 8
        ratios.append(np.median(upper[:, slow]) / max(float(np.median(upper[:, fast])), 1e-300))
    return abs(float(np.log(max(ratios[0], 1e-300) / max(ratios[1], 1e-300))))
