"""Speed of the whole job on this CPU, halo included, against the naive way, in one run on the same work.

The naive way is the bare network: torch, float32, default memory format, one full pass. Everything else is
`napari_hush.denoise_steps` from image to image: normalisation, tiles, stitching.

    python benchmarks/speed.py [--size 2048] [--repeats 3] [--model tomogan|FILE|NAME]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hush.importers.registry import load_model
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.openvino_engine import has_openvino, native_bfloat16
from napari_hush.inference.engines.registry import choose_engine
from napari_hush.inference.settings import DenoiseSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hush.model import Model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="side of the square image, px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="stem")
    args = parser.parse_args()
    model = load_model(args.model)
    image = np.random.default_rng(0).poisson(10, (args.size, args.size)).astype(np.float32)

    def naive() -> None:
        with torch.inference_mode():
            model.network(torch.from_numpy(image)[None, None])

    ways: dict[str, Callable[[], object]] = {"naive: torch float32, one pass": naive}
    for engine in ["torch", *(["openvino"] if has_openvino() else [])]:
        for precision in ["float32", *(["bfloat16"] if native_bfloat16() else [])]:
            ways[f"{engine} {precision}, automatic tiles"] = whole_job(model, image, engine, precision)
    times = {name: [] for name in ways}
    for _ in range(args.repeats):  # interleaved, so that a busy moment hits all alike
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    naive_times = times["naive: torch float32, one pass"]
    native = "yes" if native_bfloat16() else "no"
    print(f"{model.card.name} ({model.architecture}), {args.size} x {args.size} px, {torch.get_num_threads()} threads,")
    print(f"torch {torch.__version__}, native bfloat16: {native}, median of {args.repeats} (lowest to highest)\n")
    print("| way | seconds | megapixels/s | times the naive way of the same round |\n|---|---|---|---|")
    for name, seconds in times.items():
        ratios = [base / own for base, own in zip(naive_times, seconds, strict=True)]
        rate = image.size / 1e6 / statistics.median(seconds)
        print(f"| {name} | {spread(seconds)} | {rate:.2f} | {spread(ratios)} |")


def spread(values: list[float]) -> str:
    """Median and extremes."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def whole_job(model: Model, image: np.ndarray, engine: str, precision: str) -> Callable[[], object]:
    settings = DenoiseSettings(device="cpu", engine=engine, precision=precision, guard=False)
    ready = choose_engine(model.network, device="cpu", engine=engine, precision=precision)
    return lambda: run_steps(denoise_steps(image, model, settings, engine=ready))


if __name__ == "__main__":
    main()
