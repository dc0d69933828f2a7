"""How much of what a network takes away stays taken away: between the noisy image and the denoised one."""

from __future__ import annotations

from typing import Any

import numpy as np


def blended(noisy: Any, denoised: np.ndarray, strength: float) -> np.ndarray:
    """The noisy image plus a share of its difference to the denoised one.

    Parameters
    ----------
    noisy : array_like
        Of the shape of ``denoised``, in the same units.
    denoised : ndarray of float
        The result at strength 1. What is not finite in it stays as it is.
    strength : float
        From 0, the noisy image, to 1, which gives ``denoised`` itself.

    Returns
    -------
    ndarray
        Of the type of ``denoised``.

    Examples
    --------
    >>> blended([2.0, 4.0], np.array([3.0, np.nan]), 0.5)
    array([2.5, nan])
    """
    if strength == 1:
        return denoised
    with np.errstate(invalid="ignore", over="ignore"):  # of gaps
        before = np.asarray(noisy, denoised.dtype)
        made = denoised - before
        made *= denoised.dtype.type(strength)
        made += before
    kept = np.isfinite(made)
    return made if kept.all() else np.where(kept, made, denoised)
