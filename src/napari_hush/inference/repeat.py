"""From what was denoised, or would be, to the command and the Python that give the same bits."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from napari_hush.inference.settings import AUTO, DenoiseSettings
from napari_hush.repeat import call, defaults_of, given_of, literal, options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# of `napari-hush denoise`, besides the settings, what a result depends on
USUAL = {"dtype": "auto", "fill_missing": False, "channel_axis": None, "volume": False, "series": False, "first": 0}


def command(history: Mapping[str, Any]) -> str:
    """The command that makes a denoised file again, for a POSIX shell; "" where the history does not tell.

    Parameters
    ----------
    history : mapping
        Of `napari_hush.io.history.read_history`.
    """
    request = history.get("request") or _of_layer(history)
    source = (request.get("input") or {}).get("name")
    if not source or history.get("made") != "denoised":
        return ""
    model = AUTO if request["model"] == AUTO else str(history.get("model_path") or request["model"])
    part = f":{request['part']}" if request.get("part") else ""
    named = history.get("pattern") or f"{source}{part}"
    return denoise_command(str(named), model, request["settings"])


def denoise_command(source: str, model: str | Path, settings: Mapping[str, Any], output: Path | None = None) -> str:
    """The command that denoises a file.

    Parameters
    ----------
    source : str
        The file, as commands name it.
    model : str or Path
        A name or a file.
    settings : mapping
        Fields of `DenoiseSettings` and other options of the command by their names; what is none is left out.
    output : Path, optional
        Of the result; beside the source if not given.
    """
    words = ["napari-hush", "denoise", source, *([] if model == AUTO else ["--model", str(model)])]
    words += options(settings, USUAL | defaults_of(DenoiseSettings))
    return shlex.join([*words, *([] if output is None else ["--output", str(output)])])


def denoise_call(image: str, model: str | Path, settings: DenoiseSettings, **more: Any) -> str:
    """The call of `denoise` in Python, of ``napari_hush`` as ``hush``.

    Parameters
    ----------
    image : str
        The array, as it stands in the code.
    model : str or Path
        A name or a file.
    settings : DenoiseSettings
        How to run.
    **more
        Other arguments; None is left out.
    """
    named = [] if model == AUTO else [literal(str(model))]
    given = {name: value for name, value in more.items() if value is not None}
    return call("hush.denoise", image, *named, **given, **given_of(settings))


def _of_layer(history: Mapping[str, Any]) -> dict[str, Any]:
    """What a command would be asked for, of a layer of napari that was saved; empty where it was no whole image."""
    if not history.get("source_file") or any(history.get(part) for part in ("one_of_channels", "region", "cancelled")):
        return {}
    model = AUTO if history.get("chosen_because") else history.get("model")
    layer = {"dtype": history.get("output") or "auto", "channel_axis": history.get("channel_axis")}
    layer["first"] = history.get("first") or 0
    settings = {**(history.get("settings") or {}), **layer}
    return {"input": {"name": history["source_file"]}, "model": model, "settings": settings}
