"""The drift of a series as a picture, drawn without a plotting library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from napari_hush.series.registration import Registration

WIDE, HIGH = 720, 360  # px
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 28, 36
# colours that all kinds of colour vision tell apart (Okabe and Ito)
COLOURS = {"y": "#0072b2", "x": "#d55e00"}
UNSURE = "#999999"
TICKS = 5


def drift_picture(found: Registration) -> Image.Image:
    """Drift along Y and X by frame; hollow marks where a place is known up to a lattice vector only.

    Parameters
    ----------
    found : Registration
        Of the series.

    Examples
    --------
    >>> import napari_hush as hush
    >>> drift_picture(hush.register(hush.sample("stack").noisy[:2])).size
    (720, 360)
    """
    picture = Image.new("RGB", (WIDE, HIGH), "white")
    draw = ImageDraw.Draw(picture)
    drift, decided = found.drift, found.decided
    low, high = float(min(drift.min(), -0.5)), float(max(drift.max(), 0.5))
    pad = 0.08 * (high - low)
    low, high = low - pad, high + pad
    last = max(len(found) - 1, 1)

    def at(frame: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDE - LEFT - RIGHT) * frame / last
        return x, TOP + (HIGH - TOP - BOTTOM) * (high - value) / (high - low)

    for value in _round_values(low, high):
        y = at(0, value)[1]
        draw.line([(LEFT, y), (WIDE - RIGHT, y)], fill="#dddddd")
        draw.text((LEFT - 6, y), f"{value:g}", fill="black", anchor="rm")
    for frame in sorted({round(last * k / TICKS) for k in range(TICKS + 1)}):
        draw.text((at(frame, low)[0], HIGH - BOTTOM + 6), str(frame), fill="black", anchor="mt")
    draw.rectangle([LEFT, TOP, WIDE - RIGHT, HIGH - BOTTOM], outline="black")
    draw.text((WIDE / 2, HIGH - 4), "frame", fill="black", anchor="mb")
    for axis, (name, colour) in enumerate(COLOURS.items()):
        points = [at(frame, float(value)) for frame, value in enumerate(drift[:, axis])]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2)
        for (x, y), sure in zip(points, decided, strict=True):
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour if sure else "white", outline=colour)
        draw.text((LEFT + 8 + 110 * axis, 8), f"drift along {name.upper()}", fill=colour)
    if not decided.all():
        draw.text((LEFT + 250, 8), "hollow: known up to a lattice vector", fill=UNSURE)
    draw.text((4, 8), "px", fill="black")
    return picture


def _round_values(low: float, high: float) -> list[float]:
    """Round numbers between two."""
    rough = (high - low) / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = next((power * k for k in (1, 2, 5, 10) if power * k >= rough), 10 * power)
    return [float(v) for v in np.arange(np.ceil(low / step) * step, high, step).round(10)]
