"""Peak memory of a tiled run from zarr to zarr, above the import of torch.

python benchmarks/memory.py [--size 8192]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
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
    parser.add_argument("--size", type=int, default=8192, help="side of the square image, px")
    parser.add_argument("--model", default="stem")
    parser.add_argument("--engine", default="auto")
    args = parser.parse_args()
    peak = Peak()
    import zarr

    import napari_hush as hush

    with tempfile.TemporaryDirectory() as folder:
        source = zarr.create_array(
            Path(folder) / "in.zarr", shape=(args.size, args.size), chunks=(512, 512), dtype="uint16"
        )
        rng = np.random.default_rng(0)
        for y in range(0, args.size, 512):
            source[y : y + 512] = rng.poisson(10, (512, args.size))
        start = time.perf_counter()
        done = hush.denoise(source, args.model, out=Path(folder) / "out.zarr", engine=args.engine)
        seconds = time.perf_counter() - start
        assert done.shape == source.shape
        print(f"{args.size} x {args.size} px, uint16 zarr to float32 zarr, chunks {done.chunks}: {seconds:.0f} s")
    print(f"peak resident memory above the import of torch: {peak.stop():.0f} MB")


if __name__ == "__main__":
    main()
