"""From what would be trained to the command and the Python that give the same weights."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_hush.repeat import call, defaults_of, given_of, literal, options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_hush.training.settings import TrainSettings


def train_command(
    method: str, settings: TrainSettings, data: Sequence[str], model: Path, *, truth: str | None = None
) -> str:
    """The command that trains.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    settings : TrainSettings
        Of the method.
    data : sequence of str
        One or two sources, as the command takes them.
    model : Path
        The file that it writes.
    truth : str, optional
        Clean images to validate by.
    """
    words = ["napari-hush", "train", method, *data, "--output", str(model)]
    words += [] if truth is None else ["--truth", truth]
    return shlex.join([*words, *options(asdict(settings), defaults_of(type(settings)))])


def train_call(method: str, settings: TrainSettings, data: str, *, checkpoint: Path) -> str:
    """The call of `train` in Python, of ``napari_hush`` as ``hush``.

    Parameters
    ----------
    method, settings
        As of `train_command`.
    data : str
        The data, as they stand in the code.
    checkpoint : Path
        Where to write checkpoints.
    """
    return call("hush.train", literal(method), data, literal(given_of(settings)), checkpoint=checkpoint)
