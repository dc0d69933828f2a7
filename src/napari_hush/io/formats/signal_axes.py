"""Which of the axes that a microscope's file describes are Y and X of an image, and how long a step along them is."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.io.image import UNKNOWN_AXES
from napari_hush.io.units import METRES, SECONDS, canonical, readable_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hush.io.image import Scales

_LETTERS = {
    **dict.fromkeys(("x", "rx", "width", "column", "columns", "col"), "X"),
    **dict.fromkeys(("y", "ry", "height", "row", "rows"), "Y"),
    **dict.fromkeys(("z", "rz", "depth", "slice", "slices"), "Z"),
    **dict.fromkeys(("t", "time"), "T"),
}
_NONE = "_None_"
_ENERGIES = {"ev", "kev", "mev"}
_ANGLES = {"mrad", "rad", "deg"}


class NoImageError(InputError):
    """The axes are not those of an image; the message says what they are, without a file's name."""


@dataclass(frozen=True)
class Axis:
    """An axis as its file describes it.

    Parameters
    ----------
    name : str
        Such as "x", "R_y", "[x,nm]", "Height"; or nothing.
    unit : str
        Of the step: "nm", "[n_m]", "1/nm"; or nothing.
    step : float
        From one place to the next, in that unit; 0 where it is not known.
    of_image : bool, optional
        Whether it is one of the two axes of each image, and not one along which images follow each other; None where
        the file does not say.
    """

    name: str = ""
    unit: str = ""
    step: float = 0.0
    of_image: bool | None = None

    @classmethod
    def described(cls, name: Any, unit: Any, step: Any, navigate: Any = None) -> Axis:
        """From what a file says, which may be anything; HyperSpy writes "_None_" for nothing, and `navigate`."""
        texts = ["" if not isinstance(text, str) or text == _NONE else text for text in (name, unit)]
        number = float(step) if isinstance(step, (int, float, np.number)) else 0.0
        return cls(texts[0], texts[1], number, None if navigate is None else not navigate)

    @property
    def letter(self) -> str:
        """X, Y, Z or T by its name; nothing for another one."""
        words = re.findall(r"[a-z]+", self.name.lower())
        return next((_LETTERS[word] for word in words if word in _LETTERS), "")

    @property
    def plain_unit(self) -> str:
        """Of one spelling: Berkeley writes [n_m] for nm and [n_m^-1] for 1/nm."""
        named = re.search(r"[\[(,]\s*([^\[\](),]+)[\])]\s*$", self.name)
        text = re.sub(r"[\[\]_\s]", "", self.unit or (named[1] if named and canonical(named[1]) in METRES else ""))
        if text.endswith(("-1", "⁻¹")):
            text = f"1/{text.removesuffix('⁻¹').removesuffix('-1').removesuffix('^')}"
        return f"1/{canonical(text[2:])}" if text.startswith("1/") else str(canonical(text))

    @property
    def spectral(self) -> bool:
        """Whether it counts energies."""
        return self.plain_unit.lower() in _ENERGIES or "energy" in self.name.lower()

    @property
    def reciprocal(self) -> bool:
        """Whether it lies in a diffraction pattern."""
        name = self.name.lower().replace("_", "")
        return self.plain_unit.startswith("1/") or self.plain_unit in _ANGLES or name in ("qx", "qy", "kx", "ky")


def image_axes(axes: Sequence[Axis]) -> tuple[str, Scales]:
    """One letter per axis, and the steps that are known.

    Raises
    ------
    NoImageError
        If there are not two axes of an image, as in spectra, or if there is a diffraction pattern at each place of a
        scan.
    """
    y, x = _places(axes)
    others = [axis for place, axis in enumerate(axes) if place not in (y, x)]
    if any(axis.spectral and axis.of_image is None for axis in axes):
        raise NoImageError("spectra")
    scanned = {axis.letter for axis in others}
    if len(others) >= 2 and (axes[y].reciprocal or {"X", "Y"} <= scanned):
        raise NoImageError("a diffraction pattern at each place of a scan")
    free = iter(UNKNOWN_AXES)
    letters = ""
    for place, axis in enumerate(axes):
        letter = "Y" if place == y else "X" if place == x else axis.letter
        known = {"Z": METRES, "T": SECONDS}.get(letter, {})
        if place not in (y, x) and (letter in (*letters, "Y", "X") or (axis.plain_unit not in known and letter != "Z")):
            letter = ""
        letters += letter or next(free)
    found = zip(letters, axes, strict=True)
    return letters, {letter: _readable(axis) for letter, axis in found if axis.step and math.isfinite(axis.step)}


def upright(letters: str) -> list[int]:
    """The order of axes in which planes are (Y, X), behind what counts them.

    Examples
    --------
    >>> upright("XYQ")
    [2, 1, 0]
    """
    return sorted(range(len(letters)), key=lambda axis: (letters[axis] in "YX", letters[axis] == "X", axis))


def _places(axes: Sequence[Axis]) -> tuple[int, int]:
    """Where Y and X are: by what the file says, by their names, or the last two."""
    if len(axes) < 2:
        raise NoImageError("a single line of values" if axes else "a single value")
    said = [place for place, axis in enumerate(axes) if axis.of_image]
    if any(axis.of_image is not None for axis in axes):
        if len(said) != 2:
            raise NoImageError("spectra" if len(said) == 1 else f"values with {len(said)} axes of a signal")
        return said[0], said[1]
    real = [place for place, axis in enumerate(axes) if not axis.reciprocal]
    names = {axes[place].letter: place for place in reversed(real)}
    if len(axes) - len(real) < 2 and {"Y", "X"} <= set(names):
        return names["Y"], names["X"]
    return len(axes) - 2, len(axes) - 1


def _readable(axis: Axis) -> tuple[float, str]:
    step, unit = abs(axis.step), axis.plain_unit
    return readable_length(step) if unit == "m" else (step, unit)
