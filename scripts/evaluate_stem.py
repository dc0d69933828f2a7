"""Measure a model on simulated lattices that it was not trained on, against the best Gaussian filter.

    python scripts/evaluate_stem.py --model stem --json build/stem-evaluation.json

Every field is scanned once at each dose. The Gaussian's width is chosen for each image with the truth in hand, so it
is the best that this filter can do, not what a user would reach.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import napari_hush as hush
from napari_hush.synthesis import Scene, random_scan_noise, random_scene

DOSES = (2.0, 5.0, 10.0, 50.0, 200.0)
SEED = 7_001  # training draws from other seeds


def similarity(clean: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and SSIM, with the clean image's own range as data range."""
    data_range = float(np.ptp(clean))
    psnr = peak_signal_noise_ratio(clean, image, data_range=data_range)
    ssim = structural_similarity(
        clean, image, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(psnr), float(ssim)


def best_gaussian(clean: np.ndarray, noisy: np.ndarray, period: float) -> np.ndarray:
    """Return the Gaussian-filtered image with the smallest squared error."""
    candidates = [gaussian_filter(noisy, sigma) for sigma in np.geomspace(0.3, 0.4 * period, 20)]
    return min(candidates, key=lambda image: float(np.mean((image - clean) ** 2)))


def depth(smooth: np.ndarray, core: np.ndarray, around: np.ndarray) -> float:
    """How much darker the dent's core is than its surroundings, as a fraction of these."""
    return 1 - float(smooth[core].mean() / smooth[around].mean())


def low_pass_figures(scene: Scene, image: np.ndarray) -> dict[str, float]:
    """Slope of the low-passed output on the low-passed truth, and the relative error of the dent's depth."""
    border = int(np.ceil(scene.period))
    inner = (slice(border, -border),) * 2
    clean, found = (gaussian_filter(a.astype(np.float64), scene.period)[inner] for a in (scene.clean, image))
    figures = {}
    if clean.std() > 0.05 * clean.mean():  # on a flat field the slope is that of noise
        figures["low_pass_slope"] = float(np.cov(clean.ravel(), found.ravel())[0, 1] / clean.var(ddof=1))
    smooth = gaussian_filter(scene.transmission, scene.period)[inner]
    core, around = smooth < (1 + smooth.min()) / 2, smooth > 0.97
    if min(core.sum(), around.sum()) > 4 * scene.period**2 and (truth := depth(clean, core, around)) > 0.1:
        figures["dent_depth_error"] = abs(depth(found, core, around) - truth) / truth
    return figures


def measure(model: str, count: int, shape: tuple[int, int]) -> dict[str, dict[str, list[float]]]:
    """All figures of all fields: {dose: {name: values}}."""
    figures: dict[str, dict[str, list[float]]] = {}
    for dose in DOSES:
        here: dict[str, list[float]] = defaultdict(list)
        for i in range(count):
            scene = random_scene(np.random.default_rng([SEED, i]), shape=shape, period=(8, 30), lattice_share=1)
            rng = np.random.default_rng([SEED, i, int(dose)])
            noisy = random_scan_noise(rng, dose=(dose, dose), period=scene.period)(scene.clean, rng)
            start = time.perf_counter()
            output = np.asarray(hush.denoise(noisy, model, guard=False, rescale=False))  # the network alone
            here["seconds"].append(time.perf_counter() - start)
            clean = scene.clean.astype(np.float64)
            for name, image in {
                "noisy": noisy,
                "gaussian": best_gaussian(clean, noisy.astype(np.float64), scene.period),
                "model": output,
            }.items():
                psnr, ssim = similarity(clean, image.astype(np.float64))
                here[f"psnr_{name}"].append(psnr)
                here[f"ssim_{name}"].append(ssim)
            for name, value in low_pass_figures(scene, output).items():
                here[name].append(value)
        figures[f"{dose:g}"] = dict(here)
    return figures


def table(summary: dict[str, dict[str, dict[str, float]]]) -> str:
    """Format as Markdown: one row per dose, mean ± standard deviation over the fields."""
    columns = {
        "psnr_noisy": ("PSNR noisy", 1),
        "psnr_gaussian": ("PSNR best Gaussian", 1),
        "psnr_model": ("PSNR model", 1),
        "ssim_noisy": ("SSIM noisy", 3),
        "ssim_gaussian": ("SSIM best Gaussian", 3),
        "ssim_model": ("SSIM model", 3),
        "dent_depth_error": ("dent depth error", 3),
        "low_pass_slope": ("low-pass slope", 3),
    }
    lines = ["| dose | " + " | ".join(title for title, _ in columns.values()) + " |", "|---" * (len(columns) + 1) + "|"]
    for dose, figures in summary.items():
        cells = [
            f"{figures[name]['mean']:.{digits}f} ± {figures[name]['std']:.{digits}f}" if name in figures else "-"
            for name, (_, digits) in columns.items()
        ]
        lines.append(f"| {dose} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="stem", help="a bundled name or a model file")
    parser.add_argument("--count", type=int, default=24, help="fields per dose")
    parser.add_argument("--size", type=int, default=256, help="side of a field, px")
    parser.add_argument("--json", type=Path, default=Path("build/stem-evaluation.json"))
    args = parser.parse_args()
    figures = measure(args.model, args.count, (args.size, args.size))
    summary = {
        dose: {
            name: {"mean": round(float(np.mean(v)), 4), "std": round(float(np.std(v)), 4), "count": len(v)}
            for name, v in here.items()
        }
        for dose, here in figures.items()
    }
    command = f"python scripts/evaluate_stem.py --model {Path(args.model).name} --count {args.count} --size {args.size}"
    protocol = (
        f"{args.count} simulated fields of {args.size} x {args.size} px per dose (counts per pixel at the peaks), not "
        "the training's, all with a lattice of 8 to 30 px per period; mean ± standard deviation over the fields. "
        "PSNR in dB and SSIM (Gaussian weights, sigma 1.5) with the clean image's range. The Gaussian filter's width "
        "is the best for each image, chosen with the truth. Dent depth error: relative, after a low-pass of one "
        "period; low-pass slope: of the output on the truth after the same low-pass, 1 is right."
    )
    report = {"command": command, "protocol": protocol, "table": table(summary), "by_dose": summary}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(summary))


if __name__ == "__main__":
    main()
