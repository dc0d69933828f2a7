"""Series judged by all their frames: whether the truth is passed, and harm shows that one frame cannot show.

    python benchmarks/series_judged.py [--seeds 3] [--first 100] [--json FILE] [WHAT ...]

WHAT is any of lattice, cells and positions, the series of `series.py`: eight frames of 256 x 256 px. Of each,
frames 0 and 4 are judged alone and by all frames:

- truth: the clean frames, of which none should be accused;
- together, alone: what `hush.denoise` makes of the frames together, and of each alone;
- blurred: the truth after a Gaussian of 1 px, in every frame;
- spots: the truth without 12 spots that are in every noisy frame, 1.5 px wide (standard deviation) and as high as the
  noise of a pixel.

The transfer of the columns' displacements is predicted by one frame and by all, beside the true one of the series.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage

import napari_hush as hush
from napari_hush.fidelity.evaluate import judge
from napari_hush.fidelity.frames import FramesAround, judge_frame
from quality import append_line, read_lines
from series import drawn, positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.fidelity.verdict import Evidence
    from napari_hush.synthesis.series import FrameSeries

    Images = NDArray[np.float32]

DOSES = {"lattice": (2, 10, 50), "cells": (2, 10, 50), "positions": (2, 10, 50)}
JUDGED = (0, 4)
SPOTS, WIDTH = 12, 1.5
INSIDE = 24  # px from the edge


def with_spots(series: FrameSeries, images: Images, dose: float, rng: np.random.Generator) -> Images:
    """The frames with spots that drift with the field."""
    side = images.shape[1]
    level = float(np.sqrt(images.mean() + (0.2 * dose**0.5) ** 2))
    field = rng.uniform(INSIDE, side - INSIDE, (SPOTS, 2))
    y, x = np.mgrid[:side, :side]
    added = images.copy()
    for number, image in enumerate(added):
        for at_y, at_x in series.place(number, field):
            image += level * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / (2 * WIDTH**2)).astype(np.float32)
    return added


def looked_at(noisy: Images, output: Images) -> list[tuple[Evidence, Evidence]]:
    """By one frame and by all."""
    planes = noisy.astype(np.float64), output.astype(np.float64)
    around = FramesAround(lambda number: (planes[0][number], planes[1][number]), len(noisy))
    return [
        (judge(planes[0][k], planes[1][k]), judge_frame(planes[0][k], planes[1][k], around.around(k))) for k in JUDGED
    ]


def measure(what: str, seed: int, dose: float) -> list[dict[str, Any]]:
    series, noisy = drawn(what, seed, dose, argparse.Namespace(frames=8, size=256))
    model = "general" if what == "cells" else "stem"
    clean = series.clean * np.float32(dose)
    rng = np.random.default_rng([19, seed])
    extra = with_spots(series, clean, dose, rng) - clean
    images = {
        "truth": (noisy, clean),
        "together": (noisy, hush.denoise(noisy, model, frames=8)),
        "alone": (noisy, hush.denoise(noisy, model, frames=False)),
        "blurred": (noisy, np.stack([ndimage.gaussian_filter(one, 1.0) for one in clean])),
        "spots": (noisy + rng.poisson(extra).astype(np.float32), clean),
    }
    lines = []
    for name, (seen, output) in images.items():
        line: dict[str, Any] = {"what": what, "seed": seed, "dose": dose, "output": name}
        found = looked_at(seen, output)
        for which, one in (("one", [pair[0] for pair in found]), ("all", [pair[1] for pair in found])):
            line[f"flagged_{which}"] = sum(evidence.status in ("warn", "fail") for evidence in one)
            line[f"failed_{which}"] = sum(evidence.status == "fail" for evidence in one)
            told = [evidence.transfer.positions for evidence in one if evidence.transfer is not None]
            line[f"transfer_{which}"] = float(np.mean(told)) if told else None
        if what == "positions" and name in ("together", "alone"):
            line["transfer_true"] = positions(series, output)["transfer"]
        lines.append(line)
    return lines


def table(lines: list[dict[str, Any]]) -> None:
    groups: dict[tuple[str, float, str], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        groups[line["what"], line["dose"], line["output"]].append(line)
    print("\n| series | counts | output | flagged (failed) by one frame | by all | transfer, by one | by all | true |")
    print("|---|---|---|---|---|---|---|---|")
    for (what, dose, output), ones in groups.items():
        count = len(ones) * len(JUDGED)
        flagged = [
            f"{sum(one[f'flagged_{which}'] for one in ones)} ({sum(one[f'failed_{which}'] for one in ones)}) of {count}"
            for which in ("one", "all")
        ]
        shares = []
        for key in ("transfer_one", "transfer_all", "transfer_true"):
            values = [one[key] for one in ones if one.get(key) is not None]
            shares.append(f"{np.mean(values):.2f}" if values and what == "positions" else "")
        print("| " + " | ".join([what, f"{dose:g}", output, *flagged, *shares]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=list(DOSES), metavar="WHAT")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=100, help="the first seed")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if unknown := set(args.what) - set(DOSES):
        parser.error(f"unknown {', '.join(unknown)}: choose from {', '.join(DOSES)}")
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    lines = [] if args.json is None else read_lines(args.json)
    done = {(line["what"], line["seed"], line["dose"]) for line in lines}
    for seed in range(args.first, args.first + args.seeds):
        for what in args.what:
            for dose in DOSES[what]:
                if (what, seed, float(dose)) in done:
                    continue
                for line in measure(what, seed, float(dose)):
                    lines.append(line)
                    if args.json is not None:
                        append_line(args.json, line)
                print(what, seed, dose, flush=True)
    table([line for line in lines if line["what"] in args.what])


if __name__ == "__main__":
    main()
