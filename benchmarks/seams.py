"""Pictures of the seams that tiles with statistics of their own leave, and of the result without them.

A small CycleGAN generator with instance normalisation learns to denoise simulated lattices (a few minutes on a CPU; the
weights are kept for the next run). Then an image is denoised in one pass, in tiles that are normalised each by itself,
and in the tiles of `napari_hush.denoise`; the picture shows the three and, ten times stronger, what the tiles changed.

    python benchmarks/seams.py [IMAGE] [--out seams.png] [--tile 128] [--steps 800]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import napari_hush as hush
from instance_norm import make_model, tiled
from napari_hush.card import ModelCard
from napari_hush.io import read_image
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule
from napari_hush.reports.panels import write_panel
from napari_hush.synthesis import random_scan_noise, random_scene

HYPERPARAMETERS = {"width": 16, "blocks": 4}
RULE = NormalizationRule(low=0.1, high=99.9, target=(-1.0, 1.0))
CPU = {"engine": "torch", "device": "cpu", "precision": "float32", "guard": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", help="the sample dented-lattice if not given")
    parser.add_argument("--out", default="seams.png")
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--weights", type=Path, default=Path("build/seams.safetensors"))
    parser.add_argument("--show", type=int, default=384, help="side of the part in the picture, px")
    args = parser.parse_args()
    if not args.weights.exists():
        args.weights.parent.mkdir(parents=True, exist_ok=True)
        train(args.steps).save(args.weights)
    model = make_model(str(args.weights))
    image = np.asarray(read_image(args.image).data) if args.image else hush.sample("dented-lattice").noisy
    image = image[tuple(slice(n // model.stride * model.stride) for n in image.shape)]
    norm = RULE.fit(lambda: iter([image]))
    whole = hush.denoise(image, model, tile=False, **CPU)
    naive = norm.invert(tiled(model.network, norm.apply(image), args.tile))
    exact = hush.denoise(image, model, tile=args.tile, **CPU)
    name = Path(args.image).name if args.image else "dented-lattice"
    for way, result in (("own statistics", naive), ("exact", exact)):
        largest, typical = np.abs(result - whole).max(), np.sqrt(np.mean((result - whole) ** 2))
        print(f"{name}: {way}: max {largest / np.ptp(whole):.1e} of the range, rms {typical / np.ptp(whole):.1e}")
    part = tuple(slice((n - min(n, args.show)) // 2, (n + min(n, args.show)) // 2) for n in image.shape)
    middle = float(np.median(whole))
    images = {
        "noisy": image,
        "tiles, each with its own statistics": naive,
        "10 x (these - one pass)": middle + 10 * (naive - whole),
        "10 x (exact - one pass)": middle + 10 * (exact - whole),
        "exact tiles": exact,
    }
    write_panel(args.out, {k: v[part] for k, v in images.items()}, title=f"{name}, tiles of {args.tile} px")


def train(steps: int) -> Model:
    """Supervised, on patches of simulated lattices."""
    torch.manual_seed(0)
    model = Model.create("cyclegan_resnet", HYPERPARAMETERS, normalization=RULE, card=ModelCard(name="seams"))
    network = model.network.train().requires_grad_(True)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    for step in range(steps):
        noisy, clean = (torch.from_numpy(np.stack(a)) for a in zip(*(pair(step, i) for i in range(4)), strict=True))
        loss = (network(noisy) - clean).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    network.eval().requires_grad_(False)
    return model


def pair(step: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy and a clean patch (1, Y, X), both mapped by the noisy one's percentiles."""
    rng = np.random.default_rng([step, number])
    scene = random_scene(rng, shape=(128, 128), period=(8, 24))
    noisy = random_scan_noise(rng, dose=(5, 100), period=scene.period)(scene.clean, rng)
    norm = RULE.fit(lambda: iter([noisy]))
    return norm.apply(noisy)[None], norm.apply(scene.clean)[None]


if __name__ == "__main__":
    main()
