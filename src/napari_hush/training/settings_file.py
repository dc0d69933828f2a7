"""The settings of a method from names and values, from a file, and as the text of one."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError
from napari_hush.files import read_toml
from napari_hush.training.methods.registry import find_method

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_hush.training.settings import TrainSettings


def train_settings(method: str, table: Mapping[str, Any] | None = None) -> TrainSettings:
    """Make the settings of a method of names and values; those left out take their defaults.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    table : mapping, optional
        Names and values.

    Returns
    -------
    TrainSettings
        Of the method's own class.

    Raises
    ------
    InputError
        If the method or a name is unknown, or a value out of its range.
    """
    kind = find_method(method).settings
    known = [field.name for field in fields(kind)]
    for name in table or {}:
        if name not in known:
            raise InputError(f"unknown setting {name!r} of {method}: expected {', '.join(known)}")
    return kind(**dict(table or {}))


def read_train_settings(method: str, path: Path) -> TrainSettings:
    """Read a settings file (TOML) for a method, see `train_settings`."""
    table = read_toml(path)
    try:
        return train_settings(method, table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def train_settings_to_toml(method: str, settings: TrainSettings) -> str:
    """Write settings as the text of a settings file.

    Examples
    --------
    >>> from napari_hush.training.settings import SupervisedSettings
    >>> print(train_settings_to_toml("supervised", SupervisedSettings(steps=10)))
    # napari-hush ...: napari-hush train supervised ... --settings FILE
    patch = 128
    ...
    """
    lines = [f"# napari-hush {version('napari-hush')}: napari-hush train {method} ... --settings FILE"]
    for field in fields(settings):
        value = getattr(settings, field.name)
        lines.append(f"{field.name} = {json.dumps(list(value) if isinstance(value, tuple) else value)}")
    return "\n".join(lines) + "\n"
