"""What a file says of its image besides the axes and the pixel size: names, colours, display ranges, date."""

from __future__ import annotations

from dataclasses import dataclass

LUT_BYTES = 3 * 256


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
        One for each plane, in the order of the file; or none.
    inverted : bool
        Whether 0 is shown white and the largest value black, as TIFF's MINISWHITE is.
    """

    name: str = ""
    description: str = ""
    date: str = ""
    channels: tuple[Channel, ...] = ()
    labels: tuple[str, ...] = ()
    inverted: bool = False


def ramp(red: int, green: int, blue: int) -> bytes:
    """The lookup table from black to a colour, whose parts are 0 to 255."""
    return bytes(level * part // 255 for part in (red, green, blue) for level in range(256))
