"""What a data set is made of, as a part of the dock *Synthesise*: settings, and layers that give something to it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakMethod

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QFormLayout, QPushButton, QVBoxLayout, QWidget

from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.declare import declared
from napari_hush.errors import InputError
from napari_hush.synthesis.dents.published_mask import MaskRecipe
from napari_hush.synthesis.kinds import KINDS
from napari_hush.widgets.parts.bits import NoWheel, rule, small_label, when_deleted, word_combo
from napari_hush.widgets.parts.form import Form
from napari_hush.widgets.parts.layer_list import LayerOrNone
from napari_hush.widgets.parts.layer_source import visible_part
from napari_hush.widgets.synthesize.crop import Rectangle, pose
from napari_hush.widgets.synthesize.materials import (
    VARIANTS,
    Dents,
    DentSettings,
    Measured,
    Plane,
    ToMeasure,
    measure_crop,
    measure_mask,
    measure_noise,
    measure_transmission,
)
from napari_hush.widgets.synthesize.measurements import Measurements
from napari_hush.widgets.synthesize.targets import limits, show_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image


class Choices(QWidget):
    """Settings, unit crop, dents and noise; what is taken from layers is measured as soon as it is chosen.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.

    Attributes
    ----------
    changed : Signal()
        Something else is chosen, or something was measured.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._refusal = ""
        self.measurements = Measurements(self, self._to_measure)
        self._build()
        self._connect()
        self._refresh()

    @property
    def settings(self) -> SynthesisSettings:
        """What the form says.

        Raises
        ------
        ValueError
            If it cannot be.
        """
        value: SynthesisSettings = self.form.value
        return value

    @settings.setter
    def settings(self, value: SynthesisSettings) -> None:
        self.form.value = value

    @property
    def refusal(self) -> str:
        """Why there can be no targets with these choices; empty where there can."""
        return self._refusal

    @property
    def reference(self) -> Image | None:
        """The layer that targets are compared with: that of the noise, of the dents, or of the unit crop."""
        combos = {"noise": self.noise, "dents": self.dents, "unit crop": self.crop}
        wanted = self._to_measure()
        return next((combo.layer for name, combo in combos.items() if name in wanted), None)

    @property
    def measured(self) -> list[str]:
        """What is taken from layers."""
        return list(self._to_measure())

    def known(self) -> dict[str, Measured]:
        """What was measured of the chosen layers, by name."""
        wanted = self._to_measure()
        return {name: measured for name, measured in self.measurements.known.items() if name in wanted}

    def _build(self) -> None:
        self.form = Form(
            SynthesisSettings(),
            shown=("kind", "n", "shape", "dose", "period", "dent_share", "magnification", "angles"),
            hidden=("noises", "slices"),  # a layer gives noises; the stack of targets counts single images
        )
        kinds = self.form.findChild(QComboBox, "kind")
        for row in range(kinds.count()):
            kinds.setItemData(row, KINDS[kinds.itemText(row)].about, Qt.ItemDataRole.ToolTipRole)
        self.crop = LayerOrNone(self._viewer, "none (random lattices)")
        self.rectangle = Rectangle(self._viewer, self)
        self._draw = QPushButton("Draw rectangle")
        self._draw.setToolTip("Draw the unit crop over its image: two periods or more in each direction")
        self.dents = LayerOrNone(self._viewer, "none")
        self.transmission = Form(DentSettings(), shown=("spacing", "dark"))
        self.recipe = Form(
            MaskRecipe(),
            shown=("smoothing", "distance", "threshold", "sigma"),
        )
        self.variant = word_combo([*VARIANTS, "custom"])
        self.variant.setToolTip("The masks that went with the published recipe; each sets smoothing and distance")
        self.recipe.rows.insertRow(0, "Variant", self.variant)
        self.show_mask = QCheckBox("Show mask")
        self.show_mask.setToolTip("Show what was made of the image with the dents, step by step, in layers over it")
        self.noise = LayerOrNone(self._viewer, "random")
        self.crop.setToolTip(
            "A clean piece of a lattice, two periods or more in each direction, that targets are made of"
        )
        self.dents.setToolTip("An image whose missing or thinner places the targets get")
        self.noise.setToolTip("An image whose noise the targets get; random takes another noise for each")
        self._words = {name: small_label() for name in ("settings", "unit crop", "dents", "noise")}
        self._sources = QFormLayout()
        self._sources.setContentsMargins(0, 0, 0, 0)
        self._sources.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._sources.addRow("Unit crop", self.crop)
        self._sources.addRow(self._draw)
        self._sources.addRow(self._words["unit crop"])
        self._sources.addRow("Dents from", self.dents)
        for part in (self.transmission, self.recipe, self.show_mask, self._words["dents"]):
            self._sources.addRow(part)
        self._sources.addRow("Noise like", self.noise)
        self._sources.addRow(self._words["noise"])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.form)
        layout.addWidget(self._words["settings"])
        layout.addWidget(rule())
        layout.addLayout(self._sources)
        guard = NoWheel(self)
        for field in (*self.findChildren(QComboBox), *self.findChildren(QAbstractSpinBox)):
            guard.guard(field)

    def _connect(self) -> None:
        self._kind = self.form.value.kind
        self.measurements.changed.connect(self._on_measured)
        self.form.changed.connect(self._on_settings)
        self.form.refused.connect(self._refresh)
        self.crop.chosen.connect(self._on_crop)
        self.rectangle.changed.connect(self._on_crop)
        self.dents.chosen.connect(self._on_dents)
        self.noise.chosen.connect(self._on_noise)
        for form in (self.transmission, self.recipe):
            form.changed.connect(self._on_dents)
            form.refused.connect(self._on_dents)
        self.recipe.changed.connect(self._on_recipe)
        self.variant.textActivated.connect(self._on_variant)
        self.show_mask.toggled.connect(self._show_steps)
        self._draw.clicked.connect(self._on_draw)
        steps, on_step = self._viewer.dims.events.current_step, WeakMethod(self._on_step)
        steps.connect(self._on_step)

        def forget() -> None:  # napari would go on to call a deleted widget
            if (connected := on_step()) is not None:
                steps.disconnect(connected)

        when_deleted(self, forget)

    def _to_measure(self) -> ToMeasure:
        """What has to be measured for the present choices."""
        name = self.form.chosen("kind")
        kind = KINDS[name]
        to_measure: ToMeasure = {}
        if kind.from_images and self.crop.layer is not None:
            to_measure["unit crop"] = self._measurement(self.crop.layer, measure_crop, region=True)
        if kind.from_images and self.dents.layer is not None:
            if name == "published":
                to_measure["dents"] = self._measurement(self.dents.layer, measure_mask, self.recipe)
            else:
                to_measure["dents"] = self._measurement(self.dents.layer, measure_transmission, self.transmission)
        if not kind.projected and self.noise.layer is not None:
            to_measure["noise"] = self._measurement(self.noise.layer, measure_noise)
        return to_measure

    def _measurement(
        self, layer: Image, measure: Callable[..., Measured], form: Form | None = None, *, region: bool = False
    ) -> Callable[[], Measured]:
        """Take the pixels now; they are looked at in the thread."""
        try:
            plane, _ = visible_part(layer, self._viewer.dims)
            part = self.rectangle.region(layer, plane) if region else None
            return partial(measure, Plane.of(layer, plane, part), *([] if form is None else [form.value]))
        except InputError as error:
            return partial(_refuse, str(error))

    def _on_settings(self, settings: SynthesisSettings) -> None:
        if settings.kind != self._kind:
            self._kind = settings.kind
            self.measurements.forget("dents")  # each kind measures them in its own way
        self._refresh()

    def _on_draw(self) -> None:
        if self.crop.layer is not None:
            self.rectangle.draw(self.crop.layer)

    def _on_crop(self, _: object = None) -> None:
        self.measurements.forget("unit crop")

    def _on_dents(self, _: object = None) -> None:
        self.measurements.forget("dents")

    def _on_noise(self, _: object = None) -> None:
        self.measurements.forget("noise")

    def _on_step(self, _: object = None) -> None:
        """Another plane is shown: what was taken from a stack is taken anew."""
        combos = {"unit crop": self.crop, "dents": self.dents, "noise": self.noise}
        if names := [name for name, combo in combos.items() if combo.layer is not None and combo.layer.ndim > 2]:
            self.measurements.forget(*names)

    def _on_variant(self, name: str) -> None:
        if name in VARIANTS:
            smoothing, distance = VARIANTS[name].smoothing, VARIANTS[name].distance
            self.recipe.value = replace(self.recipe.value, smoothing=smoothing, distance=distance)

    def _on_recipe(self, recipe: MaskRecipe) -> None:
        """Name the variant that these numbers are."""
        for name, variant in VARIANTS.items():
            unsmoothed = recipe.smoothing == variant.smoothing == "none"
            if unsmoothed or (recipe.smoothing, recipe.distance) == (variant.smoothing, variant.distance):
                self.variant.setCurrentText(name)
                return
        self.variant.setCurrentText("custom")

    def _on_measured(self) -> None:
        self._refresh()
        self._show_steps()

    def _show_steps(self, _: object = None) -> None:
        """Show what was made of the image with the dents, in layers over it."""
        dents, layer = self.known().get("dents"), self.dents.layer
        if not self.show_mask.isChecked() or not isinstance(dents, Dents) or layer is None:
            return
        for name, step in dents.steps.items():
            show_image(
                self._viewer,
                f"dents {name}",
                step,
                {"source_layer": layer.name, "period": dents.period},
                name=f"dents · {name}",
                contrast_limits=(0.0, 1.0) if name == "transmission" else limits(step),
                **pose(layer),
            )

    def _is_given(self, name: str) -> bool:
        """Whether a setting that can be left out is not: another kind refuses it, so it stays in sight."""
        try:
            return declared(SynthesisSettings)[name].optional and self.form.chosen(name) is not None
        except InputError:
            return True

    def _refresh(self, _: object = None) -> None:
        """Bring rows and texts in line with what is chosen and known."""
        chosen = self.form.chosen("kind")
        kind, published = KINDS[chosen], chosen == "published"
        for name in {name for one in KINDS.values() for name in one.settings}:
            self.form.show_field(name, name in kind.settings or self._is_given(name))
        self.form.enable_field("dose", kind.projected or self.noise.layer is None)
        dented = kind.from_images and self.dents.layer is not None
        for widget, shown in (
            (self.crop, kind.from_images),
            (self._draw, kind.from_images and self.crop.layer is not None),
            (self.dents, kind.from_images),
            (self.transmission, dented and not published),
            (self.recipe, dented and published),
            (self.show_mask, dented),
            (self.noise, not kind.projected),
        ):
            self._sources.setRowVisible(widget, shown)
        self.show_mask.setText("Show steps" if published else "Show mask")
        self._refusal = ""
        try:
            _ = self.settings
        except ValueError as error:
            self._refusal = str(error)
        texts = dict.fromkeys(self._words, "") | {"settings": self._refusal}
        for name in self._to_measure():
            measured = self.measurements.known.get(name)
            texts[name] = "measuring…" if measured is None else str(getattr(measured, "words", measured))
        if published:
            for name, combo in (("unit crop", self.crop), ("dents", self.dents)):
                if combo.layer is None:
                    texts[name] = "needed for kind published: choose a layer"
                    self._refusal = self._refusal or f"{name}: {texts[name]}"
        for name, text in texts.items():
            self._words[name].setText(text)
            self._words[name].setVisible(bool(text))
            self._words[name].setToolTip(text)
        self.changed.emit()


def _refuse(reason: str) -> Measured:
    raise InputError(reason)
