"""Clean images with known truth, and the noise of instruments on top of them; numpy, scipy and scikit-image only.

The names are loaded when they are first used: to list the kinds of images imports nothing that draws.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hush.synthesis.dents.library import dent_from_image, random_dent_from, warp_mask
    from napari_hush.synthesis.dents.published_mask import MaskRecipe, mask_steps, mask_variants
    from napari_hush.synthesis.dents.shapes import DENTS, ellipse, random_dent
    from napari_hush.synthesis.fields import smooth_field
    from napari_hush.synthesis.kinds import KINDS, PHANTOMS, Kind
    from napari_hush.synthesis.lattices.crystal import Crystal, Flaws, random_crystal, render_crystal
    from napari_hush.synthesis.lattices.lattice import Lattice, RenderedLattice, render_columns, render_lattice
    from napari_hush.synthesis.lattices.published import PublishedTarget, published_targets
    from napari_hush.synthesis.lattices.unit_cell import TiledCrop, UnitCell, render_cell
    from napari_hush.synthesis.lattices.unit_crop import average_cell, tile_crop
    from napari_hush.synthesis.lattices.unit_lattice import UnitLattice, measure_lattice
    from napari_hush.synthesis.lattices.zoom import ZOOM_LEVELS, AtomCrops, atoms_at, crop_atoms, zoom_crop
    from napari_hush.synthesis.noise.fit.noise import FittedNoise, fit_noise
    from napari_hush.synthesis.noise.registry import NOISES, Compose, Noise, noise_from_dict, noise_to_dict
    from napari_hush.synthesis.noise.scan import random_scan_noise
    from napari_hush.synthesis.pictures.leaves import dead_leaves
    from napari_hush.synthesis.scenes import Scene, random_lattice, random_scene
    from napari_hush.synthesis.wide.field import WideField, random_wide_field

__all__ = [
    "DENTS",
    "KINDS",
    "NOISES",
    "PHANTOMS",
    "ZOOM_LEVELS",
    "AtomCrops",
    "Compose",
    "Crystal",
    "FittedNoise",
    "Flaws",
    "Kind",
    "Lattice",
    "MaskRecipe",
    "Noise",
    "PublishedTarget",
    "RenderedLattice",
    "Scene",
    "TiledCrop",
    "UnitCell",
    "UnitLattice",
    "WideField",
    "atoms_at",
    "average_cell",
    "crop_atoms",
    "dead_leaves",
    "dent_from_image",
    "ellipse",
    "fit_noise",
    "mask_steps",
    "mask_variants",
    "measure_lattice",
    "noise_from_dict",
    "noise_to_dict",
    "published_targets",
    "random_crystal",
    "random_dent",
    "random_dent_from",
    "random_lattice",
    "random_scan_noise",
    "random_scene",
    "random_wide_field",
    "render_cell",
    "render_columns",
    "render_crystal",
    "render_lattice",
    "smooth_field",
    "tile_crop",
    "warp_mask",
    "zoom_crop",
]

_HOMES = {
    "DENTS": "dents.shapes",
    "KINDS": "kinds",
    "NOISES": "noise.registry",
    "PHANTOMS": "kinds",
    "ZOOM_LEVELS": "lattices.zoom",
    "AtomCrops": "lattices.zoom",
    "Compose": "noise.registry",
    "Crystal": "lattices.crystal",
    "FittedNoise": "noise.fit.noise",
    "Flaws": "lattices.crystal",
    "Kind": "kinds",
    "Lattice": "lattices.lattice",
    "MaskRecipe": "dents.published_mask",
    "Noise": "noise.registry",
    "PublishedTarget": "lattices.published",
    "RenderedLattice": "lattices.lattice",
    "Scene": "scenes",
    "TiledCrop": "lattices.unit_cell",
    "UnitCell": "lattices.unit_cell",
    "UnitLattice": "lattices.unit_lattice",
    "WideField": "wide.field",
    "atoms_at": "lattices.zoom",
    "average_cell": "lattices.unit_crop",
    "crop_atoms": "lattices.zoom",
    "dead_leaves": "pictures.leaves",
    "dent_from_image": "dents.library",
    "ellipse": "dents.shapes",
    "fit_noise": "noise.fit.noise",
    "mask_steps": "dents.published_mask",
    "mask_variants": "dents.published_mask",
    "measure_lattice": "lattices.unit_lattice",
    "noise_from_dict": "noise.registry",
    "noise_to_dict": "noise.registry",
    "published_targets": "lattices.published",
    "random_crystal": "lattices.crystal",
    "random_dent": "dents.shapes",
    "random_dent_from": "dents.library",
    "random_lattice": "scenes",
    "random_scan_noise": "noise.scan",
    "random_scene": "scenes",
    "random_wide_field": "wide.field",
    "render_cell": "lattices.unit_cell",
    "render_columns": "lattices.lattice",
    "render_crystal": "lattices.crystal",
    "render_lattice": "lattices.lattice",
    "smooth_field": "fields",
    "tile_crop": "lattices.unit_crop",
    "warp_mask": "dents.library",
    "zoom_crop": "lattices.zoom",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
