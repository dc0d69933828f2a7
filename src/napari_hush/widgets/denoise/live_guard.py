"""What another guard does with a result that is there: it is made anew from what the network gave, in its layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal, Slot  # type: ignore[attr-defined]

from napari_hush.widgets.denoise.blend import why_fixed
from napari_hush.widgets.parts.layer_record import identity

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.widgets.denoise.choices import Choices
    from napari_hush.widgets.parts.dock import Dock
    from napari_hush.widgets.parts.known_layers import KnownLayers


@dataclass(frozen=True, eq=False)
class Asked:
    """A run into memory as it was asked for.

    Parameters
    ----------
    layer : str
        What was denoised, by its `identity`.
    settings : DenoiseSettings
        How.
    others : tuple
        The model, and all else that was chosen.
    """

    layer: str
    settings: DenoiseSettings
    others: tuple[object, ...]

    @classmethod
    def now(cls, choices: Choices) -> Asked:
        """What a run would be asked for now; the layer is there."""
        others = str(choices.models.choice), choices.channels.axis, choices.output_type, choices.keep.on_disk
        return cls(identity(choices.layers.layer), choices.form.accepted, others)

    def same_but_for_the_guard(self, other: Asked) -> bool:
        """Whether two runs differ in the guard, and in the strength, at most."""
        settings = replace(self.settings, guard=other.settings.guard, strength=other.settings.strength)
        return self.layer == other.layer and self.others == other.others and settings == other.settings


class LiveGuard(QObject):
    """Knows whether the latest result can be made anew without the network.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    choices : Choices
        What is chosen.
    known : KnownLayers
        Where outputs of networks are kept.
    dock : Dock
        While something runs in it, nothing is made anew.

    Attributes
    ----------
    due : Signal(object)
        The layer of the result that is to be made anew.
    told : Signal(str)
        Why none is.
    """

    due = Signal(object)
    told = Signal(str)

    def __init__(self, viewer: napari.Viewer, choices: Choices, known: KnownLayers, dock: Dock) -> None:
        super().__init__(dock)
        self._viewer, self._choices, self._known = viewer, choices, known
        self._begun: Asked | None = None
        self._done: tuple[Asked, str] | None = None

    def begin(self) -> None:
        """A run into memory begins."""
        self._begun = Asked.now(self._choices)

    def end(self, result: Image) -> None:
        """It has given a result."""
        if self._begun is not None:
            self._done, self._begun = (self._begun, identity(result)), None

    @Slot()  # type: ignore[untyped-decorator]
    def choose(self) -> None:
        """A hand has chosen another guard."""
        dock: Any = self.parent()
        if self._done is None or dock.running or self._choices.layers.layer is None:
            return
        asked, made = self._done
        now = Asked.now(self._choices)
        result: Any = next((layer for layer in self._viewer.layers if identity(layer) == made), None)
        if asked.layer != now.layer or result is None:
            return
        if reason := self._why_not(asked, now, result):
            self.told.emit(f"Give back counts from the next run on: {reason}")
        elif asked.settings.guard != now.settings.guard:
            self.due.emit(result)

    def _why_not(self, asked: Asked, now: Asked, result: Image) -> str:
        if not asked.same_but_for_the_guard(now):
            return "other choices have changed, too"
        if fixed := why_fixed(result):
            return fixed
        if not self._known.of(self._choices.layers.layer).has_outputs:
            return "what the network gave is not kept: frames look together, or memory is short"
        return ""
