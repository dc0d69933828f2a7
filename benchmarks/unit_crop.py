"""How exactly a unit crop is continued over 40 x 40 periods: columns against the ideal lattice, and what seams remain.

    python benchmarks/unit_crop.py [--periods 40]
    python benchmarks/unit_crop.py --drawn

The second counts how many of 108 crops are refused that are drawn at random places of a noisy image, as the dock
Synthesise takes them, by the crop alone and with what lies around it.

Crop and ideal image are drawn from the formula, column by column, with known origin and vectors. Columns of the result
are its local maxima, refined by a parabola through the logarithm. Block means are taken over 16 x 16 px: a seam would
stand out there. Peaks are 1 high.
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from napari_hush.synthesis import Lattice
from napari_hush.synthesis.lattices.unit_crop import average_cell, tile_crop

CASES = [  # lattice, periods in the crop, turn of the image in degrees, scale, noise of the crop
    (Lattice(kind="square", period=12.37, angle=11.0, sigma=0.15), 2.2, 0.0, 1.0, 0.0),
    (Lattice(kind="square", period=12.37, angle=11.0, sigma=0.15), 4.0, 270.0, 1.0, 0.0),
    (Lattice(kind="rectangular", period=9.71, angle=-33.0, sigma=0.17), 3.0, 27.3, 1.0, 0.0),
    (Lattice(kind="hexagonal", period=13.59, angle=7.7, sigma=0.15), 2.5, 142.0, 1.0, 0.0),
    (Lattice(kind="hexagonal", period=7.83, angle=51.0, sigma=0.17), 4.0, 270.0, 1.9, 0.0),
    (Lattice(kind="oblique", period=11.13, angle=80.0, sigma=0.15), 3.0, 5.0, 1.0, 0.0),
    (Lattice(kind="honeycomb", period=19.31, angle=3.0, sigma=0.09, sublattice=0.6), 2.5, 61.0, 0.9, 0.0),
    (Lattice(kind="dumbbell", period=24.57, angle=-20.0, sigma=0.07, sublattice=0.6), 2.5, 200.0, 0.8, 0.0),
    (Lattice(kind="square", period=12.37, angle=11.0, sigma=0.15), 4.0, 30.0, 1.0, 0.002),
    (Lattice(kind="square", period=12.37, angle=11.0, sigma=0.15), 8.0, 30.0, 1.0, 0.01),
    (Lattice(kind="hexagonal", period=13.59, angle=7.7, sigma=0.15), 12.0, 30.0, 1.0, 0.03),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--periods", type=int, default=40)
    parser.add_argument("--drawn", action="store_true", help="crops of a noisy image, as they are drawn in napari")
    args = parser.parse_args()
    if args.drawn:
        count_refused()
        return
    periods = args.periods
    heads = (
        "lattice | period, px | crop, periods | crop noise | turned, degrees | scale | columns | RMS, px | largest, px"
    )
    heads += " | residual rms | largest block mean | seconds"
    print(f"| {heads} |\n|{'---|' * len(heads.split('|'))}")
    for lattice, across, angle, scale, noise in CASES:
        side = int(np.ceil(across * np.hypot(*lattice.cell.T).max()))
        crop, _ = draw(lattice, (side, side + 1), (0.37 * side, 0.41 * side))
        crop = crop + noise * np.random.default_rng(0).normal(size=crop.shape)
        size = int(periods * lattice.period * scale)
        origin = (0.5 * size + 0.3, 0.5 * size - 0.2)
        start = time.perf_counter()
        tiled = tile_crop(crop, (size, size), angle=angle, scale=scale, origin=origin)
        seconds = time.perf_counter() - start
        turned = Lattice(**{**vars(lattice), "angle": lattice.angle + angle, "period": lattice.period * scale})
        ideal, sites = draw(turned, (size, size), origin)
        away = distances(tiled.image, sites)
        rest = tiled.image - ideal
        print(
            f"| {lattice.kind} | {lattice.period:g} | {across:g} | {noise:g} | {angle:g} | {scale:g} | {len(away)} "
            f"| {np.sqrt(np.mean(away**2)):.1e} | {away.max():.1e} | {rest.std():.1e} | {largest_block_mean(rest):.1e} "
            f"| {seconds:.2f} |",
            flush=True,
        )


def count_refused() -> None:
    """Draw crops of 2 to 4 periods from images of six lattices, whose noise is 0.1 to 0.3 of a peak."""
    from napari_hush.errors import InputError
    from napari_hush.widgets.synthesize.materials import AROUND, Plane, measure_crop

    rng, refused, wrong, count = np.random.default_rng(0), {"alone": 0, "with what lies around": 0}, 0, 0
    lattices = {lattice.kind: lattice for lattice, *_ in reversed(CASES)}.values()
    for lattice, noise in product(lattices, (0.1, 0.2, 0.3)):
        ideal, _ = draw(lattice, (256, 256), (128.3, 127.7))
        image = ideal + noise * rng.normal(size=ideal.shape)
        for across in (2.0, 2.2, 2.5, 3.0, 3.5, 4.0):
            longest = across * np.hypot(*lattice.cell.T).max()
            height, width = (int(np.ceil(longest * more)) for more in rng.uniform(1, 1.3, 2))
            y, x = (int(rng.integers(0, 256 - size)) for size in (height, width))
            part = image[y : y + height, x : x + width]
            around = image[max(y - AROUND, 0) : y + height + AROUND, max(x - AROUND, 0) : x + width + AROUND]
            count += 1
            for name, given in zip(refused, (None, around), strict=True):
                try:
                    cell = average_cell(measure_crop(Plane(data=part, name="", index=(), around=given)).image)
                except InputError:
                    refused[name] += 1
            area = abs(np.linalg.det(cell.vectors) / np.linalg.det(lattice.cell))
            wrong += abs(area - 1) > 0.05
    for name, number in refused.items():
        print(f"{number} of {count} refused, crop {name}")
    print(f"{wrong} of {count} with a cell of another size")


def draw(lattice: Lattice, shape: tuple[int, int], origin: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Sum one Gaussian per column, without a cut-off; also return the columns inside, two sigma from the border."""
    sigma = lattice.sigma * lattice.period
    columns, peaks = lattice.basis
    reach = int(2 * max(shape) / lattice.period) + 4
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    cells = np.stack([i.ravel(), j.ravel()], axis=1)
    sites = np.array(origin) + (cells + columns[:, None]).reshape(-1, 2) @ lattice.cell
    heights = np.repeat(peaks, len(cells))
    near = np.all((sites > -9 * sigma) & (sites < np.array(shape) + 9 * sigma), axis=1)
    sites, heights = sites[near], heights[near]
    y, x = (np.exp(-((np.arange(n)[:, None] - s) ** 2) / (2 * sigma**2)) for n, s in zip(shape, sites.T, strict=True))
    inside = np.all((sites > 2 * sigma) & (sites < np.array(shape) - 1 - 2 * sigma), axis=1)
    return (y * heights) @ x.T, sites[inside]


def distances(image: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """How far the nearest refined maximum is from each site, px."""
    values = image.astype(np.float64)
    found = np.argwhere((values == maximum_filter(values, 3)) & (values > 0.3))
    found = found[np.all((found > 0) & (found < np.array(values.shape) - 1), axis=1)]
    logs = np.log(np.maximum(values, 1e-9))
    places = found.astype(float)
    for axis in (0, 1):
        step = np.eye(2, dtype=int)[axis]
        before, here, after = (logs[tuple((found + k * step).T)] for k in (-1, 0, 1))
        places[:, axis] += (before - after) / (2 * (before + after - 2 * here))
    return cKDTree(places).query(sites)[0]


def largest_block_mean(rest: np.ndarray, side: int = 16) -> float:
    """The largest absolute mean over blocks of ``side`` x ``side`` px."""
    rows, columns = (n // side for n in rest.shape)
    blocks = rest[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return float(np.abs(blocks.mean(axis=(1, 3))).max())


if __name__ == "__main__":
    main()
