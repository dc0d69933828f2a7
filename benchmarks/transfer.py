"""How much of displacements and differences in height a denoised image keeps, and what is predicted without the truth.

    python benchmarks/transfer.py --fields 6

Simulated fields of 256 x 256 px, square and hexagonal, 12 to 16 px per period, displacements of 0.04 periods rms,
heights spread by 10 %, Poisson noise. Means over the fields, standard errors of the mean in brackets.

- positions, heights: slope of the found deviations from the ideal lattice on those that the detector finds in the truth
- predicted: of the default guard, from the noisy image alone
- error: rms of the positions per axis, in periods
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np

import napari_hush as hush
from napari_hush.atoms.columns import match_atoms
from napari_hush.fidelity.metrics import psnr
from napari_hush.fidelity.transfer import measure_columns, predict_transfer, transfer
from napari_hush.synthesis import Lattice, render_columns
from napari_hush.synthesis.lattices.lattice import sites_near

SHAPE = (256, 256)
BACKGROUND = 0.15


def draw(number: int, displacement: float, spread: float):
    """A clean field, its lattice, and the columns' true positions."""
    rng = np.random.default_rng([70_701, number])
    lattice = Lattice(
        kind=("square", "hexagonal")[number % 2],
        period=float(rng.uniform(12, 16)),
        angle=float(rng.uniform(0, 90)),
        sigma=float(rng.uniform(0.15, 0.2)),
    )
    sites, _ = sites_near(lattice.basis[0], lattice.cell, SHAPE, 2 * lattice.period, rng.uniform(0, lattice.period, 2))
    positions = sites + rng.normal(0, displacement * lattice.period, sites.shape)
    peaks = np.clip(rng.normal(1, spread, len(sites)), 0.2, 2)
    image = render_columns(positions, peaks, lattice.sigma * lattice.period, SHAPE)
    return BACKGROUND + (1 - BACKGROUND) * image.astype(np.float64), lattice, positions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=6)
    parser.add_argument("--doses", type=float, nargs="+", default=[3, 10, 50])
    parser.add_argument("--displacement", type=float, default=0.04)
    parser.add_argument("--spread", type=float, default=0.1)
    parser.add_argument("--model", default="stem")
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    model = hush.load_model(args.model)
    print("| dose | image | PSNR | positions | heights | predicted | error |\n|---|---|---|---|---|---|---|")
    for dose in args.doses:
        rows: dict[str, list[tuple[float, ...]]] = {"noisy": [], "guard": [], "strict": []}
        for number in range(args.fields):
            clean, lattice, positions = draw(number, args.displacement, args.spread)
            noisy = np.random.default_rng([70_701, number, int(dose)]).poisson(dose * clean) / dose
            true = measure_columns(clean, lattice.period)
            outputs = {"noisy": noisy}
            for name, guard in (("guard", "auto"), ("strict", "strict")):
                outputs[name] = hush.denoise(noisy.astype(np.float32), model, guard=guard).astype(np.float64)
            for name, output in outputs.items():
                found = measure_columns(output, lattice.period)
                kept = transfer(found, true, lattice.cell)
                guess = predict_transfer(noisy, output) if name == "guard" else None
                pairs = match_atoms(positions, found.positions, 0.35 * lattice.period).pairs
                off = found.positions[pairs[:, 1]] - positions[pairs[:, 0]]
                rows[name].append(
                    (
                        psnr(clean, output),
                        kept.positions,
                        kept.heights,
                        guess.positions if guess else np.nan,
                        guess.heights if guess else np.nan,
                        float(np.sqrt((off**2).mean())) / lattice.period,
                        kept.position_error,
                        kept.height_error,
                    )
                )
        for name, values in rows.items():
            table = np.array(values)
            mean, error = table.mean(axis=0), table.std(axis=0) / np.sqrt(len(table))
            guess = "" if np.isnan(mean[3]) else f"{mean[3]:.2f}, {mean[4]:.2f}"
            cells = [
                f"{dose:g}",
                name,
                f"{mean[0]:.1f}",
                f"{mean[1]:.3f} ({error[1]:.3f})",
                f"{mean[2]:.2f} ({error[2]:.2f})",
                guess,
                f"{mean[5]:.3f}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
            if guess:
                worst = np.abs(table[:, 3:5] - table[:, 1:3]).max(axis=0)
                print(f"largest error of a prediction: positions {worst[0]:.2f}, heights {worst[1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
