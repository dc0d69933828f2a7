"""From the settings of a data set to the command and the Python that make the same one."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_hush.repeat import call, defaults_of, given_of, literal, options

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.datasets.settings import SynthesisSettings


def synthesize_command(settings: SynthesisSettings, out: Path) -> str:
    """The command that makes a data set of these settings, without noises of its own."""
    words = options(asdict(settings), defaults_of(type(settings)))
    return shlex.join(["napari-hush", "synthesize", str(out), *words])


def synthesize_call(settings: SynthesisSettings) -> str:
    """The call of `synthesize` in Python, of ``napari_hush`` as ``hush``, that gives the images."""
    return call("hush.synthesize", literal(given_of(settings)))
