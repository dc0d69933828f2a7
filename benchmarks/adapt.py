"""What adapting gains: PSNR of simulated images before and after, each of another kind than its model was trained on.

    python benchmarks/adapt.py [--images 20] [--first 0] [--minutes 5] [--steps 0] [--size 320] [--json FILE]
    python benchmarks/adapt.py --frames FOLDER [--steps 80] [--minutes 60]

Images in turn, all drawn by their number:

- counts: a lattice of columns that are sharper or broader than those `stem` knows, few counts, a detector with lag;
- white: such a lattice with white noise, which `stem` was not trained on;
- spots: points and threads of fluorescence behind a blur, few counts, for `general`;
- threads: filaments behind a blur with white noise, for `general`;
- grain: such a picture with noise that is correlated over both axes. It cannot be drawn anew, and adapting refuses it.

With ``--frames`` real ones instead: NAME_1frame.tif beside NAME_400frames.tif, the mean of many; PSNR after an affine
fit of the one to the other, over its range from 0.1 to 99.9 %.

The goal is a mean gain of 0.5 dB and no image that loses more than 0.1 dB. Refused images count with a gain of 0. With
``--json`` every image is one line of a file; started again, what is there is not computed anew. Two threads.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import torch
from scipy import ndimage

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.fidelity.metrics import psnr
from napari_hush.synthesis import Compose, random_wide_field
from napari_hush.synthesis.noise.registry import DetectorLag, Gaussian, Poisson, Readout
from napari_hush.synthesis.pictures.instruments import puncta, web
from napari_hush.synthesis.pictures.phantoms import filaments
from quality import append_line, read_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.synthesis import Noise

KINDS = ("counts", "white", "spots", "threads", "grain")


def lattice(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Columns of another shape than the model's: raised to a power, or blurred."""
    image = np.clip(random_wide_field(rng, shape, period=(7.0, 24.0)).image, 0, None)
    power = float(np.exp(rng.uniform(np.log(0.6), np.log(2.5))))
    return np.asarray(ndimage.gaussian_filter(image**power, rng.uniform(0, 1)), np.float32)


def picture(shape: tuple[int, int], kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Fluorescence behind optics."""
    if kind == "threads":
        drawn = filaments(shape, count=int(rng.integers(10, 60)), psf=1.2, persistence=rng.uniform(20, 200), rng=rng)
    else:
        drawn = puncta(shape, rng) if rng.random() < 0.5 else web(shape, rng)
    blurred = ndimage.gaussian_filter(drawn, rng.uniform(1.5, 3))
    return np.asarray(blurred / np.percentile(blurred, 99.8), np.float32)


def noise_of(kind: str, rng: np.random.Generator) -> Noise:
    dose = float(np.exp(rng.uniform(np.log(4), np.log(30))))
    if kind == "counts":
        noises: tuple[Noise, ...] = (Poisson(dose=dose), DetectorLag(correlation=rng.uniform(0, 0.4)))
        return Compose(noises=(*noises, Readout(sigma=0.03)))
    if kind == "spots":
        return Compose(noises=(Poisson(dose=dose), Readout(sigma=0.02)))
    sigma = float(rng.uniform(0.1, 0.35))
    return Compose(noises=(Gaussian(sigma=sigma, grain=rng.uniform(0.6, 1.2) if kind == "grain" else 0.0),))


def draw(number: int, size: int) -> tuple[str, str, NDArray[np.float32], NDArray[np.float32]]:
    """Kind, model, clean and noisy image."""
    kind = KINDS[number % len(KINDS)]
    rng = np.random.default_rng([11, number])
    model = "stem" if kind in ("counts", "white") else "general"
    clean = lattice((size, size), rng) if model == "stem" else picture((size, size), kind, rng)
    return kind, model, clean, noise_of(kind, rng)(clean, rng)


def measure(number: int, args: argparse.Namespace) -> dict[str, Any]:
    kind, model, clean, noisy = draw(number, args.size)
    before = psnr(clean, hush.denoise(noisy, model))
    line = {"number": number, "kind": kind, "noisy": psnr(clean, noisy), "before": before, "after": before}
    settings = hush.AdaptSettings(minutes=args.minutes, steps=args.steps, learning_rate=args.learning_rate)
    begin = time.perf_counter()
    try:
        done = hush.adapt(noisy, model, settings)
    except InputError as error:
        return {**line, "outcome": "refused", "words": str(error), "steps": 0, "seconds": time.perf_counter() - begin}
    seconds = time.perf_counter() - begin
    if done.kept:
        line["after"] = psnr(clean, hush.denoise(noisy, done.model))
    outcome = "adapted" if done.kept else "unchanged"
    return {**line, "outcome": outcome, "words": done.words, "steps": done.record["steps"], "seconds": seconds}


def real(args: argparse.Namespace) -> None:
    """Frames of a microscope beside the mean of many."""
    print("| frame | before, dB | after, dB | gain, dB | what came out |\n|---|---|---|---|---|")
    for path in sorted(args.frames.glob("*_1frame.tif")):
        noisy = tifffile.imread(path).astype(np.float32)
        mean = tifffile.imread(path.with_name(path.name.replace("_1frame", "_400frames"))).astype(np.float64)
        low, high = np.percentile(mean, (0.1, 99.9))

        def fitted(image: NDArray[np.float32], mean: NDArray[np.float64] = mean, span: float = high - low) -> float:
            gain, offset = np.polyfit(image.ravel().astype(np.float64), mean.ravel(), 1)
            return float(20 * np.log10(span) - 10 * np.log10(np.mean((gain * image + offset - mean) ** 2)))

        done = hush.adapt(noisy, "general", hush.AdaptSettings(minutes=args.minutes, steps=args.steps))
        before, after = (fitted(hush.denoise(noisy, model)) for model in ("general", done.model))
        print(f"| {path.name} | {before:.2f} | {after:.2f} | {after - before:+.2f} | {done.words} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first image")
    parser.add_argument("--minutes", type=float, default=5.0, help="for each image")
    parser.add_argument("--steps", type=int, default=0, help="at most; 0: as many as the time allows")
    parser.add_argument("--learning-rate", type=float, default=hush.AdaptSettings().learning_rate)
    parser.add_argument("--size", type=int, default=320, help="side of the images, px")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--frames", type=Path, metavar="FOLDER", help="real frames instead of simulated images")
    args = parser.parse_args()
    torch.set_num_threads(2)
    if args.frames is not None:
        real(args)
        return
    lines = {line["number"]: line for line in ([] if args.json is None else read_lines(args.json))}
    print("| image | kind | noisy, dB | before, dB | after, dB | gain, dB | steps | seconds | outcome |")
    print("|---|---|---|---|---|---|---|---|---|")
    numbers = range(args.first, args.first + args.images)
    for number in numbers:
        if number not in lines:
            lines[number] = measure(number, args)
            if args.json is not None:
                append_line(args.json, lines[number])
        one = lines[number]
        print(
            f"| {number} | {one['kind']} | {one['noisy']:.1f} | {one['before']:.2f} | {one['after']:.2f} "
            f"| {one['after'] - one['before']:+.2f} | {one['steps']} | {one['seconds']:.0f} | {one['outcome']} |",
            flush=True,
        )
    print("\n| kind | images | adapted | mean gain, dB | worst, dB |\n|---|---|---|---|---|")
    for kind in (*KINDS, "all"):
        chosen = [lines[k] for k in numbers if kind in (lines[k]["kind"], "all")]
        if chosen:
            gains = [one["after"] - one["before"] for one in chosen]
            adapted = sum(one["outcome"] == "adapted" for one in chosen)
            print(f"| {kind} | {len(chosen)} | {adapted} | {np.mean(gains):+.2f} | {min(gains):+.2f} |")


if __name__ == "__main__":
    main()
