"""What the guard does to a network that erases dents, and what it costs a good one.

    python benchmarks/guard.py --fields 20

Simulated fields of 384 x 384 px, six kinds of lattice with 11 to 20 px per period, a dent each (depth 0.4 to 1),
scanned with row jitter, counting noise, detector lag and readout noise. The eraser gives the perfect lattice, without
its dent; the good network is a bundled model. Medians over the fields, and the worst.

- depth: of the dent, in the low-passed image (one period), relative to the truth's
- lattice: its amplitude in the dent's core over that of the bulk, minus the truth's
- dent PSNR: where the dent is, in dB, over the eraser's own
- cost: PSNR of the whole field, without the guard minus with it
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import ndimage

import napari_hush as hush
from napari_hush.atoms.lockin import lattice_amplitude
from napari_hush.atoms.spectrum import bragg_spots
from napari_hush.fidelity.metrics import psnr
from napari_hush.inference.guards.guard import measure_guard
from napari_hush.synthesis import Lattice, ellipse, render_lattice
from napari_hush.synthesis.noise.registry import Compose, DetectorLag, Poisson, Readout, RowJitter

SHAPE = (384, 384)
KINDS = ("square", "hexagonal", "rectangular", "oblique", "honeycomb", "dumbbell")


def draw(number: int, dose: float):
    """A field: the lattice without its dent, the truth, the noisy image, the transmission, the period."""
    rng = np.random.default_rng([2, number])
    kind = KINDS[number % len(KINDS)]
    double = kind in ("honeycomb", "dumbbell")
    lattice = Lattice(
        kind=kind,
        period=float(rng.uniform(15, 20) if double else rng.uniform(11, 14)),
        angle=float(rng.uniform(0, 360)),
        sigma=0.12 if double else 0.18,
        sublattice=0.6 if double else 0.0,
        displacement=0.01,
        vacancies=0.01,
        background=0.12,
    )
    full = render_lattice(lattice, SHAPE, rng).image
    depth = float(rng.uniform(0.4, 1.0))
    size = rng.uniform(90, 140, 2)
    dent = ellipse(SHAPE, centre=(190, 200), fwhm=(size[0], size[1]), angle=30, depth=depth, edge=8)
    lag = DetectorLag(correlation=0.25)
    jitter = RowJitter(rms=0.02 * lattice.period, correlation=0.5, advance=lag.delay)
    scan = Compose(noises=(jitter, Poisson(dose=dose), lag, Readout(sigma=0.15 * dose**-0.5)))
    truth = full * dent
    return full, truth, scan(truth, rng), dent, lattice.period


def measure(number: int, dose: float, model) -> tuple[float, ...]:
    full, truth, noisy, dent, period = draw(number, dose)
    guard = measure_guard([noisy], period)
    erased = guard(noisy, full)
    core = ndimage.binary_erosion(dent < dent.min() + 0.05, iterations=int(period / 2))
    bulk, hurt = dent > 0.99, dent < 0.9
    spots = bragg_spots(truth, period, count=6)

    def depth(image):
        smooth = ndimage.gaussian_filter(np.asarray(image, np.float64), period)
        return 1 - smooth[core].mean() / smooth[bulk].mean()

    def lattice(image):
        amplitude = lattice_amplitude(image, spots, period)
        return np.median(amplitude[core]) / np.median(amplitude[bulk])

    def error(image):
        return np.mean((image - truth)[hurt] ** 2)

    plain, guarded = (hush.denoise(noisy, model, guard=on, rescale=False) for on in (False, True))
    return (
        depth(full) / depth(truth),
        depth(erased) / depth(truth) - 1,
        lattice(full) - lattice(truth),
        lattice(erased) - lattice(truth),
        10 * np.log10(error(full) / error(erased)),
        psnr(truth, plain) - psnr(truth, guarded),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=20, help="per dose")
    parser.add_argument("--model", default="stem", help="the good network")
    parser.add_argument("--doses", type=float, nargs="+", default=[2, 5, 10, 50, 200], help="counts per peak pixel")
    args = parser.parse_args()
    model = hush.load_model(args.model)
    print(f"{args.fields} fields per dose, {args.model}; median (worst)\n")
    print(
        "| dose | depth, eraser / truth | its error, guarded | lattice, eraser - truth | its error, guarded |", end=" "
    )
    print("dent PSNR gained, dB | cost to the good network, dB |")
    print("|---" * 7 + "|")
    for dose in args.doses:
        rows = np.array([measure(number, dose, model) for number in range(args.fields)])
        middle = np.median(rows, axis=0)
        worst = [rows[:, 0], np.abs(rows[:, 1]), rows[:, 2], np.abs(rows[:, 3]), -rows[:, 4], rows[:, 5]]
        ends = [float(column.max()) for column in worst]
        ends[4] = -ends[4]
        cells = [
            f"{middle[0]:.3f}",
            f"{np.median(worst[1]):.1%} ({ends[1]:.1%})",
            f"{middle[2]:.2f}",
            f"{np.median(worst[3]):.3f} ({ends[3]:.3f})",
            f"{middle[4]:.1f} ({ends[4]:.1f})",
            f"{rows[:, 5].mean():.2f} mean ({ends[5]:.2f})",
        ]
        print(f"| {dose:g} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
