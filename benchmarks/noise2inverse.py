"""Noise2Inverse on simulated foam: what the preset learns from noisy projections alone.

    python benchmarks/noise2inverse.py --out build/noise2inverse

Slices of foam are projected with counting noise; the projections are dealt out to K parts, of which each is
reconstructed by itself. ``napari-hush train noise2noise --preset noise2inverse`` gets the parts, no truth. Its denoiser
and the bundled `tomo` (which knows such streaks from simulations) are then used on reconstructions from all angles of
slices that were not trained on. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from skimage.transform import iradon, radon

import napari_hush as hush
from napari_hush.fidelity.metrics import psnr, ssim
from napari_hush.io import write_image
from napari_hush.synthesis.pictures.slices import foam

SEED = 70_900
TESTED = 6  # slices


def parts_of(clean: np.ndarray, *, angles: int, counts: float, parts: int, rng: np.random.Generator) -> np.ndarray:
    """Noisy reconstructions (K, Y, X) of a slice from every K-th projection, beginning with another one each."""
    theta = np.arange(angles) * 180 / angles
    rays = radon(clean.astype(np.float64), theta=theta, circle=True)  # (side, angles)
    scale = 2.0 / rays.max()  # the densest ray lets exp(-2) through
    passed = np.maximum(rng.poisson(counts * np.exp(-scale * rays)), 1)
    seen = -np.log(passed / counts) / scale
    return np.stack([iradon(seen[:, k::parts], theta=theta[k::parts], circle=True) for k in range(parts)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the parts and the model")
    parser.add_argument("--size", type=int, default=96, help="side of a slice, px")
    parser.add_argument("--slices", type=int, default=20, help="to train on")
    parser.add_argument("--angles", type=int, default=128)
    parser.add_argument("--counts", type=float, default=100.0, help="photons per detector pixel and projection")
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    folder = args.out / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for number in range(args.slices + TESTED):
        rng = np.random.default_rng([SEED, number])
        clean = foam((args.size, args.size), count=60, radius=(0.02, 0.15), rng=rng)
        drawn.append((clean, parts_of(clean, angles=args.angles, counts=args.counts, parts=args.parts, rng=rng)))
    for number, (_, parts) in enumerate(drawn[: args.slices]):
        write_image(folder / f"slice{number}.tif", parts.astype(np.float32), axes="QYX")
    model = args.out / "noise2inverse.safetensors"
    model.with_suffix(".ckpt").unlink(missing_ok=True)
    command = [
        "train", "noise2noise", str(folder), "-o", str(model), "--preset", "noise2inverse", "--steps", str(args.steps),
        "--patch", "48", "--network-options", "width = 12", "--validate-every", "100",
    ]  # fmt: skip
    print(f"napari-hush {' '.join(command)}\n", flush=True)
    subprocess.run([sys.executable, "-m", "napari_hush.cli", *command], check=True)
    rows: dict[str, list[tuple[float, float]]] = {}
    for clean, parts in drawn[args.slices :]:
        mean = parts.mean(axis=0).astype(np.float32)  # what all angles together give
        truth = clean.astype(np.float64)
        outputs = {
            "one part": parts[0],
            "all angles": mean,
            "noise2inverse": hush.denoise(mean, model, guard=False),
            "tomo": hush.denoise(mean, "tomo"),
        }
        for name, output in outputs.items():
            rows.setdefault(name, []).append((psnr(truth, output), ssim(truth, output)))
    print(f"\n{TESTED} slices that were not trained on, mean ± standard deviation.\n")
    print("| | PSNR, dB | SSIM |\n|---|---|---|")
    for name, found in rows.items():
        (p, s), (dp, ds) = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        print(f"| {name} | {p:.1f} ± {dp:.1f} | {s:.3f} ± {ds:.3f} |")


if __name__ == "__main__":
    main()
