"""Columns in a field: where they are, how high and how wide, drawn as Gaussians."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from napari_hush.synthesis.lattices.lattice import render_columns, sites_near

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.synthesis.wide.cells import Cell


class Columns(NamedTuple):
    """Columns in a field and around it."""

    sites: NDArray[np.float64]
    """(N, 2) places (y, x), px."""
    species: NDArray[np.intp]
    """(N,) index in the cell, the brightest first."""
    heights: NDArray[np.float64]
    """(N,) peaks."""
    sigmas: NDArray[np.float64]
    """(N,) standard deviations, px."""
    ordered: NDArray[np.bool_]
    """(N,) whether the column belongs to a crystal."""

    def chosen(self, which: NDArray[np.bool_]) -> Columns:
        """Those (N,) that are marked."""
        return Columns(
            self.sites[which], self.species[which], self.heights[which], self.sigmas[which], self.ordered[which]
        )

    def render(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Add up their Gaussians, (Y, X)."""
        image = np.zeros(shape, dtype=np.float32)
        for sigma in np.unique(self.sigmas):
            mine = np.equal(self.sigmas, sigma)
            image += render_columns(self.sites[mine], self.heights[mine], float(sigma), shape)
        return image


def joined(first: Columns, second: Columns, least: float = 0.0) -> Columns:
    """Both, without those of the second that come nearer than ``least`` px to the first."""
    if least and len(first.sites) and len(second.sites):
        second = second.chosen(np.asarray(cKDTree(first.sites).query(second.sites)[0] >= least))
    return Columns(
        np.concatenate([first.sites, second.sites]),
        np.concatenate([first.species, second.species]),
        np.concatenate([first.heights, second.heights]),
        np.concatenate([first.sigmas, second.sigmas]),
        np.concatenate([first.ordered, second.ordered]),
    )


def crystal(cell: Cell, shape: tuple[int, int], origin: NDArray[np.float64]) -> Columns:
    """All columns of a perfect crystal in a field and four periods around it."""
    margin = 4 * float(np.hypot(*cell.vectors.T).min())
    sites, species = sites_near(cell.columns, cell.vectors, shape, margin, origin)
    return Columns(sites, species, cell.heights[species], cell.sigmas[species], np.ones(len(sites), dtype=np.bool_))


def amorphous(shape: tuple[int, int], period: float, sigma: float, rng: np.random.Generator) -> Columns:
    """Draw columns at random places that keep a least distance of 0.45 to 0.9 periods from one another."""
    least = period * rng.uniform(0.45, 0.9)
    size = np.array(shape) + 4 * period
    sites = rng.random((int(2.5 * size.prod() / least**2) + 1, 2)) * size - 2 * period
    kept = np.ones(len(sites), dtype=np.bool_)
    pairs = cKDTree(sites).query_pairs(least, output_type="ndarray")
    for i, j in pairs[np.lexsort(pairs.T[::-1])]:
        if kept[i]:
            kept[j] = False
    sites = sites[kept]
    heights = rng.uniform(0.4, 1) * np.clip(rng.normal(1, rng.uniform(0.05, 0.4), len(sites)), 0.1, 1.5)
    species = np.zeros(len(sites), dtype=np.intp)
    return Columns(
        sites, species, heights, np.full(len(sites), min(sigma, 0.35 * least)), np.zeros(len(sites), dtype=np.bool_)
    )
