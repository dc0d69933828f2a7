"""Steps per second of the training loop, against a plain eager float32 loop of the same network and batches.

The plain loop makes each batch when it is needed, in the default memory format and with the default allocator, and
updates the same moving average; both run the same losses. They take turns in one process, so that other load meets
both. Printed beside it: the share of the time in which our step waits for data.

    python benchmarks/train_speed.py --method supervised --network unet --seconds 60
"""

from __future__ import annotations

import argparse
import copy
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does

import numpy as np
import torch

import napari_hush as hush
from napari_hush.memory import kept_arena
from napari_hush.training.methods.method import learning_rate
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.run import TrainingRun
from napari_hush.training.start import initial_network


class Plain:
    """What a user would write: eager, float32, everything in one thread."""

    def __init__(self, run: TrainingRun) -> None:
        self.run, settings = run, run.settings
        method = METHODS[run.name].load()
        network = initial_network(method, settings, run.data.channels).network
        self.method = method(settings, network)
        self.networks = self.method.networks
        self.optimizers = {
            name: torch.optim.Adam(parameters, lr=settings.learning_rate, foreach=False)
            for name, parameters in self.method.optimizers().items()
        }
        self.average = copy.deepcopy(network)
        self.method.update = self.update  # type: ignore[method-assign]

    def update(self, name: str, loss: torch.Tensor, number: int) -> None:
        optimizer = self.optimizers[name]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(self.run.settings, number)
        optimizer.zero_grad()
        loss.backward()
        if self.run.settings.clip:
            torch.nn.utils.clip_grad_norm_(self.networks[name].parameters(), self.run.settings.clip, foreach=False)
        optimizer.step()

    def step(self, number: int) -> float:
        batch = self.run.batches.make(number)
        batch = type(batch)(batch.noisy.contiguous(), batch.clean if batch.clean is None else batch.clean.contiguous())
        losses = self.method.step(batch, number)
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.networks["denoiser"].parameters(), strict=True):
                mean.lerp_(value, 0.001)
        return float(losses["loss"].detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="supervised", choices=METHODS)
    parser.add_argument("--network", default="unet")
    parser.add_argument("--options", default="")
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--turn", type=int, default=3, help="steps before the other one has its turn")
    parser.add_argument("--precision", default="float32", help="of ours; auto is what a training takes by itself")
    parser.add_argument("--profile", action="store_true", help="print the operations that our step spends its time in")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    clean = np.kron(rng.random((16, 32, 32)), np.ones((16, 16))).astype(np.float32)
    noisy = clean + rng.normal(0, 0.1, clean.shape).astype(np.float32)
    data = noisy if args.method == "noise2void" else (noisy, clean)
    table = {"network": args.network, "patch": args.patch, "batch_size": args.batch, "network_options": args.options}
    settings = hush.train_settings(args.method, table | {"steps": 10**6, "precision": args.precision})
    run = TrainingRun(args.method, data, settings, None, None)
    plain = Plain(run)
    spent: dict[str, list[float]] = {"ours": [], "plain": []}
    waited, count = [], 0
    with run.batches.open(0, 10**6) as stream:
        began = time.perf_counter()
        while time.perf_counter() - began < args.seconds or count < 2:
            start, idle = time.perf_counter(), run.batches.waited
            with kept_arena():
                for _ in range(args.turn):
                    run.step(next(stream))
                    run.done += 1
            spent["ours"].append(time.perf_counter() - start)
            waited.append(run.batches.waited - idle)
            start = time.perf_counter()
            for k in range(args.turn):
                plain.step(count * args.turn + k)
            spent["plain"].append(time.perf_counter() - start)
            count += 1
        if args.profile:
            with torch.profiler.profile() as found, kept_arena():
                run.step(next(stream))
            print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))
    ours, others = (float(np.median(spent[name][1:])) / args.turn for name in ("ours", "plain"))
    print(
        f"{args.method}, {args.network} {args.options}, {args.batch} patches of {args.patch} px, "
        f"{args.precision}, {count} turns"
    )
    print(f"ours {1 / ours:.3f} steps/s, plain {1 / others:.3f} steps/s: {others / ours:.2f} times as fast")
    print(f"share of our time spent waiting for data: {100 * sum(waited[1:]) / sum(spent['ours'][1:]):.1f} %")
    print(f"{torch.get_num_threads()} threads, load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
