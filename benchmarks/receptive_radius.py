"""How far each network looks, measured by back-propagating one pixel, against the halo that it declares.

Run ``python benchmarks/receptive_radius.py``; it prints a Markdown table. A tile's pixels need the halo beyond the
tile's edge, so a pixel at offset i from an aligned edge needs its radius less i.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import avg_pool2d
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from torch import nn


class Linearised(TorchFunctionMode):
    """Let every gradient pass: ReLU as the identity, max-pooling as the mean."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace what would block a gradient."""
        name = getattr(func, "__name__", "")
        if name in {"relu", "relu_"}:
            return args[0]
        if "max_pool2d" in name:
            return avg_pool2d(*args[:2])
        return func(*args, **(kwargs or {}))


def receptive_radius(network: nn.Module) -> list[tuple[int, int]]:
    """Measure how far output pixels depend on the input.

    Returns
    -------
    list of (int, int)
        Reach in px towards lower and towards higher coordinates, for each position modulo the stride.
    """
    network = network.double().requires_grad_(False)  # far weights are subnormal in float32
    for parameter in network.parameters():  # positive, so that no two ways cancel
        torch.nn.init.constant_(parameter, 1 / max(parameter[0].numel(), 1))
    stride, halo = int(network.stride), int(network.halo)
    first = -(-(halo + 2 * stride) // stride) * stride  # aligned, further from the border than the halo
    reaches = []
    for axis in (0, 1):
        shape = [stride, stride]  # a strip tells as much as a square
        shape[axis] = 2 * first + stride
        image = torch.zeros(stride, network.in_channels, *shape, dtype=torch.float64, requires_grad=True)
        with Linearised():
            output = network(image)[:, 0].movedim(axis + 1, 1)  # (position, length, stride)
        pixels = [output[i, first + i, 0] for i in range(stride)]
        (gradient,) = torch.autograd.grad(torch.stack(pixels).sum(), image)
        seen = gradient.abs().sum(dim=(1, 3 - axis)) > 0  # (position, length)
        spans = [torch.nonzero(row).ravel().tolist() for row in seen]
        reaches.append([(first + i - span[0], span[-1] - first - i) for i, span in enumerate(spans)])
    return [(max(a, c), max(b, d)) for (a, b), (c, d) in zip(*reaches, strict=True)]


def needed_halo(radii: list[tuple[int, int]]) -> int:
    """Find the context that an aligned tile needs on its worse side, px."""
    stride = len(radii)
    return max(max(low - i, high - (stride - 1 - i)) for i, (low, high) in enumerate(radii))


def main() -> None:
    from napari_hush.networks import NETWORKS

    variants: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in NETWORKS if name != "tomogan"]
    variants += [("tomogan", {"upsampling": mode}) for mode in ("nearest", "bilinear", "bilinear_tf1")]
    print("| network | stride, px | reach low/high by position modulo stride, px | largest | needed | declared halo |")
    print("|---|---|---|---|---|---|")
    for name, arguments in variants:
        network = NETWORKS[name](**arguments)
        radii = receptive_radius(network)
        label = " ".join([name, *arguments.values()])
        reach = " ".join(f"{low}/{high}" for low, high in radii)
        largest = max(map(max, radii))
        print(f"| {label} | {network.stride} | {reach} | {largest} | {needed_halo(radii)} | {network.halo} |")


if __name__ == "__main__":
    main()
