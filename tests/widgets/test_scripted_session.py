"""The page about scripted sessions runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import napari
import numpy as np
import pytest

import napari_hush
from napari_hush.io import read_image, write_image
from napari_hush.io.history import read_history
from napari_hush.widgets.function import denoise_image

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scripts.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk(tmp_path, monkeypatch, make_napari_viewer):
    """A folder with a scan; viewers of the page are closed with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(napari, "Viewer", make_napari_viewer)
    write_image("scan.tif", napari_hush.sample("dented-lattice").noisy[:96, :80], pixel_size=0.02, units="nm")
    return tmp_path


def ran(code):
    namespace = {"__name__": "page"}
    exec(compile(code, PAGE.name, "exec", dont_inherit=True), namespace)
    return namespace


def test_the_session_of_the_page(desk, capsys):
    session, _ = BLOCKS
    made = ran(session)
    expected = napari_hush.denoise(read_image("scan.tif").data, "stem", device="cpu", tile=256)
    np.testing.assert_array_equal(made["result"].data, expected)
    np.testing.assert_array_equal(read_image("scan_clean.tif").data, expected)
    said = capsys.readouterr().out
    assert "there is a layer scan · stem" in said
    assert made["found"].verdict in said
    assert "hush.denoise(image, 'stem', device='cpu', tile=256)" in said
    assert "--model stem --device cpu --tile 256" in said
    assert read_history("scan_clean.tif")["model"] == "stem"


def test_the_function_widgets_of_the_page(desk):
    _, functions = BLOCKS
    made = ran(functions)
    viewer = made["viewer"]
    (scan,) = viewer.open("scan.tif", plugin="napari-hush")
    for function in (denoise_image, made["noise_alone"]):
        widget = viewer.window.add_function_widget(function, name=f"{function.__name__} here")
        inner = getattr(widget.widget(), "_magic_widget", None) or widget._magic_widget
        inner.model.value = "stem"
        image = np.asarray(inner.image.value)
        inner()
        layer = viewer.layers[-1]
        np.testing.assert_array_equal(layer.data, function(image, "stem"))
        np.testing.assert_allclose(layer.scale, scan.scale)
