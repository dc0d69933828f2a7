"""Names, colours and display ranges of an OME-NGFF image."""

from __future__ import annotations

import math
from typing import Any

from napari_hush.io.metadata import Channel, Metadata, ramp


def omero_metadata(image: dict[str, Any], omero: Any, count: int) -> Metadata:
    """What a group says of its image.

    Parameters
    ----------
    image : dict
        An entry of ``multiscales``.
    omero : object
        What the group has under ``omero``, if anything.
    count : int
        How many channels the image has, 1 without an axis of them; any other number of names is left out.
    """
    entries = omero.get("channels") if isinstance(omero, dict) else None
    channels = [_channel(one) for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    name = image.get("name")
    return Metadata(
        name=name if isinstance(name, str) and name.strip("/") else "",
        channels=tuple(channels) if len(channels) == count else (),
    )


def _channel(entry: dict[str, Any]) -> Channel:
    label, colour, window = entry.get("label"), entry.get("color"), entry.get("window")
    ends = [window.get("start"), window.get("end")] if isinstance(window, dict) else []
    numbers = [float(one) for one in ends if isinstance(one, (int, float)) and math.isfinite(one)]
    limits = (numbers[0], numbers[1]) if len(numbers) == 2 and numbers[0] < numbers[1] else None
    return Channel(label if isinstance(label, str) else "", _ramp(colour), limits)


def _ramp(colour: object) -> bytes | None:
    """Of six hexadecimal digits."""
    text = str(colour).removeprefix("#")
    if len(text) < 6 or not all(one in "0123456789abcdefABCDEF" for one in text[:6]):
        return None
    return ramp(*bytes.fromhex(text[:6]))
