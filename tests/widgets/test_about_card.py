"""*What is my image?* in the dock *Denoise*: the card of one layer, and what its buttons begin."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush import describe, sample
from napari_hush.widgets.parts.layer_record import as_metadata, read_record

TIMEOUT = 300_000


@pytest.fixture
def ask(qtbot):
    def wait(card):
        card._ask.click()
        qtbot.waitUntil(lambda: not card.running, timeout=TIMEOUT)
        return card.about

    return wait


def told(card):
    rows = range(card._lines.rowCount())
    roles = card._lines.ItemRole.LabelRole, card._lines.ItemRole.FieldRole
    return dict(tuple(card._lines.itemAt(row, role).widget().text() for role in roles) for row in rows)


def test_the_card_says_what_the_library_says_and_stays_with_its_layer(make_widget, ask, image):
    lattice = sample("dented-lattice").noisy
    viewer, widget = make_widget(lattice, scale=(0.05, 0.05), units=("nm", "nm"))
    card, layer = widget._card, viewer.layers["noisy"]
    assert card.about is None
    about = ask(card)
    known = describe(lattice, pixel_size=0.05)
    assert (about.lattice, about.noise, about.values, about.advice) == (
        known.lattice,
        known.noise,
        known.values,
        known.advice,
    )
    assert told(card)["Lattice"] == known.lattice.words and "nm" in told(card)["Lattice"]
    viewer.add_image(image, name="other")
    assert card.about is None and card._card.isHidden()
    widget._layers.layer = layer
    assert card.about is about and not card._card.isHidden()
    card._ask.click()
    assert card.about is None and card._card.isHidden()


def test_other_data_have_no_card(make_widget, ask, image):
    viewer, widget = make_widget(image)
    assert ask(widget._card) is not None
    viewer.layers["noisy"].data = image + 1
    assert widget._card.about is None and widget._card._card.isHidden()


def test_what_cannot_be_looked_at_is_said(make_widget, ask):
    _, widget = make_widget(np.ones((3, 3, 3, 40, 40), np.float32))
    assert ask(widget._card) is None
    assert "5 dimensions" in widget._card._words.text()


def test_denoise_runs_with_the_model_that_fits(make_widget, ask, finish, image):
    viewer, widget = make_widget(image)
    about = ask(widget._card)
    assert widget._models.choice != "auto" and widget._card._denoise.text() == f"Denoise with {about.advice.model}"
    widget._card._denoise.click()
    finish(widget)
    record = read_record(viewer.layers[-1].metadata)
    assert (record["model"], record["chosen_because"]) == (about.advice.model, about.advice.because)


def test_nothing_is_begun_where_there_is_nothing_to_denoise(make_widget, ask):
    _, widget = make_widget(np.full((60, 60), 5, np.uint8))
    about = ask(widget._card)
    assert about.advice.model is None and widget._card._denoise.isHidden() and widget._card._alone.isHidden()


@pytest.mark.parametrize(("button", "method"), [("_alone", "noise2void"), ("_targets", "cyclegan")])
def test_training_is_opened_with_its_choices(make_widget, ask, qtbot, image, button, method):
    viewer, widget = make_widget(image, window=True)
    targets = viewer.add_image(np.ones((2, 40, 40)), metadata=as_metadata({"synthesise": "targets clean"}))
    widget._layers.layer = noisy = viewer.layers["noisy"]
    ask(widget._card)
    getattr(widget._card, button).click()
    _, train = viewer.window.add_plugin_dock_widget("napari-hush", "Train")
    assert train.form.method == method and train.data.noisy.source == noisy
    assert train.data.clean.source == (targets if button == "_targets" else None)
    qtbot.waitUntil(lambda: train.data.found is not None, timeout=TIMEOUT)
