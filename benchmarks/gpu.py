"""One GPU of CUDA: the naive pass, ours with and without copies beside the computing, each precision, compiled or not.

All ways run the same network on one image in memory, without a guard, after one call that loads what is
needed; of several calls the median is told. Differences are those to the naive pass in exact float32, in dB of PSNR.

    python benchmarks/gpu.py [--size 8192] [--model stem] [--device cuda:0] [--repeats 3] [--compiled]

A few minutes on one GPU; where there is none it says so.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

import napari_hush as hush
from napari_hush.fidelity.metrics import psnr
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.devices import available_devices, is_cuda
from napari_hush.inference.engines.exact_float32 import exact_float32
from napari_hush.inference.engines.registry import choose_engine
from napari_hush.inference.settings import DenoiseSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.model import Model


def naive(model: Model, image: np.ndarray, device: str) -> np.ndarray:
    """The network on the whole image at once, copied there and back."""
    norm = model.normalization.fit(lambda: iter([image]))
    network = model.network.to(device)
    try:
        with torch.inference_mode(), exact_float32():
            tensor = torch.from_numpy(np.ascontiguousarray(norm.apply(image)))[None, None].to(device)
            return norm.invert(network(tensor)[0].cpu().numpy())[0]
    finally:
        model.network.to("cpu")


def ours(model: Model, image: np.ndarray, engine: Engine, tile: int | None) -> np.ndarray:
    """All of `denoise` but the guard and the scale of the model."""
    settings = DenoiseSettings(guard=False, rescale=False, frames=False, tile=tile)
    return run_steps(denoise_steps(image, model, settings, engine=engine)).image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=8192, help="side of the square image, px")
    parser.add_argument("--tile", type=int, default=1024, help="side of a tile, px: several are needed for a queue")
    parser.add_argument("--model", default="stem")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compiled", action="store_true", help="with torch.compile, too; its first call takes minutes")
    args = parser.parse_args()
    if not any(is_cuda(device) for device in available_devices()):
        print("no CUDA device here")
        return
    model = hush.load_model(args.model)
    image = np.random.default_rng(0).poisson(10, (args.size, args.size)).astype(np.float32)
    print(f"{torch.cuda.get_device_name(args.device)}, {args.model}, {args.size} x {args.size} px\n")
    print("| way | seconds | megapixels per second | PSNR to the naive pass, dB | peak memory of the GPU, MB |")
    print("|---" * 5 + "|")
    reference = measured("naive, float32", args, lambda: naive(model, image, args.device), None)
    for name in ("torch", *(["compiled"] if args.compiled else [])):
        for precision in ("float32", "bfloat16"):
            for ahead in (0, 1):
                engine = choose_engine(model.network, device=args.device, engine=name, precision=precision)
                engine.ahead = ahead
                words = f"{name}, {precision}, {'copies beside the computing' if ahead else 'one after the other'}"
                measured(words, args, lambda engine=engine: ours(model, image, engine, args.tile), reference)
                if name == "compiled":
                    print(f"  compiled: {engine.notes['compiled']}")
                engine.close()
    engine = choose_engine(model.network, device=args.device)
    measured("as a user calls it", args, lambda: ours(model, image, engine, None), reference)


def measured(
    words: str, args: argparse.Namespace, work: Callable[[], np.ndarray], reference: np.ndarray | None
) -> np.ndarray | None:
    """One row; what does not fit into memory is told as that."""
    torch.cuda.reset_peak_memory_stats(args.device)
    seconds = []
    try:
        for _ in range(args.repeats + 1):
            start = time.perf_counter()
            result = work()
            seconds.append(time.perf_counter() - start)
    except (torch.OutOfMemoryError, MemoryError):
        print(f"| {words} | out of memory | | | |", flush=True)
        torch.cuda.empty_cache()
        return None
    median = float(np.median(seconds[1:]))
    near = "" if reference is None else f"{psnr(reference, result):.1f}"
    peak = torch.cuda.max_memory_allocated(args.device) / 1e6
    print(f"| {words} | {median:.2f} | {result.size / median / 1e6:.1f} | {near} | {peak:.0f} |", flush=True)
    return result


if __name__ == "__main__":
    main()
