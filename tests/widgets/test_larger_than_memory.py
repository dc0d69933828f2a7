"""Layers larger than memory in the dock Denoise: into a file, shown while it grows, stopped and gone on with."""

from __future__ import annotations

import errno
import os
import threading
from functools import partial
from pathlib import Path

import dask.array
import numpy as np
import pytest
import zarr
from scipy import ndimage

import napari_hush.widgets.denoise.choices as choices_module
import napari_hush.widgets.denoise.dock as dock_module
from napari_hush import denoise
from napari_hush.apart import ProcessError
from napari_hush.errors import InputError
from napari_hush.files import read_toml
from napari_hush.inference.ledger import peek
from napari_hush.inference.tiles.shared import SharedRunner
from napari_hush.io import read_image, write_image
from napari_hush.io.formats.zarr_growing import GrowingArray, growing_levels
from napari_hush.io.formats.zarr_write import zarr_writer
from napari_hush.io.history import read_history
from napari_hush.widgets.denoise import on_disk, order
from napari_hush.widgets.denoise.growing_file import GrowingFile
from napari_hush.widgets.evaluate.choice import Choice
from napari_hush.widgets.files.reader import get_reader
from napari_hush.widgets.parts import recent
from napari_hush.widgets.parts.portable import NotPortableError, packed, unpacked
from napari_hush.widgets.parts.process import steps_apart

TIMEOUT = 300_000
SIDE = 700


@pytest.fixture
def little_memory(monkeypatch):
    for module in (dock_module, choices_module):
        monkeypatch.setattr(module, "free_memory", lambda device: 1 << 16)


@pytest.fixture
def scan():
    clean = ndimage.gaussian_filter(np.random.default_rng(1).random((SIDE, SIDE)), 3)
    return (1000 + 5000 * clean + np.random.default_rng(2).normal(0, 40, clean.shape)).astype(np.uint16)


@pytest.fixture
def here(monkeypatch):
    """Work in the thread, where a test can reach it, not in another process."""

    def refuse(_):
        raise NotPortableError

    monkeypatch.setattr(order, "packed", refuse)


@pytest.fixture
def make_open(make_widget):
    """Open a file as napari does, and give its dock with small tiles."""

    def make(path, **settings):
        viewer, widget = make_widget()
        for data, options, _ in get_reader(str(path))(str(path)):
            viewer.add_image(data, **options)
        widget._form.value = type(widget._form.value)(engine="torch", device="cpu", tile=256, **settings)
        return viewer, widget

    return make


@pytest.fixture
def held(monkeypatch):
    """Tiles come a second apart, so that the layer is there before the last of them, until the test lets them go."""
    let_go, run = threading.Event(), SharedRunner.run

    def held_run(*given, **options):
        for step in run(*given, **options):
            yield step
            let_go.wait(1)

    monkeypatch.setattr(SharedRunner, "run", held_run)
    yield let_go
    let_go.set()


def wait_for_tile(qtbot, viewer):
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=TIMEOUT)


def test_result_goes_into_a_zarr_beside_the_file(
    make_open, finish, qtbot, little_memory, scan, tmp_path, model_file, messages
):
    write_image(tmp_path / "scan.zarr", scan, pixel_size=0.2, units="nm")
    viewer, widget = make_open(tmp_path / "scan.zarr")
    viewer.layers[0].colormap, viewer.layers[0].translate = "magma", (3, 4)
    assert widget._keep.on_disk and not widget._keep.combo.isEnabled()
    assert widget._keep.place.target == tmp_path / "scan_denoised.zarr"
    assert str(tmp_path) in widget._keep.place.words.replace("\u200b", "") and "are free" in widget._keep.place.words
    widget.run()
    finish(widget)
    source, result = viewer.layers
    assert [kind for kind, _ in messages()] == []
    assert result.name == "scan · tiny" and result.multiscale and len(result.data) == 2
    assert isinstance(result.data[0], dask.array.Array)
    expected = denoise(scan, model_file, engine="torch", device="cpu", tile=256)
    np.testing.assert_allclose(np.asarray(result.data[0]), expected, rtol=1e-5)  # with other threads
    np.testing.assert_allclose(read_image(tmp_path / "scan_denoised.zarr").data, expected, rtol=1e-5)
    assert result.colormap.name == "magma"
    for name in ("scale", "translate", "units", "axis_labels"):
        np.testing.assert_array_equal(getattr(result, name), getattr(source, name), err_msg=name)
    assert "in scan_denoised.zarr" in widget._progress.text
    qtbot.waitUntil(lambda: not widget._verdict.running, timeout=TIMEOUT)
    history = read_history(tmp_path / "scan_denoised.zarr")
    assert history["model"] == "tiny" and history["source_layer"] == "scan" and history["verdict"]
    assert os.listdir(tmp_path / "scan_denoised.zarr") and not list(tmp_path.glob(".*"))
    ((_, options, _),) = get_reader(str(tmp_path / "scan_denoised.zarr"))(str(tmp_path / "scan_denoised.zarr"))
    assert options["multiscale"] and options["scale"] == [0.2, 0.2] and options["colormap"].name
    assert options["metadata"]["napari-hush"]["source_layer"] == "scan"


def test_layer_is_the_growing_file_and_a_stop_can_be_gone_on_with(
    make_open, finish, qtbot, here, held, little_memory, scan, tmp_path, model_file
):
    write_image(tmp_path / "scan.tif", scan)
    viewer, widget = make_open(tmp_path / "scan.tif", batch_size=1)
    viewer.layers[0].data = dask.array.from_array(scan, chunks=256)
    widget.run()
    wait_for_tile(qtbot, viewer)
    layer = viewer.layers[1]
    assert isinstance(layer.data[0].array, zarr.Array) and layer.name == "scan · under way"
    widget.cancel()
    held.set()
    finish(widget)
    assert peek(tmp_path / "scan_denoised.zarr") is not None
    assert layer.name == "scan · stopped" and "Go on takes it up" in widget._progress.text
    coarse = np.asarray(layer.data[-1])
    assert np.isfinite(coarse[0, 0]) and np.isnan(coarse[-1, -1])
    assert widget._run.text() == "Go on" and "Go on takes it up" in widget._keep.place.words
    widget.run()
    finish(widget)
    assert [one.name for one in viewer.layers] == ["scan", "scan · tiny"] and viewer.layers[1] is layer
    expected = denoise(scan, model_file, engine="torch", device="cpu", tile=256)
    np.testing.assert_allclose(
        np.asarray(layer.data[0]), expected, rtol=1e-5
    )  # that of the other one was cut elsewhere
    assert widget._run.text() == "Run" and "scan_denoised-2.zarr" in widget._keep.place.words
    assert "Mpx/s" not in widget._progress.text


def test_unfinished_run_can_be_thrown_away(make_open, finish, qtbot, here, little_memory, scan, tmp_path, messages):
    np.save(tmp_path / "scan.npy", scan)
    viewer, widget = make_open(tmp_path / "scan.npy")
    widget.run()
    wait_for_tile(qtbot, viewer)
    widget.cancel()
    finish(widget)
    widget._form.value = type(widget._form.value)(engine="torch", device="cpu", tile=128)
    widget.run()
    finish(widget)
    ((kind, words),) = messages()
    assert kind == "error" and "tile 256 -> 128" in words and "Begin anew" in words
    widget._keep.place.anew.setChecked(True)
    assert widget._run.text() == "Run"
    widget.run()
    finish(widget)
    assert viewer.layers[-1].name == "scan · tiny"


def test_plane_in_sight_comes_first(make_widget, finish, qtbot, here, little_memory, scan, tmp_path):
    stack = np.lib.format.open_memmap(tmp_path / "stack.npy", "w+", np.uint16, (12, 160, 160))  # the first is far off
    stack[:] = scan[:160, :160]
    viewer, widget = make_widget(stack, name="stack", channel_axis=None)
    widget._form.value = type(widget._form.value)(engine="torch", device="cpu", tile=16, frames=False)
    viewer.dims.set_current_step(0, 2)
    widget.run()
    wait_for_tile(qtbot, viewer)
    widget.cancel()
    finish(widget)
    data = viewer.layers[1].data
    assert viewer.layers[1].multiscale is False  # so small that there are no smaller levels
    assert np.isfinite(data[2]).any() and np.isnan(data[0]).all()
    viewer.dims.set_current_step(0, 0)
    widget.run()
    finish(widget)
    assert np.isfinite(np.asarray(viewer.layers[1].data)).all() and (tmp_path / "stack_denoised.zarr").is_dir()


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((2, 3, 96, 96), {"axis_labels": ("t", "z", "y", "x")}, "TZYX"),
        ((2, 96, 96), {"axis_labels": ("dye", "y", "x")}, "CYX"),
        ((96, 96, 3), {"rgb": True}, "YXC"),
        ((96, 96, 4), {"rgb": True}, "YXC"),
        ((96, 96, 1), {}, "YXC"),
    ],
)
def test_axes_colours_and_types(make_widget, finish, here, little_memory, tmp_path, messages, shape, options, axes):
    data = np.random.default_rng(0).integers(0, 250, shape, np.uint8)
    viewer, widget = make_widget(dask.array.from_array(data), **options)
    widget._keep.place.ask_folder = lambda _: str(tmp_path)
    widget._keep.place._choose.click()
    widget._form.value = type(widget._form.value)(engine="torch", device="cpu", frames=False)
    widget.run()
    finish(widget)
    assert messages() == []
    image, layer = read_image(tmp_path / "noisy_denoised.zarr"), viewer.layers[1]
    assert image.axes == axes and layer.rgb == options.get("rgb", False)
    assert image.dtype == (np.uint8 if layer.rgb else np.float32)
    assert layer.data.shape == image.shape and image.shape[:2] == shape[:2]
    assert np.asarray(layer.data).std() > 1


def test_names_that_are_taken_and_folders(make_widget, little_memory, tmp_path, monkeypatch, scan):
    monkeypatch.setattr("napari_hush.widgets.denoise.place.default_folder", lambda: tmp_path / "own" / "folder")
    viewer, widget = make_widget(dask.array.from_array(scan))
    place = widget._keep.place
    assert place.target == tmp_path / "own" / "folder" / "noisy_denoised.zarr"
    assert place.prepare().parent.is_dir()
    place.ask_folder = lambda start: str(tmp_path)
    place._choose.click()
    (tmp_path / "noisy_denoised.zarr").mkdir()
    place.refresh()
    assert "noisy_denoised.zarr is there already: Run makes noisy_denoised-2.zarr" in place.words
    place._line.setText("a/b:c.zarr")
    assert place.target == tmp_path / "a-b-c.zarr"
    assert recent.make_settings().value("denoise/folder") == str(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    np.save(tmp_path / "locked.npy", scan)
    viewer.add_image(np.load(tmp_path / "locked.npy", mmap_mode="r"), name="locked")
    widget._layers.layer = viewer.layers["locked"]
    assert place.target.parent == tmp_path / "own" / "folder"  # that of the file cannot be written to


def test_disk_that_has_no_room_is_said_before(make_widget, little_memory, scan, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    _, widget = make_widget(dask.array.from_array(scan))
    assert "which suffices only if it can be compressed so far" in widget._keep.place.words


def test_full_disk_keeps_what_is_done(make_open, finish, here, little_memory, scan, tmp_path, messages, monkeypatch):
    np.save(tmp_path / "scan.npy", scan)
    viewer, widget = make_open(tmp_path / "scan.npy")
    count = iter(range(100))

    class Full(GrowingArray):
        def __setitem__(self, key, values):
            if next(count) == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().__setitem__(key, values)

    with monkeypatch.context() as patch:
        patch.setattr(on_disk, "GrowingArray", Full)
        widget.run()
        finish(widget)
    ((kind, words),) = messages()
    assert kind == "error" and "scan_denoised.zarr" in words and "No space left" in words
    assert widget._progress.text.startswith("stopped by an error") and "Go on" in widget._progress.text
    widget.run()
    finish(widget)
    assert viewer.layers[-1].name == "scan · tiny"


def test_layers_removed_during_the_run(make_open, finish, qtbot, here, little_memory, scan, tmp_path):
    np.save(tmp_path / "scan.npy", scan)
    viewer, widget = make_open(tmp_path / "scan.npy")
    widget.run()
    wait_for_tile(qtbot, viewer)
    viewer.layers.clear()
    finish(widget)
    assert [one.name for one in viewer.layers] == ["scan · tiny"]
    assert np.isfinite(np.asarray(viewer.layers[0].data[0])).all()


def test_closing_the_viewer_keeps_what_is_done(make_open, qtbot, little_memory, scan, tmp_path):
    np.save(tmp_path / "scan.npy", scan)
    viewer, widget = make_open(tmp_path / "scan.npy")
    widget.run()
    wait_for_tile(qtbot, viewer)
    widget._stop()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    assert peek(tmp_path / "scan_denoised.zarr") is not None


def test_lazy_layer_that_fits_stays_in_memory_unless_a_file_is_chosen(make_widget, finish, image, tmp_path):
    np.save(tmp_path / "scan.npy", image)
    viewer, widget = make_widget(np.load(tmp_path / "scan.npy", mmap_mode="r"), name="scan")
    assert widget._keep.offered and widget._keep.combo.isEnabled() and not widget._keep.on_disk
    widget.run()
    finish(widget)
    assert isinstance(viewer.layers[1].data, np.ndarray) and not list(tmp_path.glob("*.zarr"))
    widget._keep.combo.setCurrentIndex(1)
    widget.run()
    finish(widget)
    assert (tmp_path / "scan_denoised.zarr").is_dir()


def test_layer_in_memory_that_fits_offers_nothing(make_widget, image):
    _, widget = make_widget(image)
    assert not widget._keep.offered and not widget._keep.on_disk


def test_preview_of_what_does_not_fit_is_of_its_middle(make_widget, finish, monkeypatch):
    viewer, widget = make_widget(dask.array.random.random((2200, 2100), chunks=500))
    for module in (dock_module, choices_module):
        monkeypatch.setattr(module, "free_memory", lambda device: 1 << 20)
    monkeypatch.setattr("napari_hush.widgets.denoise.size.PREVIEW", 100)
    viewer.layers[0].corner_pixels = np.array([[0, 0], [2199, 2099]])
    widget.preview()
    finish(widget)
    assert viewer.layers[1].data.shape == (100, 100)
    np.testing.assert_array_equal(viewer.layers[1].translate, (1050, 1000))


def test_evaluation_of_a_large_plane_is_of_what_is_in_sight(make_widget, monkeypatch):
    monkeypatch.setattr("napari_hush.widgets.evaluate.choice.WHOLE", 100 * 100)
    monkeypatch.setattr("napari_hush.widgets.evaluate.choice.PART", 64)
    noisy = np.random.default_rng(0).random((2, 300, 400))
    viewer, _ = make_widget(dask.array.from_array(noisy), scale=(1, 0.5, 0.5), translate=(0, 10, 20))
    viewer.add_image(zarr.array(noisy + 1), name="denoised", scale=(1, 0.5, 0.5), translate=(0, 10, 20))
    choice = Choice(viewer)
    choice.choose(*viewer.layers)
    viewer.layers[1].corner_pixels = np.array([[0, 100, 200], [0, 199, 399]])
    inputs = choice.inputs()
    np.testing.assert_array_equal(np.asarray(inputs.noisy.data), noisy[:, 118:182, 268:332])
    np.testing.assert_array_equal(np.asarray(inputs.denoised.data), noisy[:, 118:182, 268:332] + 1)
    np.testing.assert_array_equal(inputs.pose((0,)).style["translate"], (0, 10 + 59, 20 + 134))
    assert "what is in sight is checked, at most 64 x 64" in choice.words.text()
    assert inputs.files["denoised"]["checked"] == "64 x 64 pixels from (268, 118) on"


def test_smaller_levels_are_every_nth_pixel_of_what_is_written(tmp_path):
    values = np.random.default_rng(0).random((2, 1100, 900)).astype(np.float32)
    with zarr_writer(tmp_path / "a.zarr", shape=values.shape, unfinished=tmp_path / "part") as array:
        growing = GrowingArray(array)
        for y, x in ((0, 0), (300, 0), (0, 333), (300, 333)):
            y_part, x_part = slice(y, 300 if y == 0 else 1100), slice(x, 333 if x == 0 else 900)
            growing[1, y_part, x_part] = values[1, y_part, x_part]
        levels = growing_levels(tmp_path / "part" / "array.zarr")
        for factor, level in zip((1, 2, 4), levels, strict=True):
            np.testing.assert_array_equal(level[1], values[1, ::factor, ::factor])
            assert np.isnan(level[0]).all()
        growing[0, :10, :10] = values[0, :10, :10]
        assert np.isnan(levels[0][0, 3:5, 4]).all()  # as it was seen last
        levels[0].forget()
        np.testing.assert_array_equal(levels[0][0, 9:2:-2, 4], values[0, 9:2:-2, 4])
        np.testing.assert_array_equal(levels[0][1, 298:302], values[1, 298:302])
        array[0] = values[0]
    assert np.isfinite(read_image(tmp_path / "a.zarr").data).all()


def test_refreshing_takes_a_small_share_of_the_time(monkeypatch, tmp_path):
    clock = iter(range(1000))
    looks = []
    grown = GrowingFile.__new__(GrowingFile)
    layer = type("Layer", (), {"visible": True, "refresh": lambda self, **_: looks.append(next(clock))})()
    grown.__dict__ |= {"_step": 0, "_next": 0.0, "_begun": True, "_layer": layer, "_levels": []}
    grown.__dict__["_viewer"] = type("Viewer", (), {"layers": [layer]})()
    times = iter(np.arange(0, 1000, 0.1))
    monkeypatch.setattr("time.monotonic", lambda: float(next(times)))
    event = type("Event", (), {"total": 1000})
    for step in range(1, 400):
        event.step = step
        grown.show(event)
    assert 5 <= len(looks) <= 12  # each took 0.1 s, of 40 s and more


@pytest.mark.parametrize("kind", ["npy", "view", "zarr", "h5", "tif"])
def test_images_in_files_go_to_another_process_as_their_places(tmp_path, scan, kind, monkeypatch):
    monkeypatch.setattr("napari_hush.io.formats.file_array.EAGER_BELOW", 0)
    monkeypatch.setattr("napari_hush.io.formats.hdf5.EAGER_BELOW", 0)
    monkeypatch.setattr("napari_hush.io.formats.zarr_read.EAGER_BELOW", 0)
    monkeypatch.setattr("napari_hush.io.formats.tiff.LAZY_ABOVE", 0)
    np.save(tmp_path / "a.npy", scan)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    if kind in ("zarr", "h5", "tif"):
        write_image(tmp_path / f"a.{kind}", scan)
    image = {
        "npy": lambda: mapped,
        "view": lambda: mapped[5:, ::-2],
    }.get(kind, lambda: get_reader(str(tmp_path / f"a.{kind}"))(str(tmp_path / f"a.{kind}"))[0][0])()
    image = image[0] if isinstance(image, list) else image
    content = packed(image)
    np.testing.assert_array_equal(np.asarray(unpacked(content)), np.asarray(image))
    assert len(content) < scan.nbytes / 10


def test_image_in_memory_stays_in_this_process(monkeypatch):
    monkeypatch.setattr("napari_hush.widgets.parts.portable.MOST", 1000)
    with pytest.raises(NotPortableError):
        packed(np.zeros((40, 40)))
    with pytest.raises(NotPortableError):
        packed(dask.array.from_array(np.zeros((40, 40))))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (partial(read_toml, Path("missing.toml")), InputError, "missing.toml: no such file"),
        (partial(int, "told"), ProcessError, "ValueError: invalid literal"),
        (partial(os._exit, 3), InputError, "ended with code 3, perhaps because memory ran out"),
    ],
)
def test_what_goes_wrong_in_the_other_process_is_told(make, error, words):
    with pytest.raises(error, match=words):
        list(steps_apart(make))
