"""Tomography with too few angles: the streaks of filtered back-projection."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.transform import iradon, radon

from napari_hush.synthesis.ranges import check_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SparseAngles:
    """A slice measured along few directions and reconstructed by filtered back-projection.

    Parameters
    ----------
    n_angles : int
        Number of projections, evenly spaced over 180 degrees, the first along Y. About ``pi / 2`` times the side in
        px leaves no streaks.
    counts : float
        Photons per detector pixel without a sample, from which the projections get the noise of counting; 0 means
        projections without noise.
    opacity : float
        Optical depth of the densest ray, with ``counts`` only: the projections are ``-log`` of what comes through.

    Notes
    -----
    The median of the image's border counts as empty space, which goes on outside, so that the frame itself throws no
    streaks [1]_. A ray that no photon passed is counted as one photon.

    References
    ----------
    .. [1] A. C. Kak, M. Slaney, "Principles of Computerized Tomographic Imaging", SIAM (2001), chapters 3 and 5,
       https://doi.org/10.1137/1.9780898719277
    """

    n_angles: int = 30
    counts: float = 0.0
    opacity: float = 2.0

    def __post_init__(self) -> None:
        check_ranges(self, whole=True, n_angles=(1, 100_000))
        check_ranges(self, counts=(0, 1e12), opacity=(1e-6, 20))

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Project and reconstruct (Y, X), in the image's units."""
        height, width = image.shape
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        outside = float(np.median(border))
        side = math.ceil(math.hypot(height, width)) + 2
        top, left = (side - height) // 2, (side - width) // 2
        padded = np.pad(
            image.astype(np.float64) - outside,
            ((top, side - height - top), (left, side - width - left)),
        )  # (side, side); the image lies inside the inscribed circle
        theta = np.arange(self.n_angles) * (180 / self.n_angles)
        rays = radon(padded, theta=theta, circle=True)  # type: ignore[no-untyped-call]  # (side, n_angles)
        densest = float(np.abs(rays).max())
        if self.counts and densest > 0:
            depth = rays * (self.opacity / densest)
            passed = np.maximum(rng.poisson(self.counts * np.exp(-depth)), 1)
            rays = -np.log(passed / self.counts) * (densest / self.opacity)
        slices = iradon(rays, theta=theta, circle=True, filter_name="ramp")  # type: ignore[no-untyped-call]  # (side, side)
        return np.asarray(slices[top : top + height, left : left + width] + outside, dtype=np.float32)
