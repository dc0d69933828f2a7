"""How often the period is found where an image holds more than one grain, and how often where it holds no lattice.

    python benchmarks/grains.py --fields 20 --images *.tif

Four kinds of simulated images of 384 to 512 px, all with one column per cell, 8 to 24 px per period:

boundary
    Two square or two hexagonal grains, turned by 8 to 30 or 45 degrees, that meet at a line.
twin
    A cell with equal edges at 65 to 82 degrees (fcc seen along [110] has 70.5), and its mirror image.
particles
    One to five discs of 80 to 180 px on an amorphous support, each turned at random; most of the image has no lattice.
interface
    Two lattices with their own period and kind; either of the periods is right.

The lattice-free images are pictures of all the other kinds that can be drawn, noise, and textures of random phases,
with the noise of counting; ``--images`` are images of your own without a lattice.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_hush.atoms.grains import find_grains
from napari_hush.atoms.spacing import find_lattice
from napari_hush.atoms.spectrum import bragg_spots
from napari_hush.io import read_image
from napari_hush.synthesis import KINDS, random_scan_noise, random_scene, render_columns
from napari_hush.synthesis.lattices.lattice import sites_near

SCENES = ("boundary", "twin", "particles", "interface")
TOLERANCE = 0.02


def scene(kind: str, number: int):
    """One clean image with values from 0 to 1, and the vectors of each of its grains."""
    rng = np.random.default_rng([SCENES.index(kind), number])
    side = int(rng.integers(384, 513))
    shape = (side, side)
    period = float(np.exp(rng.uniform(np.log(8), np.log(24))))
    gamma = 90.0 if rng.random() < 0.4 else 60.0
    angle = float(rng.uniform(0, 360))
    if kind == "particles":
        period = min(period, 18.0)
        return particles(shape, period, gamma, rng)
    cut = float(rng.uniform(0, 360))
    if kind == "boundary":
        other = angle + float(rng.uniform(8, 45 if gamma == 90 else 30))
        grains = [vectors(period, period, gamma, angle), vectors(period, period, gamma, other)]
    elif kind == "twin":
        gamma = float(rng.uniform(65, 82))
        grains = [vectors(period, period, gamma, cut), vectors(period, period, 180 - gamma, cut)]
    else:
        other = period * float(rng.uniform(1.1, 1.5))
        grains = [vectors(period, period, gamma, angle)]
        grains.append(vectors(other, other * float(rng.uniform(1, 1.3)), 90.0, float(rng.uniform(0, 360))))
    y, x = np.indices(shape)
    turn, shift = np.deg2rad(cut), float(rng.uniform(-0.15, 0.15)) * side
    above = (y - side / 2) * np.cos(turn) - (x - side / 2) * np.sin(turn) > shift
    return columns(grains, [above, ~above], shape, rng), grains


def vectors(first: float, second: float, gamma: float, angle: float):
    """Two vectors (y, x) as rows, px, the first at ``angle`` degrees from X towards Y, the second ``gamma`` further."""
    turns = np.deg2rad([angle, angle + gamma])
    return np.stack([np.sin(turns), np.cos(turns)], axis=1) * np.array([[first], [second]])


def particles(shape, period, gamma, rng):
    """Discs of lattice on an amorphous support."""
    y, x = np.indices(shape)
    grains, regions, taken = [], [], np.zeros(shape, bool)
    for _ in range(int(rng.integers(1, 6))):
        radius = float(rng.uniform(max(40, 3 * period), 90))
        centre = rng.uniform(radius, np.array(shape) - radius)
        disc = np.hypot(y - centre[0], x - centre[1]) < radius
        if not (taken & disc).any():
            taken |= disc
            regions.append(disc)
            grains.append(vectors(period, period, gamma, float(rng.uniform(0, 360))))
    support = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1, 3))
    support = 0.25 + 0.06 * support / support.std()
    return np.clip(0.7 * columns(grains, regions, shape, rng) + support, 0, None), grains


def columns(grains, regions, shape, rng):
    """Columns of each grain inside its region."""
    image = np.zeros(shape)
    sigma = float(rng.uniform(0.16, 0.22)) * float(np.hypot(*grains[0][0]))
    for pair, region in zip(grains, regions, strict=True):
        origin = rng.uniform(0, 20, 2)
        sites, _ = sites_near(np.zeros((1, 2)), pair, shape, 0.0, origin)
        y, x = np.clip(np.rint(sites).astype(int), 0, np.array(shape) - 1).T
        sites = sites[region[y, x]]
        sites = sites + rng.normal(0, 0.015, sites.shape) * np.hypot(*pair[0])
        image += render_columns(sites, np.clip(rng.normal(1, 0.06, len(sites)), 0, 2), sigma, shape)
    return image + 0.15


def lattice_free(count: int):
    """Images without a lattice: name and image (Y, X)."""
    kinds = [name for name in KINDS if name not in ("lattice", "published")]
    extra = ["white noise", "counting", "blurred noise", "random phases", "amorphous", "scan"]
    for number in range(count):
        name = (kinds + extra)[number % (len(kinds) + len(extra))]
        rng = np.random.default_rng([9, number])
        shape = (int(rng.integers(256, 513)),) * 2
        if name in kinds:
            picture = np.asarray(KINDS[name](shape, rng=rng), np.float64)
            picture = picture if picture.ndim == 2 else picture.mean(axis=0)
            image = rng.poisson(np.clip(picture, 0, None) * 10 ** rng.uniform(0.7, 3))
        elif name == "white noise":
            image = rng.normal(size=shape)
        elif name == "counting":
            image = rng.poisson(10 ** rng.uniform(-1.5, 1), shape)
        elif name == "blurred noise":
            image = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 8, 2))
            image = image / image.std() + 0.2 * rng.normal(size=shape)
        elif name == "random phases":  # a ring in the spectrum: what amorphous films show at strong defocus
            radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
            ring = np.exp(-0.5 * ((radius * rng.uniform(6, 24) - 1) / rng.uniform(0.05, 0.3)) ** 2)
            image = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * ring, shape)
            image = image / image.std() + 0.3 * rng.normal(size=shape)
        elif name == "amorphous":  # columns that keep their distance and have no order
            sites = rng.uniform(0, shape[0], (4000, 2))
            kept: list[np.ndarray] = []
            for site in sites:
                if not kept or np.min(np.hypot(*(np.array(kept) - site).T)) > 11:
                    kept.append(site)
            image = rng.poisson(20 * (render_columns(np.array(kept), np.ones(len(kept)), 2.2, shape) + 0.1))
        else:
            empty = (random_scene(np.random.default_rng([9, number, k]), shape=shape) for k in range(1000))
            found = next(s for s in empty if s.lattice is None)
            image = random_scan_noise(rng, dose=(5, 100), period=found.period)(found.clean, rng)
        yield name, image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=20, help="of each kind")
    parser.add_argument("--doses", type=float, nargs="+", default=[5, 20, 100], help="counts per peak pixel")
    parser.add_argument("--free", type=int, default=90, help="images without a lattice")
    parser.add_argument("--images", type=Path, nargs="*", default=[], help="images without a lattice of your own")
    args = parser.parse_args()
    print("| scene | dose | images | right | wrong period | none | grains found | grains with Bragg spots | seconds |")
    print("|---" * 9 + "|")
    for kind in SCENES:
        for dose in args.doses:
            right = wrong = none = grains = seen = spotted = 0
            seconds = []
            for number in range(args.fields):
                clean, truth = scene(kind, number)
                rng = np.random.default_rng([5, number])
                periods = [float(np.hypot(*pair.T).min()) for pair in truth]
                noisy = random_scan_noise(rng, dose=(dose, dose), period=periods[0])(clean, rng)
                start = time.perf_counter()
                found = find_lattice(noisy)
                seconds.append(time.perf_counter() - start)
                if found is None:
                    none += 1
                elif min(abs(found.spacing / period - 1) for period in periods) < TOLERANCE:
                    right += 1
                else:
                    wrong += 1
                    print(f"  {kind} {number} dose {dose:g}: {found.spacing:.2f} for {periods}")
                grains += len(truth)
                kept = find_grains(noisy)
                seen += sum(any(same(grain.vectors, pair) for grain in kept) for pair in truth)
                spots = np.empty((0, 2)) if found is None else bragg_spots(noisy, found.spacing, count=6)
                spotted += sum(has_spots(spots, pair) for pair in truth)
            cells = [kind, f"{dose:g}", args.fields, right, wrong, none, f"{seen} of {grains}"]
            cells += [f"{spotted} of {grains}", f"{np.median(seconds):.2f}"]
            print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
    false: dict[str, int] = {}
    count: dict[str, int] = {}
    for name, image in lattice_free(args.free):
        found = find_lattice(image)
        count[name] = count.get(name, 0) + 1
        false[name] = false.get(name, 0) + (found is not None)
    print("\n| without a lattice | images | false lattices |\n|---|---|---|")
    for name in count:
        print(f"| {name} | {count[name]} | {false[name]} |")
    print(f"| all | {sum(count.values())} | {sum(false.values())} |")
    for path in args.images:
        plane = np.asarray(read_image(path).data)
        while plane.ndim > 2:
            plane = plane[..., 0] if plane.shape[-1] <= 4 else plane[0]
        found = find_lattice(plane)
        print(f"| {path.name} | 1 | {'none' if found is None else f'{found.spacing:.2f} px'} |")


def same(found, pair) -> bool:
    """Whether two pairs of vectors make one lattice, to 4 %."""
    steps = found @ np.linalg.inv(pair)
    whole = np.rint(steps)
    return bool(abs(steps - whole).max() < 0.04 and abs(abs(np.linalg.det(whole)) - 1) < 0.5)


def has_spots(spots, pair) -> bool:
    """Whether two independent ones of some Bragg spots belong to a lattice."""
    steps = spots @ pair.T
    whole = np.rint(steps[(abs(steps - np.rint(steps)) < 0.08).all(axis=1)])
    return np.linalg.matrix_rank(whole) == 2 if len(whole) else False


if __name__ == "__main__":
    main()
