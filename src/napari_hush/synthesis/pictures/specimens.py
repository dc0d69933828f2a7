"""Slices as tomography sees them: one solid body in air, of any shape, size and structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.synthesis.fields import smooth_slab
from napari_hush.synthesis.pictures.slabs import check_slab, ellipses_slab, foam_slab
from napari_hush.synthesis.pictures.slices import ellipses, foam

if TYPE_CHECKING:
    from numpy.typing import NDArray


def specimen(
    shape: tuple[int, int], *, regions: int = 3, cracks: int = 3, texture: float = 0.03, rng: np.random.Generator | int
) -> NDArray[np.float32]:
    """Draw a slice through one irregular solid: parts of different density, pores and thin cracks, in air.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px; the body fills about the circle of 0.47 times the shorter side.
    regions : int
        Number of materials besides the first; the values of one in three lie near 0, as pores do.
    cracks : int
        Number of curved cracks, 0.7 to 3 px wide.
    texture : float
        Relative standard deviation of the density within a part.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        0 in the air; the densest part about 0.9; rims are about one pixel wide.

    Raises
    ------
    InputError
        If a number or the texture is negative.

    Examples
    --------
    >>> image = specimen((64, 64), rng=0)
    >>> image.shape, float(image[0, 0])
    ((64, 64), 0.0)
    """
    (image,) = specimen_slab(shape, slices=1, regions=regions, cracks=cracks, texture=texture, rng=rng)
    return np.asarray(image)


def specimen_slab(
    shape: tuple[int, int],
    *,
    slices: int,
    pitch: float = 1.0,
    regions: int = 3,
    cracks: int = 3,
    texture: float = 0.03,
    rng: np.random.Generator | int,
) -> NDArray[np.float32]:
    """Draw neighbouring slices of a `specimen`.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    slices : int
        How many; one is `specimen`.
    pitch : float
        Distance of neighbouring slices, px.
    regions, cracks, texture, rng
        As of `specimen`.

    Returns
    -------
    ndarray, shape (D, Y, X)
        Pores, parts and cracks become larger and smaller from slice to slice; some begin or end.

    Raises
    ------
    InputError
        If a number or the texture is negative, or there is no slice.

    Examples
    --------
    >>> specimen_slab((64, 64), slices=3, rng=0).shape
    (3, 64, 64)
    """
    if min(regions, cracks) < 0 or not texture >= 0:
        raise InputError(f"regions, cracks and texture must not be negative; got {regions}, {cracks} and {texture}")
    check_slab(slices, pitch)
    rng = np.random.default_rng(rng)

    def smooth(length: float) -> NDArray[np.float32]:
        return smooth_slab(shape, slices, length, rng, pitch=pitch)

    reach = 0.47 * min(shape)
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    angle, flat = rng.uniform(0, np.pi), rng.uniform(0.6, 1)
    u, v = (y[:, None] * np.sin(angle) + x * np.cos(angle)), (y[:, None] * np.cos(angle) - x * np.sin(angle)) / flat
    # Dented inwards only: what the circle holds is still whole after a turn.
    dents = np.clip(smooth(reach * rng.uniform(0.15, 0.5)), 0, None) * rng.uniform(0.05, 0.3)
    body = np.clip(reach * (1 - dents) - np.hypot(u, v) + 0.5, 0, 1)
    image = np.full((slices, *shape), rng.uniform(0.4, 0.9))
    for _ in range(regions):
        field = smooth(reach * float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))))
        cover = np.clip(_distance(field, rng.uniform(-0.3, 1.5)) + 0.5, 0, 1)
        level = rng.uniform(0, 0.1) if rng.random() < 1 / 3 else rng.uniform(0.15, 0.9)
        image += cover * (level - image)
    image *= np.clip(1 + texture * smooth(rng.uniform(0.8, 4)), 0, None)
    for _ in range(cracks):
        line = np.abs(_distance(smooth(reach * rng.uniform(0.2, 0.8)), rng.uniform(-0.5, 0.5)))
        cover = np.clip(rng.uniform(0.7, 3) / 2 - line + 0.5, 0, 1)
        where = np.clip(3 * smooth(reach * 0.5), 0, 1)  # it ends somewhere
        image *= 1 - rng.uniform(0.4, 1) * cover * where
    return np.asarray(np.clip(image * body, 0, 1), dtype=np.float32)


def tomography(shape: tuple[int, int], *, rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw any of the slices: a foam, ellipses or a `specimen`, of any size, place, density and sharpness.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px; the slice lies in the circle that fits into it.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        0 in the air.

    Examples
    --------
    >>> tomography((64, 64), rng=0).shape
    (64, 64)
    """
    (image,) = tomography_slab(shape, slices=1, rng=rng)
    return np.asarray(image)


def tomography_slab(shape: tuple[int, int], *, slices: int, rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw neighbouring slices of any of the bodies, 0.5 to 2 px apart.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    slices : int
        How many; one is `tomography`.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (D, Y, X)
        0 in the air.

    Raises
    ------
    InputError
        If there is no slice.

    Examples
    --------
    >>> tomography_slab((64, 64), slices=5, rng=0).shape
    (5, 64, 64)
    """
    check_slab(slices, 1.0)
    rng = np.random.default_rng(rng)
    pitch = float(np.exp(rng.uniform(np.log(0.5), np.log(2)))) if slices > 1 else 1.0
    short = min(shape)
    side = short if rng.random() < 0.4 else max(16, round(short * float(np.exp(rng.uniform(np.log(0.35), 0)))))
    drawn = rng.choice(3, p=(0.45, 0.2, 0.35))
    if drawn == 0:
        small = _foam(side, slices, pitch, rng)
    elif drawn == 1:
        count, contrast = int(rng.integers(4, 30)), rng.uniform(0.1, 0.5)
        small = _ellipses(side, slices, pitch, rng, count=count, contrast=contrast)
    else:
        regions, cracks = int(rng.integers(0, 5)), int(rng.integers(0, 5))
        texture = rng.uniform(0, 0.08)
        small = specimen_slab(
            (side, side), slices=slices, pitch=pitch, regions=regions, cracks=cracks, texture=texture, rng=rng
        )
    if drawn != 0 or rng.random() < 0.5:
        small = small * np.float32(rng.uniform(0.4, 1))
    image = np.zeros((slices, *shape), dtype=np.float32)
    away, bearing = np.sqrt(rng.random()) * (short - side) / 2, rng.uniform(0, 2 * np.pi)
    top = round((shape[0] - side) / 2 + away * np.sin(bearing))
    left = round((shape[1] - side) / 2 + away * np.cos(bearing))
    image[:, top : top + side, left : left + side] = small
    blur = rng.uniform(0.3, 1.3)  # px: of the detector, in truth and measurement
    return image if rng.random() < 0.4 else ndimage.gaussian_filter(image, (0, blur, blur))


def _ellipses(
    side: int, slices: int, pitch: float, rng: np.random.Generator, *, count: int, contrast: float
) -> NDArray[np.float32]:
    if slices == 1:
        return ellipses((side, side), count=count, contrast=contrast, rng=rng)[None]
    return ellipses_slab((side, side), slices=slices, pitch=pitch, count=count, contrast=contrast, rng=rng)


def _foam(side: int, slices: int, pitch: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A foam as its function draws it, or one with other bubbles, or grains in the place of the bubbles."""

    def drawn(**options: Any) -> NDArray[np.float32]:
        if slices == 1:
            return foam((side, side), rng=rng, **options)[None]
        return foam_slab((side, side), slices=slices, pitch=pitch, rng=rng, **options)

    if rng.random() < 0.5:
        return drawn()
    smallest, largest = rng.uniform(0.01, 0.03), rng.uniform(0.04, 0.2)
    solid = drawn(count=int(rng.integers(20, 400)), radius=(smallest, largest))
    if rng.random() < 0.5:
        return solid
    disc = foam((side, side), count=0, rng=rng)
    filled = disc - solid  # 0.8 in the bubbles
    return np.asarray(filled + rng.uniform(0, 0.8) * solid, dtype=np.float32)


def _distance(field: NDArray[np.float32], level: float) -> NDArray[np.float64]:
    """Distance from where smooth fields (D, Y, X) have a level, px, to first order; positive where they are higher."""
    slope = np.hypot(*np.gradient(field.astype(np.float64), axis=(1, 2)))
    return np.asarray((field - level) / np.maximum(slope, 1e-9))
