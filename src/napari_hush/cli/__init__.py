"""The command line: each sub-command is one file, fills one dataclass and calls one function.

A new sub-command adds its file and one line to ``COMMANDS``. What is slow to import waits for the command's ``run``.
One that has a ``begin_with`` may give a command to read the command line again with, which has other defaults.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from napari_hush.cli.adapt import Adapt
from napari_hush.cli.console import complain, one_line
from napari_hush.cli.convert import Convert
from napari_hush.cli.demo import Demo
from napari_hush.cli.denoise import Denoise
from napari_hush.cli.evaluate import Evaluate
from napari_hush.cli.models import Models
from napari_hush.cli.register import Register
from napari_hush.cli.synthesize import Synthesize
from napari_hush.cli.train import train_command
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": Demo,
    "denoise": Denoise,
    "evaluate": Evaluate,
    "models": Models,
    "convert": Convert,
    "register": Register,
    "synthesize": Synthesize,
    "adapt": Adapt,
    "train": train_command,  # made when the command line is read, of the methods that there are then
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 where everything was done, 1 where a check of an image failed or nobody reads the output to its end, 2 for
        input that cannot be used, 3 where an image could not be judged, 130 after Ctrl-C.
    """
    for name in ("stdout", "stderr"):  # a service may be started without them
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # until the end
    warnings.showwarning = lambda message, *_, **__: complain("warning", one_line(message))
    warnings.filterwarnings("always", category=UserWarning, module="napari_hush")
    try:
        return _obey(arguments)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python would complain about it at its end
        return 1
    except (InputError, OSError, MemoryError) as error:
        complain("error", one_line(error))
        return 2
    except KeyboardInterrupt:
        complain("cancelled", "nothing was left half-written")
        return 130


def _obey(arguments: Sequence[str] | None) -> int:
    """Do what was asked for; what was printed has reached its reader then."""
    commands = COMMANDS | {"train": train_command()}
    try:
        if list(sys.argv[1:] if arguments is None else arguments) == ["--version"]:
            print(f"napari-hush {version('napari-hush')}")
            return 0
        command = _read(commands, arguments)
        if other := getattr(command, "begin_with", lambda: None)():
            command = _read(commands | {"train": other}, arguments)
        return int(command.run())
    finally:
        sys.stdout.flush()


def _read(commands: dict[str, Callable[..., Any]], arguments: Sequence[str] | None) -> Any:
    return tyro.extras.subcommand_cli_from_dict(
        commands,
        prog="napari-hush",
        description="Denoise scientific images with generative adversarial networks.",
        args=arguments,
    )
