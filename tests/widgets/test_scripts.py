"""Scripts drive the docks, and what a dock copies gives the same bits."""

from __future__ import annotations

import shlex
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

import napari_hush.inference.denoise
from napari_hush import cli
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.errors import InputError, ModelFileError
from napari_hush.fidelity.stacks import EvaluationSettings
from napari_hush.inference.denoise import Denoised
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io import read_image, write_image
from napari_hush.progress import Progress
from napari_hush.widgets.compare.dock import CompareWidget
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.files.reader import get_reader
from napari_hush.widgets.parts.copy_button import WAYS, CopyButton
from napari_hush.widgets.parts.layer_source import image_data
from napari_hush.widgets.synthesize.dock import SynthesizeWidget
from napari_hush.widgets.train.dock import TrainWidget

TIMEOUT = 300
TORCH = DenoiseSettings(engine="torch", device="cpu")


def ran(text, **known):
    """The names that a copied text leaves, run as somebody would run it."""
    namespace = dict(known)
    exec(compile(text, "copied", "exec", dont_inherit=True), namespace)
    return namespace


def opened(viewer, path):
    """The layers of a file, as napari opens it with napari-hush."""
    return [viewer.add_image(data, **options) for data, options, _ in get_reader(str(path))(str(path))]


@pytest.fixture
def slow(monkeypatch):
    """Denoising that takes ten seconds, or until it is cancelled."""

    def steps(image, *_, **__):
        for step in range(1, 501):
            time.sleep(0.02)
            yield Progress(step, 500, f"tile {step} of 500")
        return Denoised(np.zeros(image.shape, np.float32), {"model": "slow", "seconds": 10.0})

    monkeypatch.setattr(napari_hush.inference.denoise, "denoise_steps", steps)


def test_a_script_chooses_runs_and_gets_the_layer(make_widget, image, model_file):
    viewer, dock = make_widget(image)
    other = viewer.add_image(image[::-1], name="other")
    made, beats = [], []
    dock.finished.connect(made.append)
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(threading.current_thread()))
    timer.start(5)
    dock.layer, dock.model, dock.settings = other, model_file, replace(TORCH, dark=True)
    assert (dock.layer, dock.model, dock.settings.dark) == (other, model_file, True)
    job = dock.run()
    assert job.running and job.result is None
    layer = job.wait(TIMEOUT)
    assert beats, "the viewer stood still"
    assert not job.running and job.result is layer and made == [layer] and layer in viewer.layers
    expected = napari_hush.denoise(image[::-1], model_file, dark=True, engine="torch", device="cpu")
    np.testing.assert_array_equal(layer.data, expected)
    dock.layer = "noisy"
    assert dock.layer == viewer.layers["noisy"]
    assert dock.preview().wait(TIMEOUT).name == "noisy preview"


def test_a_script_hears_what_is_wrong(make_widget, image, tmp_path):
    viewer, dock = make_widget(image)
    stranger = ViewerModel().add_image(image, name="stranger")
    for wrong in (stranger, "stranger", None, 3):
        with pytest.raises(InputError, match=r"expected an image layer of this viewer \('noisy'\)"):
            dock.layer = wrong
    (tmp_path / "text.h5").write_text("no model")
    for model, words in (
        ("stemm", "expected 'auto', .*'stem'"),
        (tmp_path / "text.h5", "text.h5"),
        ("no.pth", "no.pth"),
    ):
        with pytest.raises(ModelFileError, match=words):
            dock.model = model
    dock.model = "stem"
    assert dock.model == "stem"
    with pytest.raises(ValueError, match="tile"):
        dock.settings = DenoiseSettings(tile=0)
    dock.settings = replace(TORCH, guard="strict")  # the image has no lattice
    job = dock.run()
    with pytest.raises(InputError, match="lattice"):
        job.wait(TIMEOUT)
    assert isinstance(job.error, InputError)
    viewer.layers.clear()
    with pytest.raises(InputError, match="there is no image layer"):
        dock.run().wait(TIMEOUT)


def test_a_script_cancels_and_does_not_wait_for_ever(make_widget, image, slow):
    viewer, dock = make_widget(image)
    job = dock.run()
    with pytest.raises(InputError, match="a run is under way"):
        dock.run().wait()
    with pytest.raises(TimeoutError, match="it goes on"):
        job.wait(0.05)
    job.cancel()
    with pytest.raises(CancelledError):
        job.wait(TIMEOUT)
    assert not job.running and len(viewer.layers) == 1


def test_several_selected_layers_give_a_list(make_widget, image):
    viewer, dock = make_widget(image)
    other = viewer.add_image(image[::-1], name="other")
    viewer.layers.selection = {viewer.layers["noisy"], other}
    made = dock.run().wait(TIMEOUT)
    assert [layer.name for layer in made] == ["other · tiny", "noisy · tiny"]


def test_of_several_layers_those_that_failed_are_told(make_widget, image):
    viewer, dock = make_widget(image)
    other = viewer.add_image(np.zeros((2, 2, 2, 16, 16), np.float32), name="five axes")
    viewer.layers.selection = {viewer.layers["noisy"], other}
    job = dock.run()
    with pytest.raises(InputError, match=r"1 of 2 layers denoised.*five axes"):
        job.wait(TIMEOUT)
    assert [layer.name for layer in job.result] == ["noisy · tiny"]


def test_a_run_of_a_closed_dock_ends(make_widget, image, slow, qtbot):
    _, dock = make_widget(image, window=True)
    job = dock.run()
    QTimer.singleShot(50, dock.deleteLater)
    with pytest.raises(CancelledError):
        job.wait(TIMEOUT)


@pytest.mark.parametrize("kind", [EvaluateWidget, SynthesizeWidget, TrainWidget, CompareWidget])
def test_every_dock_has_the_same_surface(kind, qtbot, image):
    viewer = ViewerModel()
    viewer.add_image(image, name="scan")
    made = viewer.add_image(image / 2, name="made")
    dock = kind(viewer)
    qtbot.addWidget(dock)
    dock.layer = "made"
    assert dock.layer == made
    with pytest.raises(InputError, match="expected an image layer of this viewer"):
        dock.layer = "missing"
    if kind is not CompareWidget:
        settings = dock.settings
        dock.settings = settings
        assert dock.settings == settings
    button = dock.findChildren(CopyButton)
    assert [action.data() for one in button for action in one.menu().actions()] == list(WAYS.values()) * len(button)
    assert len(button) == (0 if kind is CompareWidget else 1)
    if kind is TrainWidget:
        dock.model = "stem"
        assert dock.model == "stem"


CHOICES = [DenoiseSettings(engine="torch", device="cpu", guard=False, tile=32), replace(TORCH, dark=True)]


@pytest.mark.parametrize("settings", CHOICES, ids=["tiles", "dark"])
@pytest.mark.parametrize("as_input", [False, True], ids=["float32", "as input"])
def test_copied_text_repeats_a_denoising_of_a_file(make_widget, image, model_file, tmp_path, settings, as_input):
    path = tmp_path / "my scan.tif"
    write_image(path, image, pixel_size=0.1, units="nm")
    viewer, dock = make_widget()
    (dock.layer,) = opened(viewer, path)
    dock.model, dock.settings = model_file, settings
    dock._output.setCurrentIndex(int(as_input))
    python, command = dock.as_python(), dock.as_command()
    layer = dock.run().wait(TIMEOUT)
    result = ran(python)["result"]
    assert result.dtype == layer.data.dtype == (np.uint16 if as_input else np.float32)
    np.testing.assert_array_equal(result, layer.data)
    program, *words = shlex.split(command)
    assert program == "napari-hush" and cli.main([*words, "--no-verdict"]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "my scan_denoised.tif").data, layer.data)


@pytest.mark.parametrize("name", ["it's [1] $HOME.tif", '"quoted"\nimport nothing.tif', "-o.tif", "ä ∂.tif"])
def test_names_are_no_code(make_widget, image, model_file, tmp_path, name):
    viewer, dock = make_widget(image, name=name)
    dock.settings = replace(TORCH, strength=np.float64(0.5))
    layer = dock.run().wait(TIMEOUT)
    np.testing.assert_array_equal(ran(dock.as_python(), viewer=viewer)["result"], layer.data)
    write_image(tmp_path / name, image)
    (dock.layer,) = opened(viewer, tmp_path / name)
    np.testing.assert_array_equal(ran(dock.as_python())["result"], layer.data)
    words = shlex.split(dock.as_command())[1:]
    assert cli.main([*words, "--no-verdict", "-o", str(tmp_path / "out.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), layer.data)


def test_a_run_can_follow_a_run(make_widget, image):
    _, dock = make_widget(image)
    jobs, made = [], []

    def again(layer):
        made.append(layer)
        if not jobs:
            jobs.append(dock.run())

    dock.finished.connect(again)
    first = dock.run().wait(TIMEOUT)
    second = jobs[0].wait(TIMEOUT)
    assert made == [first, second] and first is not second


def test_copied_text_repeats_a_series_from_the_frame_in_sight(make_widget, model_file, tmp_path):
    movie = napari_hush.sample("stack").noisy[:4, :64, :64]
    write_image(tmp_path / "movie.tif", movie, axes="TYX")
    viewer, dock = make_widget()
    (dock.layer,) = opened(viewer, tmp_path / "movie.tif")
    dock.model, dock.settings = model_file, replace(TORCH, frames=3)
    viewer.dims.set_current_step(0, 2)
    python, command = dock.as_python(), dock.as_command()
    assert "first=2" in python and "--first 2" in command
    layer = dock.run().wait(TIMEOUT)
    np.testing.assert_array_equal(ran(python)["result"], layer.data)
    assert cli.main([*shlex.split(command)[1:], "--no-verdict"]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "movie_denoised.tif").data, layer.data)


def test_copied_text_repeats_colours_and_channels(make_widget, image, model_file, tmp_path):
    photo = np.stack([image, image[::-1], image[:, ::-1]], axis=-1).astype(np.uint8)
    write_image(tmp_path / "photo.png", photo)
    viewer, dock = make_widget()
    (dock.layer,) = opened(viewer, tmp_path / "photo.png")
    dock.model, dock.settings = model_file, TORCH
    python, command = dock.as_python(), dock.as_command()
    layer = dock.run().wait(TIMEOUT)
    np.testing.assert_array_equal(ran(python)["result"], layer.data)
    assert cli.main([*shlex.split(command)[1:], "--no-verdict", "-o", str(tmp_path / "out.tif")]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "out.tif").data, layer.data)
    transparent = np.concatenate([photo, photo[..., :1]], axis=-1)
    dock.layer = viewer.add_image(transparent, name="glass", rgb=True)
    python = dock.as_python()
    layer = dock.run().wait(TIMEOUT)
    np.testing.assert_array_equal(ran(python, viewer=viewer)["result"], layer.data)
    dyes = viewer.add_image(np.stack([image, image * 3]), name="dyes", axis_labels=("c", "y", "x"))
    dock.layer = dyes
    python = dock.as_python()
    assert "channel_axis=0" in python
    layer = dock.run().wait(TIMEOUT)
    np.testing.assert_array_equal(ran(python, viewer=viewer)["result"], layer.data)


def test_a_layer_without_a_file_is_said(make_widget, image, model_file, tmp_path):
    viewer, dock = make_widget(image)
    python = dock.as_python()
    assert "napari's console" in python and "viewer.layers['noisy'].data" in python
    layer = dock.run().wait(TIMEOUT)
    np.testing.assert_array_equal(ran(python, viewer=viewer)["result"], layer.data)
    dock.copy("as_command")
    assert "save it (File > Save" in dock._message.text
    path = tmp_path / "changed.tif"
    write_image(path, image)
    (dock.layer,) = opened(viewer, path)
    assert "changed.tif" in dock.as_command()
    dock.layer.data = image + 1  # the file holds something else
    with pytest.raises(InputError, match="none holds just what this layer shows"):
        dock.as_command()
    assert "viewer.layers" in dock.as_python()


def test_copied_text_repeats_a_result_in_a_file(make_widget, image, model_file, tmp_path):
    write_image(tmp_path / "big.zarr", image)
    viewer, dock = make_widget()
    (dock.layer,) = opened(viewer, tmp_path / "big.zarr")
    dock.model, dock.settings = model_file, TORCH
    dock._keep.combo.setCurrentText("a .zarr file")
    python, command = dock.as_python(), dock.as_command()
    target = dock._keep.place.target
    assert str(target) in python and str(target) in shlex.split(command)
    layer = dock.run().wait(TIMEOUT)
    expected = np.asarray(image_data(layer))
    target.rename(tmp_path / "dock.zarr")
    np.testing.assert_array_equal(np.asarray(ran(python)["result"]), expected)
    target.rename(tmp_path / "python.zarr")
    assert cli.main([*shlex.split(command)[1:], "--no-verdict"]) == 0
    np.testing.assert_array_equal(np.asarray(read_image(target).data), expected)


def test_the_menu_copies(make_widget, image, qtbot):
    _, dock = make_widget(image)
    (button,) = dock.findChildren(CopyButton)
    first, _ = button.menu().actions()
    first.trigger()
    assert QApplication.clipboard().text() == dock.as_python()
    assert button.text() == "Copied"
    qtbot.waitUntil(lambda: button.text() == "Copy", timeout=10_000)


def test_copied_text_repeats_an_evaluation(qtbot, tmp_path):
    field = napari_hush.sample("dented-lattice")
    for name, data in (("noisy", field.noisy), ("denoised", field.clean), ("truth", field.clean)):
        write_image(tmp_path / f"{name}.tif", data[:96, :96], pixel_size=0.02, units="nm")
    viewer = ViewerModel()
    layers = {name: opened(viewer, tmp_path / f"{name}.tif")[0] for name in ("noisy", "denoised", "truth")}
    dock = EvaluateWidget(viewer)
    qtbot.addWidget(dock)
    dock.layer, dock.noisy, dock.settings = layers["denoised"], layers["noisy"], EvaluationSettings(match=True)
    dock._choice.truth.layer = layers["truth"]
    found = dock.run().wait(TIMEOUT)
    assert found is dock.evaluation
    again = ran(dock.as_python())["found"]
    assert again.verdict == found.verdict
    for one, other in zip(again.worst.findings, found.worst.findings, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.value, other.value)
    command = dock.as_command()
    sheets = [tmp_path / "dock.csv", tmp_path / "command.csv"]
    dock.ask_path = lambda ending: str(sheets[0])
    dock.save_csv()
    qtbot.waitUntil(lambda: not dock.running, timeout=1000 * TIMEOUT)
    assert cli.main([*shlex.split(command)[1:], "--csv", str(sheets[1])]) in (0, 1, 3, 4)
    assert sheets[0].read_bytes() == sheets[1].read_bytes()


def test_copied_text_repeats_a_synthesis(qtbot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dock = SynthesizeWidget(ViewerModel())
    qtbot.addWidget(dock)
    dock.settings = SynthesisSettings(n=2, shape=(48, 64), period=(8.0, 12.0), seed=5, test_share=0)
    layer = dock.run().wait(TIMEOUT)
    assert layer.name == "targets · noisy"
    targets = ran(dock.as_python())["targets"]
    np.testing.assert_array_equal(np.stack([one.noisy for one in targets]), layer.data)
    assert cli.main(shlex.split(dock.as_command())[1:]) == 0
    for number, expected in enumerate(layer.data):
        np.testing.assert_array_equal(read_image(f"targets/train/noisy/{number:05}.tif").data, expected)
    assert dock.preview().wait(TIMEOUT).name == "target · noisy"
    assert dock.save  # asked for a folder by hand
    dock._viewer.add_image(layer.data[0], name="scan")
    dock.layer = "scan"
    with pytest.raises(InputError, match="Save data set"):
        dock.as_command()
