"""How near an image is to its truth: the metrics that everyone prints, in the image's own units.

They never stand alone: the filter with the best PSNR can be the worst for finding atoms. A new metric is one function
and one line in ``METRICS``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.metrics import structural_similarity

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 11  # px, side of SSIM's window


@dataclass(frozen=True)
class Metric:
    """One metric, which is called with truth and image, and all that is said of it.

    Parameters
    ----------
    compute : callable
        ``(image_true, image_test)`` to a number, in float64. Where it also takes ``where``, a boolean array of the
        images' shape, only the pixels that are True count.
    label : str
        How it is written.
    unit : str
        Such as ``"dB"``, ``"image units"``; empty for a ratio.
    higher_is_better : bool
        In which direction it grows.
    meaning : str
        One sentence for a microscopist.
    by_region : bool
        Whether it is also given outside dents and in them; it has to take ``where`` then.
    headline : bool
        Whether the line with the verdict tells its value.

    Examples
    --------
    >>> METRICS["mae"]([[0.0, 1.0]], [[0.0, 0.5]]), METRICS["mae"].unit
    (0.25, 'image units')
    """

    compute: Callable[..., float]
    label: str
    unit: str
    higher_is_better: bool
    meaning: str
    by_region: bool = False
    headline: bool = False

    def __call__(self, image_true: np.ndarray, image_test: np.ndarray, where: np.ndarray | None = None) -> float:
        """Compute it.

        Parameters
        ----------
        image_true, image_test : ndarray, shape (..., Y, X)
            The truth and the image.
        where : ndarray of bool, shape (..., Y, X), optional
            Which pixels count; default all.

        Returns
        -------
        float
            NaN where not all pixels count and the metric cannot leave some out.

        Raises
        ------
        InputError
            If the shapes differ, or there is nothing that it can be computed from.
        """
        if where is None or where.all():
            return float(self.compute(image_true, image_test))
        if "where" not in inspect.signature(self.compute).parameters:
            return float("nan")
        return float(self.compute(image_true, image_test, where=where))


def mse(image_true: np.ndarray, image_test: np.ndarray, where: np.ndarray | None = None) -> float:
    """Mean squared error, in squared image units."""
    true, test = _pair(image_true, image_test)
    return float(_chosen((true - test) ** 2, where).mean())


def mae(image_true: np.ndarray, image_test: np.ndarray, where: np.ndarray | None = None) -> float:
    """Mean absolute error, in image units."""
    true, test = _pair(image_true, image_test)
    return float(_chosen(np.abs(true - test), where).mean())


def psnr(image_true: np.ndarray, image_test: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, the peak being the whole truth's maximum minus its minimum."""
    error = mse(image_true, image_test, where)
    return float(10 * np.log10(_data_range(image_true) ** 2 / error)) if error else float("inf")


def ssim(image_true: np.ndarray, image_test: np.ndarray, where: np.ndarray | None = None) -> float:
    """Structural similarity, Gaussian window of sigma 1.5, mean over the pixels whose window lies in the image.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, IEEE Trans. Image Process. 13, 600 (2004), https://doi.org/10.1109/TIP.2003.819861
    """
    true, test = _pair(image_true, image_test)
    height, width = true.shape[-2:]
    if min(height, width) < WINDOW:
        raise InputError(f"SSIM needs planes of at least {WINDOW} x {WINDOW} px, got {(height, width)}")
    maps = [
        structural_similarity(  # type: ignore[no-untyped-call]
            a, b, data_range=_data_range(true), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )[1]
        for a, b in zip(true.reshape(-1, height, width), test.reshape(-1, height, width), strict=True)
    ]
    inner = (..., slice(WINDOW // 2, -(WINDOW // 2)), slice(WINDOW // 2, -(WINDOW // 2)))
    similar = np.reshape(maps, true.shape)[inner]
    return float(_chosen(similar, None if where is None else where[inner]).mean())


METRICS: dict[str, Metric] = {
    "psnr": Metric(
        psnr, "PSNR", "dB", True, "Peak signal-to-noise ratio; says little about atoms.", by_region=True, headline=True
    ),
    "ssim": Metric(ssim, "SSIM", "", True, "Structural similarity; says little about atoms.", by_region=True),
    "mse": Metric(mse, "MSE", "squared image units", False, "Mean squared error."),
    "mae": Metric(mae, "MAE", "image units", False, "Mean absolute error."),
}


def _pair(image_true: np.ndarray, image_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64: in float32 a high pedestal costs the third digit."""
    if np.shape(image_true) != np.shape(image_test):
        raise InputError(
            f"truth and image must have one shape, got {np.shape(image_true)} and {np.shape(image_test)}: crop one"
        )
    return np.asarray(image_true, np.float64), np.asarray(image_test, np.float64)


def _chosen(values: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    chosen = values if where is None else values[where]
    if not chosen.size:
        raise InputError("there is no pixel to compare")
    return chosen


def _data_range(true: np.ndarray) -> float:
    values = np.asarray(true, np.float64)
    data_range = float(values.max() - values.min())
    if data_range == 0:
        raise InputError("the truth is constant: PSNR and SSIM have no data range")
    return data_range
