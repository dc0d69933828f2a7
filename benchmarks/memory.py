"""Speed and peak memory of runs from zarr to zarr, everything on, above the import of torch.

    python benchmarks/memory.py [--sizes 1024 2048 4096 8192] [--model stem] [--engine auto] [--lattice]

Each size runs in a process of its own: a uint16 zarr in chunks of 512 px, to an OME-Zarr with its pyramid. Without
--lattice the image is counting noise alone, in which the guard looks for whatever stands out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import torch  # noqa: F401 - the base of the measurement


class Peak:
    """Samples this process's resident memory until it is stopped."""

    def __init__(self) -> None:
        self.process, self.highest, self.running = psutil.Process(), 0, True
        self.base = self.process.memory_info().rss
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while self.running:
            self.highest = max(self.highest, self.process.memory_info().rss)
            time.sleep(0.005)

    def stop(self) -> float:
        self.running = False
        self.thread.join()
        return (self.highest - self.base) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096, 8192], help="sides, px")
    parser.add_argument("--model", default="stem")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--lattice", action="store_true", help="an image of a lattice, of 12 px per period")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.size:
        run_one(args)
        return
    print("| px | seconds | megapixels/s | processor s per megapixel | peak, MB | chunks |\n|---|---|---|---|---|---|")
    options = [*(["--lattice"] if args.lattice else []), "--model", args.model, "--engine", args.engine]
    for size in args.sizes:
        sys.stdout.flush()
        subprocess.run([sys.executable, __file__, "--size", str(size), *options], check=True)


def run_one(args: argparse.Namespace) -> None:
    """Denoise an image of one size, and print a line of the table."""
    warnings.simplefilter("ignore")
    size = args.size
    with tempfile.TemporaryDirectory() as folder:
        peak = Peak()
        import zarr

        import napari_hush as hush

        source = zarr.create_array(Path(folder) / "in.zarr", shape=(size, size), chunks=(512, 512), dtype="uint16")
        rng = np.random.default_rng(0)
        mean = np.clip(hush.sample("dented-lattice").clean, 0, None) * 10 if args.lattice else np.float32(10)
        for y in range(0, size, 512):
            for x in range(0, size, 512):
                source[y : y + 512, x : x + 512] = rng.poisson(mean, (512, 512))
        start, used = time.perf_counter(), time.process_time()
        done = hush.denoise(source, args.model, out=Path(folder) / "out.zarr", engine=args.engine)
        seconds, used = time.perf_counter() - start, time.process_time() - used
        assert done.shape == source.shape
        megapixels = size**2 / 1e6
        print(
            f"| {size} x {size} | {seconds:.1f} | {megapixels / seconds:.2f} | {used / megapixels:.2f} | "
            f"{peak.stop():.0f} | {done.chunks} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
