"""Speed, memory and seams of denoising an image in memory on this CPU: the naive ways, other packages, and this one.

    python benchmarks/speed.py [--sizes 1 4 16 64] [--repeats 3] [--ways naive crops ...] [--model stem|FILE]

All ways run the same network on the same lattice with counting noise, each in a process of its own; the ways take
turns, and the table, in Markdown, gives medians. Rivals that are not installed are told as missing: `pip install monai
careamics`, in an environment of their own where they would change others.

- naive: the bare network in torch, float32, default memory format, one pass over the whole image
- crops: a loop over crops of 256 px without overlap
- monai, monai-bf16: `sliding_window_inference`, windows of 256 px, overlap 0.25, gaussian; the second with autocast to
  bfloat16 and channels_last, where the processor has bfloat16
- careamics: its `TiledPatching` and `stitch_prediction`, tiles of 256 px with 48 px of overlap, around the network: its
  `predict` takes networks of its own alone
- plain: `hush.denoise(x, model, guard=False, rescale=False)`, the network with automatic tiles and nothing else
- ours: `hush.denoise(x, model)`, everything on

Megapixels per second are those of the call on an image in memory, after one call on a small one. Peak memory is
resident memory above that of the program with network and image loaded, so the result counts. Seams: the largest
difference from one pass over the whole image, within 8 px of the edges of tiles and elsewhere, in standard deviations
of the noise; that of ours from `hush.denoise(x, model, tile=False)`, wherever it is, at sizes where that fits.
Sizes of 16 megapixels and more run once, if --all-repeats is not given.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch

import napari_hush as hush
from memory import Peak
from napari_hush.importers.registry import load_model
from napari_hush.inference.engines.openvino_engine import has_openvino, native_bfloat16
from napari_hush.inference.tiles.sizes import bytes_per_pixel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_hush.model import Model
    from napari_hush.normalize import Normalization

CROP, NEAR = 256, 8  # px
OVERLAP = 48  # px, of CAREamics
LARGE = 16  # megapixels that run once
DOSE = 10.0  # counts at image value 1
TORCH = 1.8  # times what a network's own figure says torch needs for a pixel of one pass
FITS = 0.8  # of the free memory


@dataclass(frozen=True)
class Way:
    """A way, the whole pass that it is compared with, which package it needs, and whether it needs bfloat16."""

    label: str
    whole: str = "naive"
    package: str = ""
    bfloat16: bool = False


WAYS = {
    "naive": Way("naive: torch float32, one pass"),
    "crops": Way("naive: crops of 256 px, no overlap"),
    "monai": Way("MONAI, overlap 0.25, gaussian, float32", package="monai"),
    "monai-bf16": Way("MONAI, bfloat16, channels_last", package="monai", bfloat16=True),
    "careamics": Way("CAREamics, tiles of 256 px, overlap 48", package="careamics"),
    "plain": Way("ours, network alone"),
    "ours": Way("ours, everything on", whole="ours-whole"),
    "ours-whole": Way("ours, everything on, one tile", whole="ours-whole"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 4, 16, 64], help="megapixels (1024 x 1024 px)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--all-repeats", action="store_true", help="also of large images")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[way for way in WAYS if way != "ours-whole"])
    parser.add_argument("--model", default="stem")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.child:
        run_one(args.child[0], Path(args.child[1]), args.model)
        return
    model = load_model(args.model)
    print(
        f"`python benchmarks/speed.py {' '.join(sys.argv[1:])}`: {model.card.name} ({model.architecture}), {machine()}"
    )
    print("\n| megapixels | way | megapixels/s | times the naive pass | peak, MB | at seams, σ | elsewhere, σ |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for size in args.sizes:
        side = round(1024 * size**0.5)
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "image.npy", picture(side))
            repeats = 1 if size >= LARGE and not args.all_repeats else args.repeats
            for line in measured(args.ways, Path(folder), side, repeats, args.model, model):
                print(f"| {size:g} | {line} |", flush=True)


def machine() -> str:
    """What the figures depend on."""
    flags = torch.backends.cpu.get_cpu_capability()
    native = "with" if native_bfloat16() else "without"
    amx = "AMX, " if getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)() else ""
    versions = f"torch {torch.__version__}, {'OpenVINO' if has_openvino() else 'no OpenVINO'}"
    return f"{torch.get_num_threads()} threads, {flags}, {amx}{native} native bfloat16, {versions}"


def picture(side: int) -> np.ndarray:
    """A lattice without end, with counting noise."""
    clean = hush.sample("dented-lattice").clean
    times = -(-side // clean.shape[0])
    row = np.concatenate([clean, clean[:, ::-1]], axis=1)
    cell = np.concatenate([row, row[::-1]], axis=0)
    rng, image = np.random.default_rng(0), np.empty((side, side), np.float32)
    for y in range(0, side, 512):  # in bands: the image alone is to be in memory
        band = np.tile(cell[np.arange(y, min(y + 512, side)) % len(cell)], (1, times // 2 + 1))[:, :side]
        image[y : y + 512] = rng.poisson(DOSE * band)
    return image


def measured(ways: Iterable[str], folder: Path, side: int, repeats: int, name: str, model: Model) -> Iterable[str]:
    """Lines of the table for one size, each when all of them are known."""
    found: dict[str, list[dict[str, Any]]] = {}
    missing: dict[str, str] = {}
    ways = list(ways)
    wanted = list(dict.fromkeys([*(WAYS[way].whole for way in ways), *ways]))
    for repeat in range(repeats):
        for way in wanted:
            if way in missing or (repeat and way not in ways):
                continue
            if reason := refusal(way, side, model):
                missing[way] = reason
                continue
            command = [sys.executable, __file__, "--child", way, str(folder), "--model", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                missing[way] = "failed: " + (done.stderr.strip().splitlines() or ["killed"])[-1][:80]
                continue
            found.setdefault(way, []).append(json.loads(done.stdout.splitlines()[-1]))
    for way in ways:
        if way not in found:
            yield f"{WAYS[way].label} | {missing[way]} | | | |"
            continue
        rates = [side**2 / 1e6 / one["seconds"] for one in found[way]]
        naive = found.get("naive")
        times = [base["seconds"] / one["seconds"] for base, one in zip(naive or (), found[way], strict=False)]
        cells = [spread(rates), spread(times) if times else "-", f"{max(one['peak'] for one in found[way]):.0f}"]
        yield " | ".join([WAYS[way].label, *cells, *seams(way, folder, found[way][-1]["edges"])])


def refusal(way: str, side: int, model: Model) -> str:
    """Why a way is not run; empty where it is."""
    one = WAYS[way]
    if one.package and importlib.util.find_spec(one.package) is None:
        return f"missing: pip install {one.package}"
    if one.bfloat16 and not native_bfloat16():
        return "no native bfloat16"
    needed = TORCH * bytes_per_pixel(model) * side**2 if way in ("naive", "ours-whole") else 0
    free = FITS * psutil.virtual_memory().available
    return f"does not fit ({needed / 1e9:.0f} GB)" if needed > free else ""


def seams(way: str, folder: Path, edges: list[list[int]] | None) -> tuple[str, str]:
    """The largest difference from one pass near the edges of tiles, and elsewhere, over the noise."""
    whole = folder / f"{WAYS[way].whole}.npy"
    if not whole.exists():
        return "-", "-"
    one, other = (np.load(path, mmap_mode="r") for path in (whole, folder / f"{way}.npy"))
    noise = float(np.sqrt(np.load(folder / "image.npy", mmap_mode="r").mean()))  # of counts
    near = [np.zeros(size, bool) for size in one.shape]
    for axis, some in zip(near, edges or ([], []), strict=True):
        for edge in some:
            axis[max(edge - NEAR, 0) : edge + NEAR] = True
    worst = [0.0, 0.0]
    for y in range(0, len(one), 512):
        apart = np.abs(one[y : y + 512] - other[y : y + 512]) / noise
        at = near[0][y : y + 512, None] | near[1]
        for number, chosen in enumerate((at, ~at)):
            worst[number] = max(worst[number], float(apart[chosen].max(initial=0)))
    return (f"{worst[0]:.1e}", f"{worst[1]:.1e}") if edges else (f"{max(worst):.1e}",) * 2


def spread(values: list[float]) -> str:
    """Median and extremes."""
    middle = f"{statistics.median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f} to {max(values):.2f})"


def run_one(way: str, folder: Path, name: str) -> None:
    """Run a way on the image of a folder, keep what it gives, and print how long it took and what it needed."""
    torch.set_grad_enabled(False)
    model = load_model(name)
    image = np.load(folder / "image.npy")
    options: dict[str, Any] = {"guard": False, "rescale": False} if way == "plain" else {}
    options |= {"tile": False} if way == "ours-whole" else {}
    norm = model.normalization.fit(lambda: [image])

    def call(x: np.ndarray) -> tuple[np.ndarray, Any]:
        if way in ("plain", "ours", "ours-whole"):
            return hush.denoise(x, model, device="cpu", **options), None
        return bare(way, model, norm, x)

    call(image[:512, :512].copy())
    peak = Peak()
    start = time.perf_counter()
    result, edges = call(image)
    seconds = time.perf_counter() - start
    needed = peak.stop()
    np.save(folder / f"{way}.npy", result)
    print(json.dumps({"seconds": seconds, "peak": needed, "edges": edges}))


def bare(way: str, model: Model, norm: Normalization, image: np.ndarray) -> tuple[np.ndarray, Any]:
    """The bare network in one of the ways of others; the result in the image's units, and the edges of tiles."""
    network = model.network
    x = torch.from_numpy(norm.apply(image))[None, None]  # (1, 1, Y, X)
    if way == "naive":
        return norm.invert(network(x)[0, 0].numpy()), None
    if way == "crops":
        out = torch.empty_like(x)
        for y in range(0, x.shape[2], CROP):
            for left in range(0, x.shape[3], CROP):
                out[..., y : y + CROP, left : left + CROP] = network(x[..., y : y + CROP, left : left + CROP])
        return norm.invert(out[0, 0].numpy()), [list(range(CROP, size, CROP)) for size in image.shape]
    if way == "careamics":
        made, edges = careamics_stitched(network, x)
        return norm.invert(made), edges
    from monai.inferers import sliding_window_inference

    options: dict[str, Any] = {"roi_size": (CROP, CROP), "sw_batch_size": 4, "overlap": 0.25, "mode": "gaussian"}
    if way == "monai-bf16":
        network, x = network.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "monai-bf16"):
        found = sliding_window_inference(x, predictor=network, **options)
    step = CROP * 3 // 4
    edges = [sorted({*range(step, size, step), *range(CROP, size, step)}) for size in image.shape]
    return norm.invert(found[0, 0].float().numpy()), edges


def careamics_stitched(network: torch.nn.Module, x: torch.Tensor) -> tuple[np.ndarray, list[list[int]]]:
    """CAREamics' tiles and stitching around a network, (Y, X), and the edges of its tiles."""
    from careamics.dataset.image_region_data import ImageRegionData
    from careamics.dataset.patching.tiled_patching import TiledPatching
    from careamics.lightning.prediction import stitch_prediction

    shape = tuple(x.shape)
    plan = TiledPatching([shape], (CROP, CROP), (OVERLAP, OVERLAP))
    tiles = []
    for spec in plan.tile_specs:
        y, left = spec["coords"]
        data = network(x[..., y : y + CROP, left : left + CROP])[0].numpy()
        known = {"source": "array", "dtype": "float32", "data_shape": shape, "axes": "SCYX", "region_spec": spec}
        wanted = {"original_data_shape": shape, "target_axes": "SCYX", "additional_metadata": {}}
        names = ImageRegionData._fields
        tiles.append(ImageRegionData(data=data, **{k: v for k, v in (known | wanted).items() if k in names}))
    edges = [sorted({spec["stitch_coords"][axis] for spec in plan.tile_specs} - {0}) for axis in (0, 1)]
    return stitch_prediction(tiles)[0][0][0, 0], edges


if __name__ == "__main__":
    main()
