"""Smooth random fields: the raw material of dents, textures, thickness changes and grain boundaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS = 128  # of white noise at a time: they stay in the processor's cache


def smooth_field(shape: tuple[int, int], length: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a Gaussian random field with a Gaussian power spectrum.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    length : float
        Correlation length, px: the sigma of the Gaussian that smooths the white noise.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        Mean 0 and standard deviation 1 over this one field.

    Raises
    ------
    ValueError
        If ``length`` is not positive.
    """
    if not length > 0:
        raise ValueError(f"length must be positive, in px; got {length}")
    # The field would be periodic in the image; the margin of three lengths, capped, cuts the seam off.
    padded = tuple(fft.next_fast_len(n + min(int(3 * length), n), real=True) for n in shape)
    # Above one cycle per length the gain is below 3e-9: the spectrum's columns beyond are never transformed.
    ky, kx = fft.fftfreq(padded[0])[:, None], fft.rfftfreq(padded[1])[: int(padded[1] / length) + 2]
    gain = np.exp(-2 * (np.pi * length) ** 2 * (ky**2 + kx**2)).astype(np.float32)
    spectrum = np.empty((padded[0], len(kx)), dtype=np.complex64)  # (Y', K)
    for top in range(0, padded[0], _ROWS):
        white = rng.standard_normal((min(_ROWS, padded[0] - top), padded[1]), dtype=np.float32)
        spectrum[top : top + _ROWS] = fft.rfft(white, axis=1)[:, : len(kx)]
    spectrum = fft.fft(spectrum, axis=0, overwrite_x=True) * gain
    rows = fft.ifft(spectrum, axis=0, overwrite_x=True)[: shape[0]]  # (Y, K)
    field = fft.irfft(rows, n=padded[1], axis=1)[:, : shape[1]]
    return standardised(field)


def standardised(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring a field (Y, X) to mean 0 and standard deviation 1."""
    field = field - field.mean()
    field /= np.float32(max(float(field.std()), 1e-12))
    return np.asarray(field, dtype=np.float32)


def smooth_slab(
    shape: tuple[int, int], slices: int, length: float, rng: np.random.Generator, *, pitch: float = 1.0
) -> NDArray[np.float32]:
    """Draw neighbouring slices of a Gaussian random field that is as smooth across them as within each.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    slices : int
        How many; one is `smooth_field`.
    length : float
        Correlation length, px, as of `smooth_field`.
    rng : numpy.random.Generator
        Source of randomness.
    pitch : float
        Distance of neighbouring slices, px.

    Returns
    -------
    ndarray, shape (D, Y, X)
        Slices whose correlation falls as ``exp(-(pitch * steps / (2 * length))**2)``: that of white noise smoothed by
        a Gaussian of ``length``.

    Raises
    ------
    ValueError
        If ``length`` or ``pitch`` is not positive.
    """
    if slices == 1:
        return smooth_field(shape, length, rng)[None]
    if not pitch > 0:
        raise ValueError(f"pitch must be positive, in px; got {pitch}")
    if not length > 0:
        raise ValueError(f"length must be positive, in px; got {length}")
    z = pitch * np.arange(slices)
    values, vectors = np.linalg.eigh(np.exp(-(((z[:, None] - z) / (2 * length)) ** 2)))
    told = values > 1e-5 * slices  # slices closer than the length have little that is their own
    mixing = (vectors * np.sqrt(np.maximum(values, 0)))[:, told].astype(np.float32)
    apart = np.stack([smooth_field(shape, length, rng) for _ in range(mixing.shape[1])])
    return np.asarray(np.tensordot(mixing, apart, axes=1), dtype=np.float32)
