"""How well `fit_noise` finds what was simulated, and what it finds on images: Markdown tables.

    python benchmarks/fit_noise.py [IMAGE ...] [--cases 40] [--first 100] [--size 512] [--table]

Each case draws a lattice of 8 to 30 px, a dent in 60 % of them, dose 5 to 200 (log-uniform, counts per pixel at image
value 1), lag 0 to 0.45, row jitter 0 to 0.05 periods, gain and offset. The second run adds readout noise of up to half
the counting noise at the peaks, and row offsets of up to a quarter.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from napari_hush.io import read_image
from napari_hush.synthesis import Compose, random_dent, random_lattice, render_lattice
from napari_hush.synthesis.noise.fit.noise import FittedNoise, fit_noise
from napari_hush.synthesis.noise.registry import DetectorLag, GainOffset, Poisson, Readout, RowJitter, RowOffsets

LIMITS = {"gain": 0.1, "dose": 0.1, "row correlation": 0.05, "jitter": 0.2}


def simulate(seed: int, size: int, extra: bool) -> tuple[np.ndarray, dict[str, float], str]:
    """Draw an image, its truth, and a few words on it."""
    rng = np.random.default_rng([77, seed])
    lattice = random_lattice(rng, period=(8.0, 30.0))
    clean = render_lattice(lattice, (size, size), rng).image
    if rng.random() < 0.6:
        clean = clean * random_dent((size, size), lattice.period, rng)
    dose = float(np.exp(rng.uniform(np.log(5), np.log(200))))
    lag = DetectorLag(correlation=rng.uniform(0, 0.45))
    jitter = RowJitter(rms=rng.uniform(0, 0.05) * lattice.period, correlation=rng.uniform(0, 0.8), advance=lag.delay)
    gain, offset = float(np.exp(rng.uniform(0, 5))), float(rng.uniform(0, 3000))
    readout = Readout(sigma=rng.uniform(0, 0.5) * dose**-0.5 if extra else 0.0)
    rows = RowOffsets(sigma=rng.uniform(0, 0.25) * dose**-0.5 if extra else 0.0, correlation=0.5)
    chain = Compose(
        noises=(jitter, Poisson(dose=dose), lag, readout, rows, GainOffset(gain=gain * dose, offset=offset))
    )
    c = lag.correlation
    counting = float(clean.mean()) / dose * (1 - c) / (1 + c)
    truth = {
        "gain": gain,
        "dose": dose * float(np.percentile(clean, 99.5)),
        "row correlation": c * counting / (counting + readout.sigma**2),
        "jitter": jitter.rms,
        "period": lattice.period,
    }
    words = f"{lattice.kind}, period {lattice.period:.1f}, dose {dose:.0f}, lag {c:.2f}, jitter {jitter.rms:.2f} px"
    return chain(clean, rng), truth, words


def errors(found: FittedNoise, truth: dict[str, float]) -> dict[str, float]:
    """Relative errors, but for the correlation; infinite where nothing was measured."""
    values = {"gain": found.gain, "dose": found.dose, "jitter": found.jitter}
    relative = {k: np.inf if v is None else abs(v / truth[k] - 1) for k, v in values.items()}
    return {**relative, "row correlation": abs(found.row_correlation - truth["row correlation"])}


def simulations(seeds: range, size: int, extra: bool, table: bool) -> None:
    cases, rows, seconds, failures, jitters = len(seeds), [], 0.0, [], []
    for seed in seeds:
        image, truth, words = simulate(seed, size, extra)
        start = time.perf_counter()
        found = fit_noise(image)
        seconds += time.perf_counter() - start
        error = errors(found, truth)
        rows.append(error)
        jitters.append((truth["jitter"] / truth["period"], error["jitter"]))
        wrong = [f"{k} {error[k]:.2f}" for k, limit in LIMITS.items() if not error[k] <= limit]
        if wrong or table:
            failures.append(f"| {seed} | {words} | {', '.join(wrong)} |")
    print(
        f"\n{cases} simulated images of {size} x {size} px, {'with' if extra else 'without'} readout and row offsets:"
    )
    print("\n| figure | limit | within | median error | 90 % of errors below |\n|---|---|---|---|---|")
    for name, limit in LIMITS.items():
        values = np.array([row[name] for row in rows])
        print(
            f"| {name} | {limit:g} | {np.mean(values <= limit):.0%} | {np.median(values):.3f} "
            f"| {np.quantile(values, 0.9, method='higher'):.3f} |"
        )
    strong = [error for share, error in jitters if share >= 0.015]
    print(
        f"| jitter of at least 0.015 periods ({len(strong)} images) | 0.2 | {np.mean(np.array(strong) <= 0.2):.0%} "
        f"| {np.median(strong):.3f} | {np.quantile(strong, 0.9, method='higher'):.3f} |"
    )
    print(f"\n{seconds / cases:.2f} s per image. Outside a limit:\n\n| case | image | error |\n|---|---|---|")
    print("\n".join(failures))


def text(value: float | None, error: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" + ("" if error is None else f" ± {error:.1g}")


def images(paths: list[Path]) -> None:
    print("\n| image | gain | offset | dose | readout | row correlation | vertical | row offset | jitter, px |")
    print("|---|---|---|---|---|---|---|---|---|")
    notes = []
    for path in paths:
        f = fit_noise(np.asarray(read_image(path).data))
        cells = [text(f.gain, f.gain_error), text(f.offset), text(f.dose), text(f.readout)]
        cells += [f"{f.row_correlation:.2f}", f"{f.vertical_correlation:.2f}", text(f.row_offset)]
        print(f"| {path.name} | {' | '.join(cells)} | {text(f.jitter, f.jitter_error)} |")
        notes += [f"- {path.name}: {note}" for note in f.notes]
    print("\n" + "\n".join(notes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--first", type=int, default=100, help="seed of the first case; 0 to 45 were used to tune")
    parser.add_argument("--size", type=int, default=512, help="px")
    parser.add_argument("--table", action="store_true", help="list every case")
    args = parser.parse_args()
    if args.images:
        images(args.images)
    seeds = range(args.first, args.first + args.cases)
    if seeds:
        simulations(seeds, args.size, False, args.table)
        simulations(seeds, args.size, True, args.table)


if __name__ == "__main__":
    main()
