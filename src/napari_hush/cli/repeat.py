"""From the history of a result to the command that makes it again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
    model = [] if request["model"] == "auto" else ["--model", str(history.get("model_path") or request["model"])]
    part = f":{request['part']}" if request.get("part") else ""
    named = history.get("pattern") or f"{source}{part}"
    return shlex.join(["napari-hush", "denoise", str(named), *model, *_options(request["settings"])])


def _of_layer(history: Mapping[str, Any]) -> dict[str, Any]:
    """What a command would be asked for, of a layer of napari that was saved; empty where it was no whole image."""
    if not history.get("source_file") or any(history.get(part) for part in ("one_of_channels", "region", "cancelled")):
        return {}
    model = "auto" if history.get("chosen_because") else history.get("model")
    layer = {"dtype": history.get("output") or "auto", "channel_axis": history.get("channel_axis")}
    settings = {**(history.get("settings") or {}), **layer}
    return {"input": {"name": history["source_file"]}, "model": model, "settings": settings}


def _options(settings: Mapping[str, Any]) -> Iterator[str]:
    """Those that are not as they are without being given."""
    from dataclasses import fields

    from napari_hush.cli.denoise import Denoise
    from napari_hush.inference.settings import DenoiseSettings

    defaults = {one.name: one.default for kind in (Denoise, DenoiseSettings) for one in fields(kind)}
    for name, value in settings.items():
        if name not in defaults or value == defaults[name]:
            continue
        flag = "--" + name.replace("_", "-")
        if isinstance(defaults[name], bool):
            yield flag if value else f"--no-{flag[2:]}"
        else:
            yield from (flag, str(value))
