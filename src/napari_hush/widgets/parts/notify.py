"""Errors and warnings as napari notifications, in the words of the docks."""

from __future__ import annotations

from napari.utils.notifications import ErrorNotification, notification_manager, show_error, show_info, show_warning

from napari_hush.errors import InputError
from napari_hush.widgets.parts.dock_words import in_dock_words


def error(exception: BaseException) -> str:
    """Show an error and give its words: what the user can mend as it is, anything else with its type and traceback."""
    if isinstance(exception, InputError):
        show_error(words := in_dock_words(str(exception)))
        return words
    text = in_dock_words(str(exception))
    if isinstance(exception, MemoryError):
        text = text or "not enough memory: choose a smaller tile, or close other programs"
    notification = ErrorNotification(exception)
    notification.message = f"{type(exception).__name__}: {text}" if text else type(exception).__name__
    notification_manager.dispatch(notification)
    return str(notification.message)


def warning(text: str) -> str:
    """Show a warning and give its words."""
    show_warning(words := in_dock_words(text))
    return words


def info(text: str) -> None:
    """Say something that is no fault."""
    show_info(text)
