"""A list of models to choose from: the bundled ones and files."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from napari_hush.card import ZOO, read_header
from napari_hush.errors import ModelFileError

SUFFIXES = (".safetensors", ".h5", ".hdf5")
FROM_FILE = "From file…"
_FILES: list[Path] = []  # chosen in this session; a widget that is opened again still lists them


class ModelCombo(QComboBox):
    """The bundled models, the files chosen so far, and *From file…*.

    Attributes
    ----------
    changed : Signal()
        Another model is chosen.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        for path in sorted(ZOO.glob("*.safetensors")):
            self._insert(path, path.stem, description(path))
        for path in _FILES:
            self._insert(path, path.name, f"{description(path)}\n{path}".strip())
        self.addItem(FROM_FILE)
        self.setItemData(self.count() - 1, "A model file: .safetensors, or Keras .h5", Qt.ItemDataRole.ToolTipRole)
        if self.count() == 1:
            self.setPlaceholderText("choose a model file…")
            self.setCurrentIndex(-1)
        self._last = self.currentIndex()
        self.activated.connect(self._on_activated)
        self.currentIndexChanged.connect(self._on_index_changed)
        self._show_tooltip()

    @property
    def path(self) -> Path | None:
        """The chosen model's file."""
        path: Path | None = self.currentData()
        return path

    @property
    def description(self) -> str:
        """What the chosen model is for, as far as its file tells."""
        return description(self.path) if self.path else ""

    def add(self, path: str | Path) -> None:
        """Choose a file, and list it if it is new."""
        path = Path(path)
        paths = [self.itemData(index) for index in range(self.count())]
        if path not in paths:
            _FILES.append(path)
            self._insert(path, path.name, f"{description(path)}\n{path}".strip(), self.count() - 1)
            paths.insert(-1, path)
        self.setCurrentIndex(paths.index(path))

    def _insert(self, path: Path, name: str, tooltip: str, index: int | None = None) -> None:
        index = self.count() if index is None else index
        self.insertItem(index, name, path)
        self.setItemData(index, tooltip, Qt.ItemDataRole.ToolTipRole)

    def _on_activated(self, index: int) -> None:
        if self.itemText(index) != FROM_FILE or self.itemData(index) is not None:
            return
        patterns = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        name, _ = QFileDialog.getOpenFileName(self, "Choose a model file", "", f"Models ({patterns});;All files (*)")
        if name:
            self.add(name)
        else:
            self.setCurrentIndex(self._last)

    def _on_index_changed(self, index: int) -> None:
        if self.path is not None:
            self._last = index
        self._show_tooltip()
        self.changed.emit()

    def _show_tooltip(self) -> None:
        self.setToolTip(self.currentData(Qt.ItemDataRole.ToolTipRole) or "")


def is_model_name(path: str | Path) -> bool:
    """Whether a file's name is that of a model."""
    return Path(path).suffix.lower() in SUFFIXES


def description(path: Path) -> str:
    """What a model is for, from the card in its file's header; does not need torch.

    Whatever is wrong with the file is told when it is used.
    """
    if path.suffix.lower() != ".safetensors":
        return ""
    try:
        return read_header(path)[0].card.description
    except (ModelFileError, OSError):
        return ""
