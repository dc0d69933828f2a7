"""*What is my image?*: one button, and the card that answers, with buttons that begin what fits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QPushButton, QVBoxLayout, QWidget

from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.widgets.parts.bits import Words
from napari_hush.widgets.parts.job import Job
from napari_hush.widgets.parts.known_layers import reference
from napari_hush.widgets.parts.layer_record import identity, read_record
from napari_hush.widgets.parts.layer_source import Source, image_data
from napari_hush.widgets.parts.tabs import raise_dock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari
    from napari.layers import Layer

    from napari_hush.fidelity.about.about import About
    from napari_hush.widgets.parts.known_layers import KnownLayer, KnownLayers

ASK = "What is my image?"
TIP = "Measure lattice, noise, range and holes of this layer, and say which model or training fits; nothing is changed"
AGAIN = "Hide the card"


class AboutCard(QWidget):
    """A button and a card, which stays with its layer until other data are in it.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the dock *Train* is opened.
    known : KnownLayers
        What was measured on layers before.

    Attributes
    ----------
    denoise : Signal()
        The layer is to be denoised with the model that fits.
    """

    denoise = Signal()

    def __init__(self, viewer: napari.Viewer, known: KnownLayers) -> None:
        super().__init__()
        self._viewer, self._known_layers = viewer, known
        self._layer: Any = None
        self._channel_axis: int | None = None
        self._asked: tuple[str, Callable[[], Any]] | None = None  # the layer that is looked at, and its data
        self._known: dict[str, tuple[Callable[[], Any], About]] = {}
        self._job = Job(self)
        self._job.returned.connect(self._on_returned)
        self._job.errored.connect(self._on_errored)
        self._job.progressed.connect(self._on_progress)
        self._ask, self._words = QPushButton(ASK), Words()
        self._words.setWordWrap(True)
        self._words.setTextFormat(Qt.TextFormat.PlainText)
        self._words.hide()
        self._card = QWidget()
        self._lines = QFormLayout(self._card)
        self._lines.setContentsMargins(0, 0, 0, 0)
        self._lines.setVerticalSpacing(3)
        self._denoise = QPushButton("Denoise")
        self._alone = QPushButton("Train on this image (Noise2Void)")
        self._targets = QPushButton("Train from these targets")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in (self._ask, self._words, self._card, self._denoise, self._alone, self._targets):
            layout.addWidget(part)
        self._ask.clicked.connect(self.ask)
        self._denoise.clicked.connect(self.denoise)
        self._alone.clicked.connect(partial(self._train, "noise2void"))
        self._targets.clicked.connect(partial(self._train, "cyclegan"))
        self._denoise.setToolTip("Run with the model auto, whatever is chosen below")
        self._targets.setToolTip("Open the dock Train with the method cyclegan, this layer and these targets")
        self._alone.setToolTip("Open the dock Train with the method noise2void and this layer")
        self.show_of(None)

    @property
    def running(self) -> bool:
        """Whether an image is being looked at."""
        return self._job.running

    @property
    def about(self) -> About | None:
        """What is known of the layer in question; None while nobody has asked."""
        if self._layer is None:
            return None
        data, about = self._known.get(identity(self._layer), (None, None))
        return about if data is not None and data() is image_data(self._layer) else None

    def show_of(self, layer: Layer | None, channel_axis: int | None = None) -> None:
        """Show the card of one layer, if somebody has asked for it; ``channel_axis`` is what the dock says."""
        self._layer, self._channel_axis = layer, channel_axis
        self._refresh()

    def ask(self) -> None:
        """Look at the layer; asked again, put the card away."""
        if self._layer is None or self._job.running:
            return
        if self.about is not None:
            del self._known[identity(self._layer)]
            self._refresh()
            return
        try:
            source = Source.of(self._layer, self._channel_axis)
        except ValueError as error:
            self._say(str(error))
            return
        self._asked = identity(self._layer), reference(image_data(self._layer))
        self._say("looking at it…")
        self._job.start(partial(about_steps, source, self._known_layers.of(self._layer)))
        self._ask.setEnabled(False)

    def stop(self) -> None:
        """Look no further."""
        self._job.cancel()

    def _refresh(self) -> None:
        about = self.about
        self._ask.setEnabled(self._layer is not None and not self._job.running)
        self._ask.setText(AGAIN if about is not None else ASK)
        self._ask.setToolTip(TIP if self._layer is not None else "Open an image first: there is no image layer")
        if not self._job.running:
            self._say("")
        self._card.setVisible(about is not None)
        advice = None if about is None else about.advice
        for button in (self._denoise, self._alone, self._targets):
            button.setVisible(advice is not None and advice.model is not None)
        if about is None or advice is None:
            return
        while self._lines.rowCount():
            self._lines.removeRow(0)
        for line in about.lines:
            words = Words(line.words)
            words.setWordWrap(True)
            words.setTextFormat(Qt.TextFormat.PlainText)
            words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._lines.addRow(line.name.capitalize(), words)
        self._denoise.setText(f"Denoise with {advice.model}")
        self._denoise.setToolTip(f"Run with the model auto, which takes {advice.model} here")
        targets = targets_among(self._viewer.layers)
        have = "the layer of clean targets" if targets is not None else "no targets yet: Synthesise makes them"
        self._targets.setToolTip(f"Open the dock Train with the method cyclegan, this layer, and {have}")
        first = advice.training if advice.caution else "denoise"
        for button, way in ((self._denoise, "denoise"), (self._alone, "noise2void"), (self._targets, "targets")):
            font = button.font()
            font.setBold(way == first)
            button.setFont(font)

    def _say(self, text: str) -> None:
        self._words.setText(text)
        self._words.setVisible(bool(text))

    def _on_progress(self, event: Progress) -> None:
        self._say(event.message)

    def _on_returned(self, about: About) -> None:
        assert self._asked is not None
        (layer, data), self._asked = self._asked, None
        self._known[layer] = data, about
        self._refresh()

    def _on_errored(self, error: BaseException) -> None:
        self._asked = None
        self._refresh()
        self._say(str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")

    def _train(self, method: str, _: bool = False) -> None:
        """Open the dock *Train* with this layer and a method."""
        layer = self._layer
        clean = targets_among(self._viewer.layers) if method == "cyclegan" else None
        _, train = self._viewer.window.add_plugin_dock_widget("napari-hush", "Train", tabify=True)
        raise_dock(train)
        train.learn_from(method, layer, clean)


def targets_among(layers: Any) -> Any:
    """The topmost layer of clean targets that *Synthesise* has made; None where there is none."""
    made = (layer for layer in reversed(layers) if "clean" in str(read_record(layer.metadata).get("synthesise", "")))
    return next(made, None)


def about_steps(source: Source, known: KnownLayer) -> Generator[Progress, None, About]:
    """The work, in the thread."""
    yield Progress(0, 0, "looking at it…")
    from napari_hush.fidelity.about.about import describe_steps

    names = [str(name) for name in source.style["axis_labels"]]
    letters = "".join(names).upper() if all(len(name) == 1 for name in names) else ""
    about = yield from describe_steps(
        source.colours,
        channel_axis=source.channel_axis,
        pixel_size=source.pixel_sizes,
        axes=letters + ("S" if source.rgb and letters else ""),
        source=source.name,
        known=known.now(),
    )
    return about
