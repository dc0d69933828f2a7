"""How much faster two workers of Dask are than one, on one machine, with one thread each.

Both clusters stand all the time; runs on them alternate, so that what else the machine does meets both. Told are the
pieces alone (from the first that ends to the last), the whole call on a cluster that stands, and the first call with
the start of the cluster. The results are compared bit by bit. Prints a Markdown table.

    OMP_NUM_THREADS=1 python benchmarks/two_workers.py --size 4096 --rounds 3
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from distributed import Client

from napari_hush.cli.sharing import Reading, array_of
from napari_hush.cluster.connect import local_cluster
from napari_hush.cluster.denoise import ClusterSpread
from napari_hush.inference.denoise import denoise_steps
from napari_hush.inference.ledger import Restart
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io import read_image
from napari_hush.io.fingerprint import Watched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="side of the image, px")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--model", default="general")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--guard", default="auto", choices=["auto", "none"])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    settings = DenoiseSettings(
        device="cpu", engine=args.engine, tile=args.tile, guard="auto" if args.guard == "auto" else False, frames=False
    )
    with tempfile.TemporaryDirectory(prefix="two-workers-") as name, ExitStack() as stack:
        folder = Path(name)
        rng = np.random.default_rng(0)
        smooth = np.kron(rng.random((args.size // 32, args.size // 32)), np.ones((32, 32)))
        np.save(folder / "image.npy", (smooth * 50 + rng.normal(0, 10, smooth.shape)).astype(np.float32))
        times: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        first, clients = {}, {}
        for count in times:
            begin = time.perf_counter()
            cluster = stack.enter_context(local_cluster(count, threads=1))
            clients[count] = stack.enter_context(Client(cluster, set_as_default=False))
            run(clients[count], folder, f"{count}.zarr", args.model, settings)
            first[count] = time.perf_counter() - begin
        same = np.array_equal(*(read_image(folder / f"{count}.zarr").data[...] for count in times))
        for number in range(args.rounds):
            for count in (1, 2) if number % 2 else (2, 1):
                times[count].append(run(clients[count], folder, f"{count}-{number}.zarr", args.model, settings))
        print(
            f"{args.size} x {args.size} px, tiles of {args.tile}, {args.model}, guard {args.guard}; same bits: {same}\n"
        )
        print("| | 1 worker | 2 workers | times |")
        print("|---|---|---|---|")
        for at, what in ((0, "pieces alone"), (1, "whole call, cluster stands")):
            one, two = (statistics.median(found[at] for found in times[count]) for count in (1, 2))
            print(f"| {what} | {one:.1f} s | {two:.1f} s | {one / two:.2f} |")
        one, two = first.values()
        print(f"| first call, with the cluster's start | {one:.1f} s | {two:.1f} s | {one / two:.2f} |")
        ratios = ", ".join(f"{one[0] / two[0]:.2f}" for one, two in zip(times[1], times[2], strict=True))
        print(f"\npieces alone, round by round: {ratios} times")


def run(client: Client, folder: Path, name: str, model: str, settings: DenoiseSettings) -> tuple[float, float]:
    """Seconds from the first piece that ended to the last, for as many more pieces as that; and of the whole call."""
    source, begin = str(folder / "image.npy"), time.perf_counter()
    image, watched = read_image(source), Watched.of(source)
    spread = ClusterSpread(client, source, watched.before, partial(array_of, Reading(), source), model)
    steps = denoise_steps(
        image.data,
        model,
        settings,
        out=folder / name,
        restart=Restart(folder / name, keep=True),
        watched=watched,
        spread=spread,
    )
    ends = []
    done = 0
    for event in steps:
        if event.step > done and event.total > 1:
            ends.append(time.perf_counter())
            done = event.step
    return (ends[-1] - ends[0]) * len(ends) / (len(ends) - 1), time.perf_counter() - begin


if __name__ == "__main__":
    main()
