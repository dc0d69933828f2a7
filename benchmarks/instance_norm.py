"""Tiles of a network with instance normalisation: how far each way is from one pass, its time and its memory.

Each way runs in a process of its own, torch float32 on the CPU:

- one pass in float64: the network on the whole image, what all others are compared with;
- one pass: the same in float32;
- naive: tiles with the network's halo (at most a tile's side), each with statistics of its own, as tiled prediction
  usually does it;
- exact: what `napari_hush.denoise` does, piece by piece (the same tiles, and automatic ones);
- from the start: for each norm all tiles again from the image up to it, nothing kept between;
- a quarter: the statistics of a quarter of the image's area, for all tiles;
- half size: the statistics of the image at half its size.

The weights are random, from the distribution with which CycleGANs begin their training, or those of a model file.

    python benchmarks/instance_norm.py IMAGE [--model cyclegan_resnet|cyclegan_unet|FILE] [--tile 256] [--size 1024]

How memory and time of the exact way without a guard grow with the image, from zarr to zarr and in memory, where image
and result themselves take 8 bytes per pixel:

    python benchmarks/instance_norm.py --sizes 1024 2048 4096 [--model cyclegan_resnet|cyclegan_unet|FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import zarr
from skimage.transform import downscale_local_mean

import napari_hush as hush
from memory import Peak
from napari_hush.inference.tiles.geometry import aligned, plan_tiles
from napari_hush.io import read_image
from napari_hush.model import Model
from napari_hush.networks import NETWORKS
from napari_hush.networks.cyclegan import InstanceNorm
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

RULE = NormalizationRule(low=0.1, high=99.9, target=(-1.0, 1.0))


def one_pass(model: Model, image: np.ndarray, tile: int) -> np.ndarray:
    return run(model.network, image)


def double(model: Model, image: np.ndarray, tile: int) -> np.ndarray:
    with torch.inference_mode():
        return model.network.double()(torch.from_numpy(image.astype(np.float64))[None, None])[0, 0].numpy()


def naive(model: Model, image: np.ndarray, tile: int) -> np.ndarray:
    return tiled(model.network, image, tile)


def exact(model: Model, image: np.ndarray, tile: int) -> np.ndarray:
    return hush.denoise(
        image, without_mapping(model), tile=tile, engine="torch", device="cpu", precision="float32", guard=False
    )


def exact_automatic(model: Model, image: np.ndarray, tile: int) -> np.ndarray:
    return hush.denoise(image, without_mapping(model), engine="torch", device="cpu", precision="float32", guard=False)


def from_the_start(model: Model, image: np.ndarray, tile: int) -> np.ndarray:
    for norm in norms_of(model.network):
        parts = []
        for window, core in windows(model.network, image, tile):
            with torch.inference_mode():
                part = input_of(norm, model.network, window)
            parts.append(part[(..., *scaled(core, window.shape, part.shape))].double())
        count = sum(p[0, 0].numel() for p in parts)
        mean = sum(p.sum((2, 3), keepdim=True) for p in parts) / count
        variance = sum(((p - mean) ** 2).sum((2, 3), keepdim=True) for p in parts) / count
        norm.statistics = (mean.float(), (1 / torch.sqrt(variance + norm.eps)).float())
    return tiled(model.network, image, tile)


def a_quarter(model: Model, image: np.ndarray, tile: int) -> np.ndarray:
    y, x = (n // 4 // model.stride * model.stride for n in image.shape)
    take_statistics(model.network, image[y : y + image.shape[0] // 2, x : x + image.shape[1] // 2])
    return tiled(model.network, image, tile)


def half_size(model: Model, image: np.ndarray, tile: int) -> np.ndarray:
    take_statistics(model.network, downscale_local_mean(image, (2, 2)).astype(np.float32))
    return tiled(model.network, image, tile)


WAYS: dict[str, Callable[[Model, np.ndarray, int], np.ndarray]] = {
    "one pass in float64": double,
    "one pass": one_pass,
    "naive": naive,
    "exact": exact,
    "exact, automatic tiles": exact_automatic,
    "from the start": from_the_start,
    "a quarter": a_quarter,
    "half size": half_size,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?")
    parser.add_argument("--model", default="cyclegan_resnet", help="an architecture, or a model file")
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--size", type=int, help="crop to this many px")
    parser.add_argument("--sizes", type=int, nargs="*", help="sides of square images of noise, px, in place of IMAGE")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--ways", nargs="*", default=list(WAYS)[1:], choices=list(WAYS))
    parser.add_argument("--out", help=argparse.SUPPRESS)
    parser.add_argument("--from-zarr", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.sizes and args.out:
        one_size(args)
        return
    if args.sizes:
        by_size(args)
        return
    if args.image is None:
        parser.error("expected an IMAGE, or --sizes")
    if args.out:
        alone(args)
        return
    print(f"{args.model}, tiles of {args.tile} px, {torch.get_num_threads()} threads\n")
    print(
        "| way | max difference, of the range | seconds | times naive | peak memory, MB | times naive |\n"
        + "|---" * 6
        + "|"
    )
    reference, base = None, {}
    for way in args.ways:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.npy"
            command = [sys.executable, __file__, args.image, "--model", args.model, "--tile", str(args.tile)]
            command += ["--size", str(args.size)] if args.size else []
            command += ["--repeats", str(args.repeats), "--ways", way, "--out", str(out)]
            measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            result = np.load(out)
        reference = result if reference is None else reference
        base = measured if way == "naive" else base
        ratios = [f"{measured[key] / base[key]:.2f}" if base else "" for key in ("seconds", "megabytes")]
        difference = np.abs(result - reference).max() / np.ptp(reference)
        print(
            f"| {way} | {difference:.1e} | {measured['seconds']:.1f} | {ratios[0]} | {measured['megabytes']:.0f} | "
            f"{ratios[1]} |",
            flush=True,
        )


def by_size(args: argparse.Namespace) -> None:
    """The table of all sizes, each in a process of its own."""
    print(f"{args.model}, {torch.get_num_threads()} threads\n")
    print("| px | from | peak memory above the program, MB | of it image and result, MB | seconds | CPU seconds |")
    print("|---" * 6 + "|")
    for size in args.sizes:
        for place in ("zarr", "memory"):
            command = [sys.executable, __file__, "--model", args.model, "--sizes", str(size), "--out", "-"]
            command += ["--from-zarr"] if place == "zarr" else []
            m = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            own = 8 * size**2 / 1e6 if place == "memory" else 0
            times = f"{m['seconds']:.1f} | {m['cpu']:.1f}"
            print(f"| {size} x {size} | {place} | {m['megabytes']:.0f} | {own:.0f} | {times} |", flush=True)


def one_size(args: argparse.Namespace) -> None:
    """One size in this process; its peak is counted from before the image is there."""
    size, model = args.sizes[0], make_model(args.model)
    options = {"engine": "torch", "device": "cpu", "precision": "float32", "guard": False}
    rng = np.random.default_rng(0)
    hush.denoise(rng.normal(size=(64, 64)), model, **options)  # the first call loads what it needs
    with tempfile.TemporaryDirectory() as folder:
        source, out = None, None
        if args.from_zarr:
            source = zarr.create_array(Path(folder) / "in.zarr", shape=(size, size), chunks=(512, 512), dtype="float32")
            for y in range(0, size, 512):
                source[y : y + 512] = rng.normal(size=(min(512, size - y), size))
            out = Path(folder) / "out.zarr"
        peak = Peak()
        if source is None:
            source = rng.standard_normal((size, size), dtype=np.float32)
        start, cpu = time.perf_counter(), time.process_time()
        hush.denoise(source, model, out=out, **options)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(json.dumps({"seconds": seconds, "cpu": cpu, "megabytes": peak.stop()}))


def alone(args: argparse.Namespace) -> None:
    """One way in this process; the values are mapped before the clock starts, for all ways alike."""
    image = np.asarray(read_image(args.image).data)[: args.size, : args.size]
    model = make_model(args.model)
    norm = model.normalization.fit(lambda: iter([image]))
    image = norm.apply(image)
    image = image[: image.shape[0] // model.stride * model.stride, : image.shape[1] // model.stride * model.stride]
    run(model.network, image[: model.stride * 8, : model.stride * 8])  # torch's first call takes longer
    seconds = []
    peak = Peak()
    for _ in range(args.repeats):
        for module in norms_of(model.network):
            module.statistics = None
        start = time.perf_counter()
        result = WAYS[args.ways[0]](model, image, args.tile)
        seconds.append(time.perf_counter() - start)
    np.save(args.out, result)
    print(json.dumps({"seconds": float(np.median(seconds)), "megabytes": peak.stop()}))


def make_model(name: str) -> Model:
    """A model file, or an architecture with the weights with which a CycleGAN begins."""
    if name not in NETWORKS:
        return hush.load_model(name)
    torch.manual_seed(0)
    model = Model.create(name, normalization=RULE)
    for parameter in model.network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.02)
    return model


def without_mapping(model: Model) -> Model:
    """The same for values that are mapped already."""
    identity = NormalizationRule(method="identity", target=(-1e9, 1e9))
    return Model(model.network, model.architecture, model.hyperparameters, identity, model.card)


def norms_of(network: nn.Module) -> list[InstanceNorm]:
    return [module for module in network.modules() if isinstance(module, InstanceNorm)]


def run(network: nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(image))[None, None])[0, 0].numpy()


def windows(network: nn.Module, image: np.ndarray, tile: int) -> Iterator[tuple[torch.Tensor, tuple[slice, slice]]]:
    """Each tile's window (1, 1, Y, X), and where its core lies in it."""
    for part in plan_tiles(image.shape, tile=(tile, tile), halo=min(network.halo, tile), stride=network.stride):
        y0, y1, x0, x1 = part.window
        yield torch.from_numpy(np.ascontiguousarray(image[y0:y1, x0:x1]))[None, None], part.inner


def tiled(network: nn.Module, image: np.ndarray, tile: int) -> np.ndarray:
    result = np.empty_like(image)
    for part in plan_tiles(image.shape, tile=(tile, tile), halo=min(network.halo, tile), stride=network.stride):
        y0, y1, x0, x1 = part.window
        result[part.core_slices()] = run(network, image[y0:y1, x0:x1])[part.inner]
    return result


def take_statistics(network: nn.Module, image: np.ndarray) -> None:
    """Let every norm keep what it finds in one pass over an image."""
    image = image[tuple(slice(0, max(n // network.stride, 1) * network.stride) for n in image.shape)]
    image = np.pad(image, [(0, aligned(n, network.stride) - n) for n in image.shape], mode="symmetric")

    def keep(norm: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(2, 3), correction=0, keepdim=True)
        norm.statistics = (mean, 1 / torch.sqrt(variance + norm.eps))

    hooks = [norm.register_forward_pre_hook(keep) for norm in norms_of(network)]
    run(network, image)
    for hook in hooks:
        hook.remove()


class Reached(Exception):
    """A norm's input, thrown to the one who wants it."""


def input_of(norm: nn.Module, network: nn.Module, window: torch.Tensor) -> torch.Tensor:
    def throw(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        raise Reached(inputs[0])

    hook = norm.register_forward_pre_hook(throw)
    try:
        network(window)
    except Reached as reached:
        return reached.args[0]
    finally:
        hook.remove()
    raise RuntimeError("the network does not reach this norm")


def scaled(core: tuple[slice, slice], window: torch.Size, part: torch.Size) -> tuple[slice, slice]:
    """A core at the size of a value inside the network."""
    factors = (window[-2] // part[-2], window[-1] // part[-1])
    return tuple(slice(s.start // f, s.stop // f) for s, f in zip(core, factors, strict=True))


if __name__ == "__main__":
    main()
