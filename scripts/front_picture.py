"""Draw the picture on top of the README and of the manual from one image: noisy, denoised, support, given back.

    python scripts/front_picture.py dented-lattice docs/images/front.png --part 130 170 240
    python scripts/front_picture.py Tecnai_Osiris_SrTiO3.tif docs/images/real.png --part 128 128 240

The second image is of https://github.com/lukmuk/r_em_workflows (MIT licence). What was given back is drawn from minus
to plus a quarter of the image's range, and not at all where it is less than one pixel in a hundred.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import napari_hush as hush
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.io import read_image
from napari_hush.reports.panels import contrast
from napari_hush.reports.pictures import CARRIED, DIVERGING, SEQUENTIAL, support_map
from napari_hush.synthesis.samples import SAMPLES
from picture_row import coloured, shades, write_rows

GIVEN = 0.01  # of the range: less cannot be seen
FEW = 0.01  # of the pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="a file, or the name of a sample")
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", type=int, nargs=3, metavar=("Y", "X", "SIDE"), default=(128, 128, 240))
    args = parser.parse_args()
    noisy = (
        hush.sample(args.image).noisy if args.image in SAMPLES else np.asarray(read_image(args.image).data, np.float32)
    )
    done = run_steps(denoise_steps(noisy, hush.load_model(hush.describe(noisy).advice.model)))
    evidence = hush.judge(noisy, done.image)
    support, given = support_map(evidence), done.given_back
    if support is None or given is None:
        raise SystemExit(f"expected an image whose noise is understood, but: {evidence.verdict}")
    print(evidence.verdict)
    y, x, side = args.part
    part = slice(y, y + side), slice(x, x + side)
    low, high = contrast(noisy[part])
    width = (high - low) / 4
    row = [
        ("noisy", shades(noisy[part], low, high)),
        ("denoised", shades(done.image[part], *contrast(done.image[part]))),
        ("carried by the counts: 0 to 5 sigma", coloured(support[part], 0.0, CARRIED, SEQUENTIAL)),
    ]
    if np.mean(np.abs(given) > GIVEN * (high - low)) >= FEW:
        row.append(("given back by the guard", coloured(given[part], -width, width, DIVERGING)))
    write_rows(args.out, [row])


if __name__ == "__main__":
    main()
