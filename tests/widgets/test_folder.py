"""A folder as one batch of the dock: files beside their inputs, as the command makes them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_hush.batch import one_file
from napari_hush.cli.denoise import Denoise, DenoiseOptions
from napari_hush.io import read_image
from napari_hush.io.history import read_history
from napari_hush.progress import Progress


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "scans [1]"
    place.mkdir()
    for number in range(3):
        values = np.random.default_rng(number).poisson(40, (64, 72)).astype(np.uint16)
        tifffile.imwrite(place / f"scan{number}.tif", values)
    (place / "notes.txt").write_text("of the day")
    (place / "broken.tif").write_bytes(b"II*\0 and nothing else")
    return place


def results(place):
    return sorted(path.name for path in place.glob("*_denoised.tif"))


def test_each_image_gets_the_file_that_the_command_makes(make_widget, finish, folder, model_file, tmp_path):
    viewer, widget = make_widget()
    widget._folder.ask_folder = lambda: str(folder)
    widget._folder.folder.click()
    finish(widget)
    assert results(folder) == [f"scan{number}_denoised.tif" for number in range(3)]
    assert widget._progress.text.startswith("3 of 4 files denoised in")
    assert "not denoised: broken.tif" in widget._progress.text
    assert str(folder) not in widget._progress.text  # the file is named once
    assert not viewer.layers
    out = tmp_path / "out"
    options = DenoiseOptions(engine="torch", device="cpu")
    inputs = tuple(str(path) for path in sorted(folder.glob("scan?.tif")))
    assert Denoise(inputs=inputs, output=out, model=str(model_file), settings=options).run() == 0
    for name in results(folder):
        np.testing.assert_array_equal(read_image(folder / name).data, read_image(out / name).data)
        mine, other = (read_history(place / name) for place in (folder, out))
        assert mine["request"] == other["request"]
        assert mine["verdict"] == other["verdict"]


def test_what_is_done_is_left_out_and_opened_on_demand(make_widget, finish, folder):
    viewer, widget = make_widget()
    (folder / "broken.tif").unlink()
    widget.run_folder(folder)
    finish(widget)
    assert widget._folder.open.text() == "Open 3 results"
    times = [(folder / name).stat().st_mtime_ns for name in results(folder)]
    (folder / "scan1_denoised.tif").unlink()
    widget.run_folder(folder)
    finish(widget)
    assert widget._progress.text.startswith("1 of 1 files denoised in")
    assert "2 were done already" in widget._progress.text
    assert [(folder / f"scan{k}_denoised.tif").stat().st_mtime_ns for k in (0, 2)] == [times[0], times[2]]
    opened = []
    widget._folder._viewer = type("Viewer", (), {"open": lambda _, paths, plugin: opened.extend(paths)})()
    widget._folder.open.click()
    assert sorted(opened) == [str(folder / name) for name in results(folder)]
    assert not viewer.layers


def test_cancel_keeps_what_is_done(make_widget, folder, qtbot, monkeypatch):
    _, widget = make_widget()
    (folder / "broken.tif").unlink()
    steps = one_file.file_steps

    def waiting(job, *given):
        while job.label == "scan1.tif":
            yield Progress(1, 2, "half of it")
        return (yield from steps(job, *given))

    monkeypatch.setattr(one_file, "file_steps", waiting)
    widget.run_folder(folder)
    qtbot.waitUntil(lambda: "file 2 of 3, scan1.tif: half of it" in widget._progress.text, timeout=300_000)
    assert not widget._folder.folder.isEnabled()
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=60_000)
    assert widget._progress.text.startswith("cancelled; 1 of 3 files denoised")
    assert results(folder) == ["scan0_denoised.tif"]
    assert widget._folder.open.text() == "Open the result"


def test_results_of_other_settings_are_not_replaced(make_widget, finish, folder):
    _, widget = make_widget()
    widget.run_folder(folder)
    finish(widget)
    before = [(folder / name).read_bytes() for name in results(folder)]
    widget._form.value = type(widget._form.value)(engine="torch", device="cpu", dark=True)
    widget.run_folder(folder)
    finish(widget)
    assert "was made otherwise (dark False then, True now)" in widget._message.text
    assert widget._message.text.endswith("move it away, or choose other images")
    assert [(folder / name).read_bytes() for name in results(folder)] == before


def test_a_folder_without_images_says_so(make_widget, finish, tmp_path):
    _, widget = make_widget()
    widget.run_folder(tmp_path)
    finish(widget)
    assert "holds no image" in widget._message.text


def test_a_folder_is_dropped(make_widget, finish, folder):
    _, widget = make_widget()
    content = QMimeData()
    content.setUrls([QUrl.fromLocalFile(str(folder))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    widget.dropEvent(QDropEvent(QPoint(5, 5).toPointF(), Qt.DropAction.CopyAction, content, left, none))
    assert widget.running
    finish(widget)
    assert len(results(folder)) == 3
