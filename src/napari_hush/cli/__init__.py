"""The command line: each sub-command is one file, fills one dataclass and calls one function.

A new sub-command adds its file and one line to ``COMMANDS``. What is slow to import waits for the command's ``run``.
One that has a ``begin_with`` may give a command to read the command line again with, which has other defaults.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any

import tyro

from napari_hush.cli.console import NOTHING_LEFT, complain, one_line
from napari_hush.cli.signals import Ended, ended_by_signals
from napari_hush.cli.words import in_command_words
from napari_hush.declare import Registry
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIGPIPE = 13  # on every system that has it
COMMANDS: Registry[Callable[..., Any]] = Registry(
    {
        "demo": "napari_hush.cli.demo:Demo",
        "denoise": "napari_hush.cli.denoise:Denoise",
        "evaluate": "napari_hush.cli.evaluate:Evaluate",
        "info": "napari_hush.cli.info:Info",
        "models": "napari_hush.cli.models:Models",
        "convert": "napari_hush.cli.convert:Convert",
        "register": "napari_hush.cli.register:Register",
        "synthesize": "napari_hush.cli.synthesize:Synthesize",
        "adapt": "napari_hush.cli.adapt:Adapt",
        "train": "napari_hush.cli.train:train_command",  # which makes it, of the methods that there are then
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 where everything was done, 1 where a check of an image failed, 2 for input that cannot be used, 3 where an
        image could not be judged, 130 after Ctrl-C, 129 and 143 after SIGHUP and SIGTERM, 141 where nobody reads the
        output to its end.
    """
    atexit.register(gc.freeze)  # else the end looks for cycles among all that was imported, for a quarter of a second
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # a service may be started without them
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # until the end
        elif isinstance(stream, io.TextIOWrapper):  # a name that is no UTF-8 can be printed, too
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: complain("warning", one_line(message))
    warnings.filterwarnings("always", category=UserWarning, module="napari_hush")
    try:
        with ended_by_signals():
            return _obey(arguments)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _stop_printing()
        return 128 + SIGPIPE
    except (InputError, OSError, MemoryError) as error:
        complain("error", "; ".join([one_line(error), *_notes(error)]))
        return 2
    except Ended as end:
        complain("cancelled" if end.signal == SIGINT else "ended", "; ".join(_notes(end) or [NOTHING_LEFT]))
        return 128 + end.signal
    except KeyboardInterrupt as error:
        complain("cancelled", "; ".join(_notes(error) or [NOTHING_LEFT]))
        return 130


def _notes(error: BaseException) -> list[str]:
    """What was said of an error on its way: how to go on."""
    return [in_command_words(note) for note in getattr(error, "__notes__", ())]


def _stop_printing() -> None:
    """Let what is still to be printed go nowhere; Python would complain about it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())


def _obey(arguments: Sequence[str] | None) -> int:
    """Do what was asked for; what was printed has reached its reader then."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words == ["--version"]:
            print(f"napari-hush {version('napari-hush')}")
            return 0
        names = words[:1] if words and words[0] in COMMANDS else list(COMMANDS)  # the others need not be imported
        commands = {name: COMMANDS[name]() if name == "train" else COMMANDS[name] for name in names}
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
