"""Smooth random fields: the raw material of dents, textures, thickness changes and grain boundaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    white = rng.standard_normal(padded, dtype=np.float32)
    ky, kx = fft.fftfreq(padded[0])[:, None], fft.rfftfreq(padded[1])[None]
    gain = np.exp(-2 * (np.pi * length) ** 2 * (ky**2 + kx**2)).astype(np.float32)
    field = fft.irfft2(fft.rfft2(white) * gain, s=padded)[: shape[0], : shape[1]]
    field = field - field.mean()
    return np.asarray(field / max(float(field.std()), 1e-12), dtype=np.float32)
