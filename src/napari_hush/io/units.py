"""The spellings of a unit, and how long it is."""

from __future__ import annotations

import re

METRES = {"pm": 1e-12, "Å": 1e-10, "nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
SECONDS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}

# the names of OME-NGFF (UDUNITS-2); they are also spellings that files use
LONG_NAMES = {
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "ns": "nanosecond",
    "µs": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
}

_SPELLINGS = {
    **{name: unit for unit, name in LONG_NAMES.items()},
    **{name.replace("meter", "metre"): unit for unit, name in LONG_NAMES.items()},
    **{f"{name}s": unit for unit, name in LONG_NAMES.items()},
    "\u03bcm": "µm",  # Greek mu instead of the micro sign
    "\u03bcs": "µs",
    "um": "µm",
    "us": "µs",
    "micron": "µm",
    "microns": "µm",
    "\u212b": "Å",  # angstrom sign instead of the letter
    "a": "Å",
    "ang": "Å",
    "sec": "s",
    "hr": "h",
}
_NO_UNIT = {"", "pixel", "pixels", "px", "none", "null", "unknown", "undefined", "<undefined>"}


def canonical(unit: object) -> str:
    """The one spelling of a unit used here; ``"pixel"`` where there is none, an unknown unit as it came."""
    text = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str("" if unit is None else unit)
    # ImageJ spells letters beyond ASCII as \\u00B5
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text).strip().strip("\0")
    if text in METRES or text in SECONDS:
        return text
    if text.lower() in _NO_UNIT:
        return "pixel"
    return _SPELLINGS.get(text.lower(), text)


def readable_length(metres: float) -> tuple[float, str]:
    """A length in nm, µm or mm, whichever reads best for a pixel.

    Examples
    --------
    >>> readable_length(2.5e-9)
    (2.5, 'nm')
    """
    unit = "nm" if metres < 1e-7 else "µm" if metres < 1e-3 else "mm"
    return tidy(metres / METRES[unit]), unit


def tidy(number: float) -> float:
    """Without the digits that only a conversion made: 1 / (2500 / 131) is 0.0524."""
    return float(f"{number:.12g}")
