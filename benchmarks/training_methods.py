"""Train with every method on simulated lattices, from the command line, and print what each gains.

The data are made by `napari-hush synthesize`: pairs, unpaired sides with truth for the validation alone, and two noisy
scans of each field. Each training is a few minutes on two cores. PSNR in dB is the mean over held-out fields that no
training saw, with the range of the clean field as the peak.

    python benchmarks/training_methods.py [--folder build/training] [--only supervised tomogan ...] [--autoencoder]

With ``--autoencoder`` the preset of that name is trained as published, and once more with a larger learning rate.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from napari_hush.card import read_header
from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.io import write_image

FIELDS = "--n 60 --shape 192 192 --dose 5 40 --period 8 20 --lattice-share 1 --seed 1"
SMALL = '--patch 64 --network-options "width = 16" --validate-every 50'
UNPAIRED = "--network unet --discriminator-width 32 --batch-size 4 --learning-rate 1e-3"
COMMANDS: dict[str, str] = {
    "supervised": f"train supervised pairs -o supervised.safetensors --steps 300 {SMALL} --learning-rate 1e-3",
    "tomogan": "train tomogan pairs -o tomogan.safetensors --steps 250 --patch 64 --batch-size 8 --validate-every 50 "
    "--learning-rate 5e-4",
    "noise2noise": f"train noise2noise repeats -o noise2noise.safetensors --steps 300 {SMALL} --learning-rate 1e-3",
    "noise2void": "train noise2void pairs/train/noisy --truth pairs/train/clean -o noise2void.safetensors --steps 400 "
    f"{SMALL} --learning-rate 1e-3",
    "cyclegan": f"train cyclegan sides -o cyclegan.safetensors --steps 300 {SMALL} {UNPAIRED}",
    "two-stage": f"train two-stage sides -o two-stage.safetensors --steps 500 --unpaired-steps 200 {SMALL} {UNPAIRED} "
    '--final-options "width = 16" --final-learning-rate 1e-3',
}
AUTOENCODER = {
    "preset autoencoder": "train supervised cells -o autoencoder.safetensors --preset autoencoder",
    "the same, rate 1e-3": "train supervised cells -o autoencoder-fast.safetensors --preset autoencoder "
    "--learning-rate 1e-3",
}
CELLS = "--kind cells --n 640 --shape 128 128 --dose 2 8 --seed 2 --test-share 0.2 --workers 2"


def run(command: str, folder: Path) -> float:
    """Run one command of napari-hush; seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "napari_hush.cli", *shlex.split(command)], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"napari-hush {command}\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - began


def write_repeats(folder: Path) -> None:
    """Write stacks of two scans of each field; the clean images of both are written beside them."""
    drawer = Drawer(
        SynthesisSettings(n=54, shape=(192, 192), dose=(5, 40), period=(8, 20), lattice_share=1, seed=1, test_share=0)
    )
    (folder / "repeats").mkdir(exist_ok=True)
    for number in range(54):
        target = drawer("train", number)
        rng = np.random.default_rng([7, number])
        scans = np.stack([target.noise(target.clean, rng) for _ in range(2)])
        write_image(folder / "repeats" / f"{number:02d}.tif", scans, axes="TYX")
        (folder / "repeats-clean").mkdir(exist_ok=True)
        write_image(folder / "repeats-clean" / f"{number:02d}.tif", np.stack([target.clean] * 2), axes="TYX")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/training"), help="where data and models are left")
    parser.add_argument("--only", nargs="*", default=list(COMMANDS), help="methods")
    parser.add_argument("--autoencoder", action="store_true", help="train the preset instead")
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args.folder.mkdir(parents=True, exist_ok=True)
    jobs = AUTOENCODER if args.autoencoder else {name: COMMANDS[name] for name in args.only}
    if args.autoencoder:
        run(f"synthesize cells {CELLS}", args.folder)
    else:
        run(f"synthesize pairs {FIELDS}", args.folder)
        run(f"synthesize sides {FIELDS} --layout unpaired", args.folder)
        write_repeats(args.folder)
    print("| method | steps | minutes | noisy, dB | denoised, dB | gain, dB | SSIM | MSE | MAE |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, command in jobs.items():
        if name == "noise2noise":
            command += " --truth repeats-clean"
        words = shlex.split(command)
        model = args.folder / words[words.index("-o") + 1]
        for old in (model, model.with_suffix(".ckpt")):
            old.unlink(missing_ok=True)
        seconds = run(command, args.folder)
        card = read_header(model)[0].card
        test = card.metrics["test"]
        print(
            f"| {name} | {card.training['steps']} | {seconds / 60:.1f} "
            f"| {test['noisy_psnr']:.1f} | {test['psnr']:.1f} | "
            f"{test['psnr'] - test['noisy_psnr']:+.1f} | {test['ssim']:.3f} | {test['mse']:.4f} | {test['mae']:.3f} |",
            flush=True,
        )
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; the commands:\n")
    print("\n".join(f"napari-hush {command}" for command in jobs.values()))


if __name__ == "__main__":
    main()
