"""Evidence as layers over the denoised image: columns, displacements, what is missing, contradicted or carried.

`EVIDENCE` lists what there is; another kind is one function and one entry in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import numpy as np
from napari.utils import Colormap
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget

from napari_hush.reports.pictures import (
    ARROW,
    CARRIED,
    FATES,
    FROM,
    arrows,
    contrast_of_given_back,
    contrast_of_residual,
    spread,
    standing_out,
    support_map,
)
from napari_hush.widgets.parts.bits import when_deleted
from napari_hush.widgets.parts.layer_record import as_metadata, read_record
from napari_hush.widgets.parts.layer_source import translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_hush.fidelity.stacks import Evaluation

LayerData = tuple[Any, dict[str, Any], str]
SYMBOLS = {"kept": "disc", "lost": "x", "new": "diamond", "moved": "triangle_up"}
SIZES = {"kept": 0.55, "lost": 0.9, "new": 0.9, "moved": 0.9}  # in lattice periods
ENLARGED = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
BLUE_WHITE_ORANGE = Colormap(
    ["#2166ac", "#92c5de", "#f7f7f7", "#fdb863", "#b35806"], name="blue_white_orange", display_name="blue white orange"
)
# black adds nothing to the image below; the colours are those of the residual
BLACK_ORANGE = Colormap(["#000000", "#e66101", "#fdb863"], name="black_orange", display_name="black orange")
BLACK_BLUE = Colormap(["#000000", "#2f7fd0", "#92c5de"], name="black_blue", display_name="black blue")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """Where the denoised image lies.

    Parameters
    ----------
    style : dict
        scale, translate, rotate, shear, affine, units and axis_labels of its layer.
    index : tuple of int
        The plane that the evidence is of.
    channels : (int, int), optional
        The axis of the layer that counts channels, and how many: the evidence is of all of them.
    """

    style: dict[str, Any]
    index: tuple[int, ...]
    channels: tuple[int, int] | None = None

    @property
    def origin(self) -> tuple[int, ...]:
        """Of the plane, in pixels of the layer: in its first channel."""
        found = [*self.index, 0, 0]
        if self.channels is not None:
            found.insert(self.channels[0], 0)
        return tuple(found)

    def image(self, data: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """A map (Y, X) as data and place of an image layer."""
        place = dict(self.style)
        place["translate"] = translated(self.style, self.origin)
        data = data[(None,) * len(self.index)]
        if self.channels is not None:
            axis, count = self.channels
            data = np.repeat(np.expand_dims(data, axis), count, axis)
        return data, place

    def points(self, at: np.ndarray) -> np.ndarray:
        """Positions (N, 2) in the plane as positions (N, D)."""
        found = np.concatenate([np.tile(np.array(self.index, float), (len(at), 1)), at], axis=1)
        return found if self.channels is None else np.insert(found, self.channels[0], 0.0, axis=1)


def columns(evaluation: Evaluation, pose: Pose) -> LayerData | None:
    """Atom columns, each fate with a symbol and a colour of its own."""
    evidence = evaluation.evidence
    found = {fate: np.asarray(getattr(evidence, fate), float).reshape(-1, 2) for fate in FATES}
    if evidence.spacing is None or not sum(map(len, found.values())):
        return None
    fates = np.concatenate([np.repeat(fate, len(at)) for fate, at in found.items()])
    options = {
        "name": "columns: " + ", ".join(f"{len(found[fate]):,} {fate}" for fate in (*list(FATES)[1:], "kept")),
        "features": {"fate": fates},
        "symbol": [SYMBOLS[fate] for fate in fates],
        "size": [SIZES[fate] * evidence.spacing for fate in fates],
        "face_color": ["transparent" if fate == "kept" else FATES[fate] for fate in fates],
        "border_color": [FATES[fate] for fate in fates],
        "border_width": [0.12 if fate == "kept" else 0.0 for fate in fates],
        **pose.style,
    }
    return pose.points(np.concatenate(list(found.values()))), options, "points"


def displacement(evaluation: Evaluation, pose: Pose) -> LayerData | None:
    """Arrows from the input's lattice to the output's, enlarged by a round number that the name tells."""
    shape = evaluation.images["denoised"].shape
    start, arrow = arrows(evaluation.evidence, shape)
    if not len(start):
        return None
    longest = float(np.percentile(np.hypot(*arrow.T), 99))
    room = spread(evaluation.evidence, shape)
    factor = max((n for n in ENLARGED if n * longest <= room), default=1)
    lead = np.zeros((len(arrow), len(pose.index)))
    vectors = np.stack([pose.points(start), np.concatenate([lead, arrow * factor], axis=1)], axis=1)  # (N, 2, D)
    options = {
        "name": f"displacement ×{factor}",  # noqa: RUF001 - times
        "edge_color": ARROW,
        "edge_width": max(room / 20, 0.3),
        "vector_style": "arrow",
        **pose.style,
    }
    return vectors, options, "vectors"


def phantom(evaluation: Evaluation, pose: Pose) -> LayerData | None:
    """Lattice of the output where the input has none, as a share of the bulk's."""
    found = evaluation.evidence.phantom
    if found is None or not np.isfinite(found).any():
        return None
    data, place = pose.image(np.nan_to_num(np.asarray(found, np.float32)))
    options = {"contrast_limits": (0.0, max(0.1, float(data.max()))), "colormap": "magma", "blending": "additive"}
    return data, {"name": "phantom lattice, share of the bulk", **options, **place}, "image"


def _standing_out(evaluation: Evaluation, pose: Pose, name: str, sign: int, colormap: Colormap) -> LayerData | None:
    found = standing_out(evaluation.evidence, sign)
    if found is None or not found.max() > FROM:
        return None
    threshold = evaluation.evidence.residual.threshold
    data, place = pose.image(found)
    limits = (FROM, max(1.5 * threshold, float(found.max())))
    options = {"contrast_limits": limits, "colormap": colormap, "blending": "additive"}
    return data, {"name": f"{name}, σ (noise alone: up to {threshold:.1f})", **options, **place}, "image"


def missing(evaluation: Evaluation, pose: Pose) -> LayerData | None:
    """What of the noisy image stands out of the noise and is not in the result."""
    return _standing_out(evaluation, pose, "missing", 1, BLACK_ORANGE)


def contradicted(evaluation: Evaluation, pose: Pose) -> LayerData | None:
    """What the result shows and the noisy image, beyond its noise, has not."""
    return _standing_out(evaluation, pose, "contradicted", -1, BLACK_BLUE)


def support(evaluation: Evaluation, pose: Pose) -> LayerData | None:
    """How much of the visible detail the noisy image carries."""
    found = support_map(evaluation.evidence)
    if found is None:
        return None
    data, place = pose.image(found)
    options = {"contrast_limits": (0.0, CARRIED), "colormap": "viridis", "opacity": 0.7}
    return data, {"name": "support, σ", **options, **place}, "image"


def given_back(evaluation: Evaluation, pose: Pose) -> LayerData | None:
    """What the guard gave back, in the image's units."""
    found = evaluation.given_back
    if found is None or not np.nan_to_num(found).any():
        return None
    data, place = pose.image(np.asarray(found, np.float32))
    width = contrast_of_given_back(data)
    options = {"contrast_limits": (-width, width), "colormap": BLUE_WHITE_ORANGE}
    return data, {"name": "given back", **options, **place}, "image"


def residual(evaluation: Evaluation, pose: Pose) -> LayerData | None:
    """What the denoiser took away, white where that is nothing."""
    data, place = pose.image(np.asarray(evaluation.evidence.residual.difference, np.float32))
    width = contrast_of_residual(data)
    options = {"contrast_limits": (-width, width), "colormap": BLUE_WHITE_ORANGE}
    return data, {"name": "noisy - denoised", **options, **place}, "image"


@dataclass(frozen=True, kw_only=True)
class EvidenceLayer:
    """One kind of evidence.

    Parameters
    ----------
    label : str
        Of its box in the dock.
    meaning : str
        How to read it; the box's tooltip.
    make : callable
        Given what was found and where the denoised image lies, the layer: data, arguments and the name of its kind;
        None where there is no evidence of this kind.
    at_first : bool
        Whether it is shown after the first run, before anybody has ticked a box.
    """

    label: str
    meaning: str
    make: Callable[[Evaluation, Pose], LayerData | None]
    at_first: bool = False


EVIDENCE: dict[str, EvidenceLayer] = {
    "columns": EvidenceLayer(
        label="Columns",
        meaning="Kept: blue circles; lost: red crosses; new: yellow diamonds; moved: pink triangles",
        make=columns,
        at_first=True,
    ),
    "displacement": EvidenceLayer(
        label="Displacement",
        meaning="Arrows from the lattice of the noisy image to that of the denoised one",
        make=displacement,
    ),
    "phantom lattice": EvidenceLayer(
        label="Phantom lattice",
        meaning="Lattice of the denoised image where the noisy one has none",
        make=phantom,
    ),
    "missing": EvidenceLayer(
        label="Missing",
        meaning="Orange: the noisy image is brighter than the denoised one by more than its noise, at some scale from "
        "1 to 8 px.\nThe brighter, the surer, in standard deviations; beyond the number in the layer's name it is no "
        "chance",
        make=missing,
    ),
    "contradicted": EvidenceLayer(
        label="Contradicted",
        meaning="Blue: the noisy image is darker than the denoised one by more than its noise: what was added there is "
        "not in the data.\nThe brighter, the surer, as with Missing",
        make=contradicted,
    ),
    "support": EvidenceLayer(
        label="Support",
        meaning="How far the noisy image carries what is visible: from 2 on (blue-green to yellow) the detail is there;"
        "\nnear 0 (violet) there is no detail, or the denoiser made it up. In standard deviations of the noise, to 5",
        make=support,
    ),
    "given back": EvidenceLayer(
        label="Given back",
        meaning="What the guard took back from the noisy image, in its units: orange was added to what the network "
        "made, blue was taken off it",
        make=given_back,
    ),
    "residual": EvidenceLayer(
        label="Residual",
        meaning="Noisy minus denoised: should be noise, without atoms or edges",
        make=residual,
    ),
}


def shown(viewer: ViewerModel, what: str) -> Layer | None:
    """The layer of one kind of evidence, if there is one."""
    for layer in viewer.layers:
        if read_record(layer.metadata).get("evaluate") == what:
            return layer
    return None


def show(viewer: ViewerModel, what: str, evaluation: Evaluation, pose: Pose) -> Layer | None:
    """Show one kind of evidence in place of an older one; None where there is none of it."""
    made = EVIDENCE[what].make(evaluation, pose)
    if made is None:
        hide(viewer, what)
        return None
    return put(viewer, what, made)


def put(viewer: ViewerModel, what: str, made: LayerData) -> Layer:
    """Add a layer of one kind in place of an older one."""
    hide(viewer, what)
    data, options, kind = made
    active = viewer.layers.selection.active
    layer: Layer = getattr(viewer, f"add_{kind}")(data, metadata=as_metadata({"evaluate": what}), **options)
    viewer.layers.selection.active = active  # the image stays the one that is worked with
    return layer


def hide(viewer: ViewerModel, what: str) -> None:
    """Remove one kind of evidence."""
    if (layer := shown(viewer, what)) is not None:
        viewer.layers.remove(layer)


class Evidences(QWidget):
    """One box per kind of evidence: checked while its layer is in the viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._evaluation: Evaluation | None = None
        self._pose: Pose | None = None
        self._boxes = {what: QCheckBox(kind.label) for what, kind in EVIDENCE.items()}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        for number, (what, box) in enumerate(self._boxes.items()):
            box.setToolTip(f"{EVIDENCE[what].meaning}\nEvaluate first")
            box.toggled.connect(partial(self._on_box, what))
            grid.addWidget(box, number // 2, number % 2)
        removed, on_removed = viewer.layers.events.removed, WeakMethod(self._on_removed)
        removed.connect(self._on_removed)

        def forget() -> None:  # napari would go on to call a deleted widget
            if (connected := on_removed()) is not None:
                removed.disconnect(connected)

        when_deleted(self, forget)
        self.hide()

    def show_evaluation(self, evaluation: Evaluation, pose: Pose) -> None:
        """Offer the evidence of a run, and show what is checked; at first the columns."""
        first = self._evaluation is None
        self._evaluation, self._pose = evaluation, pose
        self.show()
        for what, box in self._boxes.items():
            kind = EVIDENCE[what]
            there = kind.make(evaluation, self._pose) is not None
            box.setEnabled(there)
            box.setToolTip(kind.meaning if there else "there is none in this image")
            wanted = there and (box.isChecked() or (first and kind.at_first))
            hide(self._viewer, what)
            with QSignalBlocker(box):
                box.setChecked(wanted)
            if wanted:
                self._on_box(what, True)

    def reveal(self, what: str) -> Layer | None:
        """Show one kind of evidence and give its layer; None where there is none."""
        box = self._boxes[what]
        if self._evaluation is not None and box.isEnabled():
            box.setChecked(True)
        return shown(self._viewer, what)

    def put_away(self, what: str) -> None:
        """Show one kind of evidence no longer."""
        self._boxes[what].setChecked(False)

    def _on_box(self, what: str, checked: bool) -> None:
        if not checked:
            hide(self._viewer, what)
        elif self._evaluation is not None and self._pose is not None:
            show(self._viewer, what, self._evaluation, self._pose)
            for axis, place in enumerate(self._world()):
                self._viewer.dims.set_point(axis, place)  # to the plane that the evidence is of

    def _world(self) -> list[float]:
        """Where the plane lies along the leading axes."""
        assert self._pose is not None
        at = translated(self._pose.style, self._pose.origin)
        return [float(value) for value in at[:-2]]

    def _on_removed(self, _: object = None) -> None:
        """Somebody removed a layer of evidence."""
        for what, box in self._boxes.items():
            if box.isChecked() and shown(self._viewer, what) is None:
                with QSignalBlocker(box):
                    box.setChecked(False)
