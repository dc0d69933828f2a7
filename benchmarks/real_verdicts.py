"""What the verdict says of real images of lattices, without the guard and with it: a Markdown table.

    python benchmarks/real_verdicts.py FOLDER [--model stem]

FOLDER holds the images of `REAL_IMAGES` in ``stem``; whole images are denoised and judged. The spread is that of what
was taken away over the noise, the average cell that of `compare_cells`, in percent of the lattice; *cells* is how many
times longer the translations are by which columns repeat themselves (a superlattice).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import napari_hush as hush
from fields import REAL_IMAGES
from napari_hush.atoms.spacing import estimate_spacing
from napari_hush.inference.guards.sites import measure_sites
from napari_hush.io import read_image

SHOWN = {
    "missing_detail": ".1f",
    "contradicted_detail": ".1f",
    "residual_spread": ".2f",
    "detail_lost": ".0f",
    "cell_difference": ".1f",
    "row_wander": ".2f",
    "position_transfer": ".2f",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="stem")
    args = parser.parse_args()
    titles = (
        "verdict | missing, σ | contradicted, σ | spread | detail lost, % | average cell, % | wander, px | transfer"
    )
    print(f"| image | cells | guard | {titles} |\n|{'---|' * 11}")
    for name, (file, _) in REAL_IMAGES.items():
        image = np.asarray(read_image(args.folder / "stem" / file).data, np.float64)
        spacing = estimate_spacing(image)
        sites = measure_sites([image], spacing) if spacing else ()
        for guard in (False, "auto"):
            evidence = hush.judge(image, hush.denoise(image, args.model, guard=guard))
            values = evidence.as_dict()
            cells = [
                f"{values[key]:{spec}}" if np.isfinite(values.get(key, np.nan)) else "-" for key, spec in SHOWN.items()
            ]
            multiple = "/".join(str(one.multiple) for one in sites) or "-"
            print(f"| {name} | {multiple} | {guard or 'off'} | {evidence.status} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
