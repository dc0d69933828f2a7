"""Kill workers of a cluster, and the command that gives them their work, at random moments, and compare the results.

Two workers of Dask with a nanny each, which starts a killed one anew. In turn a worker is killed, after which the
command must end by itself; one worker and then another; and the command, which goes on with --resume, on the cluster or
without one. Always SIGKILL. Each time the output must have the same bits, level by level and chunk by chunk, as that of
one process that was left alone, and nothing else may be left. Prints a Markdown table.

    python benchmarks/kill_workers.py --kills 20
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch

from kill_denoise import Child, contents
from killing import kill, wait
from napari_hush import cli
from napari_hush.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

WAYS = ("a worker", "the command, then --cluster --resume", "two workers", "the command, then --resume alone")
PATIENCE = 600  # s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--size", type=int, default=1536, help="side of the two planes, px")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as name, cluster(Path(name)) as (address, nannies):
        folder = Path(name)
        make_inputs(folder, args.size)
        with redirect_stdout(io.StringIO()):  # so that all libraries are loaded before the first fork
            cli.main(["denoise", f"{folder}/small.npy", "-o", f"{folder}/first.zarr", "--engine", "torch"])
        if start(folder, "whole").wait():
            raise SystemExit("the run that was left alone failed")
        whole = contents(folder / "whole" / "out.zarr")
        child, pieces = start(folder, "once", "--cluster", address), 0
        while wait(child, 0.01):
            pieces = max(pieces, pieces_done(folder / "once"))
        if child.wait() or contents(folder / "once" / "out.zarr") != whole:
            raise SystemExit("the run on the cluster failed, or has other bits")
        print(f"{len(whole)} chunks; {pieces} pieces or more\n")
        print("| kill | of | pieces done then | result |")
        print("|---|---|---|---|")
        failures = 0
        for number in range(args.kills):
            words = one_kill(folder, WAYS[number % len(WAYS)], address, nannies, whole, rng, pieces)
            failures += not words.endswith("same bits, nothing left |")
            print(f"| {number + 1} | {words}", flush=True)
        print(f"\n{args.kills - failures} of {args.kills} ended with the same bits and left nothing behind")
        raise SystemExit(min(failures, 1))


def one_kill(
    folder: Path,
    way: str,
    address: str,
    nannies: psutil.Process,
    expected: dict[str, bytes],
    rng: random.Random,
    pieces: int,
) -> str:
    """Kill, let it go on; a row of the table."""
    place = folder / "killed"
    child, after = start(folder, "killed", "--cluster", address), rng.randrange(pieces)
    while (done := pieces_done(place)) < after and wait(child, 0.01):
        continue
    running = wait(child, rng.uniform(0, 0.3))
    if "worker" in way:
        for _ in range(1 + (way == "two workers")):
            while not (there := workers_of(nannies)):
                time.sleep(0.01)
            with suppress(psutil.NoSuchProcess):
                rng.choice(there).send_signal(signal.SIGKILL)
            wait(child, rng.uniform(0, 1))
        code = ended(child)
    else:
        if running:
            kill(child)
        code = start(folder, "killed", *(["--cluster", address] if "--cluster" in way else []), "--resume").wait()
    found = contents(place / "out.zarr")
    problems = [f"exit code {code}"] if code else []
    if found.keys() != expected.keys():
        problems.append("OTHER CHUNKS")
    problems += [f"OTHER BITS in {key}" for key in found if found[key] != expected.get(key)][:3]
    rest = [path.name for path in place.iterdir() if path.name != "out.zarr"]
    rest += [path.name for path in place.rglob("*.partial")]
    if rest:
        problems.append(f"LEFT: {', '.join(rest)}")
    shutil.rmtree(place)
    return f"{way} | {done}{'' if running else ', ended'} | {'; '.join(problems) or 'same bits, nothing left'} |"


def ended(child: Child) -> int:
    if wait(child, PATIENCE):
        kill(child)
        return 124
    return child.wait()


def pieces_done(place: Path) -> int:
    """How many lines about tiles the ledger has."""
    try:
        lines = (place / ".out.zarr.part" / "ledger.jsonl").read_bytes().splitlines()
    except OSError:
        return 0
    return sum(b'"cores"' in line for line in lines)


def make_inputs(folder: Path, size: int) -> None:
    """Noise on a smooth picture, and a small model with weights that matter."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.random((size // 32, size // 32)), np.ones((32, 32)))
    np.save(folder / "stack.npy", (smooth * 50 + rng.normal(0, 10, (2, size, size))).astype(np.float32))
    np.save(folder / "small.npy", (smooth[:128, :128] * 50).astype(np.float32))
    torch.manual_seed(0)
    Model.create("unet", {"width": 4, "levels": 2}).save(folder / "model.safetensors")


def start(folder: Path, name: str, *options: str) -> Child:
    (folder / name).mkdir(exist_ok=True)
    arguments = ["denoise", "stack.npy", "-o", f"{name}/out.zarr", "--model", "model.safetensors", "--tile", "128"]
    arguments += ["--engine", "torch", "--frames", "False", "--no-verdict", "--guard", "False"]
    return Child(folder, [*arguments, *options])


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler and two workers in processes of their own: its address, and the process of the nannies."""
    note = folder / "scheduler.json"
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    python = [sys.executable, "-m"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", ":0"]
    scheduler = subprocess.Popen(
        [*python, "distributed.cli.dask_scheduler", *options, "--scheduler-file", str(note)], **common
    )
    options = ["--scheduler-file", str(note), "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    nannies = subprocess.Popen([*python, "distributed.cli.dask_worker", *options, "--memory-limit", "0"], **common)
    try:
        while not note.is_file() or not note.read_text().strip():
            time.sleep(0.1)
        nanny = psutil.Process(nannies.pid)
        while len(workers_of(nanny)) < 2:
            time.sleep(0.1)
        yield json.loads(note.read_text())["address"], nanny
    finally:
        for process in (nannies, scheduler):
            process.terminate()
            process.wait()


def workers_of(nannies: psutil.Process) -> list[psutil.Process]:
    """The processes that compute."""
    found = []
    for one in nannies.children():
        with suppress(psutil.Error):  # one that has just been killed
            if any("spawn_main" in word for word in one.cmdline()):
                found.append(one)
    return found


if __name__ == "__main__":
    main()
