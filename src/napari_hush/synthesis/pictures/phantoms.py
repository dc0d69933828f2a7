"""Clean images for other users than electron microscopists: tomography, fluorescence, photographs, histology."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hush.errors import InputError
from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.kinds import PHANTOMS, Phantom
from napari_hush.synthesis.pictures.leaves import dead_leaves
from napari_hush.synthesis.pictures.slices import cover, ellipses, foam, pack_circles
from napari_hush.synthesis.pictures.specimens import specimen, tomography

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PHANTOMS",
    "Phantom",
    "cells",
    "dead_leaves",
    "ellipses",
    "filaments",
    "foam",
    "pack_circles",
    "specimen",
    "tissue",
    "tomography",
]


def filaments(
    shape: tuple[int, int],
    *,
    count: int = 40,
    psf: float = 1.4,
    persistence: float = 150.0,
    haze: float = 0.15,
    rng: np.random.Generator | int,
) -> NDArray[np.float32]:
    """Draw curved fibres as a fluorescence microscope shows them.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    count : int
        Number of fibres.
    psf : float
        Standard deviation of the microscope's point spread, px.
    persistence : float
        Distance over which a fibre forgets its direction (worm-like chain), px.
    haze : float
        Share of the light that comes from out of focus, 0 to 1.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        Dark ground; the brightest 0.2 % of the pixels are cut off at 1.

    Raises
    ------
    InputError
        If a number is out of its range.

    References
    ----------
    O. Kratky, G. Porod, "Röntgenuntersuchung gelöster Fadenmoleküle", Rec. Trav. Chim. Pays-Bas 68, 1106 (1949),
    https://doi.org/10.1002/recl.19490681203

    Examples
    --------
    >>> filaments((64, 64), count=5, rng=0).shape
    (64, 64)
    """
    if count < 1 or not psf > 0 or not persistence > 0 or not 0 <= haze <= 1:
        raise InputError("expected count >= 1, psf > 0, persistence > 0 and haze from 0 to 1")
    rng = np.random.default_rng(rng)
    step = 0.5
    steps = int(1.5 * max(shape) / step)
    turns = np.cumsum(rng.standard_normal((count, steps)) * np.sqrt(2 * step / persistence), axis=1)
    heading = rng.uniform(0, 2 * np.pi, (count, 1)) + turns
    start = rng.uniform(-0.2, 1.2, (count, 2)) * shape
    # Half of a fibre lies on either side of its start, so the starts do not show as ends.
    y, x = (
        start[:, k, None] + step * (path - path[:, steps // 2, None])
        for k, path in enumerate((np.cumsum(np.sin(heading), axis=1), np.cumsum(np.cos(heading), axis=1)))
    )
    light = np.broadcast_to(rng.uniform(0.3, 1, (count, 1)), y.shape)
    pad = int(np.ceil(4 * psf)) + 2
    canvas = _splat(y + pad, x + pad, light, (shape[0] + 2 * pad, shape[1] + 2 * pad))
    blurred = (1 - haze) * ndimage.gaussian_filter(canvas, psf) + haze * ndimage.gaussian_filter(canvas, 6 * psf)
    image = blurred[pad : pad + shape[0], pad : pad + shape[1]]
    scaled = image / max(float(np.percentile(image, 99.8)), 1e-12)
    return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)


def cells(
    shape: tuple[int, int],
    *,
    diameter: float = 48.0,
    membrane: float = 1.5,
    texture: float = 0.25,
    rng: np.random.Generator | int,
) -> NDArray[np.float32]:
    """Draw a layer of cells with stained nuclei and membranes.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    diameter : float
        Mean distance between neighbouring cells, px.
    membrane : float
        Standard deviation of a membrane's profile, px.
    texture : float
        Relative standard deviation of the chromatin's brightness.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        Nuclei 0.4 to 0.9, membranes about 0.35 over a faint ground.

    Raises
    ------
    InputError
        If a length is not positive, the cells are under 6 px or the texture is negative.

    Examples
    --------
    >>> cells((64, 64), diameter=24, rng=0).shape
    (64, 64)
    """
    if not diameter >= 6 or not membrane > 0 or not texture >= 0:
        raise InputError(f"expected diameter >= 6, membrane > 0, texture >= 0; got {diameter}, {membrane}, {texture}")
    rng = np.random.default_rng(rng)
    nuclei, edge = _cell_maps(shape, diameter, membrane, texture, rng)
    ground = 0.06 * np.clip(1 + 0.5 * smooth_field(shape, diameter, rng), 0, None)
    cytoplasm = 0.12 * np.clip(1 + 0.4 * smooth_field(shape, 2.0, rng), 0, None) * (1 - edge)
    image = ground + cytoplasm + 0.3 * edge
    return np.asarray(np.clip(np.maximum(image, nuclei), 0, 1), dtype=np.float32)


def tissue(shape: tuple[int, int], *, diameter: float = 26.0, rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw a stained tissue section in colour: blue nuclei in pink matrix, light absorbed by Beer and Lambert's law.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    diameter : float
        Mean distance between neighbouring cells, px.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (3, Y, X)
        Red, green, blue; 1 is the empty slide.

    Raises
    ------
    InputError
        If the cells are under 6 px.

    References
    ----------
    A. C. Ruifrok, D. A. Johnston, "Quantification of histochemical staining by color deconvolution", Anal. Quant.
    Cytol. Histol. 23, 291 (2001), PMID 11531144, whose colours of haematoxylin and eosin these are.

    Examples
    --------
    >>> tissue((48, 48), rng=0).shape
    (3, 48, 48)
    """
    if not diameter >= 6:
        raise InputError(f"diameter must be at least 6 px; got {diameter}")
    rng = np.random.default_rng(rng)
    nuclei, edge = _cell_maps(shape, diameter, 0.06 * diameter, 0.3, rng)
    fibres = np.abs(smooth_field(shape, 0.15 * diameter, rng))
    matrix = 0.35 + 0.15 * fibres + 0.12 * smooth_field(shape, 2 * diameter, rng)
    lumen = 0.5 * (1 + np.tanh(3 * (smooth_field(shape, 2.5 * diameter, rng) - 1.3)))  # open spaces
    eosin = np.clip(matrix + 0.25 * edge, 0.05, None) * (1 - 0.95 * lumen)
    haematoxylin = (1.1 * nuclei + 0.06) * (1 - lumen)
    density = np.multiply.outer([0.650, 0.704, 0.286], haematoxylin) + np.multiply.outer([0.072, 0.990, 0.105], eosin)
    return np.asarray(np.exp(-density), dtype=np.float32)


def _cell_maps(
    shape: tuple[int, int], diameter: float, membrane: float, texture: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Nuclei (0 between them) and membranes (1 at their middle), (Y, X) each."""
    rows, columns = (int(np.ceil(n / diameter)) + 2 for n in shape)
    grid = np.moveaxis(np.indices((rows, columns)), 0, -1) + rng.uniform(-0.33, 0.33, (rows, columns, 2))
    grid[::2, :, 1] += 0.5
    centres = (grid.reshape(-1, 2) - 1) * diameter
    pixels = np.moveaxis(np.indices(shape), 0, -1).astype(np.float64)
    bend = 0.08 * diameter * np.stack([smooth_field(shape, 0.25 * diameter, rng) for _ in range(2)], axis=-1)
    near = np.asarray(cKDTree(centres).query((pixels + bend).reshape(-1, 2), k=2)[0])
    edge = np.exp(-(((near[:, 1] - near[:, 0]) / (2 * membrane)) ** 2) / 2).reshape(shape)

    nuclei = np.zeros(shape, dtype=np.float32)
    chromatin = smooth_field(shape, 0.045 * diameter, rng)
    rim = 1 + 0.12 * smooth_field(shape, 0.12 * diameter, rng)
    for centre in centres:
        level = rng.uniform(0.45, 0.85)
        axes = diameter * rng.uniform(0.2, 0.32) * np.array([1.0, rng.uniform(0.65, 1)])
        body = cover(shape, centre, axes, rng.uniform(0, 180), rim)
        if body is None:
            continue
        window, covered = body
        inside = level * np.clip(1 + texture * chromatin[window], 0.2, None)
        nuclei[window] = np.maximum(nuclei[window], covered * inside)
    return nuclei, edge.astype(np.float32)


def _splat(
    y: NDArray[np.float64], x: NDArray[np.float64], light: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Spread points over their four nearest pixels; those outside are lost."""
    inside = (y >= 0) & (y < shape[0] - 1) & (x >= 0) & (x < shape[1] - 1)
    y, x, light = y[inside], x[inside], light[inside]
    i, j = y.astype(np.intp), x.astype(np.intp)
    f, g = y - i, x - j
    canvas = np.zeros(shape[0] * shape[1])
    for down, across, share in ((0, 0, (1 - f) * (1 - g)), (0, 1, (1 - f) * g), (1, 0, f * (1 - g)), (1, 1, f * g)):
        canvas += np.bincount((i + down) * shape[1] + j + across, weights=light * share, minlength=canvas.size)
    return canvas.reshape(shape)
