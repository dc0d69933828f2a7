"""Pictures as an instrument shows them, blurred by its optics, and the noise of its detector, pixel by pixel or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.noise.camera import Clipping, FixedPattern
from napari_hush.synthesis.noise.pixels import Gaussian, Poisson, Readout
from napari_hush.synthesis.noise.registry import Compose, Noise
from napari_hush.synthesis.pictures.general import random_camera_noise, random_picture
from napari_hush.synthesis.pictures.leaves import dead_leaves

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What is seen and how often: sorts of `random_picture`, and those that only this module draws.
SEEN: dict[str, float] = {
    "leaves": 0.26, "filaments": 0.14, "cells": 0.12, "puncta": 0.12, "web": 0.12, "particles": 0.1, "rough": 0.06,
    "slice": 0.04, "pattern": 0.02, "writing": 0.02,
}  # fmt: skip
SHINING = ("filaments", "cells", "puncta", "web")  # what fluorescence shows, one behind the other
AS_DRAWN = 0.4  # share of the pictures that no optics has blurred, with the noise of `random_camera_noise`


def puncta(shape: tuple[int, int], rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw points of light, as vesicles, spots of molecules or beads: crowded in places, over a faint glow.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Source of randomness: 1 per 40 to 1 per 2,500 px, log-normal brightness, each smaller than a pixel.

    Returns
    -------
    ndarray, shape (Y, X)
        Not blurred: a point lights one pixel. Any positive values.

    Examples
    --------
    >>> bool(puncta((32, 48), 0).min() >= 0)
    True
    """
    rng = np.random.default_rng(rng)
    crowd = np.exp(rng.uniform(0, 2) * smooth_field(shape, rng.uniform(8, 60), rng))
    rate = crowd / crowd.mean() / np.exp(rng.uniform(np.log(40), np.log(2500)))
    struck = rng.poisson(rate)
    light = struck * np.exp(rng.normal(0, rng.uniform(0.2, 1), shape))
    glow = np.clip(1 + 0.7 * smooth_field(shape, rng.uniform(10, 60), rng), 0, None)
    return np.asarray(light + rng.uniform(0, 0.04) * glow, dtype=np.float32)


def web(shape: tuple[int, int], rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw threads that branch and close, as mitochondria, membranes or pores, thicker and brighter in places.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Source of randomness: meshes of 6 to 40 px, threads of a tenth to a half of that.

    Returns
    -------
    ndarray, shape (Y, X)
        0 to about 1: the surroundings of one level of a smooth random field.

    Examples
    --------
    >>> web((32, 48), 0).shape
    (32, 48)
    """
    rng = np.random.default_rng(rng)
    mesh = np.exp(rng.uniform(np.log(3), np.log(20)))
    level = smooth_field(shape, mesh, rng) - rng.uniform(-1, 1)
    threads = np.exp(-0.5 * (level / rng.uniform(0.1, 0.5)) ** 2)
    inside = 1 / (1 + np.exp(-8 * (smooth_field(shape, rng.uniform(20, 80), rng) + rng.uniform(-0.5, 1.5))))
    bright = np.clip(1 + rng.uniform(0, 0.6) * smooth_field(shape, 2 * mesh, rng), 0, None)
    return np.asarray((threads * bright + rng.uniform(0, 0.3)) * inside, dtype=np.float32)


def particles(shape: tuple[int, int], rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw bodies on a ground, as electron microscopes show them: brighter or darker, some with bright edges.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        About 0 to 1.

    Examples
    --------
    >>> particles((32, 48), 0).shape
    (32, 48)
    """
    rng = np.random.default_rng(rng)
    bodies = dead_leaves(shape, rng=rng)
    kept = bodies > np.quantile(bodies, rng.uniform(0.2, 0.8))
    image = np.where(kept, 0.5 + 0.5 * bodies, 0).astype(np.float32)
    image += rng.uniform(0.05, 0.3) * smooth_field(shape, rng.uniform(10, 80), rng)
    if rng.random() < 0.5:  # more electrons leave a slope than a plane
        edges = ndimage.gaussian_gradient_magnitude(bodies * kept, rng.uniform(0.7, 2.5))
        image += rng.uniform(0.5, 4) * edges
    return np.asarray(image, dtype=np.float32)


_DRAWN = {"puncta": puncta, "web": web, "particles": particles}


def random_instrument_picture(
    shape: tuple[int, int], *, rng: np.random.Generator | int
) -> tuple[NDArray[np.float32], str]:
    """Draw a grey picture behind the optics of an instrument; a part of them as `random_picture` draws them.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Source of randomness. The point spread is a Gaussian with a sigma of 0.8 to 4 px, in a third of the pictures
        with light from out of focus, three to eight times as wide.

    Returns
    -------
    image : ndarray, shape (Y, X)
        Values from 0 to 1.
    seen : str
        A key of `SEEN` after ``"blurred "``, or one of `SORTS`.

    Examples
    --------
    >>> image, seen = random_instrument_picture((32, 48), rng=1)
    >>> image.shape, bool(image.min() >= 0), bool(image.max() <= 1)
    ((32, 48), True, True)
    """
    rng = np.random.default_rng(rng)
    if rng.random() < AS_DRAWN:
        return random_picture(shape, rng=rng)
    seen = str(rng.choice(list(SEEN), p=list(SEEN.values())))
    sigma = float(np.exp(rng.uniform(np.log(0.8), np.log(4))))
    margin = int(np.ceil(4 * sigma))
    larger = (shape[0] + 2 * margin, shape[1] + 2 * margin)  # what lies beyond the edge shines in
    sharp = _sharp(seen, larger, rng)
    if seen in SHINING and rng.random() < 0.4:  # light adds
        sharp += rng.uniform(0.2, 1) * _sharp(str(rng.choice(SHINING)), larger, rng)
    image = ndimage.gaussian_filter(sharp, sigma, mode="nearest")
    if rng.random() < 1 / 3:
        haze = ndimage.gaussian_filter(sharp, sigma * rng.uniform(3, 8), mode="nearest")
        image += rng.uniform(0.2, 1.5) * haze
    image = image[margin:-margin, margin:-margin]
    low, high = float(image.min()), float(np.percentile(image, 99.8))
    image = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    if rng.random() < 0.3:
        image = image ** np.float32(np.exp(rng.uniform(-0.5, 0.7)))
    contrast = rng.uniform(0.3, 1)
    return np.asarray(rng.uniform(0, 1 - contrast) + contrast * image, dtype=np.float32), f"blurred {seen}"


def _sharp(seen: str, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """What is seen before any optics, (Y, X), its brightest parts about 1."""
    if seen not in _DRAWN:
        return random_picture(shape, sort=seen, rng=rng)[0]
    image = _DRAWN[seen](shape, rng)
    return image / np.float32(max(float(np.percentile(image, 99.8)), 1e-6))


def random_detector_noise(rng: np.random.Generator | int) -> Compose:
    """Draw the noise of a detector for images from 0 to 1.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    Compose
        In 40 % `random_camera_noise`. Otherwise counting of 1 to 500 at value 1 with readout (half), or Gaussian noise
        of 0.01 to 0.5 (half); of either, a quarter with a grain of 0.35 to 1.2 px on top, which is correlated over two
        or three pixels; a fifth with the fixed pattern of a camera, and a tenth clipped at one end or both.

    Examples
    --------
    >>> random_detector_noise(3)
    Compose(noises=(...))
    """
    rng = np.random.default_rng(rng)
    if rng.random() < AS_DRAWN:
        return random_camera_noise(rng)
    noises: list[Noise] = []
    if rng.random() < 0.5:
        counts = float(np.exp(rng.uniform(0, np.log(500))))
        noises += [Poisson(dose=counts), Readout(sigma=float(rng.uniform(0, 1)) * counts**-0.5 * 0.3)]
        strength = counts**-0.5
    else:
        strength = float(np.exp(rng.uniform(np.log(0.01), np.log(0.5))))
        noises.append(Gaussian(sigma=strength))
    if rng.random() < 0.25:
        grain = float(rng.uniform(0.35, 1.2))
        noises.append(Gaussian(sigma=strength * float(rng.uniform(0.3, 1)), grain=grain))
    if rng.random() < 0.2:
        noises.append(
            FixedPattern(
                gain=float(rng.uniform(0, 0.03)),
                offset=strength * float(rng.uniform(0, 0.3)),
                columns=strength * float(rng.uniform(0, 0.15)),
            )
        )
    if rng.random() < 0.1:
        ends = (0.0, 1e30) if rng.random() < 0.5 else (float(rng.choice([-1e30, 0.0])), float(rng.uniform(0.75, 1.1)))
        noises.append(Clipping(low=ends[0], high=ends[1]))
    return Compose(noises=tuple(noises))
