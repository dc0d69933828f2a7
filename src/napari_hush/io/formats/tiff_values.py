"""What the numbers in a TIFF stand for: calibrated values of ImageJ, palettes, colours that are no intensities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.lazy import LazyArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SEPARATED, YCBCR = 5, 6
# kinds of pixels (PhotometricInterpretation) whose numbers are no intensities
FOREIGN = {8: "CIELab", 9: "ICCLab", 10: "ITULab", 32844: "LogL", 32845: "LogLuv"}
CMYK = 1  # InkSet
INK_SET = 332
JPEG = (6, 7)  # compressions, whose decoder turns YCbCr into RGB
MARKED = 0.8  # share of plain greys in a palette with colours for marks
STRAIGHT_LINE = 0  # ImageJ's calibration function


@dataclass(frozen=True)
class Line:
    """ImageJ's straight line from stored numbers to values.

    Parameters
    ----------
    offset : float
        The value of a stored 0.
    slope : float
        Values per stored step.
    clip : bool
        Whether values below 0 are shown as 0.
    """

    offset: float
    slope: float
    clip: bool = False

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """The smallest type of the values that ImageJ shows: int16 where they are whole, float32 elsewhere."""
        low, high = self.offset, self.offset + np.iinfo(stored).max
        whole = self.slope == 1 and self.offset == int(self.offset) and -32768 <= low and high <= 32767
        return np.dtype(np.int16 if whole else np.float32)

    def of(self, stored: float) -> float:
        """The value of one stored number."""
        value = self.offset + self.slope * stored
        return max(value, 0.0) if self.clip else value

    def values(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The values of an array of stored numbers."""
        made = self.offset + self.slope * stored.astype(np.float64)
        made = np.maximum(made, 0) if self.clip else made
        return made.astype(self.dtype(stored.dtype))


class LineArray(LazyArray):
    """An array in a file whose numbers become values as they are read.

    Parameters
    ----------
    stored : array_like
        The numbers, of 8 or 16 bits.
    line : Line
        What they stand for.
    """

    def __init__(self, stored: Any, line: Line) -> None:
        self.stored, self.line = stored, line
        self.shape: tuple[int, ...] = tuple(stored.shape)
        self.dtype = line.dtype(np.dtype(stored.dtype))
        self.file = stored  # by whose name a run knows that the image lies in a file

    def _part(self, parts: Sequence[int | slice]) -> NDArray[Any]:
        return self.line.values(np.asarray(self.stored[tuple(parts)]))


def imagej_values(tif: Any, series: Any) -> Line | None:
    """What ImageJ shows for a stored number, where that is a straight line other than the number itself."""
    note = tif.imagej_metadata if tif.is_imagej else None
    if not note or series.dtype.kind != "u" or series.dtype.itemsize > 2 or note.get("cf") != STRAIGHT_LINE:
        return None  # curves such as optical density bend the noise, and are left to whoever measures
    coefficients = [note.get("c0"), note.get("c1")]
    if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in coefficients):
        return None
    line = Line(float(coefficients[0]), float(coefficients[1]), note.get("zeroclip") is True)
    return None if not line.slope or (line.offset, line.slope) == (0, 1) else line


def check_colours(page: Any, source: str) -> None:
    """Refuse inks and colours that are no intensities.

    Raises
    ------
    FileFormatError
        With what they are, and the way out.
    """
    kind = int(page.photometric)
    if kind == SEPARATED:
        inks = "CMYK, the inks of a printer" if page.tags.valueof(INK_SET, CMYK) == CMYK else "inks of a printer"
    elif kind == YCBCR and int(page.compression) not in JPEG:
        inks = "YCbCr, brightness and two differences of colour"
    elif kind in FOREIGN:
        inks = FOREIGN[kind]
    else:
        return
    raise FileFormatError(f"{source}: its colours are {inks}, which are no intensities; save it as grey or RGB")


def expand_palette(data: NDArray[Any], colormap: NDArray[Any]) -> tuple[NDArray[Any], bytes | None]:
    """Palette indices (..., Y, X) as what they show, and the palette where it is kept as a lookup table.

    A palette of greys gives greys (..., Y, X): where it has 256 and they rise or fall, the indices are what was
    recorded and the palette shows them, any other one is applied. So they are where a few of the 256 are colours, in
    which a microscope draws marks. Other colours become uint8 (..., Y, X, 3).
    """
    table = np.asarray(colormap)
    colours = np.ascontiguousarray((table >> 8 if table.max() > 255 else table).T.astype(np.uint8))  # (N, 3)
    if (table[0] == table[1]).all() and (table[0] == table[2]).all():
        greys = colours[:, 0]
        steps = np.diff(greys.astype(int))
        if greys.size == 256 and ((steps >= 0).all() or (steps <= 0).all()) and greys[0] != greys[-1]:
            plain = (greys == np.arange(256)).all()
            return data, None if plain else colours.T.tobytes()
        return np.take(greys, data, axis=0), None
    if len(colours) == 256 and (colours == np.arange(256)[:, None]).all(axis=1).mean() > MARKED:
        return data, None
    return np.take(colours, data, axis=0), None
