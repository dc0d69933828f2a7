"""A form from a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from napari_hush.progress import Progress
from napari_hush.settings import DenoiseSettings
from napari_hush.widgets._form import Form, parameter_texts
from napari_hush.widgets._progress import Clock


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


def test_time_left():
    clock = Clock()
    assert clock.left(Progress(0, 40), 0) == ""
    assert clock.left(Progress(1, 40), 100) == ""
    assert clock.left(Progress(12, 40), 111) == "0:28"
    assert clock.left(Progress(3, 4000), 110) == "5:33:05"
    assert clock.left(Progress(40, 40), 120) == ""
