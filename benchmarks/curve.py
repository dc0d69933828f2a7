"""What a model makes of crystals that are more or less displaced: PSNR against what it keeps of the displacements.

    python benchmarks/curve.py --displacements 0 0.015 0.04 0.08 --doses 2 5 10 50
    python benchmarks/curve.py --kind together --displacements 0.04 0.08 --doses 10 50

Simulated fields of 192 x 192 px, square, hexagonal, rectangular and centred cells of 10 to 15 px, heights spread by
5 %, 2 % vacancies, Poisson noise. Displacements are rms per axis, in periods: of each column alone, of neighbours
together (smooth over two periods), or heavy-tailed (Student's t with 3 degrees of freedom). Means over the fields.

- gain: PSNR over the better of BM3D, with the true noise, and the best Gaussian filter, chosen with the truth; dB
- error: rms of the positions per axis, in periods
- positions, heights: transfer, the slope of the found deviations on those found in the truth
- said: how many fields' verdicts, found without the truth, are not "pass", and how many say that displacements come out
  too small
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from scipy import ndimage

import napari_hush as hush
from napari_hush.atoms.columns import match_atoms
from napari_hush.fidelity.metrics import psnr
from napari_hush.fidelity.transfer import measure_columns, transfer
from napari_hush.synthesis import Lattice, render_columns
from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.lattices.lattice import sites_near
from rivals import best_gaussian, bm3d

SHAPE = (192, 192)
BACKGROUND, VACANCIES, SPREAD = 0.15, 0.02, 0.05
KINDS = ("alone", "together", "tailed")
TAIL = 3  # degrees of freedom


def draw(number: int, displacement: float, kind: str) -> tuple[np.ndarray, Lattice, np.ndarray, np.ndarray]:
    """A clean field, its lattice, the columns' true positions, and the distance of neighbours, px."""
    rng = np.random.default_rng([70_717, number])
    lattice = Lattice(
        kind=("square", "hexagonal", "rectangular", "square")[number % 4],
        period=float(rng.uniform(10, 15)),
        angle=float(rng.uniform(0, 90)),
        ratio=1.3,
        sigma=float(rng.uniform(0.15, 0.2)),
        sublattice=0.5 if number % 4 == 3 else 0.0,
    )
    origin = rng.uniform(0, lattice.period, 2)
    sites, species = sites_near(lattice.basis[0], lattice.cell, SHAPE, 2 * lattice.period, origin)
    moved = {
        "alone": lambda: rng.normal(0, 1, sites.shape),
        "tailed": lambda: rng.standard_t(TAIL, sites.shape) * np.sqrt((TAIL - 2) / TAIL),
        "together": lambda: np.stack(
            [
                ndimage.map_coordinates(smooth_field(SHAPE, 2 * lattice.period, rng), sites.T, order=1, mode="reflect")
                for _ in range(2)
            ],
            axis=1,
        ),
    }[kind]()
    limit = 0.35 * lattice.nearest
    moved = moved * displacement * lattice.period
    moved *= np.minimum(1, limit / np.maximum(np.hypot(*moved.T), 1e-9))[:, None]
    kept = rng.random(len(sites)) >= VACANCIES
    positions = (sites + moved)[kept]
    peaks = np.where(species == 0, 1.0, 0.5)[kept] * np.clip(rng.normal(1, SPREAD, kept.sum()), 0.2, 2)
    image = render_columns(positions, peaks, lattice.sigma * lattice.period, SHAPE).astype(np.float64)
    return BACKGROUND + (1 - BACKGROUND) * image, lattice, positions


def measure(clean: np.ndarray, output: np.ndarray, lattice: Lattice, positions: np.ndarray) -> dict[str, Any]:
    """The figures of one output."""
    true, found = (measure_columns(image, lattice.nearest) for image in (clean, output))
    kept = transfer(found, true, lattice.cell, spacing=lattice.nearest)
    inside = ((positions > lattice.period) & (positions < np.array(SHAPE) - lattice.period)).all(axis=1)
    pairs = match_atoms(positions[inside], found.positions, 0.35 * lattice.nearest).pairs
    off = found.positions[pairs[:, 1]] - positions[inside][pairs[:, 0]]
    return {
        "psnr": psnr(clean, output),
        "error": float(np.sqrt((off**2).mean())) / lattice.period,
        "recall": len(pairs) / inside.sum(),
        "positions": kept.positions,
        "heights": kept.heights,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["stem", "stem-regular"])
    parser.add_argument("--displacements", type=float, nargs="+", default=[0.0, 0.015, 0.04, 0.08])
    parser.add_argument("--doses", type=float, nargs="+", default=[2, 5, 10, 50])
    parser.add_argument("--kind", choices=KINDS, default="alone")
    parser.add_argument("--fields", type=int, default=6)
    parser.add_argument("--guard", default="auto", choices=("auto", "strict", "off"))
    parser.add_argument("--no-rivals", action="store_true")
    parser.add_argument("--no-verdict", action="store_true", help="do not judge: it takes the most time")
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    guard = {"off": False}.get(args.guard, args.guard)
    models = {name: hush.load_model(name) for name in args.models}
    print("| displacement | dose | image | PSNR | gain | error | recall | positions | heights | said |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for displacement in args.displacements:
        for dose in args.doses:
            rows: dict[str, list[dict[str, Any]]] = {}
            rivals, said = [], {name: [0, 0] for name in models}
            for number in range(args.fields):
                clean, lattice, positions = draw(number, displacement, args.kind)
                noisy = np.random.default_rng([70_717, number, int(dose)]).poisson(dose * clean) / dose
                sigma = float(np.sqrt(clean.mean() / dose))
                rival = np.nan
                if not args.no_rivals:
                    tried = (bm3d(noisy, None, sigma), best_gaussian(noisy, clean, sigma))
                    rival = max(psnr(clean, one) for one in tried)
                rivals.append(rival)
                outputs = {"noisy": noisy}
                for name, model in models.items():
                    outputs[name] = hush.denoise(noisy.astype(np.float32), model, guard=guard).astype(np.float64)
                    if not args.no_verdict:
                        verdict = hush.judge(noisy, outputs[name])
                        said[name][0] += verdict.status != "pass"
                        said[name][1] += "displacements would" in verdict.verdict
                for name, output in outputs.items():
                    found = measure(clean, output, lattice, positions)
                    rows.setdefault(name, []).append(found | {"gain": found["psnr"] - rival})
            for name, found in rows.items():
                mean = {key: float(np.nanmean([one[key] for one in found])) for key in found[0]}
                words = (
                    "" if name not in said or args.no_verdict else f"{said[name][0]}, {said[name][1]} of {args.fields}"
                )
                cells = [f"{displacement:g}", f"{dose:g}", name.rsplit("/", 1)[-1].removesuffix(".safetensors")]
                cells += [
                    f"{mean['psnr']:.1f}",
                    f"{mean['gain']:+.1f}",
                    f"{mean['error']:.3f}",
                    f"{mean['recall']:.3f}",
                ]
                cells += [f"{mean['positions']:.2f}", f"{mean['heights']:.2f}", words]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
