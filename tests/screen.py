"""Whether napari can open a window here."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec


@cache
def why_no_qt() -> str:
    """Why Qt cannot be loaded; empty where it can."""
    reasons = []
    for binding in ("PyQt6", "PySide6"):
        if find_spec(binding) is None:
            continue
        try:
            import_module(f"{binding}.QtWidgets")
        except ImportError as error:  # a system library such as libEGL.so.1 is missing
            reasons.append(f"Qt cannot be loaded ({error}), see docs/troubleshooting.md")
        else:
            return ""
    return "; ".join(reasons) or "there is no Qt: pip install -e '.[all,test]'"


@cache
def why_no_window() -> str:
    """Why the tests of the widgets cannot run; empty where they can."""
    if find_spec("napari") is None:
        return "napari is not installed: pip install -e '.[all,test]'"
    if reason := why_no_qt():
        return reason
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display: run bash .ci/xvfb.sh pytest"
    return ""
