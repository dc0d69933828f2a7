"""Errors and warnings as napari notifications."""

from __future__ import annotations

from napari.utils.notifications import ErrorNotification, notification_manager, show_error, show_info, show_warning

from napari_hush.errors import InputError


def error(exception: BaseException) -> str:
    """Show an error and give its words: what the user can mend as it is, anything else with its type and traceback."""
    if isinstance(exception, InputError):
        show_error(str(exception))
        return str(exception)
    text = str(exception)
    if isinstance(exception, MemoryError):
        text = text or "not enough memory: choose a smaller tile, or close other programs"
    notification = ErrorNotification(exception)
    notification.message = f"{type(exception).__name__}: {text}" if text else type(exception).__name__
    notification_manager.dispatch(notification)
    return str(notification.message)


def warning(text: str) -> None:
    """Show a warning."""
    show_warning(text)


def info(text: str) -> None:
    """Say something that is no fault."""
    show_info(text)
