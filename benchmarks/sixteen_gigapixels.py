"""A sparse image of 16 gigapixels from zarr to zarr on the command line, everything on: memory, time, what came out.

    nice -n 19 python benchmarks/sixteen_gigapixels.py [--side 131072] [--share 0.01] [--folder FOLDER]

The scan areas of a mosaic hold counts, everything between them was never stored: one square in the middle with nine
tenths of the share, and smaller ones elsewhere. `napari-hush denoise IN.zarr -o OUT.zarr --fill-missing` runs as a
process of its own, whose resident memory (with that of its children) is sampled. The script fails where the peak is
above --limit, or a pixel far from all that was scanned is not the fill value. A smaller side tells early.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import zarr

CHUNK = 512
FAR = 512  # px from what was scanned: farther than any network and guard look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=131072, help="px")
    parser.add_argument("--share", type=float, default=0.01, help="of the image that was scanned")
    parser.add_argument("--model", default="general")
    parser.add_argument("--limit", type=float, default=2000, help="MB of resident memory")
    parser.add_argument("--folder", type=Path, help="on a disk with room: about 5 bytes per scanned pixel")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        source, target = Path(folder) / "in.zarr", Path(folder) / "out.zarr"
        stored = make(source, args.side, args.share)
        command = [sys.executable, "-W", "ignore", "-m", "napari_hush.cli", "denoise", str(source), "-o", str(target)]
        start = time.perf_counter()
        run = subprocess.Popen([*command, "--fill-missing", "--model", args.model])
        peak = watched(run)
        seconds = time.perf_counter() - start
        if run.returncode:
            sys.exit(run.returncode)
        print(
            f"{args.side} x {args.side} px, {stored / 1e6:.0f} megapixels stored: peak {peak / 1e6:.0f} MB, "
            f"{seconds:.0f} s, {stored / 1e6 / seconds:.2f} megapixels/s of what was stored, "
            f"{args.side**2 / 1e6 / seconds:.1f} of all"
        )
        check(source, target)
        if peak > args.limit * 1e6:
            sys.exit(f"expected at most {args.limit:g} MB")


def make(path: Path, side: int, share: float) -> int:
    """A mosaic of which little was scanned; the pixels that are stored."""
    array = zarr.create_array(path, shape=(side, side), chunks=(CHUNK, CHUNK), dtype="uint16")
    rng, count = np.random.default_rng(0), side // CHUNK
    inner = max(round(count * (0.9 * share) ** 0.5), 2)
    first = (count - inner) // 2
    scanned = {(y, x) for y in range(first, first + inner) for x in range(first, first + inner)}
    small = max(round(count * (0.1 * share / 4) ** 0.5), 1)
    for y, x in rng.integers(0, count - small, (4, 2)).tolist():
        scanned |= {(y + dy, x + dx) for dy in range(small) for dx in range(small)}
    wave = np.sin(np.arange(CHUNK) / 20)
    mean = 20 + 8 * wave[:, None] * wave
    for y, x in sorted(scanned):
        array[y * CHUNK : (y + 1) * CHUNK, x * CHUNK : (x + 1) * CHUNK] = rng.poisson(mean)
    return len(scanned) * CHUNK**2


def watched(run: subprocess.Popen[bytes]) -> int:
    """The most resident memory of a process and its children, bytes."""
    process, highest = psutil.Process(run.pid), 0
    while run.poll() is None:
        with suppress(psutil.Error):  # one of them has just ended
            highest = max(highest, sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]))
        time.sleep(0.02)
    return highest


def check(source: Path, target: Path) -> None:
    """Look at chunks of the result, far from all that was scanned and within it."""
    noisy, result = zarr.open_array(source, mode="r"), zarr.open_array(target / "0", mode="r")
    there = np.zeros([size // CHUNK for size in noisy.shape], bool)
    for file in (source / "c").glob("*/*"):
        there[int(file.parent.name), int(file.name)] = True
    reach = FAR // CHUNK
    near = np.pad(there, reach)
    near = np.any([np.roll(near, (dy, dx), (0, 1)) for dy in range(-1, 2) for dx in range(-1, 2)], axis=0)
    far = np.argwhere(~near[reach:-reach, reach:-reach])
    rng = np.random.default_rng(1)
    worst = 0.0
    for y, x in far[rng.permutation(len(far))[:50]]:
        worst = max(worst, float(np.abs(result[y * CHUNK : (y + 1) * CHUNK, x * CHUNK : (x + 1) * CHUNK]).max()))
    print(f"largest value in 50 chunks far from all that was scanned: {worst:.1e}")
    y, x = np.argwhere(there)[there.sum() // 2]
    part = np.s_[y * CHUNK : (y + 1) * CHUNK, x * CHUNK : (x + 1) * CHUNK]
    print(f"a scanned chunk: mean {noisy[part].mean():.3f} before, {result[part].mean():.3f} after")
    if worst > 1e-3:
        sys.exit("expected the fill value there")


if __name__ == "__main__":
    main()
