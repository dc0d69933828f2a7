"""What frames of a series know together: PSNR, changes, spots, positions and drift, against each frame alone.

    python benchmarks/series.py [--seeds 5] [--first 100] [--frames 8] [--size 256] [--json FILE] [WHAT ...]

WHAT is any of

- lattice: a hexagonal lattice of 12 px that drifts by 3 px between and inside its frames, at 2, 5, 10 and 50 counts per
  pixel, with jitter of the rows and a detector's lag; columns blink, vanish, hop and lose half of their height, a dent
  grows. PSNR, what is left of a column that is gone (a phantom), how much of a step is kept, the rim of the dent;
- cells: fluorescent cells that drift, with spots that move by 1 to 4 px a frame, at 2, 10 and 50 photons per pixel;
- positions: the lattice with displacements of 0.04 periods and no events: error of the columns' positions and how much
  of the displacements is kept (their transfer: the slope of what is found on what is true);
- perfect: a lattice without any defect, whose place no registration can tell;
- situations: lattices and cells at 10 counts in which something is wrong (situations.py: turned frames, focus, spikes,
  lost lines, other doses, other fields), with ``frames="auto"``. PSNR of the frames that are not harmed, the worst
  frame, those beside a harmed one, and the harmed ones themselves;
- bound, bound-cells: how well an affine map between two frames of these series can be known at best (Cramer-Rao, of
  counts and readout alone), rms in px; nothing is denoised;
- time, time-cells: seconds per frame together over seconds per frame alone, of lattices and of cells of 512 px, the
  least of three each; nothing else should run.

All series are drawn by their seeds. "Alone" is ``frames=False``. Two threads. With ``--json`` each series is one line
of a file; started again, what is there is not computed anew.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import napari_hush as hush
from napari_hush.fidelity.metrics import psnr
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.series.pairs import DECIDED
from napari_hush.synthesis import Compose
from napari_hush.synthesis.noise.registry import DetectorLag, Poisson, Readout, RowJitter
from napari_hush.synthesis.series import FrameSeries, cell_series, lattice_series
from quality import append_line, read_lines
from situations import SITUATIONS, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.inference.denoise import Denoised

    Images = NDArray[np.float32]

PERIOD, SIGMA, BACKGROUND = 12.0, 0.18 * 12.0, 0.1
READOUT, CELLS_READOUT = 0.15, 0.2  # of the square root of the dose
SPOT = 1.8  # px: standard deviation of a moving spot
DOSES = {
    "lattice": (2, 5, 10, 50),
    "cells": (2, 10, 50),
    "positions": (2, 10),
    "perfect": (10,),
    "bound": (2, 5, 10, 50),
    "bound-cells": (2, 10, 50),
    "time": (10,),
    "time-cells": (10,),
}
REPEATS = 3  # of what is timed
REACH = 6  # px around a column whose height is measured


def noisy_lattice(series: FrameSeries, dose: float, rng: np.random.Generator) -> Images:
    lag = DetectorLag(correlation=0.25)
    scan = Compose(
        noises=(
            RowJitter(rms=0.02 * PERIOD, correlation=0.5, advance=lag.delay),
            Poisson(dose=dose),
            lag,
            Readout(sigma=READOUT * dose**-0.5),
        )
    )
    return np.stack([scan(frame, rng) for frame in series.clean]) * np.float32(dose)


def noisy_cells(series: FrameSeries, dose: float, rng: np.random.Generator) -> Images:
    noise = Compose(noises=(Poisson(dose=dose), Readout(sigma=CELLS_READOUT * dose**-0.5)))
    return np.stack([noise(frame, rng) for frame in series.clean]) * np.float32(dose)


def height(image: Images, place: NDArray[np.float64], sigma: float) -> float:
    """Of a Gaussian at a place of an image, fitted with a level."""
    y, x = place
    middle = round(float(y)), round(float(x))
    rows, columns = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    rows, columns = rows + middle[0], columns + middle[1]
    if rows.min() < 0 or columns.min() < 0 or rows.max() >= image.shape[0] or columns.max() >= image.shape[1]:
        return float("nan")
    distance = (rows - y) ** 2 + (columns - x) ** 2
    bell = np.exp(-distance / 2 / sigma**2).ravel()
    weight = np.exp(-distance / 2 / (1.5 * sigma) ** 2).ravel() ** 0.5
    known = np.stack([bell, np.ones_like(bell)], axis=1) * weight[:, None]
    return float(np.linalg.lstsq(known, image[rows, columns].ravel() * weight, rcond=None)[0][0])


def happened(series: FrameSeries, images: Images, dose: float) -> dict[str, float]:
    """What is left of columns that are gone, and how much of a step is kept."""
    clean = series.clean * np.float32(dose)
    full = (1 - BACKGROUND) * dose
    phantoms: list[float] = []  # the frame in which most is left
    means: list[float] = []  # of all frames in which the column is gone
    steps: list[float] = []
    for event in series.events:
        home = series.positions[0, event.column]
        wrong = np.array(
            [
                height(image - true, series.place(number, home), SIGMA) / full
                for number, (image, true) in enumerate(zip(images, clean, strict=True))
            ]
        )
        if event.kind == "halves":
            seen = series.heights[:, event.column] + wrong
            steps.append(float((seen[: event.frame].mean() - seen[event.frame :].mean()) / 0.5))
        else:
            gone = wrong[event.frame :] if event.kind == "hops" else wrong[series.heights[:, event.column] == 0]
            phantoms.append(float(np.nanmax(gone)))
            means.append(float(np.nanmean(gone)))
    rim = (series.transmission > 0.2) & (series.transmission < 0.9)
    return {
        "phantom": float(np.nanmean(phantoms)),
        "phantom_worst": float(np.nanmax(phantoms)),
        "phantom_mean": float(np.nanmean(means)),
        "step_kept": float(np.nanmean(steps)),
        "rim": float(np.sqrt(np.mean((images - clean)[rim] ** 2)) / dose),
    }


def spots_kept(series: FrameSeries, images: Images, dose: float) -> float:
    """Height of the moving spots over what it should be."""
    clean = series.clean * np.float32(dose)
    kept = [
        1 + height(image - true, place, SPOT) / dose
        for number, (image, true) in enumerate(zip(images, clean, strict=True))
        for place in series.place(number, series.positions[number])
    ]
    return float(np.nanmean(kept))


def ideal(sites: NDArray[np.float64]) -> NDArray[np.float64]:
    """The places of a regular lattice that fit displaced ones best, (M, 2)."""
    angle = np.radians(7.0)
    basis = PERIOD * np.array([[np.sin(angle), np.cos(angle)], [np.sin(angle + np.pi / 3), np.cos(angle + np.pi / 3)]])
    start = sites[np.argmin(np.hypot(*(sites - sites.mean(axis=0)).T))]
    numbers = np.round(np.linalg.solve(basis.T, (sites - start).T).T)
    known = np.concatenate([numbers, np.ones((len(sites), 1))], axis=1)
    for _ in range(3):
        solved = np.linalg.lstsq(known, sites, rcond=None)[0]
        numbers = np.round(np.linalg.solve(solved[:2].T, (sites - solved[2]).T).T)
        known = np.concatenate([numbers, np.ones((len(sites), 1))], axis=1)
    return np.asarray(known @ solved)


def positions(series: FrameSeries, images: Images) -> dict[str, float]:
    """Error of the columns found, in periods, and the transfer of their displacements."""
    errors, true, seen = [], [], []
    rest = series.positions[0] - ideal(series.positions[0])
    for number, image in enumerate(images):
        places = series.place(number, series.positions[number])
        found = np.asarray(hush.find_atoms(image, PERIOD))
        distance = np.hypot(*(places[:, None] - found[None]).transpose(2, 0, 1))
        nearest = distance.argmin(axis=1)
        inside = ((places > PERIOD) & (places < np.array(image.shape) - PERIOD)).all(axis=1)
        matched = inside & (distance.min(axis=1) < 0.3 * PERIOD)
        wrong = (found[nearest] - places)[matched]
        errors.append(wrong)
        true.append(rest[matched])
        seen.append(wrong + rest[matched])
    wrong, true_all, seen_all = (np.concatenate(one).ravel() for one in (errors, true, seen))
    return {
        "position_error": float(np.sqrt(np.mean(wrong**2))) / PERIOD,
        "transfer": float(np.sum(seen_all * true_all) / np.sum(true_all**2)),
    }


def checked_places(side: int) -> NDArray[np.float64]:
    """Where a registration's error is looked at, (7, 7, 2), px."""
    return np.stack(np.meshgrid(*(np.linspace(16, side - 16, 7),) * 2, indexing="ij"), axis=-1)


def drift_error(series: FrameSeries, found: Denoised) -> dict[str, Any]:
    """Rms over frames and places of the registration's error, and its jumps by more than half a period."""
    if found.series is None:
        return {"drift_rms": None, "jumps": None, "decided": None}
    registration = found.series.registration
    side = series.clean.shape[1]
    grid = checked_places(side)
    moved = []
    for number in range(1, len(registration)):
        pair = registration.pair(number - 1, number).matrix
        field = grid + (
            series.drift[number - 1]
            + (series.drift[number] - series.drift[number - 1]) * ((grid[..., :1] + 0.5) / side)
        )
        true = series.place(number, field)
        seen = grid @ pair[:2, :2].T + pair[:2, 2]
        moved.append(float(np.sqrt(np.mean(((seen - true) ** 2).sum(axis=-1)))))
    jumps = [one > PERIOD / 2 for one in moved]
    sure = registration.margins[1:] >= DECIDED
    right = [one for one in moved if one <= PERIOD / 2]
    return {
        "drift_rms": float(np.sqrt(np.mean(np.square(right)))) if right else None,
        "jumps": int(np.sum(jumps)),
        "jumps_decided": int(np.sum(np.array(jumps) & sure)),
        "decided": float(np.mean(sure)),
    }


def drift_bound(series: FrameSeries, dose: float, readout: float) -> float:
    """The least rms error, over frames and places, of an affine map between two frames with such noise, px."""
    side = series.clean.shape[1]
    half = side / 2
    rows, columns = (np.mgrid[:side, :side] - half + 0.5) / half
    places = checked_places(side).reshape(-1, 2)
    basis = np.concatenate([(places - half + 0.5) / half, np.ones((len(places), 1))], axis=1)
    found = []
    for frame in series.clean[:-1] * dose:
        variance = np.maximum(frame, 0) + readout**2 * dose  # of counts, and of the readout
        along = np.gradient(frame)
        known = np.stack([one * by for one in along for by in (rows, columns, np.ones_like(rows))]).reshape(6, -1)
        covariance = 2 * np.linalg.inv((known / variance.ravel()) @ known.T)  # both frames are noisy
        found += [basis @ covariance[part, part] for part in (slice(0, 3), slice(3, 6))]
    return float(np.sqrt(2 * np.mean([np.sum(one * basis, axis=1) for one in found])))


def drawn(what: str, seed: int, dose: float, args: argparse.Namespace) -> tuple[FrameSeries, Images]:
    rng = np.random.default_rng([18, seed])
    side = 512 if what.startswith("time") else args.size
    shape = (side, side)
    if what.endswith("cells"):
        series = cell_series(shape, args.frames, rng)
        return series, noisy_cells(series, dose, rng)
    options = {
        "positions": {"displacement": 0.04, "events": False, "dent": False},
        "perfect": {"displacement": 0.0, "vacancies": 0.0, "events": False, "dent": False},
    }.get(what, {})
    series = lattice_series(shape, args.frames, rng, period=PERIOD, **options)
    return series, noisy_lattice(series, dose, rng)


def measure(what: str, seed: int, dose: float, args: argparse.Namespace) -> dict[str, Any]:
    series, noisy = drawn(what, seed, dose, args)
    if what.startswith("bound"):
        bound = drift_bound(series, dose, CELLS_READOUT if what.endswith("cells") else READOUT)
        return {"what": what, "seed": seed, "dose": dose, "drift_bound": bound}
    model = "general" if what.endswith("cells") else "stem"
    clean = series.clean * np.float32(dose)
    hush.denoise(noisy[0], model)  # so that the model is loaded
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS if what.startswith("time") else 1):  # in turn, and the least of each
        begin = time.perf_counter()
        alone = hush.denoise(noisy, model, frames=False)
        middle = time.perf_counter()
        found = run_steps(denoise_steps(noisy, model, DenoiseSettings(frames=args.frames)))
        seconds[0].append(middle - begin)
        seconds[1].append(time.perf_counter() - middle)
    ratio = min(seconds[1]) / min(seconds[0])
    line: dict[str, Any] = {"what": what, "seed": seed, "dose": dose, "time_ratio": ratio}
    gains = [psnr(c, b) - psnr(c, a) for c, a, b in zip(clean, alone, found.image, strict=True)]
    line |= {
        "alone": float(np.mean([psnr(c, a) for c, a in zip(clean, alone, strict=True)])),
        "gain": float(np.mean(gains)),
        "worst_frame": float(min(gains)),
    }
    line |= drift_error(series, found)
    for name, images in (("alone", alone), ("together", found.image)):
        figures: dict[str, float] = {}
        if what == "lattice":
            figures = happened(series, images, dose)
        elif what == "cells":
            figures = {"spots": spots_kept(series, images, dose)}
        elif what == "positions":
            figures = positions(series, images)
        line |= {f"{key}_{name}": value for key, value in figures.items()}
    return line


def measure_situation(what: str, seed: int, dose: float, args: argparse.Namespace) -> dict[str, Any]:
    """``what`` is the name of the situation and of what is drawn, with a comma between."""
    name, kind = what.rsplit(", ", 1)
    situation = SITUATIONS[name]
    clean, noisy = draw(name, kind, seed, args.frames, args.size)
    model = "general" if kind == "cells" else "stem"
    alone = hush.denoise(noisy, model, frames=False)
    found = run_steps(denoise_steps(noisy, model, DenoiseSettings())).image
    seen = [np.isfinite(image) for image in noisy]
    pairs = [[psnr(c[s], image[s]) for image in (a, b)] for c, a, b, s in zip(clean, alone, found, seen, strict=True)]
    gains = np.array([b - a for a, b in pairs])
    harmed = situation.harmed(len(clean))
    good = [k for k in range(len(clean)) if k not in harmed]
    beside = [k for k in good if k - 1 in harmed or k + 1 in harmed]
    told = good + (harmed if situation.truth else [])
    return {"what": what, "seed": seed, "dose": dose, "alone": float(np.mean([pairs[k][0] for k in good]))} | {
        key: float(values.mean()) if len(values) else None
        for key, values in (
            ("gain", gains[good]),
            ("worst_frame", gains[told].min(keepdims=True)),
            ("gain_beside", gains[beside]),
            ("gain_harmed", gains[harmed] if situation.truth else gains[:0]),
        )
    }


def table(lines: list[dict[str, Any]]) -> None:
    shown = [key for key in dict.fromkeys(key for line in lines for key in line) if key not in ("what", "seed", "dose")]
    print("\n| what | dose | " + " | ".join(f"{key} (worst)" for key in shown) + " |")
    print("|---" * (len(shown) + 2) + "|")
    for what, dose in dict.fromkeys((line["what"], line["dose"]) for line in lines):
        chosen = [line for line in lines if (line["what"], line["dose"]) == (what, dose)]
        cells = []
        for key in shown:
            values = [line[key] for line in chosen if line.get(key) is not None]
            low = key.startswith(("gain", "worst", "step", "spots", "transfer", "decided", "alone"))
            worst = (min(values) if low else max(values)) if values else None
            cells.append("" if worst is None else f"{np.mean(values):.3f} ({worst:.3f})")
        print(f"| {what} | {dose} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["lattice", "cells", "positions", "perfect"], metavar="WHAT")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=100, help="the first seed")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=256, help="side of the frames, px")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if unknown := set(args.what) - {*DOSES, "situations"}:
        parser.error(f"unknown {', '.join(unknown)}: choose from {', '.join(DOSES)}, situations")
    situations = [f"{name}, {kind}" for name, one in SITUATIONS.items() for kind in one.kinds]
    wanted_kinds = [kind for what in args.what for kind in (situations if what == "situations" else [what])]
    torch.set_num_threads(2)
    lines = {
        (line["what"], line["seed"], line["dose"]): line
        for line in ([] if args.json is None else read_lines(args.json))
    }
    wanted = []
    for seed in range(args.first, args.first + args.seeds):
        for what in wanted_kinds:
            for dose in DOSES.get(what, (10,)):
                key = (what, seed, dose)
                if key not in lines:
                    lines[key] = (measure if what in DOSES else measure_situation)(what, seed, float(dose), args)
                    if args.json is not None:
                        append_line(args.json, lines[key])
                wanted.append(lines[key])
                one = lines[key]
                print(what, seed, dose, *(f"{k}={v:.3f}" for k, v in one.items() if isinstance(v, float)), flush=True)
    table(wanted)


if __name__ == "__main__":
    main()
