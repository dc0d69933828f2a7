"""What is added in one line is in the dock Synthesise: a phantom, a noise, a dent and a setting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.declare import Bounds
from napari_hush.synthesis import DENTS, KINDS, NOISES, PHANTOMS, Kind, noise_from_dict
from napari_hush.synthesis.dents.shapes import Dent
from napari_hush.widgets.synthesize import choices
from napari_hush.widgets.synthesize.dock import SynthesizeWidget

TIMEOUT = 60_000
SMALL = SynthesisSettings(n=3, shape=(32, 48), seed=5)


@dataclass(frozen=True, kw_only=True)
class Inverse:
    """A negative."""

    def __call__(self, image, rng, /):
        """Turn (Y, X) around."""
        return 1 - image


@dataclass(frozen=True, kw_only=True)
class More(SynthesisSettings):
    """Settings with one more.

    Parameters
    ----------
    grain : float
        Of the film, px.
    """

    grain: Annotated[float, Bounds(0, 5)] = 1.0


def stripes(shape, *, rng):
    x = np.arange(shape[1]) + np.random.default_rng(rng).uniform(0, 8)
    return np.broadcast_to(0.5 + 0.4 * np.sin(x), shape).astype(np.float32)


def half(shape, period, rng):
    return np.broadcast_to(np.arange(shape[1]) >= shape[1] // 2, shape).astype(np.float32)


@pytest.fixture
def make(qtbot):
    """Give a viewer and the widget."""
    widgets = []

    def made(settings=None):
        viewer = ViewerModel()
        widget = SynthesizeWidget(viewer)
        qtbot.addWidget(widget)
        if settings is not None:
            widget.choices.settings = settings
        widgets.append(widget)
        return viewer, widget

    yield made
    for widget in widgets:
        widget.cancel()
        widget.choices.measurements.stop()
        qtbot.waitUntil(partial(idle, widget), timeout=TIMEOUT)


def idle(widget):
    return not widget.running and not widget.choices.measurements.busy


def shown(widget, name):
    return widget.choices.form._fields[name].isVisibleTo(widget.choices.form)


def test_a_phantom_is_in_the_list_and_is_drawn(make, finish, monkeypatch):
    entry = Kind(about="stripes of a grating", draw=stripes, noise="projections", settings=("dose", "angles"))
    monkeypatch.setitem(PHANTOMS, "dummy", entry)
    viewer, widget = make(SMALL)
    combo = widget.choices.form._fields["kind"].native
    names = [combo.itemText(row) for row in range(combo.count())]
    assert names == list(KINDS)
    assert combo.itemData(names.index("dummy"), choices.Qt.ItemDataRole.ToolTipRole) == "stripes of a grating"
    assert not shown(widget, "angles")
    combo.setCurrentText("dummy")
    assert shown(widget, "angles")
    assert not shown(widget, "period")
    assert not widget.choices.crop.isVisibleTo(widget.choices)
    widget.preview()
    finish(widget)
    target = Drawer(SynthesisSettings(kind="dummy", n=3, shape=(32, 48), seed=5))("train", 0)
    np.testing.assert_array_equal(viewer.layers["target · noisy"].data, target.noisy)
    assert viewer.layers["target · noisy"].metadata["napari-hush"]["kind"] == "dummy"


def test_a_phantom_in_colour_is_a_coloured_stack(make, finish, monkeypatch):
    def coloured(shape, *, rng):
        return np.stack([stripes(shape, rng=rng)] * 3)

    monkeypatch.setitem(PHANTOMS, "dummy", Kind(about="stripes", draw=coloured, colours=True))
    viewer, widget = make(SynthesisSettings(kind="dummy", n=2, shape=(32, 48)))
    widget.generate()
    finish(widget)
    assert viewer.layers["targets · clean"].rgb
    assert viewer.layers["targets · clean"].data.shape == (2, 32, 48, 3)


def test_a_noise_of_the_settings_is_drawn_and_written_with_the_layer(make, finish, monkeypatch):
    monkeypatch.setitem(NOISES, "dummy", Inverse)
    viewer, widget = make(SynthesisSettings(kind="cells", n=2, shape=(32, 48), noises=(Inverse(),)))
    widget.preview()
    finish(widget)
    clean, noisy = (viewer.layers[f"target · {what}"] for what in ("clean", "noisy"))
    np.testing.assert_array_equal(noisy.data, 1 - clean.data)
    assert noise_from_dict(noisy.metadata["napari-hush"]["noise"]).noises == (Inverse(),)


def test_a_dent_is_drawn(make, finish, monkeypatch):
    monkeypatch.setitem(DENTS, "dummy", Dent(draw=half, weight=1e9))
    viewer, widget = make(SynthesisSettings(n=2, shape=(32, 48), dent_share=1.0))
    widget.preview()
    finish(widget)
    mask = viewer.layers["target · dents"].data
    assert mask[:, :24].all()
    assert not mask[:, 24:].any()


def test_a_setting_is_in_the_form(make, monkeypatch):
    monkeypatch.setattr(choices, "SynthesisSettings", More)
    _, widget = make()
    widget.choices.form._fields["grain"].value = 2.5
    assert widget.choices.settings == More(grain=2.5)


def test_the_largest_seed_goes_through_the_dock(make, finish):
    settings = SynthesisSettings(kind="cells", n=2, shape=(32, 32), seed=2**63 - 1)
    viewer, widget = make(settings)
    assert widget.choices.settings == settings
    widget.preview()
    finish(widget)
    np.testing.assert_array_equal(viewer.layers["target · noisy"].data, Drawer(settings)("train", 0).noisy)


def test_a_setting_that_another_kind_refuses_stays_in_sight(make):
    _, widget = make(SynthesisSettings(n=2, shape=(64, 64), rescale_to=(8.0, 12.0)))
    form = widget.choices.form
    form.advanced.setChecked(True)
    form._fields["kind"].value = "foam"
    assert form._fields["rescale_to"].isVisibleTo(form)
    assert "rescale_to goes with the kind lattice" in widget.choices.refusal
    form._fields["rescale_to"].setText("")
    form._fields["rescale_to"].editingFinished.emit()
    assert widget.choices.refusal == ""
    assert not form._fields["rescale_to"].isVisibleTo(form)
