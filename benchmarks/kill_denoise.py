"""Kill denoisings at random moments, let each go on with --resume, and compare with a run that was left alone.

Three kinds of output in turn: a stack into a .zarr, tile by tile; a TIFF, which is put together in memory and begun
anew; and a folder of TIFF, of which those that are done stay done. SIGKILL, SIGTERM and SIGINT in turn; a third of the
kills come while the process is still starting. After each the same command with --resume must give the same bits and
leave nothing else behind, in the folder of the output and in that for temporary files. Prints a Markdown table.

    python benchmarks/kill_denoise.py --kills 30
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from killing import kill, wait

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Kind:
    """A kind of output: what is typed, and how its result is called."""

    inputs: str
    output: str
    options: tuple[str, ...] = ("--tile", "64", "--guard", "False")  # whose margin would leave one tile


KINDS = {
    "zarr": Kind("stack.npy", "out.zarr"),
    "TIFF": Kind("image.npy", "out.tif"),
    "folder": Kind("many_*.npy", "out"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--size", type=int, default=256, help="side of the images, px")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        make_inputs(folder, args.size)
        whole, seconds = {}, {}
        for label, kind in KINDS.items():
            begin = time.monotonic()
            if start(folder, "whole", kind, resume=False).wait():
                raise SystemExit(f"{label}: the run that was left alone failed")
            seconds[label], whole[label] = time.monotonic() - begin, contents(folder / "whole" / kind.output)
        print("| kill | output | signal | after | exit code | left by it | after --resume |")
        print("|---|---|---|---|---|---|---|")
        failures = 0
        for number in range(args.kills):
            label = list(KINDS)[number // 3 % 3]
            words = one_kill(folder, label, SIGNALS[number % 3], whole[label], rng.uniform(*span(number, rng)), seconds)
            failures += not words.endswith("same bits, nothing left |")
            print(f"| {number + 1} | {words}", flush=True)
        print(f"\n{args.kills - failures} of {args.kills} runs went on with the same bits and left nothing behind")
        raise SystemExit(min(failures, 1))


def span(number: int, rng: random.Random) -> tuple[float, float]:
    """Between which shares of a whole run's time a kill comes."""
    return (0.05, 0.5) if rng.random() < 1 / 3 else (0.5, 1.0)


def one_kill(
    folder: Path, label: str, how: int, expected: dict[str, bytes], share: float, seconds: dict[str, float]
) -> str:
    """Kill a run and let it go on; a row of the table."""
    kind, place = KINDS[label], folder / "killed"
    before = hidden(Path(tempfile.gettempdir()))
    while True:
        child, begin = start(folder, "killed", kind, resume=False), time.monotonic()
        if wait(child, share * seconds[label]):
            break
        seconds[label] = time.monotonic() - begin  # it had ended: the machine has less to do than before
        shutil.rmtree(place)
    waited = time.monotonic() - begin
    code = kill(child, how)
    left = ", ".join(sorted(path.name for path in place.rglob("*") if path.name.startswith("."))) or "nothing"
    name = signal.Signals(how).name
    again = start(folder, "killed", kind, resume=True).wait()
    found = contents(place / kind.output)
    problems = [f"exit code {again}"] if again else []
    if found.keys() != expected.keys() or any(found[key] != expected[key] for key in found):
        problems.append("OTHER BITS")
    if code != CODES[how] and not is_early(code, how):
        problems.append(f"exit code {code} after {name}")
    rest = [path.name for path in place.iterdir() if path.name != kind.output] + [
        path.name for path in place.rglob(".*")
    ]
    rest += sorted(hidden(Path(tempfile.gettempdir())) - before)
    if rest:
        problems.append(f"LEFT: {', '.join(rest)}")
    shutil.rmtree(place)
    return f"{label} | {name} | {waited:.1f} s | {code} | {left} | {'; '.join(problems) or 'same bits, nothing left'} |"


def is_early(code: int, how: int) -> bool:
    """Whether a process was ended before it had begun to take signals, by the signal itself or by Python."""
    return code == -how or (how == signal.SIGINT and code == 1)


def make_inputs(folder: Path, size: int) -> None:
    """Noise on a smooth picture, and a small model with weights that matter."""
    import torch

    from napari_hush.model import Model

    rng = np.random.default_rng(0)
    smooth = np.kron(rng.random((size // 32, size // 32)), np.ones((32, 32)))
    np.save(folder / "stack.npy", (smooth * 50 + rng.normal(0, 10, (2, size, size))).astype(np.float32))
    np.save(folder / "image.npy", (smooth * 50 + rng.normal(0, 10, (size, size))).astype(np.float32))
    for number in range(4):
        np.save(folder / f"many_{number}.npy", (smooth * 50 + rng.normal(0, 10, (size, size))).astype(np.float32))
    torch.manual_seed(0)
    model = Model.create("unet", {"width": 4, "levels": 2})
    model.save(folder / "model.safetensors")


def start(folder: Path, name: str, kind: Kind, *, resume: bool) -> subprocess.Popen:
    (folder / name).mkdir(exist_ok=True)
    command = [sys.executable, "-m", "napari_hush.cli", "denoise", kind.inputs, "-o", f"{name}/{kind.output}"]
    command += ["--model", "model.safetensors", "--engine", "torch", "--frames", "False", "--no-verdict"]
    command += [*kind.options, *(["--resume"] if resume else [])]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of all files of an output, by their names in it."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def hidden(folder: Path) -> set[str]:
    return {name for name in os.listdir(folder) if "hush" in name}


if __name__ == "__main__":
    main()
