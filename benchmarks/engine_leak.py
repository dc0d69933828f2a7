"""Whether memory grows with the number of runs: resident memory over many calls of `denoise` in one process.

    python benchmarks/engine_leak.py [--calls 200] [--size 768] [--sizes 20] [--model general] [--engine openvino]

With ``--sizes`` the images are of so many different sizes in turn, each of which needs a graph of its own. The first
calls, which load libraries and fill pools, count as a warm-up.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import psutil
import torch

import napari_hush as hush
from napari_hush.importers.registry import load_model

WARM_UP = 10  # calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--size", type=int, default=768, help="largest side of the square images, px")
    parser.add_argument("--sizes", type=int, default=1, help="how many sizes, 8 px apart")
    parser.add_argument("--model", default="general")
    parser.add_argument("--engine", default="openvino")
    args = parser.parse_args()
    image = np.random.default_rng(0).poisson(10, (args.size, args.size)).astype(np.float32)
    model, process = load_model(args.model), psutil.Process()
    start = time.perf_counter()
    used = []
    for number in range(args.calls):
        side = args.size - 8 * (number % args.sizes)
        hush.denoise(image[:side, :side], model, engine=args.engine, device="cpu", guard=False, rescale=False)
        used.append(process.memory_info().rss / 2**20)
    seconds = time.perf_counter() - start
    print(
        f"{args.model}, {args.engine}, torch {torch.__version__}, {args.calls} calls, {args.sizes} sizes up to", end=" "
    )
    print(f"{args.size} px, {seconds / args.calls:.2f} s each\n")
    print("| calls | MB |\n|---|---|")
    for number in sorted({1, WARM_UP, args.calls // 2, args.calls}):
        print(f"| {number} | {used[number - 1]:.0f} |")
    print(f"\nfrom call {WARM_UP} on: {max(used[WARM_UP - 1 :]) - used[WARM_UP - 1]:+.1f} MB at most")


if __name__ == "__main__":
    main()
