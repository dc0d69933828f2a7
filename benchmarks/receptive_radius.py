"""How far each network looks, measured by back-propagating from its pixels, against the halo that it declares.

Run ``python benchmarks/receptive_radius.py``; it prints a Markdown table. A tile's pixels need the halo beyond the
tile's edge, so a pixel at offset i from an aligned edge needs its radius less i. Normalisation layers count as the
identity: the statistics of the whole image are another matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import avg_pool2d
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from torch import nn

TRANSPARENT = {"relu", "relu_", "leaky_relu", "tanh", "instance_norm", "batch_norm"}
# Widths do not matter to what is measured, only to the time that it takes.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("cnn", {}),
    ("cnn", {"widths": (2, 3), "kernel_size": 5}),
    ("autoencoder", {}),
    ("autoencoder", {"pooling": 1}),
    ("autoencoder", {"widths": (2, 3), "kernel_size": 4}),
    ("autoencoder", {"widths": (2,), "pooling": 3, "kernel_size": 7}),
    *(("unet", {"width": 4, "levels": levels}) for levels in (1, 2, 3, 4)),
    *(("unet", {"width": 4, "levels": levels, "upsampling": "nearest"}) for levels in (1, 2, 3, 4)),
    *(("tomogan", {"upsampling": upsampling}) for upsampling in ("nearest", "bilinear", "bilinear_tf1")),
    *(("cyclegan_resnet", {"width": 2, "blocks": blocks}) for blocks in (6, 9)),
    *(("cyclegan_unet", {"width": 1, "levels": levels}) for levels in (5, 6, 7, 8)),
]


class Linearised(TorchFunctionMode):
    """Let every gradient pass: activations and normalisations as the identity, max-pooling as the mean."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace what would block a gradient."""
        name = getattr(func, "__name__", "")
        if name in TRANSPARENT:
            return args[0]
        if "max_pool2d" in name:
            return avg_pool2d(*args[:2])
        return func(*args, **(kwargs or {}))


def needed_halo(network: nn.Module) -> int:
    """Find the context that an aligned tile needs on its worse side, px, by back-propagating from a whole tile."""
    needed = 0
    for axis in (0, 1):
        image, output, first = _run_strip(network, axis)
        (gradient,) = torch.autograd.grad(output[first : first + network.stride].sum(), image)
        low, high = _span(gradient, axis)
        needed = max(needed, first - low, high - (first + network.stride - 1))
    return needed


def receptive_radius(network: nn.Module) -> list[tuple[int, int]]:
    """Measure how far output pixels depend on the input.

    Returns
    -------
    list of (int, int)
        Reach in px towards lower and towards higher coordinates, for each position modulo the stride.
    """
    radii = [(0, 0)] * network.stride
    for axis in (0, 1):
        image, output, first = _run_strip(network, axis)
        for i, (low, high) in enumerate(radii):
            (gradient,) = torch.autograd.grad(output[first + i], image, retain_graph=True)
            begin, end = _span(gradient, axis)
            radii[i] = (max(low, first + i - begin), max(high, end - first - i))
    return radii


def _run_strip(network: nn.Module, axis: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """A strip along one axis, one line of what the network makes of it, and where an aligned tile far inside begins."""
    network = network.double().eval().requires_grad_(False)  # far weights are subnormal in float32
    for parameter in network.parameters():  # positive, so that no two ways cancel
        torch.nn.init.constant_(parameter, 1 / max(parameter[0].numel(), 1))
    first = (-(-network.halo // network.stride) + 2) * network.stride  # aligned, further in than the halo
    shape = [2 * network.stride, 2 * network.stride]  # a strip tells as much as a square; reflection needs 2 px below
    shape[axis] = 2 * first + network.stride
    image = torch.zeros(1, network.in_channels, *shape, dtype=torch.float64, requires_grad=True)
    with Linearised():
        output = network(image)[0, 0].movedim(axis, 0)[:, 0]  # (length,)
    return image, output, first


def _span(gradient: torch.Tensor, axis: int) -> tuple[int, int]:
    """The first and the last place along an axis that matter."""
    seen = torch.nonzero(gradient.abs().sum(dim=(0, 1, 3 - axis))).ravel()
    return int(seen[0]), int(seen[-1])


def main() -> None:
    from napari_hush.networks import NETWORKS

    print("| network | stride, px | largest reach, px | needed halo, px | declared halo, px |")
    print("|---|---|---|---|---|")
    for name, arguments in VARIANTS:
        network = NETWORKS[name](**arguments)
        label = " ".join([name, *(f"{key}={value}" for key, value in arguments.items())])
        largest = max(map(max, receptive_radius(network)))
        print(f"| {label} | {network.stride} | {largest} | {needed_halo(network)} | {network.halo} |", flush=True)


if __name__ == "__main__":
    main()
