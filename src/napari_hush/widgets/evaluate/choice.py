"""Which layers are compared, and how: a part of the dock *Evaluate*."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QFormLayout, QVBoxLayout, QWidget

from napari_hush.errors import InputError
from napari_hush.fidelity.settings import EvaluationSettings
from napari_hush.inference.planes import Planes
from napari_hush.widgets.evaluate.layers import Pose
from napari_hush.widgets.parts.bits import NoWheel, small_label, word_combo
from napari_hush.widgets.parts.channels import Channels
from napari_hush.widgets.parts.form import Form
from napari_hush.widgets.parts.layer_list import LayerCombo, LayerOrNone
from napari_hush.widgets.parts.layer_record import made_of, read_given_back, read_record, result_in_sight
from napari_hush.widgets.parts.layer_source import PLACE, Source, describe, image_data, middle_of, visible_part
from napari_hush.widgets.parts.not_offered import why_not_denoised

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

WHOLE = 1 << 25  # px of a plane; more would take gigabytes and minutes
PART = 2048  # px: side of what is checked of larger planes
SHOWN, ALL = "shown in the viewer", "all of them"


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What is compared, taken from the layers when a run starts.

    Parameters
    ----------
    noisy, denoised : Source
        Input and output of a denoiser.
    truth : array_like or None
        The clean image.
    planes : list of tuple of int or None
        Which planes; None means all.
    settings : EvaluationSettings
        What the checks cannot find in the images by themselves.
    files : dict of str to dict
        What is known of each image, for the report.
    given_back : ndarray or None
        What the guard gave back in the denoised image, of its shape without an alpha channel, where that is known.
    repeats : array_like or None
        Further measurements of the field.
    """

    noisy: Source
    denoised: Source
    truth: Any
    planes: list[tuple[int, ...]] | None
    settings: EvaluationSettings
    files: dict[str, dict[str, Any]]
    given_back: np.ndarray | None = None
    repeats: Any = None

    def pose(self, index: tuple[int, ...]) -> Pose:
        """Where a plane of the denoised image lies."""
        source = self.denoised
        axis = None if source.rgb else source.channel_axis
        channels = None if axis is None else (axis, int(source.data.shape[axis]))
        return Pose(style={name: source.style[name] for name in PLACE}, index=index, channels=channels)


class Choice(QWidget):
    """Lists of layers, and the settings.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.

    Attributes
    ----------
    changed : Signal()
        Something else is chosen.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.noisy, self.denoised = LayerCombo(viewer), LayerCombo(viewer)
        self.truth, self.repeats = LayerOrNone(viewer, "none"), LayerOrNone(viewer, "none")
        self.noisy.setToolTip("The image layer before denoising")
        self.denoised.setToolTip("What was made of it, of the same size")
        self.truth.setToolTip("The clean image, where there is one, as of a simulation")
        self.repeats.setToolTip(
            "Another measurement of the same field, or a stack of them: tells the error without a truth. Of a stack of "
            "repeats the noisy layer itself"
        )
        self.own = QCheckBox("Compare with the sample's truth")
        self.own.setToolTip("The noisy layer is a simulated sample that brings its clean image")
        self.channels = Channels()
        self.planes = word_combo([SHOWN, ALL])
        self.planes.setToolTip("Which planes of a stack are checked")
        self.form = Form(EvaluationSettings(), shown=("spacing", "dark", "match"))
        self.words = small_label()
        self._rows = QFormLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for label, widget in (("Noisy", self.noisy), ("Denoised", self.denoised), ("Truth", self.truth)):
            self._rows.addRow(label, widget)
        self._rows.addRow(self.own)
        self._rows.addRow("Repeats", self.repeats)
        self._rows.addRow("Channels", self.channels.combo)
        self._rows.addRow(self.words)
        self._rows.addRow("Planes", self.planes)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._rows)
        layout.addWidget(self.form)
        guard = NoWheel(self)
        for combo in (self.noisy, self.denoised, self.truth, self.repeats, self.channels.combo, self.planes):
            guard.guard(combo)
        self._followed: Any = None  # the denoised layer that was looked at last
        self._choose_first()
        self.denoised.changed.connect(self._on_denoised)
        for combo in (self.noisy, self.truth):
            combo.changed.connect(self.refresh)
        self.own.toggled.connect(self.refresh)
        self.channels.combo.currentIndexChanged.connect(self.refresh)
        self.refresh()

    @property
    def refusal(self) -> str:
        """Why nothing can be compared; empty where it can."""
        noisy, denoised, truth = self.noisy.layer, self.denoised.layer, self._truth()
        if noisy is None or denoised is None:
            return "Open an image and denoise it first"
        if noisy == denoised:
            return "Choose two different layers: the noisy image and the denoised one"
        shape = tuple(image_data(noisy).shape)
        if words := why_not_denoised(denoised, self.channels.axis):
            return words[:1].upper() + words[1:]
        for other, what in ((image_data(denoised), "denoised"), (truth, "truth")):
            if other is not None and tuple(other.shape) != shape:
                return f"The shapes differ: {shape} (noisy) and {tuple(other.shape)} ({what})"
        return ""

    def inputs(self) -> Inputs:
        """Take what a run needs.

        Raises
        ------
        InputError
            If something is missing or refused.
        """
        if self.refusal:
            raise InputError(self.refusal)
        noisy, denoised, truth = self.noisy.layer, self.denoised.layer, self._truth()
        planes = None if self._many and self.planes.currentText() == ALL else [self.plane]
        files = {role: _record(layer) for role, layer in (("noisy", noisy), ("denoised", denoised))}
        if truth is not None:
            layer = self.truth.layer
            files["truth"] = _record(layer) if layer is not None else {"layer": f"the clean image of {noisy.name}"}
        repeats = None
        if self.repeats.layer is not None:
            repeats, files["repeats"] = image_data(self.repeats.layer), _record(self.repeats.layer)
        before, after = (Source.of(layer, self.channels.axis) for layer in (noisy, denoised))
        if (region := self._region()) is not None:
            if repeats is not None:
                raise InputError(f"{noisy.name}: repeats of so large a plane cannot be compared; crop the layers")
            truth = None if truth is None else replace(before, data=truth).cut(region).data
            before, after = before.cut(region), after.cut(region)
            height, width = (end - begin for begin, end in (region[:2], region[2:]))
            files["denoised"]["checked"] = f"{width} x {height} pixels from ({region[2]}, {region[0]}) on"
        return Inputs(
            noisy=before,
            denoised=after,
            truth=truth,
            planes=planes,
            settings=self.form.value,
            files=files,
            given_back=read_given_back(denoised.metadata, after.colours.shape),
            repeats=repeats,
        )

    @property
    def layers(self) -> dict[str, Image]:
        """What is chosen, by role, without roles that nothing has."""
        combos = {"noisy": self.noisy, "denoised": self.denoised, "truth": self.truth, "repeats": self.repeats}
        return {role: combo.layer for role, combo in combos.items() if combo.layer is not None}

    @property
    def plane(self) -> tuple[int, ...]:
        """The plane of the denoised layer that is in sight."""
        seen = visible_part(self.denoised.layer, self._viewer.dims)
        return Source.of(self.denoised.layer, self.channels.axis).seen(seen)[0]

    def choose(self, noisy: Image, denoised: Image) -> None:
        """Choose two layers."""
        self.denoised.layer = denoised
        self.noisy.layer = noisy

    def refresh(self, _: object = None) -> None:
        """Bring rows and texts in line with what is chosen."""
        layer = self.denoised.layer
        self._rows.setRowVisible(self.channels.combo, self.channels.offer(layer))
        self._rows.setRowVisible(self.own, self.truth.layer is None and self._own() is not None)
        self._rows.setRowVisible(self.planes, self._many)
        words = self.refusal or ("" if layer is None else describe(layer, self.channels.axis))
        if not self.refusal and self._region() is not None:
            words += f"; of so large a plane what is in sight is checked, at most {PART} x {PART}"
        self.words.setText(words)
        self.words.setVisible(bool(words))
        self.changed.emit()

    def _region(self) -> tuple[int, int, int, int] | None:
        """What is in sight of a plane too large to be checked as a whole, or its middle; None for other planes."""
        layer = self.denoised.layer
        height, width = Planes(image_data(layer), -1 if layer.rgb else self.channels.axis).plane_shape
        if height * width <= WHOLE:
            return None
        return middle_of(visible_part(layer, self._viewer.dims)[1], PART)

    @property
    def _many(self) -> bool:
        layer = self.denoised.layer
        return layer is not None and layer.ndim - (not layer.rgb and self.channels.axis is not None) > 2

    def _own(self) -> np.ndarray | None:
        """The truth that a simulated sample brings along."""
        clean = None if self.noisy.layer is None else self.noisy.layer.metadata.get("clean")
        return clean if isinstance(clean, np.ndarray) else None

    def _truth(self) -> Any:
        """The array of the chosen layer, or that of a sample, or None."""
        if self.truth.layer is not None:
            return image_data(self.truth.layer)
        return self._own() if self.own.isChecked() else None

    def _choose_first(self) -> None:
        """The active layer or the topmost one that was denoised here, and what it was made of."""
        self.denoised.layer = result_in_sight(self._viewer.layers)
        self._on_denoised()
        images = [self.noisy.itemData(i) for i in range(self.noisy.count())]
        if self.noisy.layer == self.denoised.layer:
            self.noisy.layer = next((one for one in images if one != self.denoised.layer), None)
        if self.noisy.currentText() == "target · noisy":
            self.truth.layer = next((one for one in images if one.name == "target · clean"), None)

    def _on_denoised(self) -> None:
        """The noisy layer follows: the one that the denoised layer was made of."""
        layer = self.denoised.layer
        if layer is not None and layer != self._followed:
            self._followed = layer
            self.noisy.layer = made_of(layer, self._viewer.layers)
        self.refresh()


def _record(layer: Image) -> dict[str, Any]:
    """What is known of a layer, for a report."""
    facts: dict[str, Any] = {"layer": layer.name}
    if layer.source.path:
        facts["file"] = layer.source.path
    facts |= {"shape": tuple(image_data(layer).shape), "type": image_data(layer).dtype}
    facts["pixel size"] = ", ".join(f"{s:g} {u}" for s, u in zip(layer.scale, layer.units, strict=True))
    return facts | dict(read_record(layer.metadata))
