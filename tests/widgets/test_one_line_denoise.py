"""What one line adds to the dock *Denoise*: an engine of `ENGINES` and a field of `DenoiseSettings`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from napari_hush.declare import Bounds
from napari_hush.inference.engines.registry import ENGINES
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.widgets.denoise import choices


class Other(TorchEngine):
    name = "other"


@dataclass(frozen=True, kw_only=True)
class More(DenoiseSettings):
    """With one field more.

    Parameters
    ----------
    sharpness : float
        How sharp it should be.
    """

    sharpness: Annotated[float, Bounds(0, 2)] = 1.0


def test_an_engine_is_in_the_list_and_runs(make_widget, finish, image, monkeypatch):
    monkeypatch.setitem(ENGINES, "other", Other)
    viewer, widget = make_widget(image)
    field = widget._form._fields["engine"]
    assert set(field.choices) == {"auto", *ENGINES} and "other" in field.choices
    field.value = "other"
    widget.run()
    finish(widget)
    assert viewer.layers[1].metadata["napari-hush"]["engine"] == "other"
    assert "other on cpu" in widget._progress.text


def test_a_setting_is_in_the_form_and_in_the_record(make_widget, finish, image, monkeypatch):
    monkeypatch.setattr(choices, "DenoiseSettings", More)
    viewer, widget = make_widget(image)
    field = widget._form._fields["sharpness"]
    assert field.toolTip() == "How sharp it should be."
    widget._form.value = replace(widget._form.value, sharpness=0.25)
    widget.run()
    finish(widget)
    assert viewer.layers[1].metadata["napari-hush"]["settings"]["sharpness"] == 0.25
