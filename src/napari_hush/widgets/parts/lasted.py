"""How long jobs lasted, remembered across sessions: an estimate for the next one of the same kind and a like size."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from napari_hush.widgets.parts import recent

KEY = "jobs/lasted"
MOST = 60  # kinds
LIKE = 3.0  # times as many pixels, or a third: of other sizes nothing is said


@dataclass(frozen=True)
class Kind:
    """What jobs have in common that last alike.

    Parameters
    ----------
    name : str
        What is done, with which model, engine and settings.
    pixels : int
        Of the image; the time grows with them.
    """

    name: str
    pixels: int


def expected(kind: Kind) -> float | None:
    """How many seconds a job will take, by the last one of its kind; None where there was none of a like size."""
    pixels, seconds = _stored().get(kind.name, (0, 0.0))
    if not pixels or not 1 / LIKE <= kind.pixels / pixels <= LIKE:
        return None
    return seconds * kind.pixels / pixels


def keep(kind: Kind, seconds: float) -> None:
    """Remember how long a job lasted that was finished."""
    kept = {name: one for name, one in _stored().items() if name != kind.name}
    latest = dict([*kept.items(), (kind.name, (kind.pixels, round(seconds, 2)))][-MOST:])
    settings = recent.make_settings()
    settings.setValue(KEY, json.dumps(latest))
    settings.sync()


def _stored() -> dict[str, tuple[int, float]]:
    try:
        found = json.loads(str(recent.make_settings().value(KEY, "{}")))
        known = {str(name): (int(pixels), float(seconds)) for name, (pixels, seconds) in found.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):  # somebody edited it
        return {}
    return {name: one for name, one in known.items() if one[0] > 0 and one[1] >= 0 and math.isfinite(one[1])}
