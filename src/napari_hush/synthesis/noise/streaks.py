"""Tomography with too few angles: the streaks of filtered back-projection."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from scipy import ndimage
from skimage.transform import iradon, radon

from napari_hush.declare import Bounds, check_fields

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
    rings : float
        Relative standard deviation of the detector pixels' sensitivities, the same in all projections: rings.
    smoothing : float
        Standard deviation of the Gaussian that takes the edge off the ramp filter, px; 0 leaves the plain ramp.
    circle : bool
        Whether only the circle that fits into the image is reconstructed; beyond it everything is empty space.

    Notes
    -----
    The median of the image's border counts as empty space, which goes on outside, so that the frame itself throws no
    streaks [1]_. A ray that no photon passed is counted as one photon. Of a slab, neighbouring slices of one body, all
    slices are as opaque: the densest ray of all of them has ``opacity``.

    References
    ----------
    .. [1] A. C. Kak, M. Slaney, "Principles of Computerized Tomographic Imaging", SIAM (2001), chapters 3 and 5,
       https://doi.org/10.1137/1.9780898719277
    """

    n_angles: Annotated[int, Bounds(1, 100_000)] = 30
    counts: Annotated[float, Bounds(0, 1e12)] = 0.0
    opacity: Annotated[float, Bounds(1e-6, 20)] = 2.0
    rings: Annotated[float, Bounds(0, 1)] = 0.0
    smoothing: Annotated[float, Bounds(0, 100)] = 0.0
    circle: bool = False

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Project and reconstruct (Y, X), in the image's units."""
        (made,) = self.slab(image[None], rng)
        return np.asarray(made)

    def slab(self, slices: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Project and reconstruct neighbouring slices (D, Y, X), each with noise of its own, in the image's units."""
        theta = np.asarray(np.arange(self.n_angles) * (180 / self.n_angles), dtype=np.float64)
        seen = [self._project(one, theta) for one in slices]
        densest = max(float(np.abs(rays).max()) for rays, _ in seen)
        return np.stack(
            [
                self._reconstruct(self._measured(rays, densest, rng), theta, image.shape, outside)
                for image, (rays, outside) in zip(slices, seen, strict=True)
            ]
        )

    def _project(self, image: NDArray[np.float32], theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Rays (side, n_angles) through what stands out of the empty space, and its value."""
        height, width = image.shape
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        outside = float(np.median(border))
        side = math.ceil(math.hypot(height, width)) + 2
        top, left = (side - height) // 2, (side - width) // 2
        padded = np.pad(
            image.astype(np.float64) - outside,
            ((top, side - height - top), (left, side - width - left)),
        )  # (side, side); the image lies inside the inscribed circle
        return radon(padded, theta=theta, circle=True), outside  # type: ignore[no-untyped-call]

    def _measured(self, rays: NDArray[np.float64], densest: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """The rays as the detector sees them: counted, through pixels of different sensitivity, and smoothed."""
        if self.counts and densest > 0:
            depth = rays * (self.opacity / densest)
            passed = np.maximum(rng.poisson(self.counts * np.exp(-depth)), 1)
            rays = -np.log(passed / self.counts) * (densest / self.opacity)
        if self.rings:
            rays = rays + rng.normal(0, self.rings, (len(rays), 1)) * (densest / self.opacity)
        if self.smoothing:
            rays = ndimage.gaussian_filter1d(rays, self.smoothing, axis=0)
        return rays

    def _reconstruct(
        self, rays: NDArray[np.float64], theta: NDArray[np.float64], shape: tuple[int, ...], outside: float
    ) -> NDArray[np.float32]:
        """Filtered back-projection, (Y, X)."""
        (height, width), side = shape, len(rays)
        top, left = (side - height) // 2, (side - width) // 2
        slices = iradon(rays, theta=theta, circle=True, filter_name="ramp")  # type: ignore[no-untyped-call]  # (side, side)
        made = slices[top : top + height, left : left + width]
        if self.circle:
            y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
            made = np.where(np.hypot(y[:, None], x) <= min(shape) / 2, made, 0)
        return np.asarray(made + outside, dtype=np.float32)


def random_tomograph(slices: SparseAngles, rng: np.random.Generator | int) -> SparseAngles:
    """Draw what differs between instruments: opacity, rings, the filter's smoothing and the field of view.

    Parameters
    ----------
    slices : SparseAngles
        Its angles and counts are kept.
    rng : numpy.random.Generator or int
        Source of randomness.

    Examples
    --------
    >>> random_tomograph(SparseAngles(n_angles=12), rng=0).n_angles
    12
    """
    rng = np.random.default_rng(rng)
    opacity = float(np.exp(rng.uniform(np.log(0.5), np.log(4))))
    rings = float(np.exp(rng.uniform(np.log(5e-4), np.log(1e-2)))) if rng.random() < 0.4 else 0.0
    smoothing = float(rng.uniform(0.2, 0.8)) if rng.random() < 0.5 else 0.0
    return replace(slices, opacity=opacity, rings=rings, smoothing=smoothing, circle=bool(rng.random() < 0.4))
