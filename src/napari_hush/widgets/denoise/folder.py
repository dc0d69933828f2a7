"""A folder of images as one batch: the button that asks for it, and the one that opens what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_hush.batch.folder import FolderRun


class FolderButtons(QWidget):
    """Two buttons; the second is there as long as there are results to open.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where results are opened.

    Attributes
    ----------
    chosen : Signal(object)
        The folder.
    ask_folder : callable or None
        Gives a folder, or "" to leave it; None opens a dialog.
    """

    chosen = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.ask_folder: Callable[[], str] | None = None
        self._viewer, self._results = viewer, list[Path]()
        self.folder, self.open = QPushButton("Folder…"), QPushButton()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.folder)
        layout.addWidget(self.open, 1)
        self.folder.clicked.connect(self._on_folder)
        self.open.clicked.connect(self._on_open)
        self.offer(None)

    def allow(self, reason: str) -> None:
        """Let a folder be chosen, unless there is a reason against it."""
        self.folder.setEnabled(not reason)
        what = "Denoise all images of a folder into files beside them; a folder can also be dropped here. What is done "
        self.folder.setToolTip(reason or f"{what}already is left out")

    def offer(self, run: FolderRun | None) -> None:
        """Offer the results of a run."""
        self._results = [] if run is None else [*run.older, *run.done]
        count = len(self._results)
        self.open.setText(f"Open {count} results" if count > 1 else "Open the result")
        self.open.setToolTip("\n".join(["Open as layers:", *(str(path) for path in self._results[:20])]))
        self.open.setVisible(count > 0)

    def _on_folder(self) -> None:
        if folder := (self.ask_folder or self._ask_folder)():
            self.chosen.emit(Path(folder))

    def _ask_folder(self) -> str:
        return str(QFileDialog.getExistingDirectory(self, "Folder of images"))

    def _on_open(self) -> None:
        self._viewer.open([str(path) for path in self._results], plugin="napari-hush")
