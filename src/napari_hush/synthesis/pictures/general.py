"""Images of all sorts and the noise of cameras: what a denoiser without a special field is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_hush.synthesis.noise.pixels import Gaussian, Poisson, Readout, SaltPepper
from napari_hush.synthesis.noise.registry import Compose
from napari_hush.synthesis.pictures.leaves import lay_leaves
from napari_hush.synthesis.pictures.phantoms import cells, filaments, tissue
from napari_hush.synthesis.pictures.slices import ellipses, foam
from napari_hush.synthesis.pictures.textures import random_pattern, random_writing, rough_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.synthesis.noise.registry import Noise

# Sorts of images and how often each is drawn.
SORTS: dict[str, float] = {
    "leaves": 0.68, "filaments": 0.05, "cells": 0.04, "tissue": 0.04, "slice": 0.04, "pattern": 0.05, "writing": 0.06,
    "rough": 0.04,
}  # fmt: skip


def textured_leaves(shape: tuple[int, int], rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw shapes of all sizes that hide one another, many with a texture, a grating or a gradient of their own.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Source of randomness: sizes (from 1 to 8 px up to 200 px), values and textures.

    Returns
    -------
    ndarray, shape (Y, X)
        Values about 0 to 1, not cut off; drawn at twice the resolution and averaged, so edges are one pixel wide.

    References
    ----------
    R. Achddou, Y. Gousseau, S. Ladjal, "Synthetic images as a regularity prior for image restoration neural networks",
    SSVM 2021, https://doi.org/10.1007/978-3-030-75549-2_27

    Examples
    --------
    >>> textured_leaves((32, 48), rng=0).shape
    (32, 48)
    """
    rng = np.random.default_rng(rng)
    fine = (2 * shape[0], 2 * shape[1])
    least = float(np.exp(rng.uniform(0, np.log(8))))
    labels, slope = lay_leaves(fine, 2 * least, min(400, max(fine)), "mixed", rng)
    count = int(labels.max()) + 1
    values = rng.random(5)[rng.integers(5, size=count)] if rng.random() < 0.3 else rng.random(count)
    image = values.astype(np.float32)[labels]
    image += (0.1 * rng.exponential(1, count)).astype(np.float32)[labels] * slope

    strength = float(rng.choice([0.0, 0.05, 0.1, 0.2]))
    rough = [rough_field(fine, rng.uniform(0.5, 2), rng) for _ in range(2)]
    for field, share in zip(rough, (0.4, 0.3), strict=True):
        weight = strength * rng.exponential(1, count) * (rng.random(count) < share)
        image += weight.astype(np.float32)[labels] * field
    image += _gratings(labels, count, rng) * np.float32(rng.choice([0.0, 0.1, 0.2]))
    return np.asarray(image.reshape(shape[0], 2, shape[1], 2).mean(axis=(1, 3)), dtype=np.float32)


def _gratings(labels: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Stripes of a direction and a period of their own in some of the leaves, (Y, X) at twice the resolution."""
    turn, phase = rng.uniform(0, 2 * np.pi, (2, count))
    k = 2 * np.pi / np.exp(rng.uniform(np.log(5), np.log(50), count))
    weight = rng.exponential(1, count) * (rng.random(count) < 0.3)
    y, x = np.arange(labels.shape[0])[:, None], np.arange(labels.shape[1])
    angle = (k * np.sin(turn))[labels] * y + (k * np.cos(turn))[labels] * x + phase[labels]
    return np.asarray(weight[labels] * np.cos(angle), dtype=np.float32)


def random_picture(
    shape: tuple[int, int], *, sort: str | None = None, rng: np.random.Generator | int
) -> tuple[NDArray[np.float32], str]:
    """Draw a grey image of any sort: mostly textured shapes, also cells, fibres, slices, patterns, writing.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    sort : str, optional
        A key of `SORTS`; by chance if left out.
    rng : numpy.random.Generator or int
        Source of randomness; with it sharpness, brightness, contrast and tone curve, and whether it is a negative.

    Returns
    -------
    image : ndarray, shape (Y, X)
        Values from 0 to 1.
    sort : str
        What was drawn.

    Examples
    --------
    >>> image, sort = random_picture((32, 48), rng=0)
    >>> image.shape, sort in SORTS
    ((32, 48), True)
    """
    rng = np.random.default_rng(rng)
    sort = sort or str(rng.choice(list(SORTS), p=list(SORTS.values())))
    image = _drawn(sort, shape, rng)
    if rng.random() < 0.5:  # a lens; the rest are as sharp as they were drawn
        image = ndimage.gaussian_filter(image, float(np.exp(rng.uniform(np.log(0.3), np.log(2)))), mode="nearest")
    low, high = np.percentile(image, (0.2, 99.8))
    image = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)
    if rng.random() < 0.5:
        image = image ** np.float32(np.exp(rng.uniform(-0.7, 0.7)))
    if sort != "leaves" and rng.random() < 0.4:
        image = 1 - image
    contrast = rng.uniform(0.4, 1)
    return np.asarray(rng.uniform(0, 1 - contrast) + contrast * image, dtype=np.float32), sort


def _drawn(sort: str, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """An image of a sort with parameters by chance, on any scale."""
    size = float(np.exp(rng.uniform(np.log(0.5), np.log(2))))
    if sort == "leaves":
        return textured_leaves(shape, rng)
    if sort == "filaments":
        count, haze = int(rng.integers(4, 60)), float(rng.choice([0.0, 0.15, 0.4]))
        return filaments(shape, count=count, psf=1.2 * size, persistence=rng.uniform(20, 300), haze=haze, rng=rng)
    if sort == "cells":
        return cells(shape, diameter=40 * size, membrane=1.5 * size, texture=rng.uniform(0, 0.5), rng=rng)
    if sort == "tissue":
        return np.asarray(tissue(shape, diameter=26 * size, rng=rng)[rng.integers(3)])
    if sort == "slice":
        if rng.random() < 0.5:
            return foam(shape, count=int(rng.integers(30, 300)), rng=rng)
        return ellipses(shape, count=int(rng.integers(6, 40)), rng=rng)
    ground = rng.uniform(0, 0.5) * rough_field(shape, rng.uniform(1, 2), rng)
    if sort == "pattern":
        return np.asarray(random_pattern(shape, rng) + 0.3 * rng.integers(2) * ground, dtype=np.float32)
    if sort == "writing":
        return np.asarray(random_writing(shape, rng) + 0.3 * rng.integers(2) * ground, dtype=np.float32)
    return rough_field(shape, rng.uniform(0.7, 2.5), rng)


def random_camera_noise(rng: np.random.Generator) -> Compose:
    """Draw a noise of cameras for images from 0 to 1: Gaussian, counting with readout, or salt and pepper.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Compose
        Gaussian of sigma 0 to 60 of 255 (65 %); Poisson of 5 to 500 counts with readout of 0 to 10 of 255 (25 %);
        1 to 15 % of the pixels salt and pepper, half of the time on Gaussian noise (10 %).

    Examples
    --------
    >>> random_camera_noise(np.random.default_rng(0))
    Compose(noises=(Gaussian(sigma=..., grain=0.0),))
    """
    sort = rng.random()
    sigma = float(rng.uniform(0.5, 60)) / 255
    if sort < 0.65:
        return Compose(noises=(Gaussian(sigma=sigma),))
    if sort < 0.9:
        counts, readout = float(np.exp(rng.uniform(np.log(5), np.log(500)))), float(rng.uniform(0, 10)) / 255
        return Compose(noises=(Poisson(dose=counts), Readout(sigma=readout)))
    height = float(rng.choice([0.0, rng.uniform(0, 0.5)]))
    strikes: Noise = SaltPepper(fraction=float(rng.uniform(0.01, 0.15)), height=height)
    return Compose(noises=(strikes,) if rng.random() < 0.5 else (Gaussian(sigma=sigma / 2), strikes))
