"""What a person sees of a training: preview pictures, and the card of the model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_hush.card import ModelCard
from napari_hush.reports.panels import write_panel
from napari_hush.training.keep import previews_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from napari_hush.training.data.patches import PatchSource


def write_preview(checkpoint: Path, picture: np.ndarray, figures: dict[str, Any]) -> str:
    """Write a preview beside the checkpoint; returns what went wrong, in one line, or nothing."""
    folder = previews_of(checkpoint)
    shown = ("loss", "noisy_psnr", "psnr", "ssim", "validation_loss")  # what the width has room for
    words = [f"{name} {figures[name]:.4g}" for name in shown if name in figures]
    title = ", ".join([f"step {figures['step']}", *words])
    try:
        folder.mkdir(exist_ok=True)
        write_panel(folder / f"step-{figures['step']:07d}.png", {"noisy, denoised, truth": picture}, title=title)
    except OSError as error:
        return f"{folder}: the preview cannot be written ({error.strerror})"
    return ""


def make_card(
    name: str,
    about: dict[str, Any],
    data: PatchSource,
    *,
    parent: str,
    steps: int,
    weights_of_step: int,
    seconds: float,
    stopped: str,
    metrics: dict[str, dict[str, float]],
) -> ModelCard:
    """Write down what there is to know of a trained model.

    Parameters
    ----------
    name : str
        Of the model.
    about : dict
        Of the run, see `checkpoint.about`.
    data : PatchSource
        What it was trained on.
    parent : str
        The model that it started from; empty for new weights.
    steps, weights_of_step : int
        Steps of the run, and after which of them the weights were taken.
    seconds : float
        Of training.
    stopped : str
        Why it ended early; empty if it did not.
    metrics : dict
        Of the held-out images.
    """
    method = about["method"]
    recorded = ("method", "settings", "fingerprint", "versions", "python", "machine", "device", "threads", "processes")
    return ModelCard(
        name=name[:200],
        description=f"Trained with {method} on {data.relation} data; {len(data)} patches per epoch.",
        source=f"napari-hush train {method}",
        training={
            **{key: about[key] for key in recorded},
            "steps": steps,
            "weights_of_step": weights_of_step,
            "seconds": round(seconds),
            "start": parent or "new weights",
            **({"clean_images_zoomed_by": round(data.zoom, 4)} if data.zoom != 1 else {}),
            **({"targets_were": str(data.exposure)} if data.exposure is not None else {}),
            **({"stopped": stopped} if stopped else {}),
        },
        metrics={
            part: {key: value for key, value in figures.items() if math.isfinite(value)}
            for part, figures in metrics.items()
        },
    )
