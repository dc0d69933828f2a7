"""The dock widget *Compare*."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPen
from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QSlider, QSpinBox

from napari_hush.widgets.compare.blink import Blink
from napari_hush.widgets.compare.curtain import Curtain
from napari_hush.widgets.compare.profile import ProfileLine
from napari_hush.widgets.evaluate.grid import SideBySide
from napari_hush.widgets.parts.bits import NoWheel, row, small_label
from napari_hush.widgets.parts.dock import Dock
from napari_hush.widgets.parts.keys import BLINK, KeyButton, key_of
from napari_hush.widgets.parts.layer_list import LayerCombo
from napari_hush.widgets.parts.layer_record import made_of, result_in_sight
from napari_hush.widgets.parts.layer_source import image_data
from napari_hush.widgets.parts.plot import make_plot

if TYPE_CHECKING:
    import napari

    from napari_hush.widgets.parts.tabs import Chosen

MINIMUM_WIDTH = 270
HEIGHT = 160  # of the plot, px
STEPS = 1000  # of the slider
MOST_ACROSS = 99  # px
COLOURS = {"before": "#8a8a8a", "after": "#1e88e5"}  # both stand out in dark and in light themes
MISSING = "pip install pyqtgraph shows the values along a line here"


class CompareWidget(Dock):
    """See what was changed in an image: a curtain, blinking, both side by side, the values along a line.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are; napari gives it.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, MINIMUM_WIDTH)
        self._curtain = Curtain(napari_viewer, self._on_dragged)
        self._blink = Blink(napari_viewer, self)
        self._grid = SideBySide(napari_viewer)
        self._line = ProfileLine(napari_viewer, self)
        self._plot: Any = None
        self._curves: dict[str, Any] = {}
        self._key = key_of("blink")  # heard by the canvas, whichever dock is in front
        self._build()
        self._choose_first()
        self._after.changed.connect(self._on_after)
        self._before.changed.connect(self._refresh)
        for button in self._ways:
            button.toggled.connect(partial(self._on_way, button))
        self._slider.valueChanged.connect(self._on_slider)
        self._profile.toggled.connect(self._on_profile)
        self._across.valueChanged.connect(self._draw)
        self._line.moved.connect(self._draw)
        napari_viewer.layers.events.removed.connect(self._on_removed)
        napari_viewer.bind_key(self._key, self._swap, overwrite=True)
        self._refresh()

    @property
    def before(self) -> Any:
        """The layer that `layer` is compared with."""
        return self._before.layer

    @before.setter
    def before(self, layer: Any) -> None:
        self._before.choose(layer)

    def choose(self, before: Any, after: Any) -> None:
        """Choose the layers to compare."""
        self._after.layer = after
        self._before.layer = before

    def chosen(self) -> Chosen:
        """See `Dock.chosen`."""
        return {"width": self._across.value()}

    def choose_again(self, chosen: Chosen) -> None:
        """See `Dock.choose_again`."""
        self._across.setValue(chosen["width"])

    @property
    def refusal(self) -> str:
        """Why the chosen layers cannot be compared; empty where they can."""
        before, after = self._before.layer, self._after.layer
        if before is None or after is None:
            return "Open an image and denoise it first: there is nothing to compare"
        if before is after:
            return "Choose two different layers"
        shapes = [tuple(image_data(one).shape[: one.ndim]) for one in (before, after)]
        if shapes[0] != shapes[1]:
            return f"The layers differ in shape: {shapes[0]} (before) and {shapes[1]} (after)"
        return ""

    def _build(self) -> None:
        self._before, self._after = LayerCombo(self._viewer), LayerCombo(self._viewer)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Before", self._before)
        rows.addRow("After", self._after)
        self._before.setToolTip("The layer that is left of the curtain")
        self._after.setToolTip("The layer that is right of the curtain; a result brings the layer that it was made of")
        self._layers = self._after
        guard = NoWheel(self)
        self._words = small_label()
        self._drawn, self._blinks = KeyButton("Curtain", "U"), KeyButton("Blink", BLINK)
        self._sides, self._profile = KeyButton("Side by side", "S"), KeyButton("Profile", "R")
        self._ways = (self._drawn, self._blinks, self._sides)
        self._tips = {
            self._drawn: "Left of a line the layer before, right of it the one after; drag the line in the image",
            self._blinks: f"The two layers in turn, by themselves; the key {self._key} in the image swaps them once",
            self._sides: "Both layers in a grid, at one contrast; press again to go back",
        }
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(0, STEPS)
        self._slider.setValue(STEPS // 2)
        self._slider.setToolTip("Where the curtain's line is, from the left to the right end of the image")
        self._profile.setToolTip("The values of both layers along a line, whose ends are dragged in the image")
        self._across = QSpinBox()
        self._across.setRange(1, MOST_ACROSS)
        self._across.setSuffix(" px")
        self._across.setToolTip("Over how many pixels across the line the mean is taken")
        for widget in (self._before, self._after, self._slider, self._across):
            guard.guard(widget)
        for button in (*self._ways, self._profile):
            button.setCheckable(True)
        self._caption = small_label()
        line = row(self._profile)
        line.addWidget(QLabel("Width"))
        line.addWidget(self._across)
        self._plot = make_plot(self._viewer, HEIGHT)
        missing = QLabel(MISSING)
        missing.setWordWrap(True)
        plot = self._shown_plot = missing if self._plot is None else self._plot
        plot.hide()
        self._lay_out(8, rows, self._words, row(*self._ways), self._slider, line, plot, self._caption)

    def _choose_first(self) -> None:
        """The active layer or the topmost one that was denoised here, and what it was made of."""
        if (made := result_in_sight(self._viewer.layers)) is not None:
            self._after.layer = made
        self._follow()

    def _follow(self) -> None:
        """The layer before is the one that the layer after was made of."""
        after = self._after.layer
        source = None if after is None else made_of(after, self._viewer.layers)
        images = [self._before.itemData(index) for index in range(self._before.count())]
        if source is None and self._before.layer is after:
            source = next((one for one in images if one is not after), None)
        if source is not None:
            self._before.layer = source

    def _on_after(self) -> None:
        self._follow()
        self._refresh()

    def _refresh(self) -> None:
        """Bring the buttons in line with what is chosen; what is shown follows the choice."""
        reason = self.refusal
        self._words.setText(reason)
        self._words.setVisible(bool(reason))
        for button in self._ways:
            button.setEnabled(not reason)
            button.setToolTip(reason or self._tips[button])
        self._profile.setEnabled(self._after.layer is not None)
        self._slider.setVisible(self._drawn.isChecked())
        shown = self._curtain.shown
        if self._drawn.isChecked() and (reason or shown != (self._before.layer, self._after.layer)):
            self._drawn.setChecked(False)
        self._draw()

    def _on_way(self, button: QPushButton, pressed: bool) -> None:
        """Show the layers in one way, and no longer in another one."""
        if pressed:
            for other in self._ways:
                if other is not button:
                    other.setChecked(False)
        before, after = self._before.layer, self._after.layer
        if button is self._drawn:
            if pressed:
                self._curtain.hang(before, after, self._slider.value() / STEPS)
            else:
                self._curtain.remove()
            self._slider.setVisible(pressed)
        elif button is self._blinks:
            if pressed:
                self._blink.begin(before, after)
            else:
                self._blink.end()
        elif pressed:
            self._grid.show([before, after])
        else:
            self._grid.restore()

    def _swap(self, _: Any = None) -> None:
        """Show the other one of the two layers; what the key does."""
        if not self.refusal:
            for button in (self._drawn, self._sides):
                button.setChecked(False)
            self._blink.swap_once(self._before.layer, self._after.layer)

    def _on_slider(self, value: int) -> None:
        self._curtain.draw(value / STEPS)

    def _on_dragged(self, share: float) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(round(share * STEPS))
        self._slider.blockSignals(False)

    def _on_removed(self, _: Any = None) -> None:
        """What the user has removed by hand is no longer shown."""
        if self._drawn.isChecked() and not self._curtain.active:
            self._drawn.setChecked(False)
        if self._profile.isChecked() and not self._line.active:
            self._profile.setChecked(False)

    def _on_profile(self, pressed: bool) -> None:
        if pressed:
            self._line.begin(self._after.layer)
        else:
            self._line.end()
        self._shown_plot.setVisible(pressed)
        self._draw()

    def _draw(self, _: Any = None) -> None:
        """Draw the values along the line."""
        self._caption.setVisible(self._profile.isChecked())
        if not self._profile.isChecked() or self._plot is None:
            return
        unit, layers = "px", {"before": self._before.layer, "after": self._after.layer}
        for role, colour in COLOURS.items():
            found = None if layers[role] is None else self._line.values(layers[role], self._across.value())
            if role not in self._curves:
                pen = QPen(QColor(colour), 1 if role == "before" else 2)
                pen.setCosmetic(True)
                self._curves[role] = self._plot.plot(pen=pen, connect="finite")
            self._curves[role].setData(*(([], []) if found is None else (found.distance, found.values)))
            unit = unit if found is None else found.unit
        self._plot.getPlotItem().setLabel("bottom", f"distance / {unit}")
        names = [
            f"{'grey' if role == 'before' else 'blue'}: {one.name}" for role, one in layers.items() if one is not None
        ]
        self._caption.setText("; ".join(names))

    def _on_returned(self, result: Any) -> None:
        """There is no job."""

    def _stop(self) -> None:
        super()._stop()
        for button in (*self._ways, self._profile):
            button.setChecked(False)
        self._blink.end()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.bind_key(self._key, None)
