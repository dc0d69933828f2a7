"""How slow brightness, the residual and the regularity of a denoised image compare with its input, noisy or true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hush.errors import InputError
from napari_hush.filters.smoothing import gaussian
from napari_hush.residual.scan.recorded import neighbour_correlation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_hush.residual.scan.recorded import Recorded

    Floats = NDArray[np.float64]

WITHOUT_LATTICE = 12.0  # px, width of the low-pass
CERTAIN = 0.01  # largest standard error of a low-pass slope that is shown
UNCLEAR = 0.004  # the same of a low-pass correlation


def compare_slow(
    reference: Floats, output: Floats, spacing: float | None, recorded: Recorded | None = None
) -> dict[str, float]:
    """Compare slow brightness: ``lowpass_slope`` and ``lowpass_r`` of output on input.

    Parameters
    ----------
    reference, output : ndarray, shape (Y, X)
        Input (noisy or true) and denoised image.
    spacing : float or None
        The low-pass is a Gaussian of this sigma, px; of 12 px without a lattice.
    recorded : Recorded, optional
        For a noisy reference.

    Returns
    -------
    dict
        NaN where the image is too flat for its noise to tell.

    Notes
    -----
    With noise in the input alone the fit of input on output is free of bias, that of output on input is not: the
    slope is the inverse of the former. The noise left by the low-pass is predicted from the residual's covariance
    between near pixels, and is taken off before the correlation is computed.
    """
    sigma = WITHOUT_LATTICE if spacing is None else spacing
    before = reference if recorded is None else recorded.image + recorded.residual - recorded.levels  # without spikes
    slow_in, slow_out = (gaussian(image, sigma) for image in (before, output))
    a, b = slow_in - slow_in.mean(), slow_out - slow_out.mean()
    power_in, power_out, product = float((a * a).mean()), float((b * b).mean()), float((a * b).mean())
    level = max(float(np.abs(slow_in).max()), float(np.ptp(reference)), 1e-30)
    independent = max(reference.size / (4 * np.pi * sigma**2), 1.0)
    noise = 0.0 if recorded is None else _slow_noise(recorded, sigma)
    real = power_in - noise * (1 + 4 * np.sqrt(2 / independent))
    nothing = {"lowpass_slope": float("nan"), "lowpass_r": float("nan")}
    if real <= (2e-3 * level) ** 2:
        return nothing
    if power_out < 1e-6 * real:
        return {"lowpass_slope": 0.0, "lowpass_r": 0.0}
    if recorded is None:
        return {"lowpass_slope": product / power_in, "lowpass_r": product / np.sqrt(power_in * power_out)}
    slope = product / power_out
    rest = power_in - product * slope
    error = np.sqrt(max(rest, noise) / (independent * power_out))
    figures = nothing
    if error < CERTAIN * max(abs(slope), 1):
        figures["lowpass_slope"] = 1 / slope if slope else float("inf")
    unclear = noise * np.sqrt(2 / independent)
    if recorded is not None:  # what chance gave the rows' levels in common with the output's rows was left in
        rows = ndimage.gaussian_filter1d(recorded.levels[:, 0], sigma)
        unclear += float(rows.var()) * 2 * np.sqrt(np.pi) * sigma / len(rows)
    signal = slope * product
    if unclear < UNCLEAR * signal:
        excess = max(rest - noise - 4 * unclear, 0.0)
        figures["lowpass_r"] = float(np.sign(slope) * np.sqrt(signal / (signal + excess)))
    elif rest - noise - 4 * unclear > signal:
        figures["lowpass_r"] = 0.0
    return figures


def whiteness(residual: Floats) -> dict[str, float]:
    """Correlation of neighbours in input minus output (Y, X), along X and along Y."""
    return {
        f"residual_correlation_{name}": neighbour_correlation(residual, axis) for name, axis in (("y", 0), ("x", 1))
    }


def vector_spread(positions: Floats, vectors: Floats) -> float:
    """How regular a lattice is: the spread of the steps from each column to its neighbours.

    Parameters
    ----------
    positions : ndarray, shape (N, 2)
        Columns (y, x), px.
    vectors : ndarray, shape (2, 2)
        The lattice's two shortest vectors, px, from `find_lattice`.

    Returns
    -------
    float
        Standard deviation per axis, in units of the shorter vector: 1.4826 median absolute deviations, so that
        neither defects nor grain boundaries count. NaN with fewer than 10 steps.
    """
    if len(positions) < 10:
        return float("nan")
    tree, length = cKDTree(positions), float(np.hypot(*vectors[0]))
    steps = []
    for vector in vectors:
        distance, index = tree.query(positions + vector)
        near = distance < 0.25 * length
        step = (positions[index] - positions)[near]
        steps.append(step - np.median(step, axis=0) if len(step) else step)
    all_steps = np.concatenate(steps)
    return float(1.4826 * np.median(np.abs(all_steps))) / length if len(all_steps) >= 10 else float("nan")


def repeat_stability(first: ArrayLike, second: ArrayLike) -> dict[str, float]:
    """Compare the denoised images of two scans of one field.

    Parameters
    ----------
    first, second : array_like, shape (..., Y, X)
        Two denoised images, aligned with each other.

    Returns
    -------
    dict
        ``repeat_rms``: rms difference over the range of their mean; ``repeat_psnr``: the same in dB.

    Raises
    ------
    InputError
        If their shapes differ.

    Examples
    --------
    >>> round(repeat_stability([[0.0, 1.0]], [[0.0, 0.9]])["repeat_rms"], 3)
    0.074
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise InputError(f"two scans of one field must have one shape, got {a.shape} and {b.shape}: crop one")
    good = np.isfinite(a) & np.isfinite(b)
    span = float(np.ptp((a[good] + b[good]) / 2)) if good.any() else 0.0
    rms = float(np.sqrt(np.mean((a[good] - b[good]) ** 2))) if good.any() else float("nan")
    share = rms / span if span > 0 else float("nan")
    return {"repeat_rms": share, "repeat_psnr": float("inf") if share == 0 else float(-20 * np.log10(share))}


def _slow_noise(recorded: Recorded, sigma: float) -> float:
    """Variance that the noise keeps under a low-pass of this sigma."""
    residual = recorded.residual
    total = 0.0
    for x in range(9):  # only near pixels of noise correlate
        for y in (-1, 0, 1) if x else (0, 1):
            a = residual[max(y, 0) : len(residual) + min(y, 0), x:]
            b = residual[max(-y, 0) : len(residual) + min(-y, 0), : residual.shape[1] - x]
            total += float((a * b).mean()) * (1 if (y, x) == (0, 0) else 2)
    return max(total, 0.25 * float((residual**2).mean())) / (4 * np.pi * sigma**2)
