"""How far a slow detector drags an image along its rows: from the noise, and from what explains the image best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from napari_hush.filters.resampling import cubic
from napari_hush.residual.noise import CUT
from napari_hush.residual.scan.recorded import along, dragged, fallen, place_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel

    Floats = NDArray[np.float64]

LAGGING = 0.05  # of a detector's pixel before: less changes nothing that could be seen
LAGS = (
    -0.35,
    0.35,
)  # from the lag of the noise's spectrum: edges leak into it, and white noise on top makes it smaller
MOST = 0.9
TELLING = 256  # rows that tell a lag
LASTING = 0.2  # of a pixel's light that still matters in later ones


def lag_of_noise(bands: Sequence[float]) -> float:
    """The share of the pixel before in a first-order spectrum ``1 / (1 + c² - 2 c cos(2 pi f))``."""
    frequency = np.linspace(0, 0.5, len(bands))
    shares = np.linspace(0, 0.9, 91)[:, None]
    models = 1 / (1 + shares**2 - 2 * shares * np.cos(2 * np.pi * frequency))
    models /= models.mean(axis=1, keepdims=True)
    return float(shares[((np.log(models) - np.log(np.maximum(np.asarray(bands), 1e-6))) ** 2).sum(axis=1).argmin(), 0])


def exact_lag(
    lag: float, noisy: Floats, denoised: Floats, noise: NoiseModel, usable: NDArray[np.bool_], spacing: float | None
) -> float:
    """The lag near that of the noise's spectrum, into which edges leak, that leaves least; rows placed in between."""
    middle = (len(noisy) - min(len(noisy), TELLING)) // 2
    part = slice(middle, middle + TELLING)
    noisy, denoised, usable = noisy[part], denoised[part], usable[part]
    weight = usable / noise.variance(denoised)
    bounds = max(lag + LAGS[0], 0.0), min(lag + LAGS[1], MOST)
    shown: Floats = denoised
    move: Callable[[Floats], Floats] | None = None

    def left(one: float) -> float:
        expected = dragged_in_place(shown, one)
        if move is not None:
            expected = move(expected)
        return float(np.minimum((noisy - expected) ** 2 * weight, CUT**2).sum())

    for _ in range(1 if spacing is None else 3):
        if spacing is not None:
            rows = place_rows(dragged_in_place(denoised, lag), noisy, usable, spacing)
            shown, move = fallen(denoised, rows.falls), along(rows)  # what drags along X leaves Y as it is
        lag = float(optimize.minimize_scalar(left, bounds=bounds, method="bounded", options={"xatol": 0.005}).x)
    return lag


def dragged_in_place(image: Floats, lag: float) -> Floats:
    """An image as a slow detector records it, but not moved: an instrument's software brings it back to its place."""
    delay = lag / (1 - lag)
    whole, part = int(np.floor(delay)), delay - np.floor(delay)
    taps = cubic(np.arange(-1, 3) - part)  # a Fourier shift rings at hard edges
    padded = np.pad(np.asarray(image, np.float64), ((0, 0), (1, whole + 2)), mode="edge")
    width = image.shape[1]
    return dragged(sum(tap * padded[:, whole + k : whole + k + width] for k, tap in enumerate(taps)), lag)


def reach_of_lag(lag: float) -> tuple[int, int]:
    """How many px at the left and at the right end of a row depend on what lies beyond, after `dragged_in_place`."""
    if lag < LAGGING:
        return 0, 0
    return int(np.ceil(np.log(LASTING) / np.log(lag))), int(np.ceil(lag / (1 - lag)))
