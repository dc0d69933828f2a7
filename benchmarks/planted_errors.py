"""Is every planted error found, and how often does a faultless image fail? A Markdown table.

    python benchmarks/planted_errors.py [--fields 50] [--first 0] [--doses 10 50 500] [--model stem] [--list]
    python benchmarks/planted_errors.py --without-lattice [--data FOLDER]

Each field is a random lattice of 256 x 256 px, period 6 to 24 px, dents as in training and one hole besides. The judged
"output" is the truth itself, then the truth with one error, drawn anew from the displaced or added columns: a column
moved by 0.1 a, a vacancy filled, a column in the hole, all dents 5 % shallower, a 64 px tile moved by 0.5 px. It is
judged with the truth, and with a noisy image alone (`random_scan_noise` of each dose, counts per pixel at image value
1). With --model that model's output is judged too.

Of every error that was missed without the truth it is told how far it would stand out of the counting noise at best:
for somebody who knows its place, its shape and its sign, ``sqrt(sum(d² / variance))`` with the planted difference d.
Who looks everywhere must set 5.5 standard deviations as the limit, or noise alone would pass it.

With --without-lattice: cells, foam and dead leaves of 256 x 256 px; with --data also the real pairs in FOLDER/light and
the tooth of 180 projections in FOLDER/tomo, the truth to which noise is added.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from calibration import pictures
from napari_hush.fidelity.evaluate import judge
from napari_hush.io import read_image
from napari_hush.synthesis import ellipse, random_scan_noise, random_scene, render_columns, smooth_field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_hush.fidelity.verdict import Evidence

SIDE, TILE = 256, 64
LIMIT = 5.5  # standard deviations that noise passes somewhere in one image of a hundred
PLANTS = ("column moved 0.1 a", "vacancy filled", "column in a void", "dents 5 % shallower", "tile shifted 0.5 px")


@dataclass(frozen=True, kw_only=True)
class Field:
    """A truth that can be drawn again with an error in it."""

    positions: np.ndarray
    peaks: np.ndarray
    sigma: float
    background: float
    thickness: np.ndarray
    transmission: np.ndarray
    vacancies: np.ndarray
    void: np.ndarray
    period: float

    def draw(self, positions: np.ndarray | None = None, peaks: np.ndarray | None = None) -> np.ndarray:
        columns = render_columns(
            self.positions if positions is None else positions,
            self.peaks if peaks is None else peaks,
            self.sigma,
            (SIDE, SIDE),
        )
        return np.asarray(self.thickness * (self.background + (1 - self.background) * columns), np.float64)


def field(seed: int) -> Field:
    """Draw a field with a hole and at least one vacancy."""
    rng = np.random.default_rng([91, seed])
    scene = random_scene(rng, shape=(SIDE, SIDE), period=(6.0, 24.0), lattice_share=1.0, dent_share=0.6)
    lattice = scene.lattice
    assert lattice is not None
    a = scene.period
    peaks = lattice.basis[1][scene.species] * np.clip(
        rng.normal(1, lattice.intensity_spread, len(scene.species)), 0.5, 2
    )
    void = rng.uniform(0.3 * SIDE, 0.7 * SIDE, 2)
    hole = ellipse((SIDE, SIDE), centre=tuple(void), fwhm=(5 * a, 4 * a), angle=rng.uniform(0, 180), edge=0.3 * a)
    hole = np.clip((hole - 0.02) / 0.98, 0, 1)  # truly empty in the middle
    transmission = scene.transmission * hole
    positions, vacancies = scene.positions, scene.vacancies
    candidates = inside(positions, transmission, a) & (scene.species == 0)
    if not candidates.any():
        return field(seed + 10_000)
    if not inside(vacancies, transmission, a).any():
        gone = rng.choice(np.flatnonzero(candidates))
        vacancies = np.concatenate([vacancies, positions[gone : gone + 1]])
        positions, peaks = np.delete(positions, gone, axis=0), np.delete(peaks, gone)
    change = lattice.thickness * smooth_field((SIDE, SIDE), 0.2 * SIDE, rng)
    return Field(
        positions=positions,
        peaks=peaks,
        sigma=lattice.sigma * a,
        background=lattice.background,
        thickness=np.clip(1 + change, 0.2, None),
        transmission=transmission,
        vacancies=vacancies,
        void=void,
        period=a,
    )


def inside(places: np.ndarray, transmission: np.ndarray, period: float) -> np.ndarray:
    """Which places lie two periods inside, where at least half is transmitted."""
    if not len(places):
        return np.zeros(0, dtype=bool)
    y, x = np.rint(places).astype(int).T
    far = (np.minimum(places, SIDE - 1 - places) > 2 * period).all(axis=1)
    return far & (transmission[y, x] >= 0.5)


def plant(truth: Field, name: str, rng: np.random.Generator) -> np.ndarray:
    """Draw the field with one error."""
    a, t = truth.period, truth.transmission
    turn = rng.uniform(0, 2 * np.pi)
    if name == PLANTS[0]:
        bright = truth.peaks > 0.7 * truth.peaks.max()
        choice = np.flatnonzero(inside(truth.positions, t, a) & bright)
        if not len(choice):
            choice = np.flatnonzero(inside(truth.positions, t, a))
        positions = truth.positions.copy()
        positions[rng.choice(choice)] += 0.1 * a * np.array([np.sin(turn), np.cos(turn)])
        return truth.draw(positions) * t
    if name == PLANTS[1]:
        place = rng.choice(truth.vacancies[inside(truth.vacancies, t, a)])
        nearest = np.argmin(np.hypot(*(truth.positions - place).T))
        height = max(truth.peaks[nearest], np.median(truth.peaks))
        return truth.draw(np.vstack([truth.positions, place]), np.append(truth.peaks, height)) * t
    if name == PLANTS[2]:
        added = render_columns(truth.void[None], np.array([np.median(truth.peaks)]), truth.sigma, (SIDE, SIDE))
        return truth.draw() * t + (1 - truth.background) * added
    if name == PLANTS[3]:
        return truth.draw() * (1 - 0.95 * (1 - t))
    moved = truth.draw(truth.positions + 0.5 * np.array([np.sin(turn), np.cos(turn)])) * t
    image = truth.draw() * t
    y, x = rng.integers(TILE // 2, SIDE - 3 * TILE // 2, 2)
    image[y : y + TILE, x : x + TILE] = moved[y : y + TILE, x : x + TILE]
    return image


def best_seen(error: np.ndarray, variance: np.ndarray) -> float:
    """Standard deviations by which an error stands out for somebody who knows all of it but its size."""
    return float(np.sqrt((error**2 / np.maximum(variance, 1e-12)).sum()))


def failures(evidence: Evidence) -> list[str]:
    """What is flagged: failed, or to be looked at."""
    return [f"{f.name} {f.value:.3g}" for f in evidence.findings if f.verdict in ("fail", "warn")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="seed of the first field")
    parser.add_argument("--doses", type=float, nargs="*", default=[10.0, 50.0, 500.0])
    parser.add_argument("--model", help="judge this model's output as well")
    parser.add_argument("--without-lattice", action="store_true", help="pictures without a lattice instead")
    parser.add_argument("--data", type=Path, help="folder of real images")
    parser.add_argument("--list", action="store_true", help="list every false alarm and every error that was not found")
    args = parser.parse_args()
    if args.without_lattice:
        without_lattice(args.doses, args.data)
        return
    missed: dict[tuple[str, str], list[float]] = defaultdict(list)
    flagged: Counter[tuple[str, str]] = Counter()
    surely: Counter[tuple[str, str]] = Counter()
    calls, seconds, notes = 0, 0.0, []
    reasons: Counter[str] = Counter()

    def count(row: str, column: str, case: Field, image: np.ndarray, expect: bool, **known: object) -> None:
        nonlocal calls, seconds
        start = time.perf_counter()
        evidence = judge(known.pop("noisy", None), image, **known)  # type: ignore[arg-type]
        failed = failures(evidence)
        surely[row, column] += evidence.status == "fail"
        seconds, calls = seconds + time.perf_counter() - start, calls + 1
        flagged[row, column] += bool(failed)
        if bool(failed) != expect:
            notes.append(f"- field {seed}, period {case.period:.1f}: {row}, {column}: {', '.join(failed) or 'passed'}")
        if row == "model output":
            reasons.update(f"{column}: {failure.split()[0]}" for failure in failed)

    seeds = range(args.first, args.first + args.fields)
    for seed in seeds:
        truth = field(seed)
        clean = truth.draw() * truth.transmission
        exact = {
            "truth": clean,
            "positions": truth.positions,
            "vacancies": truth.vacancies,
            "transmission": truth.transmission,
            "spacing": truth.period,
        }
        rng = np.random.default_rng([92, seed])
        outputs = {"none": clean} | {name: plant(truth, name, rng) for name in PLANTS}
        for name, image in outputs.items():
            count(name, "truth, exact", truth, image, name != "none", **exact)
            if name == "none":
                count(name, "truth, image", truth, image, False, truth=clean)
        for dose in args.doses:
            draw = np.random.default_rng([93, seed])
            chain = random_scan_noise(draw, dose=(dose, dose), period=truth.period)
            noisy = chain(clean.astype(np.float32), draw)
            for name, image in outputs.items():
                column = f"dose {dose:g}"
                before = flagged[name, column]
                count(name, column, truth, image, name != "none", noisy=noisy)
                if flagged[name, column] == before:
                    missed[name, column].append(best_seen(image - clean, clean / dose))
            if args.model:
                import napari_hush as hush

                output = hush.denoise(noisy, args.model)
                count("model output", f"dose {dose:g}", truth, output, False, noisy=noisy)
                count("model output", f"truth, {dose:g}", truth, output, False, **exact)
    columns = ["truth, exact", "truth, image", *(f"dose {dose:g}" for dose in args.doses)]
    print(f"Share of {len(seeds)} fields that are not passed (that fail):\n")
    print(f"| planted | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row in ("none", *PLANTS):
        shares = [f"{flagged[row, c] / len(seeds):.0%} ({surely[row, c] / len(seeds):.0%})" for c in columns]
        if row != "none":
            shares[1] = ""  # errors are planted against the exact truth
        print(f"| {row} | {' | '.join(shares)} |")
    print_missed({row: {c: missed[row, c] for c in columns[2:]} for row in PLANTS})
    print(f"\n{seconds / calls:.2f} s per image")
    if args.model:
        for (row, column), number in flagged.items():
            if row == "model output":
                print(f"- {args.model}, {column}: {number / len(seeds):.0%} fail")
        print("\n".join(f"- {reason}: {number}" for reason, number in reasons.most_common()))
    if args.list:
        print("\n" + "\n".join(notes))


def print_missed(missed: dict[str, dict[str, list[float]]]) -> None:
    """Of what was missed: how much the counts could have told at best."""
    columns = list(next(iter(missed.values())))
    print(f"\nMissed; of these below {LIMIT} standard deviations at best; median of what the others have:\n")
    print(f"| planted | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row, found in missed.items():
        cells = []
        for values in found.values():
            clear = [value for value in values if value >= LIMIT]
            rest = f", {np.median(clear):.1f}" if clear else ""
            cells.append(f"{len(values)}: {len(values) - len(clear)}{rest}")
        print(f"| {row} | {' | '.join(cells)} |")


def spoilt(truth: np.ndarray, sigma: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A picture without a lattice with one error each; ``sigma`` is that of the noise."""
    y, x = np.indices(truth.shape)
    at = rng.integers(TILE // 2, np.array(truth.shape) - 3 * TILE // 2)
    tile = (slice(at[0], at[0] + TILE), slice(at[1], at[1] + TILE))
    bell = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * 1.5**2))
    moved, smoothed, repainted = truth.copy(), truth.copy(), truth.copy()
    moved[tile] = np.roll(truth, 2, axis=1)[tile]
    smoothed[tile] = ndimage.gaussian_filter(truth, 12)[tile]
    repainted[tile] = truth[tile][::-1, ::-1]
    return {
        "a spot of 2 sigma, 1.5 px wide": truth + 2 * sigma * bell,
        "a region of 64 px smoothed by 12 px": smoothed,
        "a region of 64 px repainted": repainted,
        "a tile of 64 px shifted by 2 px": moved,
        "blurred by 1 px": ndimage.gaussian_filter(truth, 1),
        "blurred by 2 px": ndimage.gaussian_filter(truth, 2),
    }


def scenes(doses: list[float], folder: Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """A name, the truth and the noisy image of each picture without a lattice."""
    for seed in range(4):
        for number, (truth, spacing) in enumerate(pictures(SIDE, seed).values()):
            for dose in doses if spacing is None else ():
                rng = np.random.default_rng([94, seed, number, int(dose)])
                yield f"dose {dose:g}", truth, rng.poisson(dose * np.maximum(truth, 0)) / dose
    if folder is None:
        return
    for path in sorted((folder / "light").glob("*_1frame.tif")):
        noisy = np.asarray(read_image(path).data, np.float64)
        mean = np.asarray(read_image(path.with_name(path.name.replace("1frame", "400frames"))).data, np.float64)
        yield "real pairs", np.polyval(np.polyfit(mean.ravel(), noisy.ravel(), 1), mean), noisy
    with np.load(folder / "tomo" / "tooth_slice0_recon.npz") as file:
        tooth = ndimage.gaussian_filter(file["full180"].astype(np.float64), 1)[180:436, 180:436]
    tooth = 0.1 + (tooth - tooth.min()) / np.ptp(tooth)
    for dose in doses:
        yield "tooth", tooth, np.random.default_rng([95, int(dose)]).poisson(dose * tooth) / dose


def without_lattice(doses: list[float], folder: Path | None) -> None:
    """Count what fails on pictures that hold no lattice."""
    flagged: dict[str, Counter[str]] = defaultdict(Counter)
    missed: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    number: Counter[str] = Counter()
    for k, (column, truth, noisy) in enumerate(scenes(doses, folder)):
        number[column] += 1
        rest = noisy - truth
        sigma = float(rest.std())
        variance = np.maximum(np.polyval(np.polyfit(truth.ravel(), rest.ravel() ** 2, 1), truth), 0.05 * sigma**2)
        for row, image in {"none": truth, **spoilt(truth, sigma, np.random.default_rng([96, k]))}.items():
            found = bool(failures(judge(noisy, image)))
            flagged[row][column] += found
            if not found:
                missed[row][column].append(best_seen(image - truth, variance))
    print("Share of the pictures that fail a check:\n")
    heads = [f"{column} ({count})" for column, count in number.items()]
    print(f"| planted | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for row, found in flagged.items():
        print(f"| {row} | {' | '.join(f'{found[c] / n:.0%}' for c, n in number.items())} |")
    print_missed({row: {c: missed[row][c] for c in number} for row in flagged if row != "none"})


if __name__ == "__main__":
    main()
