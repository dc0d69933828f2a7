"""The metadata of an image as a note in JSON, for formats that have no words of their own for all of it."""

from __future__ import annotations

import json
import math
from typing import Any

from napari_hush.io.metadata import LUT_BYTES, Channel, Metadata, ramp

KEY = "napari-hush metadata"
TIFF_TAG = 65112  # beside that of the history
LONGEST = 1 << 24  # characters


def note_of(metadata: Metadata) -> dict[str, Any]:
    """All that is known, JSON-able; empty where nothing is."""
    note: dict[str, Any] = {
        "name": metadata.name,
        "description": metadata.description,
        "date": metadata.date,
        "channels": [_channel_note(one) for one in metadata.channels],
        "labels": list(metadata.labels),
        "inverted": metadata.inverted,
    }
    return {key: value for key, value in note.items() if value}


def metadata_of(note: Any) -> Metadata:
    """What a note says, without what in it makes no sense."""
    if not isinstance(note, dict):
        return Metadata()
    return Metadata(
        _text(note.get("name")),
        _text(note.get("description")),
        _text(note.get("date")),
        tuple(_channel(one) for one in _list(note.get("channels"))),
        tuple(_text(one) for one in _list(note.get("labels"))),
        note.get("inverted") is True,
    )


def note_text(metadata: Metadata) -> str:
    """The note as it is written: JSON in ASCII; empty where there is nothing to say."""
    note = note_of(metadata)
    return json.dumps(note, ensure_ascii=True) if note else ""


def parse_note(text: str | bytes) -> Metadata:
    """What a written note says; nothing where it is damaged."""
    try:
        return metadata_of(json.loads(text)) if 0 < len(text) < LONGEST else Metadata()
    except (ValueError, RecursionError):
        return Metadata()


def _channel_note(channel: Channel) -> dict[str, Any]:
    note: dict[str, Any] = {"name": channel.name, "limits": channel.limits}
    if channel.lut is not None and channel.colour is not None:
        plain = ramp(*channel.colour) == channel.lut
        note["lut"] = "#{:02X}{:02X}{:02X}".format(*channel.colour) if plain else channel.lut.hex()
    return {key: value for key, value in note.items() if value}


def _channel(note: Any) -> Channel:
    if not isinstance(note, dict):
        return Channel()
    limits = _list(note.get("limits"))
    return Channel(_text(note.get("name")), read_lut(_text(note.get("lut"))), read_limits(limits))


def read_limits(numbers: list[Any]) -> tuple[float, float] | None:
    """Two different finite numbers; None for anything else."""
    found = [float(one) for one in numbers if isinstance(one, (int, float)) and math.isfinite(one)]
    return (found[0], found[1]) if len(found) == len(numbers) == 2 and found[0] != found[1] else None


def read_lut(text: str) -> bytes | None:
    """A lookup table out of hexadecimal digits: all of it, or the colour of its brightest value, ``#FF8000``."""
    try:
        lut = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return ramp(*lut) if len(lut) == 3 else lut if len(lut) == LUT_BYTES else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
