"""Keys of a dock, of which the Preferences change some: they work while it is in sight; and the way of the Tab key."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QLayout, QPushButton, QWidget

from napari_hush.widgets.parts.preferences import preference

if TYPE_CHECKING:
    from collections.abc import Iterator

# napari's menus have F, V, L, P, W and H
RUN, PREVIEW, CANCEL = "R", "E", "C"
BLINK = "B"
CHANGEABLE = {"run": f"Alt+{RUN}", "preview": f"Alt+{PREVIEW}", "cancel": f"Alt+{CANCEL}", "blink": BLINK}


def key_of(name: str) -> str:
    """The key of something in `CHANGEABLE`, as the Preferences have it; the usual one where they have no key.

    napari 0.9 ignores keys in a manifest. Its own list of shortcuts could be added to, but napari loads no plugin at
    its start: it would warn each time of a key that was changed there.
    """
    wanted = QKeySequence(str(preference("keys", name, CHANGEABLE[name]))).toString()
    return wanted or CHANGEABLE[name]


class KeyButton(QPushButton):
    """A button with a key: Alt and a letter, which is underlined where its text has it.

    Parameters
    ----------
    text : str
        What stands on it.
    letter : str
        Of the key.
    name : str
        In `CHANGEABLE`, where the Preferences may have another key.
    """

    def __init__(self, text: str, letter: str, name: str = "") -> None:
        super().__init__()
        self.key = key_of(name) if name else f"Alt+{letter}"
        self._letter = self.key.removeprefix("Alt+")  # any other key has no letter that can be underlined
        self.setText(text)

    def setText(self, text: str | None) -> None:
        """Say something else."""
        words = (text or "").replace("&", "")
        at = words.lower().find(self._letter.lower())
        super().setText(words if at < 0 else f"{words[:at]}&{words[at:]}")
        self.setShortcut(QKeySequence())  # that of Qt would be heard in docks out of sight, too

    def text(self) -> str:
        """What stands on it, without the mark of the letter."""
        return super().text().replace("&", "")


def make_shortcuts(dock: QWidget) -> list[QShortcut]:
    """Let the keys of a dock's buttons press them."""
    made = []
    for button in dock.findChildren(KeyButton):
        shortcut = QShortcut(QKeySequence(button.key), dock)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(button.click)
        made.append(shortcut)
    return made


def order_tabs(widget: QWidget) -> None:
    """Let the Tab key go through a widget from top to bottom, as its layouts have it."""
    stops = [one for one in _stops(widget) if one.focusPolicy() & Qt.FocusPolicy.TabFocus]
    for before, after in itertools.pairwise(stops):
        QWidget.setTabOrder(before, after)


def _stops(widget: QWidget) -> Iterator[QWidget]:
    if (layout := widget.layout()) is None:
        yield widget
        return
    yield widget
    yield from _in_layout(layout)


def _in_layout(layout: QLayout) -> Iterator[QWidget]:
    items = [layout.itemAt(index) for index in range(layout.count())]
    if isinstance(layout, QFormLayout):
        roles = QFormLayout.ItemRole.LabelRole, QFormLayout.ItemRole.FieldRole, QFormLayout.ItemRole.SpanningRole
        items = [layout.itemAt(row, role) for row in range(layout.rowCount()) for role in roles]
    for item in items:
        if item is None:
            continue
        if (widget := item.widget()) is not None:
            yield from _stops(widget)
        elif (inner := item.layout()) is not None:
            yield from _in_layout(inner)
