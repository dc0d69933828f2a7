"""Adapting a model to a layer, as the first part of the dock *Train*: one layer, one model, one button."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QPushButton, QVBoxLayout, QWidget

from napari_hush.errors import InputError
from napari_hush.inference.settings import AUTO
from napari_hush.progress import Progress
from napari_hush.training.adapt.settings import AdaptSettings
from napari_hush.widgets.parts.bits import small_label
from napari_hush.widgets.parts.form import Form
from napari_hush.widgets.parts.layer_list import NoisyCombo
from napari_hush.widgets.parts.model_list import ModelCombo

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel

    from napari_hush.widgets.parts.layer_source import Source

ABOUT = "Minutes of fine-tuning on your own noisy image. It is kept only where it is better and the evidence agrees."


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What came out.

    Parameters
    ----------
    model : Path or None
        The new model's file; None where the old one stays.
    words : str
        In one line.
    """

    model: Path | None
    words: str


class FirstModel(ModelCombo):
    """The model to begin with; one that was trained just now is not chosen in it."""


class AdaptationForm(QWidget):
    """A layer, a model, the minutes, and a button.

    Attributes
    ----------
    wanted : Signal()
        The button was pressed.
    changed : Signal()
        Something else is chosen.
    """

    wanted = Signal()
    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.layers, self.models = NoisyCombo(viewer), FirstModel()
        self.layers.setToolTip("A noisy image as it was measured, or a stack of such images")
        self.models.setToolTip("The model to begin with")
        self.form = Form(AdaptSettings(), shown=("minutes",), words={"repeats": "none"})
        self.form.rows.insertRow(0, "Image", self.layers)
        self.form.rows.insertRow(1, "From", self.models)
        for rows in self.form.findChildren(QFormLayout):
            rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)  # a dock is narrow
        self._words, self._button = small_label(), QPushButton("Adapt to this image")
        self._words.setText(ABOUT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self._words, self.form, self._button):
            layout.addWidget(part)
        self._words.show()
        self._button.clicked.connect(self.wanted)
        self.layers.changed.connect(self.changed)

    @property
    def settings(self) -> AdaptSettings:
        """What the form says.

        Raises
        ------
        ValueError
            If it cannot be.
        """
        value: AdaptSettings = self.form.value
        return value

    @property
    def refusal(self) -> str:
        """Why nothing can be adapted; empty where it can."""
        if self.layers.layer is None:
            there = self.layers.count()
            return "Choose an image first" if there else "Open an image first: there is no image layer"
        if self.layers.layer.rgb:
            return "The layer has colours, adapting takes grey images: split its channels"
        return ""

    @property
    def stem(self) -> str:
        """What to call the model."""
        choice = self.models.choice
        return f"{choice.stem if isinstance(choice, Path) else AUTO}-{self.layers.layer.name}"

    def allow(self, reason: str) -> None:
        """Allow the button to be pressed, or say why it is not."""
        self._button.setEnabled(not reason)
        self._button.setToolTip(reason or "Train a copy of the model on this image; Denoise has it then")


def adaptation_steps(
    source: Source, model: str | Path, settings: AdaptSettings, path: Path
) -> Generator[Progress, None, Adaptation]:
    """The whole work, in the thread: torch is not loaded before it is needed.

    Raises
    ------
    InputError
        If the image cannot be learned from, or the file not be written.
    """
    yield Progress(0, 0, "loading PyTorch…")
    from napari_hush.training.adapt.adapt import adapt_steps

    done = yield from adapt_steps(source.data, model, settings, name=path.stem, names=[source.name])
    if not done.kept:
        return Adaptation(model=None, words=done.words)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        done.model.save(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; choose another folder") from error
    return Adaptation(model=path, words=done.words)
