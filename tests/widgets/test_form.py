"""A form from a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from qtpy.QtGui import QValidator

from napari_hush.declare import Bounds
from napari_hush.inference.engines import devices
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.progress import Progress
from napari_hush.widgets.parts import devices_here
from napari_hush.widgets.parts.form import Form
from napari_hush.widgets.parts.progress_line import Clock


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Some.

    Parameters
    ----------
    steps, warm_up : int
        How many.
    rate : float
        How ``fast``, in two
        lines.

    Notes
    -----
    steps : no
        Not this.
    """

    steps: Annotated[int, Bounds(1, 100)] = 10
    warm_up: Annotated[int, Bounds(1, 100)] = 2
    rate: Annotated[float, Bounds(0, 1)] = 0.5
    kind: Literal["a", "b"] = "b"
    shuffle: bool = True
    crop: int | None = None
    folder: Path = Path("x")


def test_value_is_the_dataclass(qtbot, tmp_path):
    form = Form(Settings(folder=tmp_path / "a"), shown=("steps", "rate", "kind"), hidden=["warm_up"])
    qtbot.addWidget(form)
    assert form.value == Settings(folder=tmp_path / "a")
    other = Settings(steps=3, rate=0.25, kind="a", shuffle=False, crop=64, folder=tmp_path, warm_up=7)
    with qtbot.waitSignal(form.changed) as signal:
        form.value = other
    assert signal.args == [other]
    assert form.value == other
    with qtbot.waitSignal(form.changed):
        form._fields["steps"].value = 5
    assert form.value.steps == 5
    assert form.value.warm_up == 7


def test_advanced_fields_are_hidden_at_first(qtbot):
    form = Form(Settings(), shown=["steps"])
    qtbot.addWidget(form)
    rate = form._fields["rate"]
    assert not rate.isVisibleTo(form)
    form.advanced.click()
    assert rate.isVisibleTo(form)


@pytest.mark.parametrize("tile", [None, False, 256])
def test_number_or_word(qtbot, tile):
    form = Form(DenoiseSettings(), shown=["tile", "batch_size"], words={"tile": "whole plane"})
    qtbot.addWidget(form)
    form.value = DenoiseSettings(tile=tile)
    assert form.value.tile is tile or form.value.tile == tile
    assert form.value.batch_size is None


def test_tooltips_come_from_the_docstring(qtbot):
    form = Form(Settings(), shown=["steps", "rate"])
    qtbot.addWidget(form)
    assert form._fields["steps"].toolTip() == "How many."
    assert form._fields["rate"].toolTip() == "How fast, in two lines."


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Pairs and bounds."""

    shape: Annotated[tuple[int, int], Bounds(1, 10_000)] = (64, 48)
    dose: Annotated[tuple[float, float], Bounds(0, 1e6)] = (0.5, 200.0)
    seed: Annotated[int, Bounds(0, 2**63 - 1)] = 3
    share: Annotated[float, Bounds(0, 1)] = 0.25
    dark: float | None = None
    zoom: Annotated[tuple[float, float], Bounds(1, 100)] | None = None

    def __post_init__(self) -> None:
        if self.dose[0] > self.dose[1]:
            raise ValueError("dose must rise")


@pytest.fixture
def ranges(qtbot):
    form = Form(Ranges(), shown=["shape", "dose", "seed", "share", "dark", "zoom"])
    qtbot.addWidget(form)
    return form


def test_pairs_and_numbers_with_a_range(ranges):
    assert ranges.value == Ranges()
    other = Ranges(shape=(9999, 2), dose=(1.25, 1e5), seed=2**63 - 1, share=1.2e-8, dark=-12.5, zoom=(2.0, 8.5))
    ranges.value = other
    assert ranges.value == other
    assert [spin.text() for spin in ranges._fields["dose"]._spins] == ["1.25", "100000"]
    ranges._fields["shape"]._spins[1].setValue(7)
    assert ranges.value.shape == (9999, 7)


@pytest.mark.parametrize("number", [1e-5, 1.2e-8, 0.1, 1 / 3, 0.0])
def test_a_number_keeps_its_digits(ranges, number):
    ranges.value = Ranges(share=number)
    assert ranges.value.share == number
    spin = ranges._fields["share"]._spins[0]
    assert float(spin.text()) == number
    assert spin.valueFromText(f"{number:e}") == pytest.approx(number, rel=1e-6)


def test_a_number_may_be_typed_as_a_power_of_ten(ranges):
    spin = ranges._fields["share"]._spins[0]
    states = [spin.validate(text, 0)[0] for text in ("1e-5", "1e-", "2", "x")]
    good, half, wrong = QValidator.State.Acceptable, QValidator.State.Intermediate, QValidator.State.Invalid
    assert states == [good, half, half, wrong]
    spin.lineEdit().setText("1e-5")
    spin.interpretText()
    assert ranges.value.share == 1e-5


def test_what_the_dataclass_refuses_is_sent_and_not_raised(ranges, qtbot):
    with qtbot.waitSignal(ranges.refused) as signal:
        ranges._fields["dose"].value = (500.0, 200.0)
    assert str(signal.args[0]) == "dose must rise"
    assert ranges.chosen("share") == 0.25


def test_empty_stands_for_none_and_words_are_refused(ranges, qtbot):
    field = ranges._fields["dark"]
    field.setText("1,5")
    with qtbot.waitSignal(ranges.changed):
        field.editingFinished.emit()
    assert ranges.value.dark == 1.5
    field.setText("dim")
    with qtbot.waitSignal(ranges.refused):
        field.editingFinished.emit()
    field.setText("")
    field.editingFinished.emit()
    assert ranges.value.dark is None


def test_two_numbers_or_nothing(ranges, qtbot):
    field = ranges._fields["zoom"]
    for text, value in (("8 24,5", (8.0, 24.5)), ("", None)):
        field.setText(text)
        with qtbot.waitSignal(ranges.changed):
            field.editingFinished.emit()
        assert ranges.value.zoom == value
    field.setText("8")
    with qtbot.waitSignal(ranges.refused):
        field.editingFinished.emit()


def test_a_new_field_is_shown_unasked(qtbot):
    @dataclass(frozen=True, kw_only=True)
    class More(Settings):
        """More.

        Parameters
        ----------
        sharpness : float
            How sharp.
        """

        sharpness: Annotated[float, Bounds(0, 2)] = 1.0

    form = Form(More(), shown=["steps"])
    qtbot.addWidget(form)
    form._fields["sharpness"].value = 1.5
    assert form.value.sharpness == 1.5 and form._fields["sharpness"].toolTip() == "How sharp."


def test_fields_are_hidden_and_keep_their_value(ranges):
    ranges.show_field("seed", False)
    assert not ranges._fields["seed"].isVisibleTo(ranges)
    assert ranges.value.seed == 3


def test_time_left():
    clock = Clock()
    assert clock.left(Progress(0, 40), 0) == ""
    assert clock.left(Progress(1, 40), 100) == ""
    assert clock.left(Progress(12, 40), 111) == "0:28"
    assert clock.left(Progress(3, 4000), 110) == "5:33:05"
    assert clock.left(Progress(40, 40), 120) == ""


def test_automatic_on_and_off_are_a_choice(qtbot):
    form = Form(DenoiseSettings(), shown=["guard", "rescale"])
    qtbot.addWidget(form)
    assert form.value.guard == "auto"
    form.value = DenoiseSettings(guard=False, rescale=True)
    assert (form.value.guard, form.value.rescale) == (False, True)
    form.value = DenoiseSettings(guard="strict")
    assert form.value.guard == "strict"
    assert form._fields["guard"].choices == ("auto", True, False, "strict")
    assert form._fields["rescale"].choices == ("auto", True, False)


def test_gpus_are_listed_and_one_that_is_not_there_is_kept(qtbot, monkeypatch):
    """Settings may come from another machine: it is the run that says which devices there are."""
    monkeypatch.setattr(devices, "count_gpus", lambda: 2)
    monkeypatch.setattr(devices_here, "may_have_gpu", lambda: True)
    form = Form(DenoiseSettings(device="cuda:5"), shown=["device"])
    qtbot.addWidget(form)
    field = form._fields["device"]
    assert field.choices == ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:5")
    assert form.value.device == "cuda:5"
    form.value = DenoiseSettings(device="cuda:7")
    assert form.value.device == "cuda:7"
