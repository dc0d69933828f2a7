"""The model files used lately, remembered across sessions."""

from __future__ import annotations

import json
import os
from pathlib import Path

from qtpy.QtCore import QSettings

MOST = 10
KEY = "models/recent"


def make_settings() -> QSettings:
    """The plugin's settings, as they are on the disk now: another napari may have written them."""
    settings = QSettings("napari-hush", "napari-hush")
    settings.sync()
    return settings


def recent_files() -> list[Path]:
    """The remembered files that exist, the last used first."""
    return [path for path in _stored(make_settings()) if os.path.isfile(path)]


def remember(path: Path) -> None:
    """Put a file on top of the list; missing ones stay in it, for their drive may come back."""
    settings = make_settings()
    paths = [path, *(other for other in _stored(settings) if other != path)]
    # JSON, because Qt gives a list of one back as a text
    settings.setValue(KEY, json.dumps([str(path) for path in paths[:MOST]]))
    settings.sync()


def _stored(settings: QSettings) -> list[Path]:
    try:
        names = json.loads(str(settings.value(KEY, "[]")))
    except (ValueError, RecursionError):  # somebody edited it
        return []
    return [Path(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
