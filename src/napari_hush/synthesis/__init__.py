"""Clean images with known truth, and the noise of a scanning microscope on top of them; numpy and scipy only."""

from __future__ import annotations

from napari_hush.synthesis.dents import DENTS, ellipse, random_dent
from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.lattice import Lattice, RenderedLattice, render_columns, render_lattice
from napari_hush.synthesis.noise import NOISES, Compose, Noise
from napari_hush.synthesis.scan import random_scan_noise
from napari_hush.synthesis.scenes import Scene, random_lattice, random_scene

__all__ = [
    "DENTS",
    "NOISES",
    "Compose",
    "Lattice",
    "Noise",
    "RenderedLattice",
    "Scene",
    "ellipse",
    "random_dent",
    "random_lattice",
    "random_scan_noise",
    "random_scene",
    "render_columns",
    "render_lattice",
    "smooth_field",
]
