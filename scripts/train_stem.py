"""Train the bundled model ``stem``: TomoGAN's generator on simulated lattices with dents, for scanning microscopes.

    OMP_WAIT_POLICY=PASSIVE python scripts/train_stem.py --resume
    python scripts/train_stem.py --export build/stem.pt src/napari_hush/zoo/stem.safetensors

Without the passive wait, OpenMP's threads spin for one another: on two cores that a second process shares, a step was
measured to take 1.9 s instead of 0.7 s.

The recipe: clean fields are simulated once; at each step some of them are turned, get fresh noise at their own period,
are normalised by the percentiles of the *noisy* field (as at inference), and cut into patches. The loss is L1 plus a
little gradient-L1 and Fourier-L1. The weights that are kept are an exponential moving average.

The schedule follows the step number only, and the data of a step follow from (seed, step): stopping, pausing and
resuming the process changes nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import platform
import queue
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_hush.networks import TomoGAN
from napari_hush.synthesis import random_scan_noise, random_scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_hush.card import ModelCard

VALIDATION_DOSES = (2.0, 5.0, 10.0, 50.0, 200.0)
HYPERPARAMETERS = {"in_channels": 1, "out_channels": 1, "upsampling": "nearest"}


@dataclass(frozen=True)
class Fields:
    """Clean simulated fields: clean (N, Y, X) float16, period (N,) px."""

    clean: np.ndarray
    period: np.ndarray


def simulate_fields(count: int, seed: int, cache: Path) -> Fields:
    """Draw the clean fields, or read them from the cache."""
    if cache.exists():
        with np.load(cache) as file:
            return Fields(file["clean"], file["period"])
    clean, period = np.empty((count, 256, 256), np.float16), np.empty(count)
    for i in range(count):
        scene = random_scene(np.random.default_rng([seed, 1, i]), shape=(256, 256), period=(5.5, 42.0))
        clean[i], period[i] = scene.clean, scene.period
    partial = cache.with_suffix(".partial.npz")
    np.savez(partial, clean=clean, period=period)
    partial.replace(cache)
    return Fields(clean, period)


def normalise(noisy: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Map the noisy field's 1st and 99th percentile to 0 and 1, and the clean field with the same two numbers."""
    low, high = np.percentile(noisy, (1, 99), method="lower")
    if low == high:
        low, high = noisy.min(), noisy.max()
    scale = float(high - low) or 1.0
    return (noisy - low) / np.float32(scale), (clean - low) / np.float32(scale), scale


def make_batch(fields: Fields, args: argparse.Namespace, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Make the patches of one step, (B, 1, P, P) each; they depend on the seed and the step alone."""
    rng = np.random.default_rng([args.seed, 2, step])
    noisy_patches, clean_patches = [], []
    for i in rng.choice(len(fields.clean), args.batch // args.crops, replace=False):
        # The clean field may be turned in any way; the noise comes afterwards, because its rows have a direction.
        clean = np.rot90(fields.clean[i].astype(np.float32), rng.integers(4))
        clean = np.ascontiguousarray(clean[::-1] if rng.random() < 0.5 else clean)
        noise = random_scan_noise(rng, dose=(2.0, 500.0), period=float(fields.period[i]))
        noisy, target, _ = normalise(noise(clean, rng), clean)
        if rng.random() < 0.5:  # scanned from right to left
            noisy, target = noisy[:, ::-1], target[:, ::-1]
        for y, x in rng.integers(0, 256 - args.patch + 1, (args.crops, 2)):
            noisy_patches.append(noisy[y : y + args.patch, x : x + args.patch])
            clean_patches.append(target[y : y + args.patch, x : x + args.patch])
    pair = (torch.from_numpy(np.stack(patches)[:, None].copy()) for patches in (noisy_patches, clean_patches))
    noisy, clean = (t.contiguous(memory_format=torch.channels_last) for t in pair)
    return noisy, clean


def batches(fields: Fields, args: argparse.Namespace, start: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches from ``start`` on, made a few steps ahead by one thread (numpy lets go of the lock)."""
    ahead: queue.Queue[tuple[torch.Tensor, torch.Tensor]] = queue.Queue(maxsize=4)

    def work() -> None:
        for step in range(start, args.steps):
            ahead.put(make_batch(fields, args, step))

    threading.Thread(target=work, daemon=True).start()
    for _ in range(start, args.steps):
        yield ahead.get()


def loss_terms(output: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """L1 of the values, of their first differences, and of the orthonormal Fourier transform; (B, 1, Y, X)."""
    error = output - target
    gradient = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    fourier = torch.fft.rfft2(error, norm="ortho").abs().mean()
    return {"l1": error.abs().mean(), "gradient": gradient, "fourier": fourier}


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    if step < args.warmup:
        return float(args.peak * (step + 1) / args.warmup)
    part = (step - args.warmup) / max(args.steps - args.warmup, 1)
    return float(args.peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part))))


def initialise(network: nn.Module) -> None:
    """He initialisation; the biases start at 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def validation_fields(seed: int) -> list[tuple[np.ndarray, np.ndarray, float, float]]:
    """16 held-out lattices, 256 px: noisy, clean (both normalised), the clean range, the dose."""
    pairs = []
    for i in range(16):
        rng = np.random.default_rng([seed, 3, i])
        scene = random_scene(rng, lattice_share=1.0, period=(5.5, 42.0))
        dose = VALIDATION_DOSES[i % 5]
        noise = random_scan_noise(rng, dose=(dose, dose), period=scene.period)
        noisy, clean, _ = normalise(noise(scene.clean, rng), scene.clean)
        pairs.append((noisy, clean, float(np.ptp(clean)), dose))
    return pairs


@torch.inference_mode()
def validate(network: nn.Module, pairs: list[tuple[np.ndarray, np.ndarray, float, float]]) -> dict[str, float]:
    """Mean PSNR in dB per dose and over all."""
    found: dict[float, list[float]] = {dose: [] for dose in VALIDATION_DOSES}
    for noisy, clean, data_range, dose in pairs:
        output = network(torch.from_numpy(noisy)[None, None].contiguous(memory_format=torch.channels_last))
        mse = float(np.mean((output[0, 0].numpy().astype(np.float64) - clean) ** 2))
        found[dose].append(10 * math.log10(data_range**2 / mse))
    psnr = {f"{dose:g}": float(np.mean(values)) for dose, values in found.items()}
    return {**psnr, "all": float(np.mean([v for values in found.values() for v in values]))}


def save(path: Path, state: dict[str, object]) -> None:
    """Write a checkpoint so that a kill at any moment leaves the old one or the new one."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def train(args: argparse.Namespace) -> None:
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if platform.libc_ver()[0] == "glibc":  # keep freed activations instead of faulting their pages in again
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
    fields = simulate_fields(args.fields, args.seed, args.folder / f"stem-fields-{args.seed}-{args.fields}.npz")
    network = TomoGAN(upsampling="nearest").to(memory_format=torch.channels_last)
    initialise(network)
    ema = TomoGAN(upsampling="nearest").to(memory_format=torch.channels_last).requires_grad_(False)
    ema.load_state_dict(network.state_dict())
    optimiser = torch.optim.Adam(network.parameters(), lr=args.peak)
    checkpoint, start, seconds = args.folder / f"{args.name}.pt", 0, 0.0
    if args.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        start, seconds = state["step"], state["seconds"]
    pairs = validation_fields(args.seed)
    log = open(args.folder / f"{args.name}.jsonl", "a" if start else "w")
    recent: dict[str, float] = {}
    began = time.monotonic()
    for step, (noisy, clean) in enumerate(batches(fields, args, start), start):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, args)
        terms = loss_terms(network(noisy), clean)
        loss = terms["l1"] + args.lambda_gradient * terms["gradient"] + args.lambda_fourier * terms["fourier"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            for average, parameter in zip(ema.parameters(), network.parameters(), strict=True):
                average.lerp_(parameter, 1 - decay)
        for name, value in {**terms, "loss": loss, "norm": norm}.items():
            recent[name] = recent.get(name, 0.0) + value.item()

        done = step + 1
        if done % args.every == 0 or done == args.steps:
            elapsed = seconds + time.monotonic() - began
            count = (done - 1) % args.every + 1
            event = {"step": done, "seconds": round(elapsed, 1), "lr": learning_rate(step, args)}
            event |= {name: round(value / count, 5) for name, value in recent.items()}
            event["psnr"] = {name: round(value, 3) for name, value in validate(ema, pairs).items()}
            log.write(json.dumps(event) + "\n")
            log.flush()
            print(json.dumps(event), flush=True)
            recent = {}
            state = {"network": network.state_dict(), "ema": ema.state_dict(), "optimiser": optimiser.state_dict()}
            settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k != "export"}
            save(checkpoint, {**state, "step": done, "seconds": elapsed, "settings": settings, "event": event})


def export(checkpoint: Path, out: Path, note: str) -> None:
    """Write the averaged weights of a checkpoint as a model file, and its card as Markdown beside it.

    The metrics come from ``<checkpoint>-evaluation.json``, where `evaluate_stem.py` has written it.
    """
    from napari_hush.card import ModelCard
    from napari_hush.model import Model
    from napari_hush.normalize import NormalizationRule

    state = torch.load(checkpoint, weights_only=True)
    settings, step = state["settings"], state["step"]
    network = TomoGAN(upsampling="nearest")
    network.load_state_dict(state["ema"])
    evaluation = checkpoint.with_name(f"{checkpoint.stem}-evaluation.json")
    metrics = json.loads(evaluation.read_text()) if evaluation.exists() else {}
    card = ModelCard(
        name="stem",
        description="Removes scan and counting noise from atomic-resolution STEM images with bright atom columns; "
        "keeps dents, vacancies and slow contrast. A first model, trained on simulated images only.",
        source="scripts/train_stem.py",
        licence="BSD-3-Clause",
        training={
            "architecture": "TomoGAN's generator, nearest upsampling, 694,897 parameters, float32; supervised, "
            "without a discriminator",
            "data": f"{settings['fields']} simulated clean fields of 256 x 256 px (square, rectangular, hexagonal, "
            "oblique, honeycomb and dumbbell lattices; 10 % without a lattice; 70 % with dents), turned and flipped, "
            "with fresh noise at every step",
            "period": "5.5 to 42 px, log-uniform",
            "dose": "2 to 500 counts per pixel at the peaks, log-uniform",
            "noise": "row jitter, Poisson, detector lag, readout, row offsets, spikes, missing lines, quantisation",
            "loss": f"L1 + {settings['lambda_gradient']} gradient-L1 + {settings['lambda_fourier']} Fourier-L1",
            "optimiser": f"Adam, peak learning rate {settings['peak']:g}, {settings['warmup']} steps of warm-up, "
            "cosine decay to 1 %, gradients clipped at norm 1; moving average of the weights, 0.999",
            "steps": step,
            "planned_steps": settings["steps"],
            "batch": f"{settings['batch']} patches of {settings['patch']} x {settings['patch']} px",
            "seed": settings["seed"],
            "minutes": round(state["seconds"] / 60),
            **({"note": note} if note else {}),
            "hardware": "2 cores of an AMD Zen 3 processor (AVX2), shared with other work; no GPU",
        },
        metrics=metrics,
        limits=[
            "Trained and measured on simulated images only; nobody has yet measured it on a set of real ones.",
            "Bright columns on a darker ground; inverted contrast (bright field, ABF) was not trained: invert it.",
            "Lattice periods from 5.5 to 42 px. The network sees the image at its own scale; resample finer or coarser "
            "images.",
            "From 2 to 500 counts per pixel at the peaks. Fine lattices at low dose fade: at 2 counts and under 8 px "
            "per period columns lose much of their contrast, weak ones all of it.",
            "Row jitter is smoothed, not measured: slow drift and scan distortion stay in the result.",
            "A single vacancy or weak column at low dose can be filled or lost; compare with the noisy image.",
            "Not for tomography, electron diffraction, light microscopy or images of grains and particles: small "
            "shapes come out rounded, like atom columns.",
        ],
    )
    rule = NormalizationRule(method="percentile", low=1.0, high=99.0, target=(0.0, 1.0))
    Model(network, "tomogan", HYPERPARAMETERS, rule, card).save(out)
    out.with_suffix(".md").write_text(markdown(card), encoding="utf-8")


def markdown(card: ModelCard) -> str:
    """Format a card as a page: what it is, limits, training, metrics."""
    lines = [f"# {card.name}", "", card.description, "", f"Licence: {card.licence}. Made by `{card.source}`.", ""]
    lines += ["## Limits", "", *(f"- {limit}" for limit in card.limits), "", "## Training", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in card.training.items()]
    lines += ["", "## Measured", ""]
    if not card.metrics:
        return "\n".join([*lines, "Not yet measured.", ""])
    lines += [card.metrics["protocol"], "", f"Made by `{card.metrics['command']}`.", "", card.metrics["table"], ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build"), help="where cache, log and checkpoint go")
    parser.add_argument("--name", default="stem", help="name of the log and the checkpoint")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--fields", type=int, default=1500, help="number of clean fields")
    parser.add_argument("--batch", type=int, default=6, help="patches per step")
    parser.add_argument("--crops", type=int, default=2, help="patches that share one noisy field")
    parser.add_argument("--patch", type=int, default=112, help="side of a patch, px, a multiple of 8")
    parser.add_argument("--peak", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--warmup", type=int, default=300, help="steps")
    parser.add_argument("--lambda-gradient", type=float, default=0.1)
    parser.add_argument("--lambda-fourier", type=float, default=0.05)
    parser.add_argument("--every", type=int, default=250, help="steps between validation, log and checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20240)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--export", nargs=2, type=Path, metavar=("CHECKPOINT", "OUT"), help="write the model file")
    parser.add_argument("--note", default="", help="with --export: what the card should add about the run")
    args = parser.parse_args()
    if args.export:
        export(*args.export, args.note)
    else:
        train(args)


if __name__ == "__main__":
    sys.exit(main())
