"""Kill a training again and again at random moments, resume it each time, and compare with one that was left alone.

The checkpoint is written after every second step; every second kill waits until one is being written. Prints a table;
the weights must be the same bit for bit.

    python benchmarks/kill_resume.py --kills 10
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from killing import kill, wait

CHILD = """
import sys
import numpy as np
import torch
import napari_hush as hush

torch.set_num_threads(1)
rng = np.random.default_rng(0)
clean = np.kron(rng.random((12, 12, 12)), np.ones((8, 8))).astype(np.float32)
noisy = clean + rng.normal(0, 0.2, clean.shape).astype(np.float32)
method, checkpoint, output, steps, width = sys.argv[1:]
settings = {"patch": 32, "batch_size": 2, "steps": int(steps), "validate_every": 2, "picture_every": 0, "workers": 1}
settings["network_options"] = f"width = {width}"
if method == "cyclegan":
    settings |= {"network_options": f"width = {width}, blocks = 1", "batch_size": 1, "pool": 4}

def report(event):
    with open(checkpoint + ".steps", "a") as file:
        file.write(f"{event.step}\\n")

hush.train(method, (noisy, clean), settings, checkpoint=checkpoint, resume=True, progress=report).save(output)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--method", default="supervised", choices=["supervised", "tomogan", "cyclegan", "noise2void"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--longest", type=float, default=0.4, help="wait after the first new step, s at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = start(folder / "whole", args)
        if whole.wait():
            raise SystemExit("the run that was left alone failed")
        print(f"{args.method}, {args.steps} steps, a checkpoint of {size(folder / 'whole.ckpt')} at every second one")
        print(f"{'kill':>5} {'after':>9} {'at step':>8} {'checkpoint of step':>19} {'unfinished file':>16}")
        number = 0
        while number < args.kills:
            child, before = start(folder / "killed", args), steps(folder / "killed")
            while child.poll() is None and steps(folder / "killed") <= before:
                time.sleep(0.01)
            waited = time.monotonic()
            wait(child, rng.uniform(0.0, args.longest))
            while number % 2 and child.poll() is None and not list(folder.glob(".killed.ckpt.*.part")):
                time.sleep(0.0002)  # every second kill meets a write
            delay = time.monotonic() - waited
            if child.poll() is not None:
                print("the run ended before it was killed; take more --steps")
                break
            kill(child)
            number += 1
            parts = list(folder.glob(".killed.ckpt.*.part"))
            saved = "none" if not (folder / "killed.ckpt").exists() else reached(folder / "killed.ckpt")
            print(f"{number:5} {delay:7.2f} s {steps(folder / 'killed'):8} {saved!s:>19} {len(parts):>16}")
        if start(folder / "killed", args).wait():
            raise SystemExit("the last resume failed")
        left = list(folder.glob(".killed*.part"))
        print(f"the weights are {'the same bit for bit' if same(folder) else 'DIFFERENT'}; {len(left)} files left over")
        raise SystemExit(0 if same(folder) and not left else 1)


def start(stem: Path, args: argparse.Namespace) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, args.method, f"{stem}.ckpt", f"{stem}.safetensors"]
    return subprocess.Popen([*command, str(args.steps), str(args.width)])


def steps(stem: Path) -> int:
    """The last step that was reported."""
    path = Path(f"{stem}.ckpt.steps")
    words = path.read_text().split() if path.exists() else []
    return int(words[-1]) if words else 0


def reached(path: Path) -> int:
    from napari_hush.training.checkpoint import read_checkpoint

    return int(read_checkpoint(path)["step"])


def size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def same(folder: Path) -> bool:
    """Whether all weights, of the models and of the checkpoints with their optimisers, are equal."""
    from napari_hush.model import Model
    from napari_hush.training.checkpoint import read_checkpoint

    models = [Model.load(folder / f"{name}.safetensors").network.state_dict() for name in ("whole", "killed")]
    states = [read_checkpoint(folder / f"{name}.ckpt") for name in ("whole", "killed")]
    return equal(*models) and equal(*([state["state"], state["average"]] for state in states))


def equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(equal, a, b))
    return a == b


if __name__ == "__main__":
    main()
