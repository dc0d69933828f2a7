"""A truth in other units than the image is brought to it by a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Match:
    """``gain * truth + offset`` is in the image's units.

    Parameters
    ----------
    gain, offset : float
        Of the line.

    Examples
    --------
    >>> Match(gain=1.9, offset=-3.0).text
    'truth matched: gain 1.9, offset -3'
    """

    gain: float
    offset: float

    @property
    def text(self) -> str:
        """What was done, in words."""
        return f"truth matched: gain {self.gain:.4g}, offset {self.offset:.4g}"


def match_truth(truth: NDArray[np.float64], image: NDArray[np.float64]) -> tuple[NDArray[np.float64], Match]:
    """Bring a truth to the units of an image.

    Parameters
    ----------
    truth : ndarray, shape (Y, X)
        The clean image; what is not finite is left out.
    image : ndarray, shape (Y, X)
        The noisy image, or the denoised one where there is none.

    Returns
    -------
    truth : ndarray, shape (Y, X)
        In the image's units.
    match : Match

    Raises
    ------
    InputError
        If the truth is flat, or is no picture of the image.

    Notes
    -----
    Least squares of the image on the truth: noise of the image does not change the line on average. Jitter and lag of
    a scan dim its detail, and so the gain, by a few per cent.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.arange(12.0).reshape(3, 4)
    >>> match_truth(truth, 2 * truth + 1)[1].text
    'truth matched: gain 2, offset 1'
    """
    there = np.isfinite(truth) & np.isfinite(image)
    a, b = truth[there], image[there]
    spread = float(a.var()) if a.size else 0.0
    if not spread > 0:
        raise InputError("the truth is flat or empty, so no line brings it to the image: leave match out")
    gain = float(((a - a.mean()) * (b - b.mean())).mean()) / spread
    if not gain > 0:
        raise InputError(f"the truth and the image do not show the same: the best line has the gain {gain:.3g}")
    match = Match(gain=gain, offset=float(b.mean() - gain * a.mean()))
    return gain * truth + match.offset, match
