"""What the dock *Synthesise* would draw, as Python and as a command that give the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hush.datasets.repeat import synthesize_call, synthesize_command
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_hush.datasets.settings import SynthesisSettings

FOLDER = {"hdf5": Path("targets.h5")}


def python_of(settings: SynthesisSettings, measured: Collection[str]) -> str:
    """Python whose ``targets`` are the images that *Generate* draws.

    Parameters
    ----------
    settings : SynthesisSettings
        What is chosen.
    measured : collection of str
        What is taken from layers.
    """
    _refuse(measured)
    drawn = synthesize_call(replace(settings, layout="paired"))  # of an unpaired set, layers show one side
    return f"import napari_hush as hush\n\ntargets = {drawn}\n"


def command_of(settings: SynthesisSettings, measured: Collection[str], path: Path | None) -> str:
    """The command that *Save data set…* stands for; ``path`` is the data set that was saved last, if any."""
    _refuse(measured)
    return synthesize_command(settings, path or FOLDER.get(settings.layout, Path("targets")))


def _refuse(measured: Collection[str]) -> None:
    if measured:
        raise InputError(
            f"{', '.join(measured)}: what is measured on a layer has no words: press 'Save data set…', whose "
            "settings.toml has all of it: napari-hush synthesize OUT --settings settings.toml"
        )
