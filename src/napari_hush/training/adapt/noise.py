"""The noise of one image, once more: drawn as it was measured, or taken from the image itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel

MANY = 100.0  # counts: noise of more of them is normal
MOST_SKEWED = 4.0  # times the third moment of counts; the gain of an electron multiplier makes it 1.5 times
LEVELS = 64  # of brightness, among whose pixels noise is exchanged, at most
IN_LEVEL = 512  # pixels of each, at least
APART = 16  # px by which noise is moved, at least
SMOOTH = 1.5  # px: of what is taken for the image where no better is known


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
    skewness : float
        Third moment over that of counts: 1.5 behind the gain of an electron multiplier.
    """

    model: NoiseModel
    brightness: NDArray[np.floating]
    skewness: float = 1.0

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
        third = self.skewness * self.model.third_moment(whole)
        step = third / variance  # of the values per count; 0 of what is symmetric
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


@dataclass(frozen=True, eq=False)
class OwnNoise:
    """What a denoiser took from an image, put on it once more at other places.

    Parameters
    ----------
    model : NoiseModel
        What was measured of it.
    brightness, residual : ndarray, shape (Y, X)
        The image without its noise, and its noise, in its own units.
    moved : bool
        Whether the noise is moved as a whole, which keeps its correlation over both axes, or exchanged among pixels of
        like brightness, which keeps its distribution there.

    Notes
    -----
    With noise z that could as well be the image's own n, image + z and image - z have noise of which nothing can be
    predicted: n + z is the same if n and z are exchanged, n - z changes its sign, whatever the distribution.
    """

    model: NoiseModel
    brightness: NDArray[np.floating]
    residual: NDArray[np.floating]
    moved: bool

    @cached_property
    def _sigma(self) -> NDArray[np.floating]:
        return np.sqrt(self.model.variance(self.brightness))

    @cached_property
    def _unit(self) -> NDArray[np.floating]:
        unit = self.residual / self._sigma
        unit -= unit.mean()
        return unit if self.moved else self.model.whitened(unit)

    @cached_property
    def _levels(self) -> list[NDArray[np.intp]]:
        """Pixels of like brightness, flat."""
        order = np.argsort(self.brightness, axis=None, kind="stable")
        return np.array_split(order, int(np.clip(order.size // IN_LEVEL, 1, LEVELS)))

    def pair(
        self, rng: np.random.Generator, strength: float, y: slice, x: slice
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As of `DrawnNoise`; the strength has to be 1.

        Examples
        --------
        >>> from napari_hush.residual.noise import measure_noise
        >>> rng = np.random.default_rng(0)
        >>> flat = np.full((128, 128), 100.0)
        >>> noisy = rng.gamma(2, 2, flat.shape) + flat
        >>> noise = OwnNoise(measure_noise([noisy]), flat + 4, noisy - flat - 4, moved=True)
        >>> first, second = noise.pair(rng, 1, slice(0, 128), slice(0, 128))
        >>> round(float(np.corrcoef((noisy + first).ravel() ** 2, (noisy + second).ravel())[0, 1]), 1) + 0
        0.0
        """
        if strength != 1:
            raise ValueError(f"noise of the image itself has the strength 1, got {strength}")
        unit = self._moved(rng) if self.moved else self._exchanged(rng)
        drawn = np.asarray((unit * self._sigma)[y, x], np.float32)
        return drawn, -drawn

    def _moved(self, rng: np.random.Generator) -> NDArray[np.floating]:
        shifts = [int(rng.integers(APART, size - APART + 1)) for size in self._unit.shape]
        return np.roll(self._unit, shifts, axis=(0, 1))

    def _exchanged(self, rng: np.random.Generator) -> NDArray[np.floating]:
        own = self._unit.ravel()
        drawn = np.empty_like(own)
        for level in self._levels:
            values = own[level]
            drawn[level] = rng.choice(values - values.mean(), len(level))
        return self.model.coloured(drawn.reshape(self._unit.shape))


def skewness_of(model: NoiseModel, brightness: NDArray[np.floating], residual: NDArray[np.floating]) -> float:
    """Third moment of an image's noise over that of counts, as `NoiseModel.third_moment` gives it.

    Parameters
    ----------
    model : NoiseModel
        What was measured of the noise.
    brightness, residual : ndarray, shape (Y, X)
        The image without its noise, and its noise, in its own units.

    Returns
    -------
    float
        At least 0; 1 where the noise of counts would not be skewed, or an end of the range cuts all of it off.

    Notes
    -----
    Along correlated rows the skewness of a pixel is less than that of its counts; noise is drawn in the same way, so
    that both are compared after the correlation was taken out.
    """
    seen = model.seen(brightness)
    sigma = np.sqrt(model.variance(brightness))
    expected = (model.third_moment(brightness) / sigma**3)[seen]
    if not np.sum(expected**2) > 1e-3 * expected.size:
        return 1.0
    unit = model.whitened(residual / sigma)[seen].astype(np.float64)
    return float(np.clip(np.sum((unit - unit.mean()) ** 3 * expected) / np.sum(expected**2), 0, MOST_SKEWED))
