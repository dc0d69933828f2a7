"""What is denoised, how, and where the result goes: the upper part of the dock *Denoise*."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_hush.errors import InputError
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.memory import free_memory
from napari_hush.widgets.denoise.about import AboutCard
from napari_hush.widgets.denoise.growing import planes_of
from napari_hush.widgets.denoise.keep import Keep
from napari_hush.widgets.denoise.repeat import Wanted
from napari_hush.widgets.denoise.strength import Strength
from napari_hush.widgets.parts.bits import small_label
from napari_hush.widgets.parts.channels import Channels, proposed_axis
from napari_hush.widgets.parts.form import Form
from napari_hush.widgets.parts.layer_list import NoisyCombo
from napari_hush.widgets.parts.layer_record import identity
from napari_hush.widgets.parts.layer_source import Source, describe, image_data, visible_part
from napari_hush.widgets.parts.model_list import ModelCombo
from napari_hush.widgets.parts.not_offered import why_not_denoised, why_not_offered
from napari_hush.widgets.parts.preferences import preference

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hush.widgets.denoise.result import OutputType
    from napari_hush.widgets.parts.known_layers import KnownLayers
    from napari_hush.widgets.parts.tabs import Chosen

NO_IMAGE = "no image layer: open or drop an image"


class Choices(QWidget):
    """A form, with the layer and the model above the settings.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    known : KnownLayers
        What was measured on them.

    Attributes
    ----------
    layers, words : NoisyCombo, QLabel
        Which image, and what it is.
    card : AboutCard
        More of that.
    channels : Channels
        Which axis holds them.
    models, about : ModelCombo, QLabel
        Which model, and what it is for.
    strength : Strength
        Of the form.
    guard : QComboBox
        Of the form.
    form : Form
        The settings, and all of this in its rows.
    output : QComboBox
        The result's number type.
    keep : Keep
        Where the result goes.
    """

    def __init__(self, viewer: ViewerModel, known: KnownLayers) -> None:
        super().__init__()
        self._viewer = viewer
        self.layers, self.models, self.channels = NoisyCombo(viewer), ModelCombo(), Channels()
        self.layers.setToolTip("The image layer to denoise: follows what is chosen in napari's list of layers")
        self.words, self.about = small_label(), small_label()
        self.card, self.strength, self.keep = AboutCard(viewer, known), Strength(), Keep(self)
        usual = {name: preference("denoise", name, "auto") for name in ("device", "engine")}
        self.form = Form(
            DenoiseSettings(**usual),
            shown=("frames", "dark", "strength", "guard", "device", "tile"),
            words={"tile": "whole plane", "frames": "each alone"},
            made={"strength": self.strength},
        )
        self.guard: QComboBox = self.form.findChild(QComboBox, "guard")
        self.output = QComboBox()
        self.output.addItems(["float32", "same as input"])
        self.output.setCurrentText(preference("denoise", "output", "float32"))
        self.output.setToolTip("The result's number type; integers are clipped and rounded. RGB stays as it is.")
        self._lay_out()

    @property
    def refusal(self) -> str:
        """Why nothing can be denoised; empty where it can."""
        layer = self.layers.layer
        if layer is not None:
            why = why_not_denoised(layer, self.channels.axis)
            return f"Not possible: {why}" if why else ""
        return "Choose an image first" if self.layers.count() else "Open an image first: there is no image layer"

    @property
    def as_input(self) -> bool:
        """Whether the result has the number type of the image."""
        return bool(self.output.currentIndex() == 1)

    @property
    def output_type(self) -> OutputType:
        """The number type of a result in memory."""
        return "same as input" if self.as_input else "float32"

    @property
    def has_frames(self) -> bool:
        """Whether the layer has planes that may look together."""
        layer = self.layers.layer
        return layer is not None and planes_of(layer) > 1 and self.channels.axis != 0

    @property
    def wanted(self) -> list[Wanted]:
        """What a run would do, of each layer; `InputError` where there can be none."""
        if self.refusal:
            raise InputError(self.refusal)
        selected = [(one, proposed_axis(one)) for one in self.layers.selected]
        return [
            Wanted(
                layer=layer,
                channel_axis=axis,
                model=self.models.name,
                settings=self.form.value,
                first=self.first(Source.of(layer, axis), layer),
                as_input=self.as_input,
                target=self.keep.place.target if self.keep.on_disk and not selected else None,
            )
            for layer, axis in selected or [(self.layers.layer, self.channels.axis)]
        ]

    @property
    def seen(self) -> tuple[object, ...]:
        """What a preview now would be of; the layer is there."""
        layer = self.layers.layer
        part = visible_part(layer, self._viewer.dims)
        chosen = self.channels.axis, str(self.models.choice), self.form.accepted
        return identity(layer), id(image_data(layer)), part, *chosen

    def plane_of(self, source: Source, layer: Image) -> tuple[int, ...]:
        """The plane of a layer that is in sight, along the leading axes of its image."""
        return source.seen(visible_part(layer, self._viewer.dims))[0]

    def first(self, source: Source, layer: Image) -> int:
        """The frame that is done first: the one in sight."""
        return next(iter(self.plane_of(source, layer)), 0) if planes_of(layer) > 1 else 0

    def refresh(self, *, running: bool) -> None:
        """Bring the texts in line with what is chosen, and whether something is being computed."""
        layer = self.layers.layer
        rows = self.form.rows
        rows.setRowVisible(self.channels.combo, self.channels.offer(layer))
        self.words.setText(self._said_of(layer))
        self.card.show_of(layer, self.channels.axis)
        self.form.show_field("frames", self.has_frames)
        if not running:
            self.keep.offer(layer, free_memory("cpu"), growing=layer is not None and planes_of(layer) > 1)
        rows.setRowVisible(self.keep.combo, self.keep.offered)
        rows.setRowVisible(self.keep.place, self.keep.on_disk)
        self.keep.place.setEnabled(not running)
        about = self.models.description.partition(". ")[0].rstrip(".")
        self.about.setText(about)
        self.about.setVisible(bool(about))

    def chosen(self) -> Chosen:
        """Model, settings and number type."""
        return {"form": self.form.accepted, "model": self.models.path, "output": self.output.currentIndex()}

    def choose_again(self, chosen: Chosen) -> None:
        """Choose them again."""
        self.form.value = chosen["form"]
        if chosen["model"] is not None:
            self.models.add(chosen["model"])
        self.output.setCurrentIndex(chosen["output"])

    def _lay_out(self) -> None:
        rows = self.form.rows
        rows.insertRow(0, "Image", self.layers)
        rows.insertRow(1, self.words)
        self.words.show()
        rows.insertRow(2, self.card)
        rows.insertRow(3, "Channels", self.channels.combo)
        rows.insertRow(4, "Model", self.models)
        rows.insertRow(5, self.about)
        rows.addRow("Result", self.output)
        rows.addRow("Keep in", self.keep.combo)
        rows.addRow(self.keep.place)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        for line in self.form.findChildren(QLineEdit):  # those of numbers would take a dropped file as text
            line.setAcceptDrops(False)

    def _said_of(self, layer: Image | None) -> str:
        other = why_not_offered(self._viewer.layers.selection.active)
        if layer is None:
            return other or ("results alone: open an image, or choose one" if self.layers.count() else NO_IMAGE)
        words = why_not_denoised(layer, self.channels.axis) or describe(layer, self.channels.axis)
        return f"{words}. {other}" if other else words
