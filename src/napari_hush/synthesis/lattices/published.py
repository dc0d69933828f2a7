"""Clean targets the published way: a lattice with a mask added, to reproduce and to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import InputError
from napari_hush.synthesis.dents.published_mask import checked_image
from napari_hush.synthesis.lattices.unit_cell import TiledCrop, UnitCell
from napari_hush.synthesis.lattices.unit_crop import average_cell
from napari_hush.synthesis.lattices.zoom import zoom_crop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedTarget:
    """One target of `published_targets` and the truth behind it.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        ``lattice + mask_weight * mask``, not clipped.
    lattice : TiledCrop
        The lattice alone, and its columns' positions.
    mask : ndarray, shape (Y, X)
        The mask alone.
    mask_index : int
        Which mask it was.
    magnification : float
        In millions (MX).
    """

    image: NDArray[np.float32]
    lattice: TiledCrop
    mask: NDArray[np.float32]
    mask_index: int
    magnification: float


def published_targets(
    crop: ArrayLike | UnitCell,
    masks: Sequence[ArrayLike] | NDArray[np.floating],
    *,
    n: int = 20,
    magnification: float | Sequence[float] = 20.0,
    angle: float = 270.0,
    mask_weight: float = 1.0,
    rng: np.random.Generator | int = 0,
) -> Iterator[PublishedTarget]:
    """Make targets the published way: for each mask, n crops of the lattice with the mask added.

    This reproduces what was done, to compare with. It is wrong physically, since a hole multiplies the lattice while a
    sum keeps the atoms in it; see the page *Synthetic targets*.

    Parameters
    ----------
    crop : array_like, shape (Y, X), or UnitCell
        A unit crop, as for `tile_crop`, or what `average_cell` made of it.
    masks : sequence of array_like, shape (Y, X) each
        Masks from 0 to 255, as `mask_steps` makes them; each target has the shape of its mask.
    n : int
        Targets per mask.
    magnification : float or sequence of float
        Zoom level of all masks or of each, in millions (MX).
    angle : float
        How far the lattice is turned, degrees from X towards Y (clockwise as shown); the published one is 270.
    mask_weight : float
        What the mask is multiplied by before it is added.
    rng : numpy.random.Generator or int
        Draws which part of the lattice each target shows.

    Yields
    ------
    PublishedTarget
        Mask after mask, n of each. The lattice spans 0 to 255 over its cell; the sum is left as it is.

    Raises
    ------
    InputError
        As `tile_crop`; also if n, the magnifications or a mask cannot be used. Everything is checked at the call.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, render_lattice
    >>> crop = render_lattice(Lattice(period=12.0), (40, 40), 0).image
    >>> targets = list(published_targets(crop, np.eye(128)[None] * 255, n=2))
    >>> len(targets), targets[0].image.shape, len(targets[0].lattice.positions)
    (2, (128, 128), 1332)
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InputError(f"n must be a positive whole number of targets per mask; got {n!r}")
    if not (np.isfinite(mask_weight) and np.isfinite(angle)):
        raise InputError(f"mask_weight and angle must be finite; got {mask_weight} and {angle}")
    checked = [checked_image(mask, name=f"mask {k}").astype(np.float32) for k, mask in enumerate(masks)]
    levels = [float(m) for m in np.broadcast_to(magnification, len(checked))] if _fits(magnification, checked) else []
    if not checked or not levels:
        raise InputError(
            f"pass at least one mask, and one magnification for all or one each; got {len(checked)} masks and "
            f"{np.size(magnification)} magnifications"
        )
    cell = crop if isinstance(crop, UnitCell) else average_cell(crop)
    for mask, level in zip(checked, levels, strict=True):
        zoom_crop(cell, (mask.shape[0], mask.shape[1]), magnification=level)  # raises what drawing would raise
    return _draw(_to_255(cell), checked, levels, int(n), angle, mask_weight, np.random.default_rng(rng))


def _fits(magnification: float | Sequence[float], masks: list[NDArray[np.float32]]) -> bool:
    return np.ndim(magnification) == 0 or np.shape(magnification) == (len(masks),)


def _to_255(cell: UnitCell) -> UnitCell:
    """Bring the values of one cell, as finely as it was fitted, to 0 to 255."""
    side = int(np.ceil(2 * np.hypot(*cell.vectors.T).max()))
    f = np.exp(2j * np.pi * np.arange(side)[:, None, None] / side * cell.harmonics.T)  # (side, 2, K)
    values = ((f[:, 0] * cell.coefficients) @ f[:, 1].T).real
    low, high = float(values.min()), max(float(values.max()), float(cell.peaks[0]))
    gain = 255 / (high - low)
    offset = np.where(np.all(cell.harmonics == 0, axis=1), low, 0)
    return UnitCell(
        vectors=cell.vectors,
        origin=cell.origin,
        harmonics=cell.harmonics,
        coefficients=(cell.coefficients - offset) * gain,
        columns=cell.columns,
        peaks=(cell.peaks - low) * gain,
        residual=cell.residual * gain,
    )


def _draw(
    cell: UnitCell,
    masks: list[NDArray[np.float32]],
    levels: list[float],
    n: int,
    angle: float,
    mask_weight: float,
    rng: np.random.Generator,
) -> Iterator[PublishedTarget]:
    for index, (mask, level) in enumerate(zip(masks, levels, strict=True)):
        for _ in range(n):
            shape = (mask.shape[0], mask.shape[1])
            lattice = zoom_crop(cell, shape, magnification=level, angle=angle, rng=rng)
            image = lattice.image + np.float32(mask_weight) * mask
            yield PublishedTarget(image=image, lattice=lattice, mask=mask, mask_index=index, magnification=level)
