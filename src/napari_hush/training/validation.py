"""How good the denoiser is now: metrics on fixed held-out patches, and a picture of the first ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hush.fidelity.metrics import METRICS
from napari_hush.training.data.prefetch import to_tensor
from napari_hush.training.methods.method import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from napari_hush.training.data.patches import Patch
    from napari_hush.training.methods.method import Method

SHOWN = 3  # patches in the picture


@torch.no_grad()
def validate(
    method: Method, network: nn.Module, patches: Sequence[Patch]
) -> tuple[dict[str, float], NDArray[np.float32] | None]:
    """Denoise the held-out patches.

    Parameters
    ----------
    method : Method
        For its own loss, where the truth is not known.
    network : nn.Module
        The denoiser, or the moving average of it.
    patches : sequence of Patch
        In network units.

    Returns
    -------
    metrics : dict of str to float
        Means of `METRICS` against the truth, with ``noisy_psnr`` for the untreated patches (dB); ``validation_loss``
        alone where there is no truth.
    picture : ndarray, shape (Y, X) or (Y, X, 3), or None
        Noisy, denoised and truth side by side, in network units, one row per patch.
    """
    if not patches:
        return {}, None
    live, network_was = method.networks["denoiser"], network.training
    network.eval()
    found: dict[str, list[float]] = {}
    rows: list[list[NDArray[np.float32]]] = []
    try:
        method.networks["denoiser"] = network
        for number, patch in enumerate(patches):
            noisy = to_tensor([patch.noisy]).to(next(network.parameters()).device)
            output = network(noisy).float().cpu().numpy()[0]
            if len(rows) < SHOWN:
                rows.append([patch.shown(len(output)), output, *([patch.clean] if patch.clean is not None else [])])
            figures: dict[str, float] = {}
            if patch.clean is None or not patch.true:
                target = None if patch.clean is None else to_tensor([patch.clean]).to(noisy.device)
                figures["validation_loss"] = float(method.validation_loss(Batch(noisy, target, number)))
            elif np.ptp(patch.clean) > 0:
                figures = {name: metric(patch.clean, output) for name, metric in METRICS.items()}
                figures["noisy_psnr"] = METRICS["psnr"](patch.clean, patch.shown(len(patch.clean)))
            for name, value in figures.items():
                found.setdefault(name, []).append(value)
    finally:
        method.networks["denoiser"] = live
        network.train(network_was)
    return {name: float(np.mean(values)) for name, values in found.items()}, _picture(rows)


def _picture(rows: list[list[NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Patches (C, Y, X) side by side with gaps of 4 px."""
    height, width = (max(image.shape[axis] for row in rows for image in row) for axis in (1, 2))
    columns = max(len(row) for row in rows)
    channels = rows[0][0].shape[0]
    canvas = np.zeros((len(rows) * (height + 4) - 4, columns * (width + 4) - 4, channels), dtype=np.float32)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            y, x = i * (height + 4), j * (width + 4)
            canvas[y : y + image.shape[1], x : x + image.shape[2]] = np.moveaxis(image, 0, -1)
    return canvas if channels == 3 else canvas[..., 0]
