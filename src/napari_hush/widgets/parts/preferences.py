"""What a person chose on the plugin's page of napari's *Preferences*; the page itself is declared in napari.yaml."""

from __future__ import annotations

from typing import Any

from napari.settings import get_plugin_settings

PLUGIN = "napari-hush"


def preference(section: str, name: str, default: Any) -> Any:
    """One choice of that page.

    Parameters
    ----------
    section, name : str
        As in ``contributions.configurations`` of napari.yaml.
    default
        Where the plugin is not installed as one, or switched off.
    """
    try:
        return getattr(getattr(get_plugin_settings(PLUGIN), section), name)
    except KeyError:
        return default
