"""The dock widget Synthesise, as a user drives it."""

from __future__ import annotations

import gc
import time
import weakref
from functools import partial

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

import napari_hush
from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.materials import make_materials
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.errors import InputError
from napari_hush.synthesis import (
    Lattice,
    MaskRecipe,
    average_cell,
    ellipse,
    mask_steps,
    mask_variants,
    render_lattice,
    samples,
)
from napari_hush.synthesis.noise.fit.noise import fit_noise
from napari_hush.synthesis.noise.registry import Poisson
from napari_hush.widgets.synthesize import dock as synthesize
from napari_hush.widgets.synthesize import targets as layers_of_targets
from napari_hush.widgets.synthesize.dock import SynthesizeWidget
from napari_hush.widgets.synthesize.materials import VARIANTS, Plane, measure_crop

TIMEOUT = 300_000
SMALL = SynthesisSettings(n=3, shape=(64, 64), period=(8.0, 12.0), seed=5)


@pytest.fixture
def crop():
    return render_lattice(Lattice(kind="hexagonal", period=12.4, background=0.1), (40, 44), 0).image


@pytest.fixture
def dented():
    """A noisy lattice with one hole."""
    hole = ellipse((128, 128), centre=(60, 70), fwhm=(50, 40), depth=0.8)
    clean = hole * render_lattice(Lattice(period=10.0, background=0.2), (128, 128), 0).image
    return Poisson(dose=30)(clean, np.random.default_rng(1))


@pytest.fixture
def make(request, qtbot):
    """Give a viewer and the widget; docked in a window on request, for that takes a second."""
    widgets = []

    def made(settings=SMALL, *, window=False, **images):
        viewer = request.getfixturevalue("make_napari_viewer_proxy")(show=True) if window else ViewerModel()
        for name, data in images.items():
            viewer.add_image(data, name=name)
        widget = SynthesizeWidget(viewer)
        if window:
            viewer.window.add_dock_widget(widget, name="Synthesise")
        else:
            qtbot.addWidget(widget)
        widget.choices.settings = settings
        widgets.append(widget)
        return viewer, widget

    yield made
    while widgets:  # pytest holds the list in a cycle: a collection in a thread must not find widgets in it
        widget = widgets.pop()
        try:
            widget.cancel()
            widget.choices.measurements.stop()
            qtbot.waitUntil(partial(idle, widget), timeout=TIMEOUT)
        except RuntimeError:  # it is deleted
            continue
        finally:
            del widget


@pytest.fixture
def measured(qtbot):
    """Wait until everything that was chosen is measured."""

    def wait(widget):
        qtbot.waitUntil(lambda: not widget.choices.measurements.busy, timeout=TIMEOUT)
        return widget.choices.known()

    return wait


@pytest.fixture
def slow(monkeypatch):
    """Draw targets in 20 ms each, and count them."""
    record = {"drawn": 0}
    call = Drawer.__call__

    def draw(self, split, number):
        time.sleep(0.02)
        record["drawn"] += 1
        return call(self, split, number)

    monkeypatch.setattr(Drawer, "__call__", draw)
    return record


def idle(widget):
    return not widget.running and not widget.choices.measurements.busy


def rectangle(widget, layer, corners, **pose):
    """Draw a rectangle as the button lets the user do."""
    widget.choices.crop.layer = layer
    widget.choices._draw.click()
    shapes = widget._viewer.layers["unit crop"]
    for name, value in pose.items():
        setattr(shapes, name, value)
    shapes.add_rectangles(np.array(corners, dtype=float))
    return shapes


def words(widget, name):
    return widget.choices._words[name].text()


def test_rectangle_takes_its_pixels_from_a_scaled_and_moved_layer(make, measured):
    field = render_lattice(Lattice(period=9.0), (96, 96), 0).image
    viewer, widget = make()
    layer = viewer.add_image(field, scale=(0.2, 0.3), translate=(5, -7))
    shapes = rectangle(widget, layer, [[10, 20], [10, 60], [50, 60], [50, 20]])
    np.testing.assert_array_equal(shapes.scale, layer.scale)
    np.testing.assert_array_equal(shapes.translate, layer.translate)
    assert shapes.mode == "add_rectangle"
    np.testing.assert_array_equal(measured(widget)["unit crop"].image, field[10:51, 20:61])
    assert words(widget, "unit crop").startswith("41 x 41 px: square-like lattice, periods 9.0 and 9.0 px")
    shapes.add_rectangles(np.array([[30.4, 29.6], [30.4, 70.4], [90.0, 70.4], [90.0, 29.6]]))  # the last one counts
    np.testing.assert_array_equal(measured(widget)["unit crop"].image, field[31:91, 30:71])


def test_rectangle_in_a_layer_that_lies_otherwise_goes_through_the_world(make, measured):
    field = render_lattice(Lattice(period=9.0), (96, 96), 0).image
    viewer, widget = make()
    layer = viewer.add_image(field, scale=(0.5, 0.5), rotate=90, translate=(3, 4))
    corners = np.array([layer.data_to_world(c) for c in ((10, 20), (10, 60), (50, 60), (50, 20))])
    pose = {"scale": (1, 1), "rotate": 0, "translate": (0, 0)}
    rectangle(widget, layer, corners, **pose)
    np.testing.assert_array_equal(measured(widget)["unit crop"].image, field[10:51, 20:61])


def test_rectangle_over_a_stack_takes_the_plane_in_sight(make, measured):
    planes = np.stack([render_lattice(Lattice(period=p), (64, 64), 0).image for p in (8.0, 10.0)])
    viewer, widget = make()
    layer = viewer.add_image(planes, scale=(1, 0.5, 0.5))
    viewer.dims.set_current_step(0, 0)
    rectangle(widget, layer, [[8, 8], [8, 49], [49, 49], [49, 8]])
    np.testing.assert_array_equal(measured(widget)["unit crop"].image, planes[0, 8:50, 8:50])
    viewer.dims.set_current_step(0, 1)
    np.testing.assert_array_equal(measured(widget)["unit crop"].image, planes[1, 8:50, 8:50])


def test_rectangle_is_clipped_to_the_image_and_one_beside_it_is_explained(make, measured, crop):
    viewer, widget = make(crop=crop)
    shapes = rectangle(widget, viewer.layers["crop"], [[-9, -9], [-9, 90], [90, 90], [90, -9]])
    np.testing.assert_array_equal(measured(widget)["unit crop"].image, crop)
    shapes.add_rectangles(np.array([[80, 80], [80, 90], [90, 90], [90, 80]], dtype=float))
    assert isinstance(measured(widget)["unit crop"], InputError)
    assert "beside crop" in words(widget, "unit crop")
    shapes.add_rectangles(np.array([[2, 2], [2, 6], [30, 6], [30, 2]], dtype=float))
    measured(widget)
    assert words(widget, "unit crop").startswith("the rectangle holds 5 x 29 px")
    viewer.layers.remove(shapes)
    np.testing.assert_array_equal(measured(widget)["unit crop"].image, crop)


def test_noise_for_a_crop_is_told(make, measured):
    noise = np.random.default_rng(0).normal(size=(40, 40))
    _, widget = make(noise=noise)
    widget.choices.crop.layer = widget._viewer.layers["noise"]
    measured(widget)
    assert "no lattice found" in words(widget, "unit crop")


def test_a_crop_that_is_mostly_noise_is_doubted(crop):
    image = np.tile(crop, (1, 1)) + np.random.default_rng(1).normal(0, 0.25, crop.shape)
    told = measure_crop(Plane(data=image, name="crop", index=()))
    assert "Looks like noise or texture" in told.words


def test_a_crop_whose_noise_hides_its_lattice_takes_that_of_what_lies_around():
    lattice = Lattice(kind="square", period=12.37, angle=11.0, sigma=0.15)
    image = render_lattice(lattice, (160, 160), 0).image
    image = image + np.random.default_rng(1).normal(0, 0.3, image.shape)
    layer = Image(image)
    region = (60, 92, 64, 92)
    with pytest.raises(InputError, match="no lattice found"):
        measure_crop(Plane(data=image[60:92, 64:92], name="crop", index=()))
    told = measure_crop(Plane.of(layer, (), region))
    assert "square-like lattice, periods 12." in told.words
    assert "what lies around it" in told.words
    assert abs(abs(np.linalg.det(average_cell(told.image).vectors)) / 12.37**2 - 1) < 0.02


@pytest.mark.parametrize(
    ("kind", "name"), [("square", "square"), ("hexagonal", "hexagonal"), ("rectangular", "rectangular")]
)
def test_lattices_are_named(kind, name):
    lattice = Lattice(kind=kind, period=11.0, angle=17.0)
    told = measure_crop(Plane(data=render_lattice(lattice, (48, 48), 0).image, name="crop", index=()))
    assert f"{name}-like lattice, periods 11.0" in told.words


def test_recipe_steps_as_layers_are_those_of_the_library(make, measured, crop, dented):
    viewer, widget = make(SynthesisSettings(kind="published", n=2, shape=(64, 64)), crop=crop)
    source = viewer.add_image(dented, name="dented", scale=(0.5, 0.5), translate=(2, 3))
    widget.choices.dents.layer = source
    widget.choices.show_mask.setChecked(True)
    measured(widget)
    for recipe in (MaskRecipe(), MaskRecipe(smoothing="minimum", distance=1, threshold=100.0, sigma=2.0)):
        widget.choices.recipe.value = recipe
        measured(widget)
        for name, step in mask_steps(dented, recipe).items():
            layer = viewer.layers[f"dents · {name}"]
            np.testing.assert_array_equal(layer.data, step.astype(np.float32))
            np.testing.assert_array_equal(layer.scale, source.scale)
            np.testing.assert_array_equal(layer.translate, source.translate)
    assert len(viewer.layers) == 2 + 5
    assert widget.choices.variant.currentText() == "custom"


def test_a_variant_sets_the_smoothing(make, measured, dented):
    viewer, widget = make(SynthesisSettings(kind="published", n=2, shape=(64, 64)), dented=dented)
    widget.choices.dents.layer = viewer.layers["dented"]
    widget.choices.show_mask.setChecked(True)
    for name, mask in mask_variants(dented).items():
        (text,) = (t for t in VARIANTS if t.split(" ")[0] == name)
        widget.choices.variant.setCurrentText(text)
        widget.choices.variant.textActivated.emit(text)
        measured(widget)
        np.testing.assert_array_equal(viewer.layers["dents · smoothed"].data, mask.astype(np.float32))
        assert widget.choices.variant.currentText() == text


def test_transmission_as_a_layer(make, measured, dented):
    viewer, widget = make(dented=dented)
    widget.choices.dents.layer = viewer.layers["dented"]
    widget.choices.transmission.value = type(widget.choices.transmission.value)(spacing=10.0, dark=0.0)
    widget.choices.show_mask.setChecked(True)
    known = measured(widget)
    mask = viewer.layers["dents · transmission"].data
    np.testing.assert_array_equal(mask, known["dents"].steps["transmission"])
    assert mask[60, 70] < 0.35
    assert mask[10, 10] > 0.9
    assert "period 10.0 px" in words(widget, "dents")


def test_noise_like_an_image(make, measured, dented):
    viewer, widget = make(dented=dented)
    widget.choices.noise.layer = viewer.layers["dented"]
    assert measured(widget)["noise"].noises == fit_noise(dented).noise().noises
    assert "counts per px" in words(widget, "noise")
    assert not widget.choices.form._fields["dose"].isEnabled()


def test_noise_that_cannot_be_measured_is_refused(make, measured, messages, qtbot):
    viewer, widget = make(tiny=np.random.default_rng(0).normal(size=(32, 32)))
    widget.choices.noise.layer = viewer.layers["tiny"]
    measured(widget)
    assert "at least 128 x 128" in words(widget, "noise")
    widget.preview()
    qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)
    ((kind, text),) = messages()
    assert kind == "error"
    assert text.startswith("noise: fit_noise needs one image")
    assert len(viewer.layers) == 1


def test_preview_shows_one_target_with_its_truth(make, finish):
    viewer, widget = make(SMALL)
    for number in range(3):
        widget.preview()
        finish(widget)
        target = Drawer(SMALL)("train", number)
        np.testing.assert_array_equal(viewer.layers["target · noisy"].data, target.noisy)
        np.testing.assert_array_equal(viewer.layers["target · clean"].data, target.clean)
        record = viewer.layers["target · clean"].metadata["napari-hush"]
        assert record["number"] == number
        assert record["settings"]["seed"] == 5
        np.testing.assert_array_equal(record["transmission"], target.transmission)
        if "target · atoms" in viewer.layers:
            points = viewer.layers["target · atoms"]
            np.testing.assert_allclose(points.data, target.positions)
            if len(points.data):
                np.testing.assert_array_equal(points.features["species"], target.species)
        else:
            assert not len(target.positions)
        if "target · vacancies" in viewer.layers:
            np.testing.assert_allclose(viewer.layers["target · vacancies"].data, target.vacancies)
        if "target · dents" in viewer.layers:
            np.testing.assert_array_equal(viewer.layers["target · dents"].data > 0, target.mask)
        else:
            assert not target.mask.any()
    assert len({layer.name for layer in viewer.layers}) == len(viewer.layers) <= 5
    assert f"target {number}" in widget._progress.text


def test_preview_changes_between_grey_and_colours(make, finish):
    viewer, widget = make(SynthesisSettings(kind="cells", n=2, shape=(64, 64)))
    widget.preview()
    finish(widget)
    assert not viewer.layers["target · clean"].rgb
    widget.choices.settings = SynthesisSettings(kind="tissue", n=2, shape=(64, 64))
    widget.preview()
    finish(widget)
    assert [layer.name for layer in viewer.layers] == ["target · clean", "target · noisy"]
    assert viewer.layers["target · clean"].rgb
    assert viewer.layers["target · clean"].data.shape == (64, 64, 3)


def test_targets_lie_beside_the_image_that_they_are_like(make, finish, dented):
    viewer, widget = make()
    source = viewer.add_image(dented, scale=(0.1, 0.1), units=("nm", "nm"))
    widget.choices.noise.layer = source
    widget.preview()
    finish(widget)
    layer = viewer.layers["target · noisy"]
    np.testing.assert_array_equal(layer.scale, source.scale)
    assert layer.units == source.units
    assert layer.extent.world[0, 1] > source.extent.world[1, 1]


@pytest.mark.parametrize("kind", ["lattice", "foam", "dead-leaves-rgb"])
@pytest.mark.parametrize("layout", ["paired", "unpaired"])
def test_stack_is_what_the_library_draws(make, finish, kind, layout):
    settings = SynthesisSettings(kind=kind, n=3, shape=(48, 64), layout=layout)
    viewer, widget = make(settings)
    widget.generate()
    finish(widget)
    targets = [Drawer(settings)("train", k) for k in range(3)]
    noisy, clean, transmission = (viewer.layers[f"targets · {name}"] for name in ("noisy", "clean", "transmission"))
    assert noisy.rgb == clean.rgb == (kind == "dead-leaves-rgb")
    for k, target in enumerate(targets):
        axes = (1, 2, 0) if noisy.rgb else (0, 1)
        np.testing.assert_array_equal(noisy.data[k], target.noisy.transpose(axes))
        np.testing.assert_array_equal(clean.data[k], target.clean.transpose(axes))
        np.testing.assert_array_equal(transmission.data[k], target.transmission)
        truth = noisy.metadata["napari-hush"]["truths"][k]
        np.testing.assert_array_equal(truth["positions"], target.positions)
    assert "3 targets" in widget._progress.text


def test_a_stack_that_would_not_fit_is_refused(make, finish, messages, monkeypatch):
    monkeypatch.setattr(layers_of_targets, "ALWAYS_FITS", 0)
    monkeypatch.setattr(layers_of_targets, "free_memory", lambda device: 50_000)
    viewer, widget = make(SMALL)
    widget.generate()
    finish(widget)
    assert not viewer.layers
    ((kind, text),) = messages()
    assert kind == "error"
    assert "Save data set" in text


def test_cancelled_stack_keeps_what_is_finished(make, qtbot, finish, slow):
    viewer, widget = make(SynthesisSettings(kind="filaments", n=400, shape=(32, 32)))
    widget.generate()
    qtbot.waitUntil(lambda: slow["drawn"] > 4, timeout=TIMEOUT)
    widget.cancel()
    assert widget._cancel.text() == "Cancelling…"
    finish(widget)
    count = len(viewer.layers["targets · noisy"].data)
    assert 4 <= count < 400
    assert widget._progress.text == f"cancelled: {count} of 400 targets as layers"
    assert widget._generate.isEnabled()


@pytest.mark.parametrize("layout", ["paired", "unpaired", "hdf5"])
def test_data_set_is_that_of_the_library(make, finish, tmp_path, layout):
    settings = SynthesisSettings(n=3, shape=(48, 48), test_share=0.34, layout=layout, seed=2)
    _, widget = make(settings)
    asked = []
    names = ("dock.h5", "library.h5") if layout == "hdf5" else ("dock", "library")
    chosen = str(tmp_path / names[0]).removesuffix(".h5")
    widget.ask_path = lambda *given: asked.append(given) or chosen
    widget.save()
    finish(widget)
    assert asked == [(layout, "")]
    assert names[0] in widget._progress.text
    napari_hush.synthesize(settings, tmp_path / names[1])
    same_data_set(tmp_path / names[0], tmp_path / names[1])


def same_data_set(one, other):
    if one.suffix == ".h5":
        import h5py

        with h5py.File(one) as a, h5py.File(other) as b:
            assert set(a) == set(b) == {"train_ns", "train_gt", "test_ns", "test_gt"}
            for name in a:
                np.testing.assert_array_equal(a[name][()], b[name][()])
        return
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert len(files) > 6
    for file in files:
        if file.suffix == ".npz":
            with np.load(one / file) as a, np.load(other / file) as b:
                assert a.files == b.files
                for name in a.files:
                    np.testing.assert_array_equal(a[name], b[name])
        else:
            assert (one / file).read_bytes() == (other / file).read_bytes(), file


@pytest.mark.parametrize("kind", ["lattice", "published"])
def test_data_set_with_crop_dents_and_noise_is_that_of_the_library(
    make, measured, finish, tmp_path, kind, crop, dented
):
    settings = SynthesisSettings(kind=kind, n=2, shape=(64, 64), period=(8.0, 10.0), magnification=60.0, test_share=0.0)
    viewer, widget = make(settings, crop=crop, dented=dented)
    widget.choices.crop.layer = viewer.layers["crop"]
    widget.choices.dents.layer = widget.choices.noise.layer = viewer.layers["dented"]
    widget.choices.transmission.value = type(widget.choices.transmission.value)(spacing=10.0, dark=0.0)
    widget.ask_path = lambda *_: str(tmp_path / "dock")
    widget.save()  # at once: what is not measured yet is measured first
    finish(widget)
    materials = make_materials(
        kind, crop=crop, images=[dented], spacings=[10.0 if kind == "lattice" else None], dark=0.0
    )
    noises = fit_noise(dented).noise().noises
    napari_hush.synthesize({**vars(settings), "noises": noises}, tmp_path / "library", materials=materials)
    same_data_set(tmp_path / "dock", tmp_path / "library")
    measured(widget)


def test_cancelled_data_set_goes_on(make, qtbot, finish, slow, tmp_path):
    settings = SynthesisSettings(kind="filaments", n=60, shape=(32, 32))
    _, widget = make(settings)
    asked = []
    widget.ask_path = lambda *given: asked.append(given) or str(tmp_path / "dock")
    widget.save()
    qtbot.waitUntil(lambda: slow["drawn"] > 4, timeout=TIMEOUT)
    widget.cancel()
    finish(widget)
    before = slow["drawn"]
    assert before < 60
    assert len(list((tmp_path / "dock").rglob("*.npz"))) == before
    assert widget._save.text() == "Continue saving"
    widget._save.click()
    finish(widget)
    assert len(asked) == 1
    assert slow["drawn"] == 60
    assert widget._save.text() == "Save data set…"
    napari_hush.synthesize(settings, tmp_path / "library")
    same_data_set(tmp_path / "dock", tmp_path / "library")


def test_leaving_the_dialog_does_nothing(make):
    _, widget = make()
    widget.ask_path = lambda *_: ""
    widget.save()
    assert not widget.running


def test_a_folder_with_other_files_is_refused(make, finish, messages, tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    _, widget = make()
    widget.ask_path = lambda *_: str(tmp_path)
    widget.save()
    finish(widget)
    ((kind, text),) = messages()
    assert kind == "error"
    assert "thesis.txt" in text
    assert widget._save.text() == "Save data set…"


def test_fields_follow_the_kind(make):
    _, widget = make()
    form = widget.choices.form

    def shown(name):
        return form._fields[name].isVisibleTo(form)

    assert shown("period")
    assert not shown("angles")
    assert widget.choices.crop.isVisibleTo(widget.choices)
    form._fields["kind"].value = "foam"
    assert shown("angles")
    assert not shown("period")
    assert not widget.choices.crop.isVisibleTo(widget.choices)
    assert not widget.choices.noise.isVisibleTo(widget.choices)
    form._fields["kind"].value = "published"
    assert shown("magnification")
    assert not shown("dent_share")
    assert "needed for kind published" in words(widget, "unit crop")
    assert not widget._preview.isEnabled()
    assert "needed for kind published" in widget._preview.toolTip()


def test_settings_that_cannot_be_are_explained_where_they_are(make, messages):
    _, widget = make()
    widget.choices.form._fields["period"].value = (50.0, 20.0)
    assert "period must be the lowest and the highest" in words(widget, "settings")
    assert not widget._generate.isEnabled()
    widget.choices.form._fields["period"].value = (10.0, 20.0)
    assert widget._generate.isEnabled()
    assert words(widget, "settings") == ""
    assert messages() == []


def test_images_with_colours_are_refused(make, measured):
    viewer, widget = make()
    viewer.add_image(np.zeros((32, 32, 3), np.uint8), name="photo", rgb=True)
    widget.choices.crop.layer = viewer.layers["photo"]
    measured(widget)
    assert words(widget, "unit crop") == "photo has colours: choose a grey image"


def test_other_layers_do_not_start_measurements(make, measured, crop):
    viewer, widget = make(crop=crop)
    widget.choices.crop.layer = viewer.layers["crop"]
    known = measured(widget)["unit crop"]
    viewer.add_image(np.zeros((8, 8)), name="other")
    assert not widget.choices.measurements.busy
    viewer.layers["other"].name = "renamed"
    assert widget.choices.known()["unit crop"] is known
    viewer.layers["crop"].data = np.tile(crop, (1, 2))[:, :60]
    assert "unit crop" not in widget.choices.known()
    measured(widget)


def test_layers_removed_while_running(make, finish, slow, crop, qtbot, measured):
    viewer, widget = make(SynthesisSettings(n=20, shape=(32, 32), period=(8.0, 10.0)), crop=crop)
    widget.choices.crop.layer = viewer.layers["crop"]
    widget.generate()
    qtbot.waitUntil(lambda: slow["drawn"] > 2, timeout=TIMEOUT)
    viewer.layers.clear()
    finish(widget)
    assert len(viewer.layers["targets · noisy"].data) == 20
    assert widget.choices.crop.layer is None
    measured(widget)


def test_an_unexpected_error_becomes_a_notification(make, finish, messages, monkeypatch):
    def draw(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(Drawer, "__call__", draw)
    viewer, widget = make()
    widget.preview()
    finish(widget)
    assert messages() == [("error", "RuntimeError: no")]
    assert not viewer.layers
    assert widget._preview.isEnabled()


def test_progress_tells_the_time_left(make, qtbot, slow):
    _, widget = make(SynthesisSettings(kind="filaments", n=300, shape=(32, 32)))
    widget.generate()
    qtbot.waitUntil(lambda: "left" in widget._progress.text, timeout=TIMEOUT)
    assert widget._progress.text.startswith("image ")
    assert " of 300, 0:" in widget._progress.text


def test_closing_the_dock_while_running(make_napari_viewer, qtbot, slow):
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-hush", "Synthesise")
    widget.choices.settings = SynthesisSettings(kind="filaments", n=400, shape=(32, 32))
    widget.generate()
    qtbot.waitUntil(lambda: slow["drawn"] > 2, timeout=TIMEOUT)
    gone = weakref.ref(widget)
    del widget
    dock.destroyOnClose()
    count = -1

    def stopped():
        nonlocal count
        before, count = count, slow["drawn"]
        return before == count

    qtbot.waitUntil(stopped, timeout=TIMEOUT)
    qtbot.wait(100)
    assert slow["drawn"] < 400
    del dock
    gc.collect()
    qtbot.waitUntil(lambda: gone() is None, timeout=TIMEOUT)
    viewer.add_image(np.zeros((3, 8, 8)))
    viewer.dims.set_current_step(0, 1)
    viewer.layers.clear()


def test_the_dock_is_narrow_and_draws_with_the_mouse_mode(make, crop, dented, measured):
    viewer, widget = make(SynthesisSettings(kind="published"), window=True, crop=crop, dented=dented)
    widget.choices.crop.layer = viewer.layers["crop"]
    widget.choices.dents.layer = viewer.layers["dented"]
    measured(widget)
    assert widget.widget().minimumSizeHint().width() <= synthesize.MINIMUM_WIDTH
    widget.choices._draw.click()
    assert viewer.layers.selection.active.name == "unit crop"
    assert str(viewer.layers["unit crop"].mode) == "add_rectangle"


def test_the_samples_of_this_dock_go_together(make, measured, finish):
    viewer, widget = make(SynthesisSettings(n=2, shape=(64, 64), lattice_share=1.0))
    for layer in (*samples.unit_crop(), *samples.dented_lattice()):
        viewer._add_layer_from_data(*layer)
    widget.choices.crop.layer = viewer.layers["unit-crop"]
    widget.choices.dents.layer = widget.choices.noise.layer = viewer.layers["dented-lattice"]
    known = measured(widget)
    assert not [one for one in known.values() if isinstance(one, InputError)]
    widget.preview()
    finish(widget)
    assert "crop, period" in widget._progress.text
