"""Cleaning up when Qt deletes a widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject

_CLEANINGS: set[Any] = set()  # Python's collector empties slots that only a dying widget holds


def when_deleted(widget: QObject, clean: Callable[[], None]) -> None:
    """Call a function when Qt deletes a widget; the function must not hold it."""

    def run(_: object = None) -> None:
        _CLEANINGS.discard(run)
        clean()

    _CLEANINGS.add(run)
    widget.destroyed.connect(run)
