"""How much of what was taken away stays taken away: a slider and a number, as a field of a form."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

STEPS = 100  # of the slider


class Strength(QWidget):
    """From 0, the noisy image, to 1, the denoised one.

    Attributes
    ----------
    changed : Signal(object)
        A hand has moved it; nothing is sent where a program sets `value`.
    """

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._slider, self._number = QSlider(Qt.Orientation.Horizontal), QDoubleSpinBox()
        self._slider.setRange(0, STEPS)
        self._slider.setMinimumWidth(60)
        self._number.setRange(0, 1)
        self._number.setSingleStep(0.05)
        self._number.setKeyboardTracking(False)  # a number that is half typed is not meant
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._number)
        self._value = 1.0
        self.value = 1.0
        self._slider.valueChanged.connect(self._on_slider)
        self._number.valueChanged.connect(self._on_number)

    @property
    def value(self) -> float:
        """The share; a program can set it more finely than it is shown."""
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        self._value = value
        blocked = [QSignalBlocker(one) for one in (self._slider, self._number)]
        self._slider.setValue(round(STEPS * value))
        self._number.setValue(value)
        del blocked

    def setToolTip(self, text: str | None) -> None:
        """Say it over both parts."""
        for part in (self._slider, self._number):
            part.setToolTip(text or "")

    def _on_slider(self, step: int) -> None:
        self._moved(step / STEPS)

    def _on_number(self, value: float) -> None:
        self._moved(round(value, 2))

    def _moved(self, value: float) -> None:
        self.value = value
        self.changed.emit(value)
