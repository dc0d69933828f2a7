"""Files opened and saved by napari keep their pixel size, names and colours, and say how they were made."""

from __future__ import annotations

from pathlib import Path

import dask.array
import h5py
import numpy as np
import pytest
import tifffile
import yaml
import zarr
from napari.components import ViewerModel
from napari.layers import Image
from napari.plugins import _initialize_plugins
from napari.settings import get_plugin_settings

from napari_hush.errors import InputError, SeveralImagesError
from napari_hush.io import Channel, ImageData, Metadata, read_image, write_image
from napari_hush.io.history import read_history
from napari_hush.io.metadata import ramp
from napari_hush.io.sniff import SUFFIXES
from napari_hush.io.write import SUFFIXES as WRITTEN
from napari_hush.widgets.denoise.dock import DenoiseWidget
from napari_hush.widgets.denoise.result import result_layer
from napari_hush.widgets.files import writer
from napari_hush.widgets.files.layers import layers_of
from napari_hush.widgets.files.reader import get_reader
from napari_hush.widgets.files.writer import write_layer, write_layers
from napari_hush.widgets.parts.layer_record import FILE, read_record
from napari_hush.widgets.parts.layer_source import Source

RNG = np.random.default_rng(0)
STEPS = {"T": (5.0, "s"), "Z": (0.5, "nm"), "Y": (0.2, "nm"), "X": (0.1, "nm")}
SHAPES = {
    "YX": (20, 30),
    "ZYX": (3, 20, 30),
    "TZYX": (2, 3, 20, 30),
    "CYX": (2, 20, 30),
    "TCYX": (4, 2, 20, 30),
    "YXC": (20, 30, 3),
}
MANIFEST = yaml.safe_load((Path(__file__).parents[2] / "napari.yaml").read_text("utf-8"))["contributions"]


def written(path, axes, **options):
    data = RNG.integers(0, 255, SHAPES[axes]).astype(np.uint8)
    steps = [STEPS.get(axis, (1.0, "")) for axis in axes]
    write_image(path, data, axes=axes, pixel_size=[step for step, _ in steps], units=[unit for _, unit in steps])
    return read_image(path)


def opened(path):
    """The layers that napari makes of a file."""
    return [Image(data, **options) for data, options, _ in get_reader(str(path))(str(path))]


def saved(path, layers):
    assert write_layers(str(path), [layer.as_layer_data_tuple() for layer in layers]) == [str(path)]
    return read_image(path)


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".zarr", ".h5", ".npz"])
def test_calibration_survives_opening_and_saving(tmp_path, suffix, axes):
    before = written(tmp_path / f"a{suffix}", axes)
    layers = opened(tmp_path / f"a{suffix}")
    assert len(layers) == (2 if axes in ("CYX", "TCYX") else 1) and layers[0].rgb == (axes == "YXC")
    rest = [axis for axis in before.axes if axis != "C"]
    assert list(layers[0].axis_labels) == [axis.lower() for axis in rest]
    np.testing.assert_allclose(layers[0].scale, [STEPS[axis][0] for axis in rest])
    assert str(layers[0].units[-1]) == "nanometer"
    after = saved(tmp_path / f"b{suffix}", layers)
    assert (after.axes, after.shape, after.scales) == (before.axes, before.shape, before.scales)
    np.testing.assert_array_equal(after.data, before.data)


def test_channels_have_their_names_colours_and_limits():
    channels = (Channel("DAPI", ramp(0, 0, 255), (3, 90)), Channel("GFP", ramp(10, 200, 30)), Channel())
    image = ImageData(np.zeros((3, 8, 9), np.uint16), "CYX", metadata=Metadata(channels=channels))
    layers = [Image(data, **options) for data, options, _ in layers_of(image, "cells")]
    assert [layer.name for layer in layers] == ["cells · DAPI", "cells · GFP", "cells · C2"]
    assert layers[0].colormap.name == "blue" and layers[0].contrast_limits == [3, 90]
    np.testing.assert_allclose(layers[1].colormap.colors[-1, :3], np.array([10, 200, 30]) / 255, atol=1e-6)
    assert {layer.blending for layer in layers} == {"additive"}
    whole = layers_of(image, "cells", split=False)
    assert len(whole) == 1 and whole[0][0].shape == (3, 8, 9) and whole[0][1]["axis_labels"] == ["c", "y", "x"]


def test_what_is_shown_is_kept_when_channels_are_saved(tmp_path):
    channels = (Channel("DAPI", ramp(0, 0, 255), (3, 90)), Channel("GFP", ramp(0, 255, 0), (1, 7)))
    image = ImageData(RNG.integers(0, 99, (2, 8, 9)).astype(np.uint16), "CYX", metadata=Metadata(channels=channels))
    layers = [Image(data, **options) for data, options, _ in layers_of(image, "cells")]
    after = saved(tmp_path / "a.ome.tif", layers)
    np.testing.assert_array_equal(after.data, image.data)
    assert [one.name for one in after.metadata.channels] == ["DAPI", "GFP"]
    assert [one.colour for one in after.metadata.channels] == [(0, 0, 255), (0, 255, 0)]


@pytest.mark.parametrize("split", [True, False])
def test_results_of_channels_are_called_as_the_channels(tmp_path, split):
    channels = (Channel("DAPI", ramp(0, 0, 255), (1.0, 9.0)), Channel("GFP", ramp(0, 255, 0), (2.0, 8.0)))
    image = ImageData(RNG.integers(0, 99, (2, 8, 9)).astype(np.uint16), "CYX", metadata=Metadata(channels=channels))
    results = []
    for layer in [Image(data, **options) for data, options, _ in layers_of(image, "cells", split=split)]:
        data, options = result_layer(Source.of(layer, None), np.asarray(layer.data), {"model": "general"})
        results.append(Image(data, **options))
    after = saved(tmp_path / "a.ome.tif", results)
    assert [one.name for one in after.metadata.channels] == ["DAPI", "GFP"]


def test_layers_that_differ_are_not_put_into_one_file(tmp_path):
    layers = [Image(np.zeros((8, 9)), name="a"), Image(np.zeros((8, 8)), name="b")]
    with pytest.raises(OSError, match="'b' has shape"):
        write_layers(str(tmp_path / "a.tif"), [layer.as_layer_data_tuple() for layer in layers])
    assert not (tmp_path / "a.tif").exists()
    layers[1] = Image(np.zeros((8, 9)), name="b", scale=(2, 2), units="nm")
    with pytest.raises(OSError, match="'b' has shape"):
        write_layers(str(tmp_path / "a.tif"), [layer.as_layer_data_tuple() for layer in layers])


def test_large_files_are_not_read_when_they_are_opened(tmp_path):
    written(tmp_path / "a.zarr", "TCYX")
    layers = opened(tmp_path / "a.zarr")
    assert len(layers) == 2 and all(isinstance(layer.data, dask.array.Array) for layer in layers)


@pytest.mark.parametrize("axes", ["YX", "CYX", "YXC"])
def test_levels_of_a_pyramid_are_shown_and_the_finest_is_saved(tmp_path, axes):
    shape = [{"C": 3}.get(axis, 1100) for axis in axes]
    data = RNG.integers(0, 255, shape).astype(np.uint8)
    write_image(tmp_path / "a.zarr", data, axes=axes, pixel_size=0.5)
    layers = opened(tmp_path / "a.zarr")
    assert len(layers) == (3 if axes == "CYX" else 1)
    for layer in layers:
        assert layer.multiscale and [level.shape[0] for level in layer.data] == [1100, 550, 275]
        assert tuple(layer.scale) == (0.5, 0.5)
    np.testing.assert_array_equal(saved(tmp_path / "b.ome.tif", layers).data, data)


def test_a_folder_and_a_list_of_files_become_one_volume(tmp_path):
    planes = RNG.integers(0, 99, (12, 8, 9)).astype(np.uint16)
    for number, plane in enumerate(planes):
        write_image(tmp_path / f"slice{number}.tif", plane, axes="YX", pixel_size=0.5)
    [(data, options, _)] = get_reader(str(tmp_path))(str(tmp_path))
    np.testing.assert_array_equal(np.asarray(data), planes)
    assert options["scale"][1:] == [0.5, 0.5] and options["name"] == tmp_path.name
    names = [str(tmp_path / f"slice{number}.tif") for number in (2, 5)]
    [(data, _, _)] = get_reader(names)(names)
    np.testing.assert_array_equal(np.asarray(data), planes[[2, 5]])


def several(folder, kind):
    """A file with the images ``a`` and ``b``."""
    one, other = np.full((8, 9), 3, np.uint16), np.full((20, 30), 5, np.uint16)
    if kind == "npz":
        np.savez(folder / "s.npz", a=one, b=other)
    elif kind == "hdf5":
        with h5py.File(folder / "s.h5", "w") as file:
            file["a"], file["b"] = one, other
        return folder / "s.h5"
    elif kind == "tiff":
        with tifffile.TiffWriter(folder / "s.tif") as file:
            file.write(one)
            file.write(other[:6])
        return folder / "s.tif"
    elif kind == "zarr":
        group = zarr.open_group(folder / "s.zarr", mode="w")
        group["a"], group["b"] = one, other
        return folder / "s.zarr"
    return folder / "s.npz"


@pytest.mark.parametrize("kind", ["npz", "hdf5", "tiff", "zarr"])
def test_each_image_of_a_file_becomes_a_layer(tmp_path, kind):
    path = several(tmp_path, kind)
    with pytest.raises(SeveralImagesError) as error:
        read_image(path)
    assert len(error.value.choices) == 2
    layers = opened(path)
    assert [int(np.asarray(layer.data).max()) for layer in layers] == [3, 5]
    assert len({layer.name for layer in layers}) == 2


def test_no_image_is_left_to_others(tmp_path):
    (tmp_path / "a.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    assert get_reader(str(tmp_path / "a.txt")) is None
    (tmp_path / "a.tif").write_text("no image")
    with pytest.raises(InputError, match=r"no \.tif"):
        get_reader(str(tmp_path / "a.tif"))(None)


def test_a_result_is_saved_with_how_it_was_made(tmp_path, make_widget, model_file, qtbot):
    source = written(tmp_path / "a.tif", "YX")
    viewer, widget = make_widget(np.asarray(source.data))
    viewer.layers.clear()
    viewer.add_layer(opened(tmp_path / "a.tif")[0])
    widget._models.add(str(model_file))
    widget.run()
    qtbot.waitUntil(lambda: "verdict" in read_record(viewer.layers[-1].metadata), timeout=100_000)
    after = saved(tmp_path / "b.ome.tif", [viewer.layers[-1]])
    assert after.scales == source.scales
    history = read_history(tmp_path / "b.ome.tif")
    assert history["model"] == "tiny" and history["verdict"] and history["source_file"] == str(tmp_path / "a.tif")
    again = opened(tmp_path / "b.ome.tif")[0]
    assert read_record(again.metadata)["model"] == "tiny" and again.metadata[FILE]["history"]["model"] == "tiny"
    assert "history" not in opened(tmp_path / "a.tif")[0].metadata[FILE]


def test_preferences_are_what_the_docks_begin_with(tmp_path):
    chosen = get_plugin_settings("napari-hush")
    chosen.denoise.device, chosen.denoise.output, chosen.files.split_channels = "cpu", "same as input", False
    try:
        widget = DenoiseWidget(ViewerModel())
        assert widget._form.value.device == "cpu" and widget._output.currentText() == "same as input"
        written(tmp_path / "a.ome.tif", "CYX")
        assert len(opened(tmp_path / "a.ome.tif")) == 1
    finally:
        chosen.denoise.device, chosen.denoise.output, chosen.files.split_channels = "auto", "float32", True


def test_the_manifest_names_every_format():
    [one] = MANIFEST["readers"]
    packed = [f"{suffix}{more}" for suffix in (".mrc", ".map") for more in (".gz", ".bz2")] + [".nii.gz"]
    assert sorted(one["filename_patterns"]) == sorted(f"*{suffix}" for suffix in [*SUFFIXES, *packed])
    single, several = MANIFEST["writers"]
    assert {*WRITTEN, ".ome.tif", ".ome.tiff", ".ome.zarr"} == set(single["filename_extensions"])
    assert set(several["filename_extensions"]) < set(single["filename_extensions"])


def test_napari_itself_opens_and_saves(tmp_path):
    written(tmp_path / "a.zarr", "ZYX")
    _initialize_plugins()  # as a viewer with a window does
    viewer = ViewerModel()
    viewer.open(tmp_path / "a.zarr", plugin="napari-hush")
    assert tuple(viewer.layers[0].scale) == (0.5, 0.2, 0.1)
    assert viewer.layers.save(str(tmp_path / "b.ome.tif"), plugin="napari-hush")
    assert read_image(tmp_path / "b.ome.tif").scales == read_image(tmp_path / "a.zarr").scales

    viewer.layers.clear()
    viewer.add_image(np.zeros((8, 9), np.float16))
    with pytest.raises(OSError, match="OME-TIFF knows no float16"):  # and not only that nothing was written
        viewer.layers.save(str(tmp_path / "c.ome.tif"), plugin="napari-hush")


def test_a_layer_knows_how_the_commands_name_its_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.zarr", "YX")
    np.savez("b.npz", first=np.zeros((8, 9)), second=np.zeros((8, 9)))
    assert opened("a.zarr")[0].metadata[FILE]["source"] == str(tmp_path / "a.zarr")  # and not one of its levels
    assert [one.metadata[FILE]["source"] for one in opened("b.npz")] == [
        f"{tmp_path}/b.npz:{n}" for n in ("first", "second")
    ]
    written(tmp_path / "c.tif", "CYX")
    assert {one.metadata[FILE]["one_of"] for one in opened("c.tif")} == {len(opened("c.tif"))}


def test_turned_layers_are_told(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(writer.notify, "warning", said.append)
    data, options, _ = Image(np.zeros((8, 9)), name="a", rotate=30).as_layer_data_tuple()
    write_layer(str(tmp_path / "a.tif"), data, options)
    data, options, _ = Image(np.zeros((8, 9)), name="b", scale=(2, 3)).as_layer_data_tuple()
    write_layer(str(tmp_path / "b.tif"), data, options)
    assert len(said) == 1 and said[0].startswith("a is turned")
