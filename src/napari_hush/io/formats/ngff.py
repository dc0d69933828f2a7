"""How an image is said in OME-Zarr (OME-NGFF 0.5): axes in its order and of its types, levels, channels.

https://ngff.openmicroscopy.org/0.5: two to five axes, first at most one of time, then at most one of channels or of a
kind of its own, then two or three of space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hush.io.metadata import Channel, Metadata
from napari_hush.io.metadata_note import metadata_of, note_of, read_limits, read_lut
from napari_hush.io.units import LONG_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_hush.io.image import Scales

VERSION = "0.5"
NOTE_KEY = "napari_hush_image"
TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
RANK = {"time": 0, "channel": 1, "other": 1, "space": 2}
WHITE = "FFFFFF"
MOST_AXES = 5


@dataclass(frozen=True)
class Layout:
    """In which order the axes of an image are stored, and as what.

    Parameters
    ----------
    axes : str
        Of the image.
    stored : str
        The same letters in the order of OME-Zarr.
    types : tuple of str
        What each of those is.
    """

    axes: str
    stored: str
    types: tuple[str, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """For each axis of the image the one in the store."""
        return tuple(self.stored.index(letter) for letter in self.axes)

    @property
    def inverse(self) -> tuple[int, ...]:
        """For each axis in the store the one of the image."""
        return tuple(self.axes.index(letter) for letter in self.stored)

    @property
    def names(self) -> list[str]:
        """Of the axes in the store."""
        return [letter.lower() for letter in self.stored]


def layout_of(axes: str) -> Layout | None:
    """How axes are stored; None where OME-Zarr has no room for them.

    An axis of which nobody knows what it counts becomes one of a kind of its own beside time and space, or takes the
    place of channels, time or depth that are not there, under its own name.

    Examples
    --------
    >>> layout_of("YXC").stored, layout_of("QYX").types, layout_of("QPYXC").stored, layout_of("TQCZPYX")
    ('CYX', ('other', 'space', 'space'), 'QCPYX', None)
    """
    unknown = [letter for letter in axes if letter not in TYPES]
    free = [kind for kind, letter in (("other", "C"), ("time", "T"), ("space", "Z")) if letter not in axes]
    if len(axes) > MOST_AXES or len(unknown) > len(free):
        return None
    kinds = dict(zip(unknown, sorted(free[: len(unknown)], key=RANK.__getitem__), strict=True))
    types = {letter: TYPES.get(letter) or kinds[letter] for letter in axes}
    lead = sorted((letter for letter in axes if letter not in "YX"), key=lambda letter: RANK[types[letter]])
    stored = "".join(lead) + "YX"
    return Layout(axes, stored, tuple(types[letter] for letter in stored))


def image_note(
    layout: Layout, scales: Scales, name: str, factors: Sequence[int], omero: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The value of ``ome`` of an image whose levels are smaller along Y and X by these factors."""
    entries = []
    for letter, kind in zip(layout.stored, layout.types, strict=True):
        unit = scales.get(letter, (1.0, ""))[1]
        entries.append({"name": letter.lower(), "type": kind} | ({"unit": LONG_NAMES.get(unit, unit)} if unit else {}))
    image: dict[str, Any] = {"name": name} if name else {}
    image |= {"axes": entries, "datasets": [_level(layout, scales, k, one) for k, one in enumerate(factors)]}
    if len(factors) > 1:
        image |= {"type": "mean", "metadata": {"description": "means of 2 x 2 px along Y and X"}}
    return {"version": VERSION, "multiscales": [image]} | ({"omero": dict(omero)} if omero else {})


def own_note(layout: Layout, metadata: Metadata) -> dict[str, Any]:
    """What OME-Zarr has no words for: the order of the image's axes, and all of its metadata."""
    return {"axes": layout.axes, **note_of(metadata)}


def omero_note(metadata: Metadata, ranges: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Names, colours and windows of the channels, whose values lie in these ranges."""
    channels = [_channel(one, *both, metadata.inverted) for one, both in zip(metadata.channels, ranges, strict=True)]
    return {"channels": channels, "rdefs": {"model": "color" if len(channels) > 1 else "greyscale"}}


def own_layout(attributes: Mapping[str, Any], names: Sequence[str]) -> Layout | None:
    """How this package stored an image whose axes have these names; None where another program did."""
    note = attributes.get(NOTE_KEY)
    axes = note.get("axes") if isinstance(note, dict) else None
    if not isinstance(axes, str) or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        return None
    layout = layout_of(axes)
    return layout if layout is not None and layout.names == list(names) else None


def read_metadata(attributes: Mapping[str, Any], image: Mapping[str, Any]) -> Metadata:
    """What the attributes of a group say of its image, this package's own note before the words of OME-Zarr."""
    name = image.get("name")
    omero = attributes.get("omero")
    found = omero.get("channels") if isinstance(omero, dict) else None
    parts = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    said = Metadata(
        name if isinstance(name, str) else "",
        channels=tuple(_read_channel(one) for one in parts),
        inverted=bool(parts) and all(one.get("inverted") is True for one in parts),
    )
    note = attributes.get(NOTE_KEY)
    return metadata_of(note) if isinstance(note, dict) else said


def _level(layout: Layout, scales: Scales, number: int, factor: int) -> dict[str, Any]:
    steps = [scales.get(letter, (1.0, ""))[0] for letter in layout.stored]
    factors = [factor if letter in "YX" else 1 for letter in layout.stored]
    changes: list[dict[str, Any]] = [
        {"type": "scale", "scale": [step * one for step, one in zip(steps, factors, strict=True)]}
    ]
    if factor > 1:  # the middle of a large pixel lies between those of the small ones
        shift = [step * (one - 1) / 2 for step, one in zip(steps, factors, strict=True)]
        changes.append({"type": "translation", "translation": shift})
    return {"path": str(number), "coordinateTransformations": changes}


def _channel(channel: Channel, low: float, high: float, inverted: bool) -> dict[str, Any]:
    start, end = channel.limits or (low, high)
    note: dict[str, Any] = {
        "active": True,
        "color": WHITE if channel.colour is None else "{:02X}{:02X}{:02X}".format(*channel.colour),
        "window": {"start": start, "end": end, "min": min(low, start, end), "max": max(high, start, end)},
    }
    return note | ({"label": channel.name} if channel.name else {}) | ({"inverted": True} if inverted else {})


def _read_channel(note: Mapping[str, Any]) -> Channel:
    label, colour, window = note.get("label"), note.get("color"), note.get("window")
    limits = [window.get(key) for key in ("start", "end")] if isinstance(window, dict) else []
    return Channel(
        label if isinstance(label, str) else "",
        read_lut(colour) if isinstance(colour, str) else None,
        read_limits(limits),
    )
