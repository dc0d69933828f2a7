"""How near an image is to its truth: the metrics that everyone prints, in the image's own units.

They never stand alone: the filter with the best PSNR can be the worst for finding atoms.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def mse(image_true: np.ndarray, image_test: np.ndarray) -> float:
    """Mean squared error, in squared image units."""
    true, test = _pair(image_true, image_test)
    return float(np.mean((true - test) ** 2))


def mae(image_true: np.ndarray, image_test: np.ndarray) -> float:
    """Mean absolute error, in image units."""
    true, test = _pair(image_true, image_test)
    return float(np.mean(np.abs(true - test)))


def psnr(image_true: np.ndarray, image_test: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, the peak being the truth's maximum minus its minimum."""
    true, test = _pair(image_true, image_test)
    if np.array_equal(true, test):
        return float("inf")
    return float(peak_signal_noise_ratio(true, test, data_range=_data_range(true)))  # type: ignore[no-untyped-call]


def ssim(image_true: np.ndarray, image_test: np.ndarray) -> float:
    """Structural similarity, Gaussian window of sigma 1.5, mean over the planes of a stack.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, IEEE Trans. Image Process. 13, 600 (2004), https://doi.org/10.1109/TIP.2003.819861
    """
    true, test = _pair(image_true, image_test)
    if min(true.shape[-2:]) < 11:
        raise InputError(f"SSIM needs planes of at least 11 x 11 px, got {true.shape[-2:]}")
    planes = zip(true.reshape(-1, *true.shape[-2:]), test.reshape(-1, *true.shape[-2:]), strict=True)
    similarity: Callable[..., float] = partial(
        structural_similarity,
        data_range=_data_range(true),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(np.mean([similarity(a, b) for a, b in planes]))


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "psnr": psnr,
    "ssim": ssim,
    "mse": mse,
    "mae": mae,
}


def _pair(image_true: np.ndarray, image_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64: in float32 a high pedestal costs the third digit."""
    if np.shape(image_true) != np.shape(image_test):
        raise InputError(
            f"truth and image must have one shape, got {np.shape(image_true)} and {np.shape(image_test)}: crop one"
        )
    return np.asarray(image_true, np.float64), np.asarray(image_test, np.float64)


def _data_range(true: np.ndarray) -> float:
    data_range = float(true.max() - true.min())
    if data_range == 0:
        raise InputError("the truth is constant: PSNR and SSIM have no data range")
    return data_range
