"""What interpolated noise costs a network that never saw any.

    git show 5dfd344:src/napari_hush/zoo/stem.safetensors > build/native-noise.safetensors
    python benchmarks/interpolated_noise.py --models build/native-noise.safetensors stem

Dented lattices of one period, with the noise of counting alone, are brought to 12 px per period, go through the network
without the guard, and are brought back. The same network then sees the same clean fields, resampled first, with fresh
noise of as many counts per period: nothing differs but that this noise was not interpolated. Mean and standard
deviation over the fields of PSNR, minus BM3D's on the image as it was (told the noise's true standard deviation).
"""

from __future__ import annotations

import argparse

import bm3d
import numpy as np

import napari_hush as hush
from napari_hush.fidelity.metrics import psnr
from napari_hush.filters.resampling import resample
from napari_hush.synthesis import random_scene
from napari_hush.synthesis.noise.registry import Poisson

CANONICAL = 12.0  # px
SEED = 70_800


def measure(model: hush.Model, period: float, dose: float, number: int) -> tuple[float, float, float]:
    """PSNR in dB of BM3D, of the network on interpolated noise and of the network on fresh noise."""
    factor = CANONICAL / period
    size = round(24 * period)
    scene = random_scene(
        np.random.default_rng([SEED, number]), shape=(size, size), period=(period, period), lattice_share=1
    )
    rng = np.random.default_rng([SEED, number, round(dose)])
    noisy = np.asarray(Poisson(dose=dose)(scene.clean, rng), np.float32)
    clean = scene.clean.astype(np.float64)
    sigma = float(np.std(noisy - clean))
    fresh = np.asarray(Poisson(dose=dose / factor**2)(resample(scene.clean, factor).clip(0), rng), np.float32)

    def restored(image: np.ndarray) -> float:
        output = hush.denoise(image, model, guard=False, rescale=False)
        return psnr(clean, resample(output, 1 / factor, shape=clean.shape))

    other = bm3d.bm3d(noisy.astype(np.float64), sigma_psd=sigma)
    return psnr(clean, other), restored(resample(noisy, factor)), restored(fresh)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["stem"], help="bundled names or model files")
    parser.add_argument("--periods", type=float, nargs="+", default=[6, 8, 12, 24], help="px")
    parser.add_argument("--doses", type=float, nargs="+", default=[10.0], help="counts per pixel at the peaks")
    parser.add_argument("--fields", type=int, default=20)
    args = parser.parse_args()
    print("| model | dose | period | BM3D, dB | interpolated noise, over BM3D | fresh noise, over BM3D |")
    print("|---" * 6 + "|")
    for source in args.models:
        model = hush.load_model(source)
        for dose in args.doses:
            for period in args.periods:
                rows = np.array([measure(model, period, dose, number) for number in range(args.fields)])
                gains = rows[:, 1:] - rows[:, :1]
                cells = [f"{gain.mean():+.2f} ± {gain.std():.2f}" for gain in gains.T]
                mean = rows[:, 0].mean()
                print(f"| {source} | {dose:g} | {period:g} | {mean:.2f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
