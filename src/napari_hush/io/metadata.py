"""What a file says of its image besides the axes and the pixel size: names, colours, display ranges, date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

LUT_BYTES = 3 * 256
COLOURS = {
    "gray": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "yellow": (255, 255, 0),
}
"""Of a channel's brightest value, by the names that programs have for them."""


@dataclass(frozen=True)
class Channel:
    """How one channel is called and shown.

    Parameters
    ----------
    name : str
        Such as "DAPI" or "HAADF"; "" where the file gives none.
    lut : bytes, optional
        A lookup table of 256 reds, 256 greens and 256 blues, as ImageJ keeps it.
    limits : tuple of float, optional
        The values shown darkest and brightest, in the units of the data.
    """

    name: str = ""
    lut: bytes | None = None
    limits: tuple[float, float] | None = None

    @property
    def colour(self) -> tuple[int, int, int] | None:
        """Red, green and blue of the brightest value, 0 to 255; None without a lookup table."""
        return None if self.lut is None else (self.lut[255], self.lut[511], self.lut[767])

    def merged(self, other: Channel) -> Channel:
        """What is not told here, from another account; a whole lookup table comes before its brightest colour alone."""
        plain = self.colour is None or (self.colour == other.colour and self.lut == ramp(*self.colour))
        return Channel(self.name or other.name, (plain and other.lut) or self.lut, self.limits or other.limits)


@dataclass(frozen=True)
class Metadata:
    """What a file says of its image, and a result made from it keeps.

    Parameters
    ----------
    name : str
        The image's own name, where it has one besides the file's.
    description : str
        What somebody wrote about it.
    date : str
        When it was acquired, ISO 8601.
    channels : tuple of Channel
        One for each place along the axis C; one for an image without a C; or none.
    labels : tuple of str
        One for each plane, the last of the axes before Y and X counting fastest; or none.
    inverted : bool
        Whether 0 is shown white and the largest value black, as TIFF's MINISWHITE is.
    """

    name: str = ""
    description: str = ""
    date: str = ""
    channels: tuple[Channel, ...] = ()
    labels: tuple[str, ...] = ()
    inverted: bool = False

    def fitting(self, axes: str, shape: Sequence[int]) -> Metadata:
        """Without channels and labels whose number is not that of an image of these axes."""
        sizes = dict(zip(axes, shape, strict=True))
        planes = prod(sizes[letter] for letter in lead_axes(axes))
        channels = self.channels if len(self.channels) == sizes.get("C", 1) else ()
        labels = self.labels if len(self.labels) == planes else ()
        return (
            self
            if (channels, labels) == (self.channels, self.labels)
            else replace(self, channels=channels, labels=labels)
        )

    def for_axes(self, old: str, new: str) -> Metadata:
        """Of a result with other axes: without what may not belong to its channels or planes any more."""
        channels = self.channels if ("C" in old) == ("C" in new) else ()
        return replace(self, channels=channels, labels=self.labels if lead_axes(old) == lead_axes(new) else ())

    def moved(self, axes: str, shape: Sequence[int], letter: str) -> Metadata:
        """Of the same image with one of the axes before all others."""
        lead = lead_axes(axes)
        if not self.labels or letter not in lead:
            return self
        sizes = dict(zip(axes, shape, strict=True))
        labels = np.array(self.labels, dtype=object).reshape([sizes[one] for one in lead])
        return replace(self, labels=tuple(np.moveaxis(labels, lead.index(letter), 0).ravel()))

    def of_other_values(self) -> Metadata:
        """Of a map of the same planes in another quantity: without display ranges and colours."""
        channels = tuple(Channel(one.name) for one in self.channels) if any(one.name for one in self.channels) else ()
        return replace(self, channels=channels, inverted=False)

    def merged(self, other: Metadata) -> Metadata:
        """What is not told here, from another account of the same image."""
        if len(self.channels) == len(other.channels):
            channels = tuple(a.merged(b) for a, b in zip(self.channels, other.channels, strict=True))
        else:
            channels = self.channels or other.channels
        return Metadata(
            self.name or other.name,
            self.description or other.description,
            self.date or other.date,
            channels,
            self.labels or other.labels,
            self.inverted or other.inverted,
        )


def ramp(red: int, green: int, blue: int) -> bytes:
    """The lookup table from black to a colour, whose parts are 0 to 255."""
    return bytes(level * part // 255 for part in (red, green, blue) for level in range(256))


def lead_axes(axes: str) -> str:
    """The axes that count planes: all but Y, X and a colour in the last place."""
    return "".join(letter for letter in (axes[:-1] if axes[-1] in "CS" else axes) if letter not in "YX")
