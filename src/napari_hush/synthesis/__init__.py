"""Clean images with known truth, and the noise of instruments on top of them; numpy, scipy and scikit-image only."""

from __future__ import annotations

from napari_hush.synthesis.dents.library import dent_from_image, random_dent_from, warp_mask
from napari_hush.synthesis.dents.published_mask import MaskRecipe, mask_steps, mask_variants
from napari_hush.synthesis.dents.shapes import DENTS, ellipse, random_dent
from napari_hush.synthesis.fields import smooth_field
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
from napari_hush.synthesis.pictures.phantoms import PHANTOMS
from napari_hush.synthesis.scenes import Scene, random_lattice, random_scene

__all__ = [
    "DENTS",
    "NOISES",
    "PHANTOMS",
    "ZOOM_LEVELS",
    "AtomCrops",
    "Compose",
    "Crystal",
    "FittedNoise",
    "Flaws",
    "Lattice",
    "MaskRecipe",
    "Noise",
    "PublishedTarget",
    "RenderedLattice",
    "Scene",
    "TiledCrop",
    "UnitCell",
    "UnitLattice",
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
    "render_cell",
    "render_columns",
    "render_crystal",
    "render_lattice",
    "smooth_field",
    "tile_crop",
    "warp_mask",
    "zoom_crop",
]
