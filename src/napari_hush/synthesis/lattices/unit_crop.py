"""From a small clean crop of a crystal to an image of any size, at any angle and scale, without seams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import InputError
from napari_hush.synthesis.dents.published_mask import checked_image
from napari_hush.synthesis.lattices.unit_cell import TiledCrop, UnitCell, fit_cell, render_cell
from napari_hush.synthesis.lattices.unit_lattice import measure_lattice

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def average_cell(crop: ArrayLike, *, vectors: ArrayLike | None = None) -> UnitCell:
    """Average a unit crop into one cell, for many images of the same crystal.

    Parameters
    ----------
    crop : array_like, shape (Y, X)
        As for `measure_lattice`.
    vectors : array_like, shape (2, 2), optional
        Lattice vectors as rows (y, x), px, where they are known better than the crop tells.

    Returns
    -------
    UnitCell
        For `render_cell` and `published_targets`.

    Raises
    ------
    InputError
        As `measure_lattice`, or if the vectors are not two finite rows that span a cell.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> crop = render_lattice(Lattice(period=10.0, sublattice=0.5), (32, 32), 0).image
    >>> average_cell(crop).columns.round(2).tolist()
    [[0.0, 0.0], [0.5, 0.5]]
    """
    values = checked_image(crop, name="crop")
    if vectors is None:
        return fit_cell(values, measure_lattice(values).vectors)
    given = np.asarray(vectors, dtype=np.float64)
    if given.shape != (2, 2) or not np.isfinite(given).all() or abs(np.linalg.det(given)) < 1:
        raise InputError(f"vectors must be two rows (y, x) in px that span a cell of 1 px² or more; got {vectors!r}")
    return fit_cell(values, given)


def tile_crop(
    crop: ArrayLike,
    shape: tuple[int, int],
    *,
    angle: float = 0.0,
    scale: float = 1.0,
    origin: tuple[float, float] | None = None,
    vectors: ArrayLike | None = None,
) -> TiledCrop:
    """Continue a unit crop to an image of any size, turned and scaled, without seams.

    The crop is not laid side by side: its averaged cell is repeated along the lattice vectors, as a Fourier series that
    is exact at any angle and scale. Detail finer than the pixels of the new image is left out. Columns that overlap, as
    in dumbbells, have their positions where the image has its maxima.

    Parameters
    ----------
    crop : array_like, shape (Y, X)
        As for `measure_lattice`.
    shape : (int, int)
        Y, X of the image, px.
    angle : float
        How far the pattern is turned, degrees from X towards Y: clockwise as images are shown. The published targets
        were turned by 270, which is `numpy.rot90`.
    scale : float
        Pixels of the image per pixel of the crop.
    origin : (float, float), optional
        (y, x) in the image for the brightest column, px. Left out: where it is in the crop, so that without angle and
        scale the image begins with the crop.
    vectors : array_like, shape (2, 2), optional
        Lattice vectors as rows (y, x), px of the crop; measured if left out.

    Returns
    -------
    TiledCrop
        Image, column positions and their species.

    Raises
    ------
    InputError
        As `average_cell`; also if shape, angle, scale or origin cannot be, or two pixels are more than a period.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> crop = render_lattice(Lattice(period=12.37, angle=11.0), (40, 40), 0).image
    >>> tiled = tile_crop(crop, (256, 256), angle=270)
    >>> tiled.image.shape, len(tiled.positions)
    ((256, 256), 425)
    """
    return render_cell(average_cell(crop, vectors=vectors), shape, angle=angle, scale=scale, origin=origin)
