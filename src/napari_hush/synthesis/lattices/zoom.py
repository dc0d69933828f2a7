"""Crops of a chosen number of atoms: at the published zoom levels from a unit crop, or cut from a larger image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from skimage.transform import resize

from napari_hush.errors import InputError
from napari_hush.synthesis.dents.published_mask import checked_image
from napari_hush.synthesis.lattices.unit_cell import TiledCrop, UnitCell, render_cell
from napari_hush.synthesis.lattices.unit_crop import average_cell

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ZOOM_LEVELS: tuple[int, ...] = (4, 5, 8, 10, 12, 15, 20, 30)
"""The published magnifications, in millions (MX)."""


class AtomCrops(NamedTuple):
    """Crops of a few atoms."""

    images: NDArray[np.float32]
    """(N, Y, X), in the image's intensity unit."""
    corners: NDArray[np.intp]
    """(N, 2) first pixel (y, x) of each crop in the image."""
    scale: tuple[float, float]
    """Pixels of a crop per pixel of the image, along (y, x)."""


def atoms_at(magnification: float) -> tuple[float, float]:
    """Atoms along the two sides of a field at a magnification.

    Parameters
    ----------
    magnification : float
        In millions (MX).

    Returns
    -------
    (float, float)
        36 x 38 at 20 MX, the published calibration; inversely proportional to the magnification.

    Raises
    ------
    InputError
        If the magnification is not a positive number.

    Examples
    --------
    >>> atoms_at(20), atoms_at(10)
    ((36.0, 38.0), (72.0, 76.0))
    """
    if not (np.isfinite(magnification) and magnification > 0):
        raise InputError(f"magnification must be a positive number of millions, 20 for 20 MX; got {magnification}")
    return 36 * 20 / magnification, 38 * 20 / magnification


def zoom_crop(
    crop: ArrayLike | UnitCell,
    shape: tuple[int, int],
    *,
    magnification: float | None = None,
    atoms: tuple[float, float] | None = None,
    angle: float = 0.0,
    rng: np.random.Generator | int | None = None,
) -> TiledCrop:
    """Draw a lattice with as many atoms as a field has at a magnification, in an image of the chosen size.

    The atoms are drawn where they belong at the new size, from harmonics below its Nyquist frequency, so nothing is
    interpolated and nothing folds back.

    Parameters
    ----------
    crop : array_like, shape (Y, X), or UnitCell
        A unit crop, as for `tile_crop`, or what `average_cell` made of it.
    shape : (int, int)
        Y, X of the image, px.
    magnification : float, optional
        In millions (MX): one of `ZOOM_LEVELS` or any other; see `atoms_at`.
    atoms : (float, float), optional
        Atoms along the two sides instead; their product counts, since the lattice is not stretched.
    angle : float
        How far the pattern is turned, degrees from X towards Y (clockwise as shown).
    rng : numpy.random.Generator, int or None
        Draws which part of the lattice is seen; None puts the brightest column into the middle.

    Returns
    -------
    TiledCrop
        Image, column positions and species.

    Raises
    ------
    InputError
        If not exactly one of magnification and atoms is given, or fewer than two pixels are left for a period.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> crop = render_lattice(Lattice(period=12.0), (40, 40), 0).image
    >>> [len(zoom_crop(crop, (256, 256), magnification=m, rng=0).positions) for m in (8, 20)]
    [8464, 1369]
    """
    if (magnification is None) == (atoms is None):
        raise InputError("pass either magnification, in millions, or atoms, as two numbers")
    along = atoms_at(magnification) if magnification is not None else atoms
    if along is None or len(along) != 2 or not (np.isfinite(along).all() and min(along) > 0):
        raise InputError(f"atoms must be two positive numbers; got {atoms!r}")
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"shape must be two positive numbers of px (Y, X); got {shape!r}")
    cell = crop if isinstance(crop, UnitCell) else average_cell(crop)
    per_atom = abs(float(np.linalg.det(cell.vectors))) / len(cell.columns)  # px² of the crop
    scale = float(np.sqrt(shape[0] * shape[1] / (along[0] * along[1] * per_atom)))
    middle = (np.array(shape) - 1) / 2
    if rng is not None:
        turn = np.deg2rad(angle)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = middle + np.random.default_rng(rng).random(2) @ (scale * cell.vectors @ rotation)
    return render_cell(cell, shape, angle=angle, scale=scale, origin=(float(middle[0]), float(middle[1])))


def crop_atoms(
    image: ArrayLike,
    spacing: float,
    *,
    atoms: tuple[float, float] = (5.0, 5.0),
    shape: tuple[int, int] | None = None,
    n: int | None = None,
    rng: np.random.Generator | int = 0,
) -> AtomCrops:
    """Cut crops of a few atoms out of a larger image.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Noisy or clean, of any real type.
    spacing : float
        Lattice spacing, px.
    atoms : (float, float)
        Atoms along Y and X of a crop.
    shape : (int, int), optional
        Y, X that each crop is resampled to, px: linearly, after a Gaussian against aliasing where it shrinks. Left out:
        ``atoms * spacing``, rounded, without resampling.
    n : int, optional
        Crops at random places, which may overlap. Left out: all that fit side by side, spread evenly.
    rng : numpy.random.Generator or int
        Draws the places.

    Returns
    -------
    AtomCrops
        Crops, corners and scale: pixel p of crop k lies at ``corners[k] + (p + 0.5) / scale - 0.5`` in the image.

    Raises
    ------
    InputError
        If the image cannot be used or is smaller than one crop, or a number is not positive.

    Examples
    --------
    >>> crops = crop_atoms(np.eye(128), 12.0, shape=(64, 64))
    >>> crops.images.shape, crops.corners[1].tolist()
    ((4, 64, 64), [0, 68])
    """
    values = checked_image(image).astype(np.float32)
    sizes = np.rint(np.array(atoms, dtype=float) * spacing)
    if sizes.shape != (2,) or not np.isfinite(sizes).all() or sizes.min() < 2:
        raise InputError(f"spacing and atoms must be positive and give 2 px or more; got {spacing} and {atoms}")
    height, width = (int(size) for size in sizes)
    room = np.array([values.shape[0] - height, values.shape[1] - width])
    if room.min() < 0:
        raise InputError(
            f"a crop of {atoms[0]:g} x {atoms[1]:g} atoms is {height} x {width} px, larger than the image of "
            f"{values.shape[0]} x {values.shape[1]}; take fewer atoms"
        )
    if n is None:
        counts = np.array(values.shape) // sizes.astype(int)
        y, x = (np.rint(np.linspace(0, r, c)).astype(np.intp) for r, c in zip(room, counts, strict=True))
        corners = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
    elif n < 1:
        raise InputError(f"n must be positive, or left out for all crops side by side; got {n}")
    else:
        corners = np.random.default_rng(rng).integers(0, room + 1, (n, 2), dtype=np.intp)
    images = np.stack([values[y : y + height, x : x + width] for y, x in corners])
    if shape is None:
        return AtomCrops(images, corners, (1.0, 1.0))
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"shape must be two positive numbers of px (Y, X); got {shape!r}")
    resized = np.stack([resize(i, shape, order=1, mode="reflect", anti_aliasing=True) for i in images])  # type: ignore[no-untyped-call]
    return AtomCrops(resized.astype(np.float32), corners, (shape[0] / height, shape[1] / width))
