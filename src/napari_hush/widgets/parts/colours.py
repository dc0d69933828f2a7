"""Colours of words on napari's themes: each can be read on both, and none says anything that a symbol does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

# a traffic light, and grey; at least 4.5:1 against each theme's background and its foreground (WCAG 2.2, 1.4.3)
ON_DARK = {"pass": "#3fbf95", "warn": "#e0b040", "fail": "#ff8a50", "open": "#a4a9b0"}
ON_LIGHT = {"pass": "#00623f", "warn": "#6e4a00", "fail": "#982b00", "open": "#55585d"}


def colour(status: str, widget: QWidget) -> str:
    """The colour of a status on the theme that a widget is shown with; grey for what is none."""
    window = widget.window()
    assert window is not None
    colours = ON_DARK if window.palette().window().color().lightness() < 128 else ON_LIGHT
    return colours.get(status, colours["open"])
