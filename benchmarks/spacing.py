"""How well the lattice period is found: on simulated fields with known truth, and on images of your own.

    python benchmarks/spacing.py --fields 100 --images *.tif

Simulated fields of 256 and 512 px: any kind of lattice with 5.5 to 41 px per period, any angle, vacancies, dents and
strain, with random scan noise. Where a second column makes a shorter translation strong in the clean image, that one is
right, see `estimate_spacing`. Fields with two grains or with more than 1 % of strain have no single period, and are
left out. A tenth of the fields has no lattice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_hush.atoms.spacing import estimate_spacing
from napari_hush.io import read_image
from napari_hush.synthesis import random_scan_noise, random_scene


def scenes(count: int, side: int):
    """Fields with one period, and the right answer; None for fields without a lattice."""
    number = found = 0
    while found < count:
        scene = random_scene(np.random.default_rng([3, number]), shape=(side, side), period=(5.5, 41.0))
        number += 1
        lattice = scene.lattice
        if lattice is None:
            found += 1
            yield number, scene, None
        elif lattice.grain_angle == 0 and lattice.strain <= 0.01:
            found += 1
            yield number, scene, truth(scene)


def truth(scene) -> float:
    """The period, or the shorter translation that the same lattice has without any flaw."""
    from dataclasses import replace

    from napari_hush.synthesis import render_lattice

    lattice = scene.lattice
    flawless = replace(
        lattice, displacement=0.0, intensity_spread=0.0, vacancies=0.0, strain=0.0, thickness=0.0, background=0.0
    )
    side = int(min(max(14 * lattice.period, 256), 640))
    found = estimate_spacing(render_lattice(flawless, (side, side), 0).image)
    return lattice.period if found is None or found > 0.95 * lattice.period else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=100, help="of each size")
    parser.add_argument("--doses", type=float, nargs="+", default=[2, 5, 10, 50, 500], help="counts per peak pixel")
    parser.add_argument("--images", type=Path, nargs="*", default=[], help="look at these as well")
    args = parser.parse_args()
    print(
        "| side, px | dose | lattices | found | error: median | 95 % below | over 2 % | no lattice | false lattices |"
    )
    print("|---" * 9 + "|")
    for side in (256, 512):
        fields = list(scenes(args.fields, side))
        for dose in args.doses:
            errors, missed, empty, false = [], 0, 0, 0
            for number, scene, expected in fields:
                rng = np.random.default_rng([4, number])
                noisy = random_scan_noise(rng, dose=(dose, dose), period=scene.period)(scene.clean, rng)
                found = estimate_spacing(noisy)
                if expected is None:
                    empty, false = empty + 1, false + (found is not None)
                elif found is None:
                    missed += 1
                else:
                    errors.append(abs(found / expected - 1))
            cells = [side, f"{dose:g}", len(errors) + missed, len(errors), f"{np.median(errors):.2%}"]
            cells += [f"{np.quantile(errors, 0.95):.2%}", int(np.sum(np.array(errors) > 0.02)), empty, false]
            print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
    if args.images:
        print("\n| image | period, px |\n|---|---|")
    for path in args.images:
        plane = np.asarray(read_image(path).data)
        while plane.ndim > 2:
            plane = plane[..., 0] if plane.shape[-1] <= 4 else plane[0]
        found = estimate_spacing(plane)
        print(f"| {path.name} | {'no lattice' if found is None else f'{found:.2f}'} |")


if __name__ == "__main__":
    main()
