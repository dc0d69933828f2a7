"""How far ONNX Runtime is from torch for every network with its default arguments, at three sizes.

Run ``python benchmarks/onnx_equals_torch.py [NETWORK ...]``; it prints a Markdown table: the largest difference, as a
share of the output's range, from torch in float32 and from torch in float64 (what is exact). Weights are random and
the image is uniform noise.
"""

from __future__ import annotations

import copy
import sys
import time

import numpy as np
import onnxruntime
import torch

from napari_hush.exporters.onnx import INPUT, OUTPUT, to_onnx
from napari_hush.model import Model
from napari_hush.networks import NETWORKS

SIZES = [(256, 256), (512, 256), (520, 776)]


def main() -> None:
    """Print the table."""
    print("| network | parameters | export s | size MB | " + " | ".join(f"{y} x {x}" for y, x in SIZES) + " |")
    print("|---" * (4 + len(SIZES)) + "|")
    for name in sys.argv[1:] or NETWORKS:
        torch.manual_seed(0)
        model = Model.create(name)
        for parameter in model.network.parameters():
            if model.staged and parameter.ndim > 1:  # as CycleGANs begin their training
                torch.nn.init.normal_(parameter, std=0.02)
            elif parameter.ndim > 1:  # keeps the signal's size, so that an error would show
                torch.nn.init.kaiming_normal_(parameter)
        start = time.perf_counter()
        content = to_onnx(model)
        seconds = time.perf_counter() - start
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        cells = [measure(model, session, *size) for size in SIZES]
        megabytes = len(content) / 1e6
        print(
            f"| {name} | {model.n_parameters:,} | {seconds:.1f} | {megabytes:.1f} | {' | '.join(cells)} |", flush=True
        )


def measure(model: Model, session: onnxruntime.InferenceSession, height: int, width: int) -> str:
    """One cell."""
    shape = [-(-size // model.stride) * model.stride for size in (height, width)]
    image = np.random.default_rng(0).uniform(-1, 1, (1, model.in_channels, *shape)).astype(np.float32)
    found = session.run([OUTPUT], {INPUT: image})[0]
    with torch.inference_mode():
        expected = model.network(torch.from_numpy(image)).numpy()
    with torch.inference_mode():
        exact = copy.deepcopy(model.network).double()(torch.from_numpy(image).double()).numpy()
    rounded = "" if shape == [height, width] else f" ({shape[0]} x {shape[1]})"
    differences = [np.abs(found - other).max() / np.ptp(exact) for other in (expected, exact)]
    return f"{differences[0]:.1e}, {differences[1]:.1e}{rounded}"


if __name__ == "__main__":
    main()
