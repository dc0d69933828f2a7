"""What a data set takes from the user's own images: a unit crop, and dents or masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.atoms.spacing import require_spacing
from napari_hush.errors import InputError
from napari_hush.io import read_image, write_image
from napari_hush.synthesis import KINDS, MaskRecipe, average_cell, dent_from_image, mask_steps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from napari_hush.synthesis import UnitCell


@dataclass(frozen=True, kw_only=True, eq=False)
class Materials:
    """Images that a data set is made of; none of them is needed for procedural lattices and phantoms.

    Parameters
    ----------
    crop : ndarray, shape (Y, X), optional
        A unit crop, as for `average_cell`: the crystal of all lattices instead of random ones.
    masks : tuple of ndarray, each (Y, X)
        For kind "lattice" transmissions, as `dent_from_image` measures them; for kind "published" masks from 0 to 255,
        as `mask_steps` makes them.
    mask_periods : tuple of float
        Lattice period of the image that each mask was taken from, px.

    Raises
    ------
    InputError
        If an array is no plane of finite numbers, or there is not one period per mask.
    """

    crop: NDArray[np.float32] | None = None
    masks: tuple[NDArray[np.float32], ...] = ()
    mask_periods: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.crop is not None:
            object.__setattr__(self, "crop", _plane("crop", self.crop))
        object.__setattr__(self, "masks", tuple(_plane(f"mask {k}", mask) for k, mask in enumerate(self.masks)))
        periods = tuple(self.mask_periods)
        if len(periods) != len(self.masks) or not all(isinstance(p, Real) and 0 < p < np.inf for p in periods):
            raise InputError(f"mask_periods must be one positive number of px per mask, got {periods}")
        object.__setattr__(self, "mask_periods", tuple(map(float, periods)))

    def __bool__(self) -> bool:
        return self.crop is not None or bool(self.masks)

    @cached_property
    def cell(self) -> UnitCell | None:
        """The unit cell of the crop: fitting it takes a second, so once, and not in each process."""
        return None if self.crop is None else average_cell(self.crop)

    @property
    def sha256(self) -> str:
        """A checksum of all arrays and periods, in hexadecimal."""
        digest = hashlib.sha256(repr(self.mask_periods).encode())
        for array in (*([] if self.crop is None else [self.crop]), *self.masks):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return digest.hexdigest()

    def save(self, folder: Path, *, relative_to: Path) -> dict[str, Any]:
        """Write the images as TIFF into a folder, which is made, and list them for the settings file.

        Raises
        ------
        InputError
            If another image has one of the names.
        """
        if not self:
            return {}
        folder.mkdir(parents=True, exist_ok=True)

        def saved(name: str, image: NDArray[np.float32]) -> str:
            path = folder / name
            if not path.exists():
                write_image(path, image, axes="YX")
            elif not np.array_equal(read_plane(path), image):
                raise InputError(f"{path}: is in the way, another image that nothing refers to; remove its folder")
            return path.relative_to(relative_to).as_posix()

        table: dict[str, Any] = {}
        if self.crop is not None:
            table["crop"] = saved("crop.tif", self.crop)
        if self.masks:
            table["masks"] = [saved(f"mask-{k:02d}.tif", mask) for k, mask in enumerate(self.masks)]
            table["mask_periods"] = list(self.mask_periods)
        return table | {"sha256": self.sha256}


def _plane(name: str, values: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise InputError(f"{name} must be one plane (Y, X) of numbers; got {array.dtype} of shape {array.shape}")
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{name} has values that are not finite; crop them off or fill them")
    return array


def make_materials(
    kind: str,
    *,
    crop: ArrayLike | None = None,
    images: Sequence[ArrayLike] = (),
    spacings: Sequence[float | None] = (),
    dark: float | None = None,
    recipe: MaskRecipe | None = None,
) -> Materials:
    """Take the crystal from a unit crop and the dents from noisy images.

    Parameters
    ----------
    kind : str
        "lattice": each image gives a transmission, by `dent_from_image`; "published": a mask, by `mask_steps`.
    crop : array_like, shape (Y, X), optional
        A clean unit crop of two periods or more in each direction.
    images : sequence of array_like, each (Y, X)
        Noisy images with dents.
    spacings : sequence of float or None
        Their lattice periods, px; measured where None or left out.
    dark : float, optional
        For kind "lattice": the images' level where there is nothing, such as that of vacuum; estimated from the noise
        if left out.
    recipe : MaskRecipe, optional
        For kind "published".

    Returns
    -------
    Materials
        For `synthesize` and `Drawer`.

    Raises
    ------
    InputError
        If the kind takes nothing from images, the crop has no lattice, or a dent cannot be measured.
    """
    given = crop is not None or len(images) > 0
    if given and not (kind in KINDS and KINDS[kind].from_images):
        raise InputError(f"kind {kind} takes nothing from images: leave out the crop and the dents, or choose lattice")
    plane = None if crop is None else _plane("the crop", crop)
    masks, periods = [], []
    for number, image in enumerate(images):
        spacing = spacings[number] if number < len(spacings) else None
        try:
            if kind == "published":
                masks.append(mask_steps(image, recipe)["blurred"].astype(np.float32))
                periods.append(spacing or 1.0)  # not used: the mask covers its field at any size
                continue
            if spacing is None:
                spacing = require_spacing(np.asarray(image, dtype=np.float64))
            masks.append(dent_from_image(image, spacing, dark=dark))
            periods.append(spacing)
        except InputError as error:
            raise InputError(f"dents, image {number + 1} of {len(images)}: {error}") from error
    materials = Materials(crop=plane, masks=tuple(masks), mask_periods=tuple(periods))
    _ = materials.cell  # raises now what drawing would raise
    return materials


def load_materials(table: Mapping[str, Any], folder: Path) -> Materials:
    """Read what `Materials.save` wrote.

    Parameters
    ----------
    table : mapping
        ``crop``, ``masks``, ``mask_periods`` and ``sha256``; without a checksum none is compared.
    folder : Path
        What the file names are relative to.

    Raises
    ------
    InputError
        If a name is unknown, a file is missing, or one was changed since.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"[materials] must be a table, got {table!r}")
    unknown = table.keys() - {"crop", "masks", "mask_periods", "sha256"}
    if unknown:
        raise InputError(f"unknown entry {min(unknown)!r} of [materials]: expected crop, masks, mask_periods, sha256")
    names, periods = table.get("masks", []), table.get("mask_periods", [])
    if not isinstance(names, list) or not isinstance(periods, list):
        raise InputError(f"masks and mask_periods must be lists, got {names!r} and {periods!r}")
    crop = read_plane(folder / str(table["crop"])) if "crop" in table else None
    masks = tuple(read_plane(folder / str(name)) for name in names)
    materials = Materials(crop=crop, masks=masks, mask_periods=tuple(periods))
    if table.get("sha256", materials.sha256) != materials.sha256:
        raise InputError(
            f"the images under [materials] in {folder} were changed since; put the old ones back, or take sha256 out "
            "for a new data set"
        )
    return materials


def read_plane(path: Path) -> NDArray[np.float32]:
    """Read an image file that must hold one plane (Y, X)."""
    data = read_image(path).data
    shape = tuple(n for n in data.shape if n > 1)
    if len(shape) != 2:
        raise InputError(f"{path}: expected one plane (Y, X), got shape {tuple(data.shape)}")
    return _plane(str(path), np.asarray(data).reshape(shape))
