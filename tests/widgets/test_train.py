"""The dock widget Train, as a user drives it."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import subprocess
import sys
import time
from dataclasses import fields, replace
from functools import partial
from importlib.util import find_spec

import dask.array
import numpy as np
import psutil
import pytest
import torch
import zarr
from napari.components import ViewerModel

import napari_hush as hush
from napari_hush import cli
from napari_hush.errors import InputError
from napari_hush.fidelity.metrics import METRICS
from napari_hush.importers.registry import load_model
from napari_hush.io import write_image
from napari_hush.model import Model
from napari_hush.progress import Progress
from napari_hush.training.checkpoint import FREE, read_checkpoint
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.presets import PRESETS
from napari_hush.training.process.child import _Reporter
from napari_hush.training.settings import (
    CycleGANSettings,
    Noise2NoiseSettings,
    Noise2VoidSettings,
    SupervisedSettings,
)
from napari_hush.training.settings_file import train_settings_to_toml
from napari_hush.widgets.denoise.dock import DenoiseWidget
from napari_hush.widgets.files.reader import get_reader
from napari_hush.widgets.parts.layer_source import Source
from napari_hush.widgets.parts.model_list import ModelCombo
from napari_hush.widgets.parts.recent import recent_files
from napari_hush.widgets.train import data as train_data
from napari_hush.widgets.train import form as train_form
from napari_hush.widgets.train import place as train_place
from napari_hush.widgets.train.dock import TrainWidget

TIMEOUT = 600_000  # the process gives way to all others
TINY = SupervisedSettings(
    patch=16, batch_size=2, steps=6, validate_every=3, picture_every=0, network_options="width = 4", device="cpu"
)
LONG = replace(TINY, steps=100_000, validate_every=100_000)


@pytest.fixture
def new_process():
    """For tests of the process itself: it is started as in a person's napari."""


@pytest.fixture(autouse=True)
def forked_process(request, monkeypatch):
    """For all others the process is forked from one that has loaded PyTorch, which takes seconds, once."""
    if "new_process" in request.fixturenames or sys.platform == "win32":
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "napari_hush.training.fit"])
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    clean = np.kron(rng.random((6, 6, 8)), np.ones((8, 8))).astype(np.float32)
    return clean + rng.normal(0, 0.2, clean.shape).astype(np.float32), clean


@pytest.fixture
def make(request, qtbot, tmp_path):
    """Give a viewer with image layers, and the widget; docked in a window on request, for that takes a second."""
    widgets = []

    def made(settings=TINY, *, window=False, **images):
        viewer = request.getfixturevalue("make_napari_viewer_proxy")(show=True) if window else ViewerModel()
        for name, data in images.items():
            viewer.add_image(data, name=name)
        widget = TrainWidget(viewer)
        if window:
            viewer.window.add_dock_widget(widget, name="Train")
        else:
            qtbot.addWidget(widget)
        widget.place.folder = tmp_path / "models"
        widget.form.settings = settings
        for name in ("noisy", "clean", "truth"):
            if name in images:
                getattr(widget.data, name).source = viewer.layers[name]
        widgets.append(widget)
        return viewer, widget

    yield made
    while widgets:  # pytest holds the list in a cycle: a collection in a thread must not find widgets in it
        widget = widgets.pop()
        try:
            widget.data.study.stop()
            widget.cancel()
            qtbot.waitUntil(partial(idle, widget), timeout=TIMEOUT)
        except RuntimeError:  # it is deleted
            continue
        finally:
            del widget
    end = time.monotonic() + 300  # Qt may have deleted the widget, which only asks for the end
    while children() and time.monotonic() < end:
        time.sleep(0.05)
    assert not children()


@pytest.fixture
def looked(qtbot):
    """Wait until the images were looked at; gives what is said of them."""

    def wait(widget):
        qtbot.waitUntil(lambda: not widget.data.study.busy, timeout=TIMEOUT)
        return widget.data.words.text()

    return wait


@pytest.fixture
def trained(qtbot, looked):
    """Start or resume, and wait for the end."""

    def wait(widget, *, resume=False):
        looked(widget)
        (widget.resume if resume else widget.start)()
        assert widget.running
        qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)

    return wait


@pytest.fixture
def begun(qtbot, looked):
    """Start, and wait for the first steps."""

    def wait(widget):
        looked(widget)
        widget.start()
        qtbot.waitUntil(lambda: widget._run.step > 2, timeout=TIMEOUT)

    return wait


def idle(widget):
    return not widget.running and not widget.data.study.busy


def children():
    """The training processes of this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "--multiprocessing-fork" in child.cmdline() or child.ppid() != os.getpid():
                found.append(child)
        except psutil.Error:  # it has just ended
            continue
    return found


def weights(model):
    return model.network.state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_two_layers_become_a_model_that_denoise_offers(new_process, make, looked, trained, pair, tmp_path, qtbot):
    noisy, clean = pair
    viewer, widget = make(noisy=noisy, clean=clean)
    denoise = DenoiseWidget(viewer)
    qtbot.addWidget(denoise)
    assert looked(widget) == "6 pairs of 64 x 48 px"
    trained(widget)
    path = tmp_path / "models" / "supervised.safetensors"
    assert denoise._models.path == path
    assert recent_files() == [path]
    assert path in [ModelCombo().itemData(index) for index in range(ModelCombo().count())]
    for words in ("supervised: 6 steps", "validation", "noisy", "Denoise"):
        assert words in widget._progress.text
    card = Model.load(path).card
    assert card.name == "supervised"
    assert card.training["settings"]["network_options"] == "width = 4"
    assert path.with_suffix(".ckpt").is_file()
    assert "patch = 16" in path.with_suffix(".toml").read_text()
    preview = viewer.layers["train · preview"]
    assert preview.data.shape[0] >= 48
    assert preview.metadata["napari-hush"]["step"] == 6
    assert [step for step, _ in widget._run.curves["psnr"]] == [3, 6]
    if find_spec("pyqtgraph") is not None:
        assert widget.curves.points("psnr") == widget.curves.points("noisy_psnr") == 2
        assert widget.curves.points("loss") >= 1
        assert widget.curves._plots[1].isVisibleTo(widget)
    assert not children()
    assert_same(weights(Model.load(path)), weights(hush.train("supervised", (noisy, clean), TINY)))


def test_cancelled_and_resumed_equals_uninterrupted(make, begun, trained, pair, tmp_path, qtbot):
    noisy, clean = pair
    settings = replace(LONG, schedule="constant", warmup=0)
    _, widget = make(settings, noisy=noisy, clean=clean)
    begun(widget)
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    checkpoint = tmp_path / "models" / "supervised.ckpt"
    done = read_checkpoint(checkpoint)["step"]
    assert widget._progress.text == f"cancelled after step {done}; Resume goes on from the checkpoint"
    assert not checkpoint.with_suffix(".safetensors").exists()
    short = replace(settings, steps=done + 5)
    widget.form.settings = short
    trained(widget, resume=True)
    wanted = hush.train("supervised", (noisy, clean), short)
    assert_same(weights(Model.load(checkpoint.with_suffix(".safetensors"))), weights(wanted))
    assert f"{done + 5} steps" in widget._progress.text


def test_resume_takes_the_settings_of_the_run(make, begun, looked, pair, qtbot):
    noisy, clean = pair
    _, widget = make(LONG, noisy=noisy, clean=clean)
    begun(widget)
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    widget.form.settings = Noise2VoidSettings(patch=32)
    looked(widget)
    widget.place.name = "supervised"
    widget.resume()
    assert widget.form.method == "supervised"
    assert widget.form.settings == LONG


def test_pause_holds_the_step(make, begun, pair, qtbot):
    noisy, clean = pair
    _, widget = make(LONG, noisy=noisy, clean=clean)
    begun(widget)
    widget._pause.click()
    assert widget.paused
    assert widget._pause.text() == "Continue"

    def stands_still():  # once the step has ended that was under way
        step = widget._run.step
        qtbot.wait(700)
        return widget._run.step == step

    qtbot.waitUntil(stands_still, timeout=300_000)
    step = widget._run.step
    assert widget._progress.text == f"paused after step {step}"
    widget._pause.click()
    qtbot.waitUntil(lambda: widget._run.step > step, timeout=TIMEOUT)


def test_paused_run_can_be_cancelled(make, begun, pair, tmp_path, qtbot):
    noisy, clean = pair
    _, widget = make(LONG, noisy=noisy, clean=clean)
    begun(widget)
    widget.pause()
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    assert (tmp_path / "models" / "supervised.ckpt").is_file()


def test_cancelled_before_the_first_step_leaves_nothing(new_process, make, looked, pair, tmp_path, qtbot):
    noisy, clean = pair
    _, widget = make(LONG, noisy=noisy, clean=clean)
    looked(widget)
    widget.start()
    qtbot.waitUntil(lambda: bool(widget._run.pid), timeout=TIMEOUT)
    widget.cancel()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    assert list((tmp_path / "models").iterdir()) == []
    assert "cancelled" in widget._progress.text


def test_killed_process_is_reported_and_resumed(new_process, make, begun, trained, pair, messages, qtbot, tmp_path):
    noisy, clean = pair
    settings = replace(LONG, validate_every=2)
    _, widget = make(settings, noisy=noisy, clean=clean)
    begun(widget)
    checkpoint = tmp_path / "models" / "supervised.ckpt"
    qtbot.waitUntil(checkpoint.is_file, timeout=TIMEOUT)
    psutil.Process(widget._run.pid).kill()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    assert any(kind == "error" and "the training process" in text and "Resume" in text for kind, text in messages())
    assert "Resume" in widget._progress.text
    assert widget._resume.isEnabled()
    done = read_checkpoint(checkpoint)["step"]
    widget.form.settings = replace(settings, steps=done + 2)
    trained(widget, resume=True)
    assert f"{done + 2} steps" in widget._progress.text


@pytest.mark.nightly
def test_stop_at_once_kills(new_process, make, begun, pair, qtbot):
    noisy, clean = pair
    _, widget = make(LONG, noisy=noisy, clean=clean)
    begun(widget)
    psutil.Process(widget._run.pid).suspend()  # a step that never ends
    widget._cancel.click()
    assert widget._cancel.text() == "Stop at once"
    qtbot.wait(300)
    assert widget.running
    widget._cancel.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)


@pytest.mark.nightly
def test_process_ends_by_itself_without_its_parent(tmp_path):
    """Kill the process that started the training, as a crash of napari does."""
    code = f"""
import sys, time
import numpy as np
from pathlib import Path
from napari_hush.training.settings import SupervisedSettings
from napari_hush.training.process.child import Order, Stored
from napari_hush.training.process.parent import RemoteTraining, train_steps
folder = Path({str(tmp_path)!r})
rng = np.random.default_rng(0)
for name in ("noisy", "clean"):
    np.save(folder / f"{{name}}.npy", rng.random((6, 48, 64), dtype=np.float32))
settings = SupervisedSettings(patch=16, batch_size=2, steps=100000, network_options="width = 4", picture_every=0)
run = RemoteTraining()
def order(temporary):
    stored = [Stored(path=folder / f"{{name}}.npy", kind="npy") for name in ("noisy", "clean")]
    return Order(method="supervised", settings=settings, noisy=stored[0], clean=stored[1],
                 model=folder / "a.safetensors", checkpoint=folder / "a.ckpt", folder=temporary)
    yield
for event in train_steps(order, run):
    if run.step > 3:
        print(run.pid, flush=True)
        time.sleep(600)
raise SystemExit("this line stands in no guard: a process that ran it again would fail")
"""
    parent = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([child], timeout=300)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert read_checkpoint(tmp_path / "a.ckpt")["step"] > 3


def test_closing_the_dock_ends_the_process_and_keeps_the_checkpoint(new_process, make, begun, pair, qtbot, tmp_path):
    noisy, clean = pair
    viewer, widget = make(LONG, window=True, noisy=noisy, clean=clean)
    begun(widget)
    (process,) = children()
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: not process.is_running(), timeout=TIMEOUT)
    qtbot.waitUntil((tmp_path / "models" / "supervised.ckpt").is_file, timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((5, 48, 64), "got 6 and 5"), ((6, 48, 32), "64 x 48 px and 32 x 48 px"), ((6, 48, 64, 3), "has colours")],
)
def test_wrong_data_are_told(make, looked, pair, shape, words):
    _, widget = make(noisy=pair[0], clean=np.random.default_rng(0).random(shape))
    assert words in looked(widget)
    assert not widget._start.isEnabled()
    assert words in widget._start.toolTip()
    widget.start()
    assert not widget.running


def test_what_the_library_refuses_is_a_notification(make, trained, pair, messages, tmp_path):
    _, widget = make(noisy=pair[0], clean=np.zeros_like(pair[1]))
    trained(widget)
    assert any(kind == "error" and "the clean image is constant" in text for kind, text in messages())
    assert list((tmp_path / "models").iterdir()) == []


def test_images_that_are_left_out_are_told(make, trained, pair, messages):
    noisy, clean = pair
    clean[2] = 0.5
    _, widget = make(noisy=noisy, clean=clean)
    trained(widget)
    assert any(kind == "warning" and "left out 1 of 6" in text for kind, text in messages())


def test_patch_larger_than_the_images_is_refused(make, looked, pair):
    _, widget = make(replace(TINY, patch=64), noisy=pair[0], clean=pair[1])
    looked(widget)
    assert "less than a patch of 64 px" in widget._start.toolTip()


def test_missing_layers_are_asked_for(make):
    _, widget = make()
    assert "choose noisy images" in widget.data.words.text()
    assert not widget._start.isEnabled()


def test_nothing_is_overwritten(make, trained, pair, tmp_path):
    noisy, clean = pair
    (tmp_path / "models").mkdir()
    first = tmp_path / "models" / "supervised.safetensors"
    first.write_bytes(b"precious")
    _, widget = make(noisy=noisy, clean=clean)
    assert "Start makes supervised-2" in widget.place._words.text()
    trained(widget)
    assert widget.place.name == "supervised-2"
    assert first.read_bytes() == b"precious"
    assert (tmp_path / "models" / "supervised-2.safetensors").is_file()


def test_curves_are_drawn_as_far_as_they_can(make):
    pytest.importorskip("pyqtgraph")
    _, widget = make()
    widget.curves.begin()
    widget.curves.draw({"loss": [(1, 0.5), (2, 0.0), (3, np.nan), (4, 1e-3)], "nothing": [(1, -1.0)]})
    assert widget.curves.points("loss") == 4
    assert widget.curves.points("nothing") == 0
    assert not widget.curves._plots[1].isVisibleTo(widget)
    widget.curves.draw({"psnr": [(3, 21.5)], "noisy_psnr": [(3, 15.0)]})
    assert "21.5 dB" in widget.curves._captions[1].text()
    widget.curves.begin()
    assert widget.curves.points("loss") == 0


def test_a_new_metric_is_no_loss(make, monkeypatch):
    """Neither among the curves that the process sends, nor where it is drawn."""
    monkeypatch.setitem(METRICS, "sharpness", METRICS["mse"])
    sent = []
    reporter = _Reporter(type("Line", (), {"send": lambda self, kind, report: sent.append(report)})())
    reporter.take(Progress(1, 2, losses={"loss": 0.5, "sharpness": 3.0, "psnr": 20.0, "noisy_psnr": 10.0}))
    reporter.flush()
    assert {name for report in sent for name, *_ in report.points} == {"loss", "psnr", "noisy_psnr"}
    pytest.importorskip("pyqtgraph")
    _, widget = make()
    widget.curves.begin()
    widget.curves.draw({"loss": [(1, 0.5)], "sharpness": [(1, 3.0)], "noisy_sharpness": [(1, 3.0)]})
    assert widget.curves.points("loss") == 1
    assert widget.curves.points("sharpness") == widget.curves.points("noisy_sharpness") == 0
    assert "sharpness" not in widget.curves._captions[0].text()


def test_without_pyqtgraph_it_says_how_to_install_it(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyqtgraph", None)
    _, widget = make()
    widget.curves.begin()
    widget.curves.draw({"loss": [(1, 0.5)]})
    assert "pyqtgraph" in widget.curves._layout.itemAt(0).widget().text()


def test_colours(make, trained, tmp_path):
    rng = np.random.default_rng(0)
    clean = np.kron(rng.integers(0, 255, (6, 6, 8, 4)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    noisy = np.clip(clean + rng.normal(0, 20, clean.shape), 0, 255).astype(np.uint8)
    viewer, widget = make(noisy=noisy, clean=clean)
    assert viewer.layers["noisy"].rgb
    trained(widget)
    assert Model.load(tmp_path / "models" / "supervised.safetensors").in_channels == 3
    assert viewer.layers["train · preview"].rgb


@pytest.mark.parametrize(
    ("settings", "names", "words"),
    [
        (Noise2VoidSettings(patch=16, batch_size=2, steps=4, network_options="width = 4"), ["noisy"], "6 noisy images"),
        (
            Noise2NoiseSettings(patch=16, batch_size=2, steps=4, network_options="width = 4"),
            ["noisy", "truth"],
            "repeats",
        ),
        (
            CycleGANSettings(
                patch=32,
                batch_size=1,
                steps=4,
                network="cyclegan_resnet",
                network_options="width = 4, blocks = 1",
                discriminator_width=4,
            ),
            ["noisy", "clean"],
            "6 noisy and 6 clean images",
        ),
    ],
)
def test_other_methods(make, looked, trained, pair, settings, names, words, tmp_path):
    noisy, clean = pair
    if "truth" in names:
        noisy = np.random.default_rng(1).random((8, 64, 64)).astype(np.float32)
        clean = np.repeat(noisy.mean(axis=0, keepdims=True), 8, axis=0)
    _, widget = make(settings, **{name: noisy if name == "noisy" else clean for name in names})
    assert words in looked(widget)
    if isinstance(settings, CycleGANSettings):  # that each method trains is tested without the dock
        trained(widget)
        (path,) = (tmp_path / "models").glob("*.safetensors")
        assert path.stem == widget.form.method


def test_simulated_from_a_settings_file(make, looked, trained, tmp_path):
    file = tmp_path / "cells.toml"
    file.write_text('kind = "lattice"\nn = 4\nshape = [32, 48]\nperiod = [8.0, 9.0]\n')
    _, widget = make(replace(TINY, steps=2, validation_images=1))
    widget.data.noisy.source = file
    assert looked(widget) == "simulated: 4 pairs (lattice) of 48 x 32 px"
    assert not widget.data.clean.isVisibleTo(widget)
    trained(widget)
    assert (tmp_path / "models" / "supervised.safetensors").is_file()


def test_folders(make, looked, trained, pair, tmp_path):
    for name, data in zip(("noisy", "clean"), pair, strict=True):
        (tmp_path / name).mkdir()
        for number, plane in enumerate(data):
            np.save(tmp_path / name / f"{number}.npy", plane)
    _, widget = make()
    for name in ("noisy", "clean"):
        pick = getattr(widget.data, name)
        pick.ask = lambda kind, name=name: str(tmp_path / name) if kind == "folder" else ""
        pick._on_action(type("Action", (), {"data": lambda self: "folder"})())
    assert looked(widget) == "6 pairs of 64 x 48 px"
    trained(widget)
    assert (tmp_path / "models" / "supervised.safetensors").is_file()


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "zarr in memory", "memmap", "part of memmap"])
def test_stored_array_is_the_same(kind, tmp_path):
    data = np.random.default_rng(0).integers(0, 99, (3, 2, 8, 10), dtype=np.uint16)
    given = data
    if kind == "dask":
        given = dask.array.from_array(data, chunks=(1, 1, 8, 10))
    elif kind.startswith("zarr"):
        store = {} if "memory" in kind else str(tmp_path / "a.zarr")
        given = zarr.create_array(store=store, name="inside", data=data, chunks=(1, 1, 4, 5))
    elif "memmap" in kind:
        np.save(tmp_path / "a.npy", data)
        given = np.load(tmp_path / "a.npy", mmap_mode="r")
        if kind.startswith("part"):
            given, data = given[:, 1:], data[:, 1:]
    folder = tmp_path / "temporary"
    folder.mkdir()
    steps = train_data.store(Source(data=given, name="a", rgb=False, style={}), folder, "noisy")
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    np.testing.assert_array_equal(end.value.value.open()[...], data)
    assert bool(list(folder.iterdir())) == (kind not in ("zarr", "memmap"))


@pytest.mark.parametrize("method", METHODS)
def test_form_shows_the_defaults_of_every_method(make, method):
    _, widget = make()
    widget.form.method = "noise2void" if method == "supervised" else "supervised"
    widget.form.method = method
    assert widget.form.settings == METHODS[method].settings()
    assert widget.data.needs == METHODS[method].needs
    assert widget.place.name == method


@pytest.mark.parametrize(("name", "value"), [
    ("seed", 2**31), ("seed", 2**63 - 1), ("learning_rate", 1.2e-8), ("learning_rate", 10.0), ("steps", 10**9),
    ("lambda_gradient", 1e9), ("percentiles", (0.0625, 99.99)), ("ema", 0.99999), ("validation_share", 1e-12),
])  # fmt: skip
def test_every_number_that_a_settings_file_may_hold_is_kept(make, tmp_path, name, value):
    path = tmp_path / "a.toml"
    settings = replace(SupervisedSettings(), **{name: value})
    path.write_text(train_settings_to_toml("supervised", settings))
    _, widget = make()
    widget.form.take_up(path)
    assert getattr(widget.form.settings, name) == value
    assert widget.form.settings == settings


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_is_in_the_form(make, method):
    _, widget = make()
    widget.form.method = method
    assert widget.form.form._fields.keys() == {field.name for field in fields(METHODS[method].settings)}


def test_methods_with_the_same_settings_are_told_apart(make, monkeypatch, tmp_path):
    monkeypatch.setitem(METHODS, "twin", METHODS["supervised"])
    _, widget = make()
    widget.form.method = "twin"
    widget.form.settings = replace(TINY, steps=9)
    assert widget.form.method == "twin"
    path = tmp_path / "a.toml"
    path.write_text(train_settings_to_toml("supervised", TINY))
    widget.form.take_up(path)
    assert (widget.form.method, widget.form.settings) == ("supervised", TINY)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_fills_the_form(make, name):
    _, widget = make()
    widget.form.method = PRESETS[name].method
    widget.form._on_preset(name)
    assert widget.form.settings == PRESETS[name].settings
    assert widget.form.presets.currentText() == name
    widget.form.settings = replace(PRESETS[name].settings, steps=77)
    assert widget.form.presets.currentText() == train_form.OWN


def test_what_may_change_on_resuming_is_known():
    assert set(train_form.FREE) == set(FREE)


def test_refused_settings_are_told(make):
    _, widget = make()
    widget.form.form._fields["network_options"].value = "width ="
    assert "network_options" in widget.form.refusal
    assert not widget._start.isEnabled()


@pytest.mark.parametrize(
    ("text", "name"), [("a/b:c", "a-b-c"), ("", "model"), ("x.safetensors", "x"), ("v1.2", "v1.2"), (" .. ", "model")]
)
def test_names_are_made_fit_for_files(make, text, name):
    _, widget = make()
    widget.place.name = text
    assert widget.place.name == name


def test_default_folder_is_a_persons():
    assert train_place.default_folder().name == "napari-hush models"


def test_settings_method_of_a_strange_file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("patch = 8\n")
    assert train_form.settings_method(path) == "supervised"
    with pytest.raises(InputError):
        train_data.look({"noisy": tmp_path / "missing"}, "noisy")


def test_importing_and_opening_load_no_torch():
    code = "import sys, napari_hush.widgets.train.dock; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=300).returncode == 0


def test_the_menu_opens_the_widget(make_napari_viewer):
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-hush", "Train")
    assert type(widget).__name__ == "TrainWidget"


def test_copied_text_trains_the_same_model(make, looked, pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, data in zip(("noisy", "clean"), pair, strict=True):
        write_image(tmp_path / f"{name}.tif", data, axes="QYX")
    viewer, widget = make(replace(TINY, steps=3))
    for name in ("noisy", "clean"):
        ((data, options, _),) = get_reader(str(tmp_path / f"{name}.tif"))(str(tmp_path / f"{name}.tif"))
        getattr(widget.data, name).source = viewer.add_image(data, **options)
    looked(widget)
    python, command = widget.as_python(), widget.as_command()
    path = widget.run().wait(TIMEOUT / 1000)
    assert f"'{path}'" in python and str(path) in shlex.split(command)
    expected = load_model(path).network.state_dict()
    for suffix in (".safetensors", ".ckpt", ".toml"):
        path.with_suffix(suffix).rename(tmp_path / f"dock{suffix}")
    namespace = {}
    exec(compile(python, "copied", "exec", dont_inherit=True), namespace)
    assert cli.main([*shlex.split(command)[1:], "--overwrite"]) == 0
    for again in (namespace["model"], load_model(path)):
        found = again.network.state_dict()
        assert found.keys() == expected.keys()
        for name, weights in expected.items():
            np.testing.assert_array_equal(found[name].numpy(), weights.numpy(), err_msg=name)


def test_a_training_without_images_says_so(make):
    _, widget = make()
    with pytest.raises(InputError, match="choose noisy images"):
        widget.run().wait(TIMEOUT / 1000)
    with pytest.raises(InputError, match="choose noisy images"):
        widget.as_python()
    with pytest.raises(InputError, match="there is no checkpoint"):
        widget.resume().wait(TIMEOUT / 1000)
