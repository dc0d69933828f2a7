"""What the dock *Train* asks its process for, and what came of it in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hush.training.process.child import Order
from napari_hush.widgets.parts.layer_source import Source
from napari_hush.widgets.train.data import store

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_hush.progress import Progress
    from napari_hush.training.process.child import Stored, TrainingOutcome
    from napari_hush.training.settings import TrainSettings
    from napari_hush.widgets.train.data import ChosenImages


def make_order(
    method: str,
    settings: TrainSettings,
    parts: dict[str, ChosenImages],
    model: Path,
    checkpoint: Path,
    resume: bool,
    folder: Path,
) -> Generator[Progress, None, Order]:
    """Write down what to train, and the images where the training can read them; in the thread."""
    stored: dict[str, Stored] = {}
    for name, part in parts.items():
        stored[name] = yield from store(part, folder, name)
    return Order(
        method=method,
        settings=settings,
        noisy=stored["noisy"],
        clean=stored.get("clean"),
        truth=stored.get("truth"),
        channel_axis=next((part.channel_axis for part in parts.values() if isinstance(part, Source)), None),
        model=model,
        checkpoint=checkpoint,
        resume=resume,
        folder=folder,
    )


def summary(outcome: TrainingOutcome) -> str:
    """What came of a training, in a line."""
    words = f"{outcome.model.stem}: {outcome.steps} steps"
    figures: dict[str, Any] = outcome.figures
    if "psnr" in figures:
        words += f", validation {figures['psnr']:.1f} dB (noisy {figures.get('noisy_psnr', float('nan')):.1f})"
    elif "validation_loss" in figures:
        words += f", validation loss {figures['validation_loss']:.4g}"
    if outcome.stopped:
        words += f"; {outcome.stopped}"
    return f"{words}. Chosen in Denoise"
