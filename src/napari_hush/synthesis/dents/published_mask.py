"""The published recipe for dent masks, step by step; kept as it was, to compare with and to reproduce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from scipy import ndimage

from napari_hush.declare import Bounds, check_fields
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Smoothing = Literal["mean", "minimum", "none"]
Border = Literal["reflect", "nearest", "inside"]


@dataclass(frozen=True, kw_only=True)
class MaskRecipe:
    """The parameters of each step of `mask_steps`; the defaults are the published ones.

    Parameters
    ----------
    smoothing : {"mean", "minimum", "none"}
        What the second step takes of each window.
    distance : int
        How far the window reaches from its middle, px (Chebyshev distance): 2 is a window of 5 x 5.
    top : float
        What the brightest pixel is normalised to, grey levels; the darkest becomes 0.
    threshold : float
        Normalised pixels under it become 0, grey levels. What rounding errors alone keep under it (a billionth of
        ``top``) counts as having reached it.
    sigma : float
        Standard deviation of the Gaussian blur, px, cut off at 4 sigma; 0 leaves the blur out. The recipe was published
        without a number; 1 is what scikit-image takes by default.
    border : {"reflect", "nearest", "inside"}
        What windows see beyond the edge: the image mirrored (the edge pixel twice), its edge pixel repeated, or
        nothing, so that means are taken over the pixels inside only.
    """

    smoothing: Smoothing = "mean"
    distance: Annotated[int, Bounds(0, 999)] = 2
    top: Annotated[float, Bounds(1e-6, 1e6)] = 255.0
    threshold: Annotated[float, Bounds(0, 1e6)] = 128.0
    sigma: Annotated[float, Bounds(0, 1e6)] = 1.0
    border: Border = "reflect"

    def __post_init__(self) -> None:
        check_fields(self)


def mask_steps(image: ArrayLike, recipe: MaskRecipe | None = None) -> dict[str, NDArray[np.float64]]:
    """Make a dent mask by the published recipe and keep every step.

    The mask was meant to be added to a clean lattice, as `published_targets` does. A dent multiplies, so masks of this
    kind are for comparison; see the page *Synthetic targets*.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        A noisy image of any real type, in any unit.
    recipe : MaskRecipe, optional
        Parameters of the steps; the published ones if left out.

    Returns
    -------
    dict of str to ndarray, shape (Y, X), float64
        In this order: ``centred``, the image minus its mean, and ``smoothed``, both in the image's unit;
        ``normalised``, from 0 to ``top``; ``thresholded``; and ``blurred``, which is the mask.

    Raises
    ------
    InputError
        If the image is no real (Y, X) array, has values that are not finite, or is constant before normalisation.

    Examples
    --------
    >>> image = np.zeros((32, 32))
    >>> image[8:20, 8:20] = 7
    >>> steps = mask_steps(image)
    >>> list(steps)
    ['centred', 'smoothed', 'normalised', 'thresholded', 'blurred']
    >>> float(steps["thresholded"][14, 14]), float(steps["blurred"][0, 0])
    (255.0, 0.0)
    """
    recipe = recipe or MaskRecipe()
    values = checked_image(image)
    centred = values - values.mean()
    smoothed = _smooth(centred, recipe.smoothing, recipe.distance, recipe.border)
    low, high = float(smoothed.min()), float(smoothed.max())
    if not high - low > 1e-12 * float(np.abs(centred).max()):
        raise InputError(
            f"the image is constant after the {recipe.smoothing} over distance {recipe.distance}, so it cannot be "
            "normalised; take a smaller distance or a larger image"
        )
    normalised = (smoothed - low) * (recipe.top / (high - low))
    thresholded = np.where(normalised < recipe.threshold - 1e-9 * recipe.top, 0.0, normalised)
    steps = {"centred": centred, "smoothed": smoothed, "normalised": normalised, "thresholded": thresholded}
    return steps | {"blurred": _blur(thresholded, recipe.sigma, recipe.border)}


def mask_variants(image: ArrayLike, *, border: Border = "reflect") -> dict[str, NDArray[np.float64]]:
    """Make the three masks without threshold that went with the published recipe.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        A noisy image of any real type, in any unit.
    border : {"reflect", "nearest", "inside"}
        What windows see beyond the edge; see `MaskRecipe`.

    Returns
    -------
    dict of str to ndarray, shape (Y, X), float64
        In the image's unit: ``mask``, the image minus its mean; ``mask_2``, the minimum of ``mask`` within Chebyshev
        distance 3 (a window of 7 x 7); ``mask_3_average``, its mean within distance 5 (11 x 11). To send one of them
        through threshold and blur, give `mask_steps` a recipe with the same ``smoothing`` and ``distance``.

    Raises
    ------
    InputError
        As `mask_steps`.

    Examples
    --------
    >>> masks = mask_variants(np.eye(16))
    >>> {name: round(float(mask.max()), 4) for name, mask in masks.items()}
    {'mask': 0.9375, 'mask_2': -0.0625, 'mask_3_average': 0.1111}
    """
    MaskRecipe(border=border)
    values = checked_image(image)
    mask = values - values.mean()
    return {
        "mask": mask,
        "mask_2": _smooth(mask, "minimum", 3, border),
        "mask_3_average": _smooth(mask, "mean", 5, border),
    }


def checked_image(image: ArrayLike, *, name: str = "image") -> NDArray[np.float64]:
    """Return a real, finite (Y, X) image that is not constant, as float64; raise `InputError` for anything else."""
    values = np.asarray(image)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"the {name} must have the shape (Y, X), got {values.shape}; pass one plane and one channel")
    if values.dtype.kind not in "biuf":
        raise InputError(f"the {name} must hold real numbers, got {values.dtype}; take the magnitude of complex values")
    values = values.astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise InputError(
            f"the {name} has {bad} pixels that are NaN or infinite, and each would spread over its window; "
            "crop them off or replace them, for example by the median of the rest"
        )
    if values.min() == values.max():
        raise InputError(f"the {name} is constant ({values.flat[0]:g} everywhere); pass one with structure")
    return values


def _smooth(image: NDArray[np.float64], kind: Smoothing, distance: int, border: Border) -> NDArray[np.float64]:
    if kind == "none" or distance == 0:
        return image.copy()
    width = 2 * distance + 1
    if kind == "minimum":  # a mirrored or repeated pixel is in the window anyway, so all borders agree
        return np.asarray(ndimage.minimum_filter(image, width, mode="nearest"))
    return _correlate(image, np.full(width, 1 / width), border)


def _blur(image: NDArray[np.float64], sigma: float, border: Border) -> NDArray[np.float64]:
    if sigma == 0:
        return image.copy()
    reach = int(4 * sigma + 0.5)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return _correlate(image, bell / bell.sum(), border)


def _correlate(image: NDArray[np.float64], taps: NDArray[np.float64], border: Border) -> NDArray[np.float64]:
    """Weigh each window by the same taps along Y and X; no running sums, so no error adds up along a row."""
    mode = "constant" if border == "inside" else border
    for axis in (0, 1):
        sums = ndimage.correlate1d(image, taps, axis=axis, mode=mode)
        if border == "inside":
            weight = ndimage.correlate1d(np.ones(image.shape[axis]), taps, mode=mode)
            sums /= weight[:, None] if axis == 0 else weight
        image = sums
    return image
