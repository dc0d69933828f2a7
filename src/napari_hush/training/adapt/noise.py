"""The noise of one image, drawn anew: with its own variance and skewness at each brightness, and its own spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel

MANY = 100.0  # counts: noise of more of them is normal


@dataclass(frozen=True, eq=False)
class DrawnNoise:
    """Noise like that of an image.

    Parameters
    ----------
    model : NoiseModel
        What was measured of it.
    brightness : ndarray, shape (Y, X)
        The image without its noise, in its own units: the variance is looked up there, because that at a noisy pixel
        would depend on its noise.
    """

    model: NoiseModel
    brightness: NDArray[np.floating]

    def pair(
        self, rng: np.random.Generator, strength: float, y: slice, x: slice
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Draw what is added to a part of an image to make two of it whose noise is independent.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        strength : float
            The first is noisier by ``strength`` times the image's own noise, the second by the inverse of that.
        y, x : slice
            Rows and columns, with start and stop.

        Returns
        -------
        first, second : ndarray, shape (Y, X)
            Mean 0, image units.

        Notes
        -----
        With noise z of the covariance of the image's own, image + a z and image - z / a have uncorrelated noise, and
        if both are normal, independent noise (Pang et al.). The noise of few counts is skewed. All cumulants between
        any power of the first image and the second vanish if those of z are those of the image's noise over
        a^(m - 2); for counts of rate r that is the noise of counts of rate a² r in steps 1 / a times as large: the
        first image then looks as one that was exposed longer. Monroy et al. do so for noise of one known family.

        References
        ----------
        T. Pang, H. Zheng, Y. Quan, H. Ji, "Recorrupted-to-Recorrupted: unsupervised deep learning for image
        denoising", CVPR 2021, https://doi.org/10.1109/CVPR46437.2021.00208

        B. Monroy, J. Bacca, J. Tachella, "Generalized Recorrupted-to-Recorrupted: self-supervised learning beyond
        Gaussian noise", https://arxiv.org/abs/2412.04648

        Examples
        --------
        >>> from napari_hush.residual.noise import measure_noise
        >>> rng = np.random.default_rng(0)
        >>> flat = np.full((128, 128), 100.0)
        >>> noise = DrawnNoise(measure_noise([rng.normal(flat, 3)]), flat)
        >>> first, second = noise.pair(rng, 0.5, slice(0, 128), slice(0, 128))
        >>> round(float(first.std()), 1), round(float(second.std()))
        (1.5, 6)
        """
        whole, rows = self.brightness[y], y.stop - y.start
        variance = self.model.variance(whole)
        sigma = np.sqrt(variance)
        step = self.model.third_moment(whole) / variance  # of the values per count; 0 of what is symmetric
        rate = (strength * sigma / np.where(step == 0, 1e-12, step)) ** 2
        few = rate < MANY
        unit = rng.standard_normal(whole.shape, dtype=np.float32)
        counted = np.where(few, rate, 0.0)
        skewed = np.sign(step) * (rng.poisson(counted) - counted) / np.sqrt(np.maximum(counted, 1e-9))
        unit = np.where(few, skewed, unit)
        # whole rows: a slow detector's noise is correlated over far more px than a patch has
        drawn = self.model.coloured(unit)[:, x] * sigma[:, x]
        if self.model.row_levels:
            drawn += rng.normal(0, self.model.row_variance**0.5, (rows, 1))
        return np.asarray(strength * drawn, np.float32), np.asarray(-drawn / strength, np.float32)
