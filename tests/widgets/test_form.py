"""A form from a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from napari_hush.inference.settings import DenoiseSettings
from napari_hush.progress import Progress
from napari_hush.widgets.parts.form import Form, parameter_texts
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

    steps: int = 10
    warm_up: int = 2
    rate: float = 0.5
    kind: Literal["a", "b"] = "b"
    shuffle: bool = True
    crop: int | None = None
    folder: Path = Path("x")


def test_value_is_the_dataclass(qtbot, tmp_path):
    names = ("steps", "rate", "kind", "shuffle", "crop", "folder")
    form = Form(Settings(folder=tmp_path / "a"), shown=names[:3], advanced=names[3:])
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
    form = Form(Settings(), shown=["steps"], advanced=["rate"])
    qtbot.addWidget(form)
    rate = form._fields["rate"].native
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


def test_tooltips_come_from_the_docstring():
    assert parameter_texts(Settings) == {
        "steps": "How many.",
        "warm_up": "How many.",
        "rate": "How fast, in two lines.",
    }
    assert parameter_texts(DenoiseSettings).keys() >= {"device", "tile", "batch_size", "engine", "precision"}


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Pairs and bounds."""

    shape: tuple[int, int] = (64, 48)
    dose: tuple[float, float] = (0.5, 200.0)
    seed: int = 3
    share: float = 0.25
    dark: float | None = None

    def __post_init__(self) -> None:
        if self.dose[0] > self.dose[1]:
            raise ValueError("dose must rise")


@pytest.fixture
def ranges(qtbot):
    form = Form(
        Ranges(),
        shown=["shape", "dose", "seed", "share", "dark"],
        ranges={"shape": (1, 10_000), "dose": (0.0, 1e6), "seed": (0, 2**31 - 1), "share": (0.0, 1.0)},
    )
    qtbot.addWidget(form)
    return form


def test_pairs_and_numbers_with_a_range(ranges):
    assert ranges.value == Ranges()
    other = Ranges(shape=(9999, 2), dose=(1.25, 1e5), seed=2**31 - 1, share=1.0, dark=-12.5)
    ranges.value = other
    assert ranges.value == other
    assert [spin.text() for spin in ranges._fields["dose"]._spins] == ["1.25", "100000"]
    ranges._fields["shape"]._spins[1].setValue(7)
    assert ranges.value.shape == (9999, 7)


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
