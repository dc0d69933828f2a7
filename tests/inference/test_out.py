"""Where a result goes: in place it is the same or refused; what cannot take it is refused before any work."""

import dask.array
import h5py
import numpy as np
import pytest
import tifffile
import torch
import zarr
from zarr.storage import LocalStore, MemoryStore

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.inference.overlap import share_numbers
from napari_hush.io import read_image, write_image
from napari_hush.io.fingerprint import lies_in_file
from napari_hush.model import Model

IMAGE = np.random.default_rng(0).normal(1000, 200, (96, 90)).astype(np.float32)
IN_TILES = {"tile": 32, "batch_size": 1, "guard": False, "engine": "torch", "device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model.create("cnn", {"widths": [4]})


@pytest.fixture(scope="module")
def expected(model):
    return hush.denoise(IMAGE, model, **IN_TILES)


def never(event):
    raise AssertionError("it was not refused before the work")


def test_a_result_in_place_of_the_image_is_the_same(model, expected):
    image = IMAGE.copy()
    assert hush.denoise(image, model, out=image, **IN_TILES) is image
    np.testing.assert_array_equal(image, expected)


def test_an_integer_image_is_replaced_by_its_result(model):
    image = IMAGE.astype(np.uint16)
    expected = hush.denoise(image, model, out=np.empty_like(image), **IN_TILES)
    hush.denoise(image, model, out=image, **IN_TILES)
    np.testing.assert_array_equal(image, expected)


def test_a_zarr_with_colours_in_the_last_place_holds_the_same(model, tmp_path):
    image = np.stack([IMAGE, IMAGE[::-1], IMAGE * 2], axis=-1)
    expected = hush.denoise(image, model, channel_axis=2, **IN_TILES)
    result = hush.denoise(image, model, channel_axis=2, out=tmp_path / "a.zarr", **IN_TILES)
    assert result.shape == image.shape and zarr.open_array(tmp_path / "a.zarr" / "0").shape == (3, 96, 90)
    for found in (result, read_image(tmp_path / "a.zarr").data):
        np.testing.assert_allclose(found[...], expected, rtol=1e-6)


@pytest.mark.parametrize("way", ["shifted", "reversed", "tensor", "dask"])
def test_a_result_over_a_part_of_the_image_is_the_same(model, expected, way):
    whole = np.zeros((97, 90), np.float32)
    whole[:96] = IMAGE
    image, out = whole[:96], whole[1:]
    if way == "reversed":
        out = whole[95::-1]
    elif way == "tensor":
        out = torch.from_numpy(whole).numpy()[:96]
    elif way == "dask":
        image = dask.array.from_array(image, chunks=50) + 0
    hush.denoise(image, model, out=out, **IN_TILES)
    np.testing.assert_array_equal(out, expected)


def test_a_run_in_place_that_is_left_leaves_the_image_alone(model):
    image = IMAGE.copy()

    def stop(event):
        if event.step > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hush.denoise(image, model, out=image, progress=stop, **IN_TILES)
    np.testing.assert_array_equal(image, IMAGE)


def in_zarr(tmp_path):
    array = zarr.create_array(tmp_path / "in.zarr", shape=IMAGE.shape, chunks=(32, 32), dtype="float32")
    array[:] = IMAGE
    again = zarr.open_array(tmp_path / "in.zarr", mode="r+")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "in.zarr")
    linked = zarr.open_array(tmp_path / "link.zarr", mode="r+")
    return array, [array, again, linked, tmp_path / "in.zarr"]


def in_a_group(tmp_path):
    group = zarr.open_group(tmp_path / "group.zarr", mode="w")
    array = group.create_array("0", shape=IMAGE.shape, dtype="float32")
    array[:] = IMAGE
    return array, [zarr.open_array(LocalStore(tmp_path / "group.zarr" / "0"), mode="r+"), tmp_path / "group.zarr"]


def in_memory_store(tmp_path):
    store = MemoryStore()
    array = zarr.create_array(store, name="a", shape=IMAGE.shape, dtype="float32")
    array[:] = IMAGE
    return array, [zarr.open_array(store, path="a", mode="r+")]


def through_dask(tmp_path):
    array, outs = in_zarr(tmp_path)
    return dask.array.from_zarr(array)[:, ::-1] * 2, outs


def in_maps(tmp_path):
    np.save(tmp_path / "a.npy", IMAGE)
    image, other = (np.load(tmp_path / "a.npy", mmap_mode="r+") for _ in range(2))
    return image, [image, image[::-1], other, np.asarray(other)]


def in_hdf5(tmp_path):
    file = h5py.File(tmp_path / "a.h5", "w")
    image = file.create_dataset("data", data=IMAGE)
    file["other"] = image
    return image, [image, file["data"], file["other"]]


@pytest.mark.parametrize("make", [in_zarr, in_a_group, in_memory_store, through_dask, in_maps, in_hdf5])
def test_a_file_is_not_written_over_while_it_is_read(model, tmp_path, make):
    image, outs = make(tmp_path)
    for out in outs:
        with pytest.raises(InputError, match=r"out is what the image is read from|would replace the image"):
            hush.denoise(image, model, out=out, progress=never, **IN_TILES)


def test_files_beside_each_other_are_two(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8)))
    first, second = (np.load(tmp_path / "a.npy", mmap_mode="r+") for _ in range(2))
    assert share_numbers(first, second) and not share_numbers(first[0], second[1])
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    arrays = [group.create_array(name, shape=(4, 4), dtype="float32") for name in "ab"]
    assert not share_numbers(*arrays)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        assert not share_numbers(*(file.create_dataset(name, data=IMAGE) for name in "ab"))


def read_only():
    array = np.empty_like(IMAGE)
    array.flags.writeable = False
    return array


def read_only_zarr():
    store = MemoryStore()
    zarr.create_array(store, shape=IMAGE.shape, dtype="float32")
    return zarr.open_array(store, mode="r")


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (read_only(), "read-only"),
        (read_only_zarr(), "read-only"),
        (np.ma.masked_array(np.empty_like(IMAGE), hard_mask=True), "hard mask"),
        (np.empty(IMAGE.shape, bool), "integers or floats"),
        (np.empty(IMAGE.shape, complex), "integers or floats"),
        (np.empty(IMAGE.shape, object), "integers or floats"),
        (np.empty(IMAGE.shape, "datetime64[s]"), "integers or floats"),
        (torch.empty(IMAGE.shape), "integers or floats"),
        (np.empty(IMAGE.shape[::-1], np.float32), "shape"),
        (np.empty((1, *IMAGE.shape), np.float32), "shape"),
        (np.zeros(IMAGE.shape).tolist(), "shape"),
        ("image.tif", "ends in .zarr"),
    ],
    ids="array zarr masked bool complex object time torch turned deep list name".split(),
)
def test_what_cannot_take_a_result_is_refused_before_the_work(model, out, message):
    with pytest.raises(InputError, match=message):
        hush.denoise(IMAGE, model, out=out, progress=never)


def test_half_precision_is_clipped_and_not_infinite(model):
    out = np.empty(IMAGE.shape, np.float16)
    hush.denoise(IMAGE * 100, model, out=out, guard=False)
    assert np.isfinite(out).all() and out.max() == np.finfo(np.float16).max


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.zarr"])
def test_a_file_that_is_read_part_by_part_is_known_again(model, tmp_path, name):
    image = np.random.default_rng(0).normal(100, 10, (5000, 5000)).astype(np.float32)  # large enough to stay there
    write_image(tmp_path / name, image)
    data = read_image(tmp_path / name).data
    assert lies_in_file(data) and not isinstance(data, np.ndarray)
    if name == "a.npy":
        out = np.lib.format.open_memmap(tmp_path / name, mode="r+")
    elif name == "a.tif":
        out = tifffile.memmap(tmp_path / name, mode="r+")
    else:
        out = zarr.open_array(tmp_path / name / "0", mode="r+")
    with pytest.raises(InputError, match="what the image is read from"):
        hush.denoise(data, model, out=out)
    if name == "a.zarr":
        with pytest.raises(InputError, match="would replace the image"):
            hush.denoise(data, model, out=tmp_path / name)
