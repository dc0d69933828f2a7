"""Errors and warnings stay in the dock, whole and in its own words; colours can be read on both themes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QAbstractButton, QLabel

import napari_hush.inference.denoise
from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.widgets.compare.dock import CompareWidget
from napari_hush.widgets.denoise.dock import DenoiseWidget
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.evaluate.table import VerdictLabel
from napari_hush.widgets.parts.colours import ON_DARK, ON_LIGHT
from napari_hush.widgets.parts.dock_words import CONTROLS, in_dock_words
from napari_hush.widgets.synthesize.dock import SynthesizeWidget
from napari_hush.widgets.train.dock import TrainWidget

TIMEOUT = 60_000
LONG = "the values lie far from those that the network has seen, " * 4 + "so give normalize='plane' (--normalize plane)"


def luminance(colour):
    """Of an sRGB colour, as WCAG 2.2 defines it."""
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("theme", "colours"), [("dark", ON_DARK), ("light", ON_LIGHT)])
@pytest.mark.parametrize("ground", ["background", "foreground"])
def test_every_colour_of_a_verdict_can_be_read(theme, colours, ground):
    found = get_theme(theme)
    behind = getattr(found, ground).as_hex()
    behind = behind if len(behind) == 7 else "#" + "".join(2 * letter for letter in behind[1:])
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    ratios = {status: contrast(shade, behind) for status, shade in colours.items()}
    assert min(ratios.values()) >= 4.5, ratios


def test_a_verdict_follows_the_theme(make_widget, image, qtbot):
    viewer, widget = make_widget(image, window=True)
    label = widget.findChild(VerdictLabel)
    widget._verdict.show()
    label.show_verdict("warn", "words")
    for theme, colours in (("light", ON_LIGHT), ("dark", ON_DARK)):
        viewer.theme = theme
        qtbot.waitUntil(lambda colours=colours: colours["warn"] in label.styleSheet(), timeout=TIMEOUT)


def test_errors_and_warnings_stay_whole_until_the_next_run(make_widget, image, finish, monkeypatch):
    def steps(*_, **__):
        warnings.warn(LONG, UserWarning, stacklevel=1)
        yield Progress(0, 1, "measuring the image")
        raise InputError("no lattice was found: use guard='auto'")

    _, widget = make_widget(image)
    with monkeypatch.context() as patch:
        patch.setattr(napari_hush.inference.denoise, "denoise_steps", steps)
        widget.run()
        finish(widget)
    assert widget._message.isVisibleTo(widget)
    warning, error = widget._message.text.split("\n")
    assert warning == f"! {LONG.partition('give')[0]}give Normalize: plane"
    assert error == "✗ no lattice was found: use Give back: automatic"
    widget.run()
    assert not widget._message.isVisibleTo(widget)
    finish(widget)


def test_an_error_comes_into_sight_where_the_dock_is_low(make_widget, image, qtbot):
    _, widget = make_widget(image)
    widget.resize(300, 250)
    with qtbot.waitExposed(widget):
        widget.show()
    widget._tell(InputError("one"))
    qtbot.waitUntil(lambda: not widget._message.visibleRegion().isEmpty(), timeout=TIMEOUT)
    widget._tell(InputError(LONG))
    qtbot.waitUntil(
        lambda: widget._message.visibleRegion().boundingRect().height() >= widget._message.height() - 4,
        timeout=TIMEOUT,
    )


def test_a_file_that_is_no_model_is_told_in_the_dock(make_widget, image, tmp_path):
    path = tmp_path / "a file with a long name that a notification cuts off.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    _, widget = make_widget(image)
    widget._models.refused.emit(InputError(f"{path}: is no model; choose another"))
    assert widget._message.text == f"✗ {path}: is no model; choose another"


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("If axis 0 holds channels, give channel_axis=0. If not", "give Channels: axis 0. If not"),
        ("give channel_axis=-1", "give Channels: the last axis"),
        ("use precision='float32' (or engine='torch', slow)", "use Precision: float32 (or Engine: torch, slow)"),
        ("go on with it (resume=True) or throw it away (resume=False)", "(Go on) or throw it away (Begin anew)"),
        ("give its period as spacing=, in px", "give its period as Spacing, in px"),
        ("trained with upsampling=\"bilinear_tf1\"", "convert FILE OUT.safetensors --upsampling bilinear_tf1'"),
        ("C:/a=b/c=d.tif: is empty", "C:/a=b/c=d.tif: is empty"),
    ],
)  # fmt: skip
def test_messages_name_controls_and_no_keywords(said, read):
    assert read in in_dock_words(said)
    assert "--channel" not in in_dock_words(said) and "channel_axis" not in in_dock_words(said)


def test_every_control_that_a_message_may_name_exists(make_widget, qtbot):
    viewer, denoise = make_widget(np.zeros((3, 16, 16), np.float32))
    docks = [denoise, *(kind(viewer) for kind in (EvaluateWidget, CompareWidget, SynthesizeWidget, TrainWidget))]
    names = set()
    for dock in docks:
        qtbot.addWidget(dock)
        names |= {label.text() for label in dock.findChildren(QLabel)}
        names |= {button.text() for button in dock.findChildren(QAbstractButton)}
    names = {name.replace("&", "") for name in names}
    assert set(CONTROLS.values()) <= names
    assert isinstance(denoise, DenoiseWidget)
