"""The noise of one channel: counts per pixel or a standard deviation, rows on levels of their own, what correlates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.fidelity.about.values import percent
from napari_hush.inference.measure import counts_per_pixel, has_uneven_rows, shows_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.residual.noise import NoiseModel

ALONG_ROWS = 1.5  # times the mean: what slow noise along X has where a pixel shares with its neighbours


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What is known of the noise of one channel.

    Parameters
    ----------
    counts : float or None
        Mean number of counts per pixel, to a factor of two; None where the noise is not that of counts.
    sigma : float or None
        Standard deviation in the image, image units; None where the noise is not understood.
    row_share : float
        Of the noise's variance, what rows on levels of their own have; 0 where there are none.
    along_rows : bool
        Whether neighbours along X share noise, as a slow detector makes them do.
    edges : bool
        Whether edges of the image are mistaken for noise, so that neither that nor counts can be told.
    reason : str
        Why it is not understood; empty where it is.
    """

    counts: float | None = None
    sigma: float | None = None
    row_share: float = 0.0
    along_rows: bool = False
    edges: bool = False
    reason: str = ""

    @property
    def words(self) -> str:
        """For a person."""
        if self.reason:
            return f"not found: {self.reason}"
        deviation = f"standard deviation {self.sigma:.3g}"
        if self.counts is not None:
            return f"about {_rough(self.counts)} counts per pixel (to a factor of two), {deviation}"
        if self.edges:
            return f"{deviation} at most; counts not found: edges of the image look like noise"
        return f"{deviation}; counts not found: it does not grow with the brightness as theirs does"

    @property
    def rows_words(self) -> str:
        """What it has along the rows."""
        if self.reason:
            return "not found: the noise is not understood"
        words = [f"levels of their own, {percent(self.row_share)} of the noise's variance"] if self.row_share else []
        words += ["neighbours along a row share noise"] if self.along_rows else []
        words += ["whether neighbours share noise is not found: edges look like noise"] if self.edges else []
        return "; ".join(words) or "none that stands out"


def about_noise(noise: NoiseModel, plane: NDArray[np.floating]) -> Noise:
    """What is known of the noise.

    Parameters
    ----------
    noise : NoiseModel
        As measured on the plane.
    plane : ndarray, shape (Y, X)
        The middle of the image.
    """
    if not noise.calibrated:
        return Noise(reason=noise.reason)
    variance = float(noise.variance(plane).mean())
    rows = noise.row_variance if has_uneven_rows(noise, plane) else 0.0
    edges, bands = shows_edges(noise), np.asarray(noise.bands)
    return Noise(
        counts=counts_per_pixel(noise, plane),
        sigma=(variance + rows) ** 0.5,
        row_share=rows / (rows + variance),
        along_rows=bool(not edges and bands[0] > ALONG_ROWS * bands.mean()),
        edges=edges,
    )


def _rough(number: float) -> str:
    return f"{float(f'{number:.1g}'):,.10g}"
