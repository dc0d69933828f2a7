"""The CycleGAN that removed dents and atoms, repaired step by step: an ablation on dented lattices.

    OMP_NUM_THREADS=1 python benchmarks/seed_failure.py --out build/seed --arm plain     # and scale, dents, two-stage
    python benchmarks/seed_failure.py --out build/seed --table --picture build/seed/arms.png

Every arm gets the same noisy images: 48 simulated scans of 384 x 384 px with 5.5 to 41 px per period, which is 4 to 30
MX where 1024 px show 37 atoms at 20 MX; square and hexagonal lattices at any angle with 2 % vacancies, one or two
irregular dents each, 20 to 100 counts per peak pixel, and the scan's own noise. The 48 clean images show other fields
of such lattices, at 20 MX alone.

- plain: CycleGAN as published (six residual blocks, both cycles, InstanceNorm, identity 0.5, pool of 50, batches of
  one), clean images without dents, every image resized by 286 / 1024 as ``resize_and_crop`` does with 1024 px: 1.5 to
  11.5 px per period on the noisy side, 7.7 on the clean one. It is tested on images resized in the same way and
  brought back, on images at full size, and on fields of 20 MX alone, the scale of its clean images.
- scale: the same network and losses; both sides are brought to 12 px per period, which is estimated from each noisy
  image, in the training as in the test.
- dents: clean images with procedural dents, besides. They are not drawn by what draws those of the noisy images.
- two-stage: half of the steps for a CycleGAN with the safeguards of this package (and U-Nets, which begin as the
  identity), half for a supervised network (TomoGAN's generator, batches of four) on the pairs that its clean-to-noisy
  generator makes.
- guard: the same weights, with the guard. The plain arm is shown with it, too.

All arms have equal steps (``--steps``), crops (64 px), seeds, width (16) and, of the CycleGANs, learning rate (5e-4
with linear decay; 2e-4 is as published): narrow networks and few steps, so that all four take about an hour of one
core. An arm goes on where it was stopped. Test fields, of seeds that no training saw, have one dent each, every second
a hole. What the first three arms give has no unit of brightness: it is brought to the truth's by the best linear map
outside of the dents (rising), for all figures but the low-pass slope; the guarded images and the two-stage arm are
judged as they are. Means and standard deviations are over the fields where a figure could be measured; positions in
periods.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import napari_hush as hush
from fields import slope
from napari_hush.card import Scale
from napari_hush.fidelity.evaluate import judge
from napari_hush.filters.resampling import resample
from napari_hush.model import Model
from napari_hush.reports.panels import write_panel
from napari_hush.synthesis import Lattice, random_dent, random_scan_noise, render_lattice
from napari_hush.training.fit import train as train_model
from quality import print_table, spread

SIDE, CROP, KEPT = 384, 64, 160  # px: of a field, of a training crop, of a training image at the common scale
PERIODS, OWN = (5.5, 41.0), 27.5  # px; 4 to 30 MX, and 20 MX
RESIZED, COMMON = 286 / 1024, 12.0  # px per px; px per period
IMAGES, SEED = 48, 20
PLAIN: dict[str, Any] = {
    "network": "cyclegan_resnet", "network_options": "width = 16, blocks = 6", "discriminator_width": 32,
    "patch": CROP, "batch_size": 1, "learning_rate": 5e-4, "validation_share": 0.0, "test_share": 0.0,
    "validate_every": 200, "picture_every": 0, "device": "cpu", "seed": SEED, "one_sided": False,
    "lambda_lowpass": 0.0, "spectrum_discriminator": False, "noise_input": False, "match_scale": False,
    "match_contrast": False,
}  # fmt: skip
SAFEGUARDED: dict[str, Any] = PLAIN | {
    "network": "unet", "network_options": "width = 16", "one_sided": True, "lambda_lowpass": 5.0,
    "lowpass_sigma": COMMON / 2, "spectrum_discriminator": True, "noise_input": True, "match_contrast": True,
    "final_network": "tomogan", "final_learning_rate": 1e-3,
}  # fmt: skip
ARMS = {"plain": PLAIN, "scale": PLAIN, "dents": PLAIN, "two-stage": SAFEGUARDED}
LINES = {  # what is measured of which arm: resized, guarded
    "plain, resized": ("plain", True, False),
    "plain, full size": ("plain", False, False),
    "plain, resized + guard": ("plain", True, True),
    "plain, full size + guard": ("plain", False, True),
    "+ common scale": ("scale", False, False),
    "+ procedural dents": ("dents", False, False),
    "+ two-stage": ("two-stage", False, False),
    "+ guard": ("two-stage", False, True),
}
FIGURES = {
    "recall": "recall", "precision": "precision", "position_error": "rms / a", "atoms_in_voids": "atoms in voids",
    "phantom_lattice": "phantom lattice, %", "vacancies_filled": "vacancies filled, %",
    "dent_depth_error": "dent depth error, %", "lowpass_slope": "low-pass slope",
    "lattice_displacement": "displacement / a", "psnr": "PSNR, dB", "ssim": "SSIM",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field and its truth."""

    clean: np.ndarray
    noisy: np.ndarray
    transmission: np.ndarray
    positions: np.ndarray
    vacancies: np.ndarray
    period: float
    centre: tuple[float, float]


def hole(rng: np.random.Generator, period: float, depth: float, centre: np.ndarray) -> np.ndarray:
    """Draw the transmission of an irregular dent: a wavy outline with a soft edge."""
    y, x = np.indices((SIDE, SIDE), dtype=np.float64)
    turn = np.arctan2(y - centre[0], x - centre[1])
    radius = min(rng.uniform(1.8, 4.0) * period, 0.22 * SIDE)
    outline = 1 + sum(rng.normal(0, 0.25 / k) * np.cos(k * turn + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    edge = rng.uniform(0.1, 0.3) * period
    away = (np.hypot(y - centre[0], x - centre[1]) - radius * np.clip(outline, 0.4, 1.8)) / edge
    return np.asarray(1 - depth / (1 + np.exp(np.clip(away, -50, 50))))


def crystal(rng: np.random.Generator, period: float) -> Any:
    """Draw a lattice, the same on all sides."""
    lattice = Lattice(
        kind="square" if rng.random() < 0.5 else "hexagonal",
        period=period,
        angle=float(rng.uniform(0, 360)),
        sigma=float(rng.uniform(0.15, 0.2)),
        displacement=0.01,
        intensity_spread=0.05,
        vacancies=0.02,
        background=float(rng.uniform(0.1, 0.3)),
        thickness=0.05,
    )
    return render_lattice(lattice, (SIDE, SIDE), rng)


def scan(seed: list[int], period: float, *, depth: float | None = None) -> Field:
    """Make a noisy field: with one dent of a depth in its middle part, or with one or two anywhere."""
    rng = np.random.default_rng(seed)
    drawn = crystal(rng, period)
    transmission, centre = np.ones((SIDE, SIDE)), np.zeros(2)
    for _ in range(1 if depth else int(rng.integers(1, 3))):
        centre = rng.uniform(0.35 * SIDE, 0.65 * SIDE, 2) if depth else rng.uniform(0, SIDE, 2)
        drawn_depth = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.5, 0.9))
        transmission = transmission * hole(rng, period, depth or drawn_depth, centre)
    clean = (drawn.image * transmission).astype(np.float32)
    noisy = random_scan_noise(rng, dose=(20.0, 100.0), period=period)(clean, rng)
    return Field(
        clean=clean, noisy=noisy, transmission=transmission, positions=drawn.positions, vacancies=drawn.vacancies,
        period=period, centre=(float(centre[0]), float(centre[1])),
    )  # fmt: skip


def log_spaced(count: int, low: float, high: float) -> np.ndarray:
    """Periods spread evenly over their logarithm."""
    return np.exp(np.interp((np.arange(count) + 0.5) / count, [0, 1], np.log([low, high])))


def training_images(arm: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noisy and clean images, as an arm is given them."""
    noisy, clean = [], []
    for number, period in enumerate(log_spaced(IMAGES, *PERIODS)):
        image = scan([SEED, 1, number], period).noisy
        rng = np.random.default_rng([SEED, 2, number])
        drawn = crystal(rng, OWN).image
        if arm == "plain":
            noisy.append(resample(image, RESIZED))
            clean.append(resample(drawn, RESIZED))
            continue
        found = hush.estimate_spacing(image)
        if found is None:  # as in the test: it stays as it is
            print(f"noisy image {number}: no lattice found at {period:.1f} px")
        if arm != "scale" and rng.random() < 0.7:
            drawn = drawn * random_dent(drawn.shape, OWN, rng)
        for images, one, factor in ((noisy, image, COMMON / (found or COMMON)), (clean, drawn, COMMON / OWN)):
            made = resample(one, factor)
            y, x = (int(rng.integers(max(n - KEPT, 0) + 1)) for n in made.shape)
            images.append(np.ascontiguousarray(made[y : y + KEPT, x : x + KEPT]))
    return noisy, clean


def train(arm: str, out: Path, steps: int) -> None:
    """Train an arm, or go on with it, and save its model."""
    settings = ARMS[arm] | {"steps": steps} | ({"unpaired_steps": steps // 2} if arm == "two-stage" else {})
    method = "two-stage" if arm == "two-stage" else "cyclegan"
    began = time.process_time()

    def report(event: Any) -> None:
        if event.step % 50 == 0:
            losses = ", ".join(f"{name} {value:.3g}" for name, value in event.losses.items())
            print(f"{arm} {event.step}/{steps}: {losses}; {time.process_time() - began:.0f} s of CPU", flush=True)

    checkpoint = out / f"{arm}.ckpt"
    model = train_model(method, training_images(arm), settings, checkpoint=checkpoint, resume=True, progress=report)
    scale = None if arm == "plain" else Scale(lowest=PERIODS[0], highest=PERIODS[1], period=COMMON)
    replace(model, scale=scale).save(out / f"{arm}.safetensors")


def output(model: Model, field: Field, *, resized: bool, guarded: bool) -> np.ndarray:
    """Denoise a field as a line of the table says."""
    if not resized:
        return np.asarray(hush.denoise(field.noisy, model, guard=guarded, device="cpu"))
    small = hush.denoise(resample(field.noisy, RESIZED), model, guard=guarded, device="cpu")
    return resample(small, 1 / RESIZED, shape=field.noisy.shape, antialias=False)


def levelled(name: str, image: np.ndarray, field: Field) -> np.ndarray:
    """Bring what has no unit to the truth's brightness by one rising linear map, found outside of the dent."""
    image = np.asarray(image, np.float64)
    if name not in LINES or LINES[name][0] == "two-stage" or LINES[name][2]:
        return image
    whole = field.transmission > 0.95
    slope, offset = np.polyfit(image[whole], field.clean[whole], 1) if np.ptp(image[whole]) > 0 else (0.0, 0.0)
    return image * slope + offset if slope > 0 else image


def score(name: str, image: np.ndarray, field: Field) -> dict[str, float]:
    """Judge an image by the truth."""
    known: dict[str, Any] = {
        "truth": field.clean, "positions": field.positions, "vacancies": field.vacancies,
        "transmission": field.transmission, "spacing": field.period,
    }  # fmt: skip
    found = judge(None, levelled(name, image, field), **known).as_dict()
    found["lowpass_slope"] = slope(field.clean.astype(np.float64), np.asarray(image), field.period)
    return {figure: found.get(figure, float("nan")) for figure in FIGURES}


def test_fields(which: str, count: int) -> list[Field]:
    """Make the held-out fields: of all periods, or of that of the clean images."""
    periods = log_spaced(count, *PERIODS) if which == "all" else np.full(count, OWN)
    depths = np.where(np.arange(count) % 2, 1.0, np.linspace(0.5, 0.9, count))
    places = enumerate(zip(periods, depths, strict=True))
    return [scan([SEED, 3, which == "own", k], float(period), depth=float(depth)) for k, (period, depth) in places]


def measure(arm: str, out: Path, count: int) -> None:
    """Measure an arm's lines, and the noisy images with the first one."""
    model = Model.load(out / f"{arm}.safetensors")
    lines = {name: line for name, line in LINES.items() if line[0] == arm}
    scores: dict[str, dict[str, list[dict[str, float]]]] = {}
    for which in ("all", "own"):
        found = scores[which] = {name: [] for name in [*(["noisy"] if arm == "plain" else []), *lines]}
        for field in test_fields(which, count):
            for name in found:
                image = field.noisy
                if name in lines:
                    _, resized, guarded = lines[name]
                    image = output(model, field, resized=resized, guarded=guarded)
                found[name].append({"period": field.period, **score(name, image, field)})
    about = {"steps": model.card.training["steps"], "seconds": model.card.training["seconds"], "scores": scores}
    (out / f"{arm}.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def table(out: Path) -> None:
    """Print what has been measured."""
    done = {arm: json.loads((out / f"{arm}.json").read_text()) for arm in ARMS if (out / f"{arm}.json").exists()}
    for which, title in (("all", "5.5 to 41 px per period (4 to 30 MX)"), ("own", "27.5 px per period (20 MX)")):
        rows = {name: scores for arm in done.values() for name, scores in arm["scores"][which].items()}
        count = max((len(scores) for scores in rows.values()), default=0)
        print(f"\n{count} fields, {title}:\n")
        found = [
            [name, *(spread((one[f] for one in rows[name] if np.isfinite(one[f])), ".3g") for f in FIGURES)]
            for name in ("noisy", *LINES)
            if name in rows
        ]
        print_table(["", *FIGURES.values()], found)
    spent = [f"{arm} {about['steps']} steps in {about['seconds'] / 60:.0f} min" for arm, about in done.items()]
    print("\n" + ", ".join(spent))


def picture(path: Path, out: Path, count: int, side: int = 224) -> None:
    """Write three fields around their dents at one pixel per pixel: noisy, the arms, the truth."""
    fields = test_fields("all", count)
    chosen = [fields[round(place * (count - 1))] for place in (0.12, 0.5, 0.9)]
    models = {arm: Model.load(out / f"{arm}.safetensors") for arm in ARMS if (out / f"{arm}.safetensors").exists()}
    columns: dict[str, list[np.ndarray]] = {}
    for field in chosen:
        y, x = (int(np.clip(c - side // 2, 0, SIDE - side)) for c in field.centre)
        made = {"noisy": field.noisy}
        for name, (arm, resized, guarded) in LINES.items():
            if arm in models:
                made[name] = output(models[arm], field, resized=resized, guarded=guarded)
        for name, image in (made | {"truth": field.clean}).items():
            part = levelled(name, image, field)[y : y + side, x : x + side]
            columns.setdefault(name, []).append(np.pad(part, ((0, 6), (0, 0)), constant_values=np.nan))
    periods = ", ".join(f"{field.period:.1f}" for field in chosen)
    write_panel(path, {name: np.vstack(parts) for name, parts in columns.items()}, title=f"{periods} px per period")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints, models and figures")
    parser.add_argument("--arm", choices=ARMS, help="train it (or go on), and measure it")
    parser.add_argument("--steps", type=int, default=2400, help="of every arm; choose another folder for others")
    parser.add_argument("--fields", type=int, default=20, help="to test on, of each of the two sets")
    parser.add_argument("--table", action="store_true", help="print all figures as Markdown")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write a panel of all arms (.png)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="the lattice period of")  # at the ends of the range
    if args.arm:
        if not (args.out / f"{args.arm}.safetensors").exists():
            train(args.arm, args.out, args.steps)
        measure(args.arm, args.out, args.fields)
    if args.table:
        table(args.out)
    if args.picture:
        picture(args.picture, args.out, args.fields)


if __name__ == "__main__":
    main()
