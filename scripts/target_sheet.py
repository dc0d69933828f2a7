"""Draw a sheet of random targets and their noisy versions at one pixel per pixel, and real images beside them if named.

    python scripts/target_sheet.py docs/images/targets.png
    python scripts/target_sheet.py docs/images/wide.png --world wide
    python scripts/target_sheet.py sheet.png --real image.tif other.tif --like image.tif

Each column of a row is one target: clean above, noisy below, on one grey scale (the 0.5 and 99.5 percentiles of the
noisy crop). With ``--like`` the targets of the last row have the noise and the dents of an image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import napari_hush as hush
from napari_hush.atoms.spacing import require_spacing
from napari_hush.datasets.materials import make_materials, read_plane
from napari_hush.synthesis.noise.fit.noise import fit_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS, ROWS, GAP = 6, 4, 4


def grey(image: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = limits
    return np.asarray(np.rint(255 * np.clip((image - low) / (high - low), 0, 1)), dtype=np.uint8)


def column(target: hush.Target, side: int) -> NDArray[np.uint8]:
    """One target: the middle of the clean image above that of the noisy one."""
    crops = [
        image[tuple(slice((n - side) // 2, (n + side) // 2) for n in image.shape)]
        for image in (target.clean, target.noisy)
    ]
    low, high = (float(v) for v in np.percentile(crops[1], (0.5, 99.5)))
    gap = np.zeros((1, side), dtype=np.uint8)
    return np.concatenate([grey(crops[0], (low, high)), gap, grey(crops[1], (low, high))])


def real_crops(paths: list[Path], side: int) -> list[NDArray[np.uint8]]:
    """Crops of real images, spread over each."""
    found = []
    for path in paths:
        plane = read_plane(path)
        for share in (0.25, 0.5, 0.75):
            y, x = (int(share * (n - side)) for n in plane.shape)
            crop = plane[y : y + side, x : x + side]
            low, high = (float(v) for v in np.percentile(crop, (0.5, 99.5)))
            found.append(grey(crop, (low, high)))
    return found


def beside(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, GAP)), constant_values=32) for p in pictures]
    return np.concatenate(padded, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=24)
    parser.add_argument("--side", type=int, default=96, help="of a crop, px")
    parser.add_argument("--world", default="plain", help="plain or wide")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="real images, shown in rows of their own")
    parser.add_argument("--like", type=Path, help="a real image, whose noise and dents the last row has")
    args = parser.parse_args()
    count = COLUMNS * ROWS
    own = COLUMNS if args.like else 0
    drawn = {"test_share": 0, "seed": args.seed, "world": args.world}
    targets = hush.synthesize({"n": count - own, "workers": 1} | drawn)
    if args.like:
        image = read_plane(args.like)
        period = require_spacing(image.astype(float))
        settings = drawn | {"n": own, "noises": fit_noise(image).noise().noises}
        ranges = {"period": (0.8 * period, 1.25 * period), "dent_share": 1.0, "mask_share": 1.0}
        materials = make_materials("lattice", images=[image])
        targets += hush.synthesize(settings | ranges, materials=materials)
    columns = [column(target, args.side) for target in targets]
    columns += real_crops(args.real, args.side)
    rows = [beside(columns[k : k + COLUMNS]) for k in range(0, len(columns), COLUMNS)]
    width = max(row.shape[1] for row in rows)
    sheet = np.concatenate([np.pad(r, ((0, GAP), (0, width - r.shape[1])), constant_values=32) for r in rows])
    Image.fromarray(sheet).save(args.out, optimize=True)
    print(f"{args.out}: {len(targets)} targets, seed {args.seed}; kinds {', '.join(t.kind for t in targets)}")


if __name__ == "__main__":
    main()
