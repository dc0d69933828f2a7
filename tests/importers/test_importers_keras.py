"""Keras files of any convolutional network: what is computed, for both formats of Keras 3 and that of Keras 2."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import torch

from keras_files import conv, layer, make_config, write_keras_3
from napari_hush.errors import InputError, ModelFileError
from napari_hush.importers.registry import load_model, look
from napari_hush.inference.denoise import denoise
from napari_hush.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Entry = tuple[str, str, list[str], dict[str, Any]]
SAME = {"padding": "same"}


class Described:
    """A chain of layers with arrays of random numbers, as a file of Keras describes it."""

    def __init__(self, channels: int = 1) -> None:
        self.rng = np.random.default_rng(0)
        self.layers: list[Entry] = [("InputLayer", "i", [], {"batch_shape": [None, None, None, channels]})]
        self.arrays: dict[str, dict[str, np.ndarray]] = {}

    def add(self, class_name: str, name: str, *sources: str, **config: Any) -> Described:
        shapes = config.pop("shapes", {})
        self.layers.append((class_name, name, list(sources) or [self.layers[-1][1]], config))
        if shapes:
            self.arrays[name] = {
                key: self.rng.uniform(0.2, 1, shape).astype("f4")
                if key in ("gamma", "moving_variance")
                else self.rng.normal(0, 0.4, shape).astype("f4")
                for key, shape in shapes.items()
            }
        return self

    def conv(self, name: str, taken: int, given: int, size: int = 3, *sources: str, **config: Any) -> Described:
        shapes = {"kernel": (size, size, taken, given), "bias": (given,)}
        settings = {"filters": given, "kernel_size": [size, size], **SAME, **config, "shapes": shapes}
        return self.add("Conv2D", name, *sources, **settings)


def unet() -> Described:
    norm = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (4,))
    d = Described().conv("c1", 1, 4).add("BatchNormalization", "n", epsilon=0.01, shapes=norm)
    d.add("LeakyReLU", "a", negative_slope=0.2).add("MaxPooling2D", "p", pool_size=[2, 2]).add("Dropout", "d", rate=0.5)
    d.conv("c2", 4, 6, activation="elu").add("UpSampling2D", "u", size=[2, 2], interpolation="bilinear")
    d.add("Concatenate", "s", "a", "u").conv("c3", 10, 3, activation="silu").conv("c4", 3, 1, 1)
    return d.add("Add", "sum", "i", "c4")


def strided() -> Described:
    d = Described(2).conv("c1", 2, 5, 5, strides=[2, 2], activation="gelu")
    d.conv("c2", 5, 6, 4, strides=[2, 2], activation="tanh").conv("c3", 6, 6, dilation_rate=[2, 2], activation="relu6")
    for name, taken, given, size in (("t1", 6, 5, 3), ("t2", 5, 2, 4)):
        shapes = {"kernel": (size, size, given, taken), "bias": (given,)}
        settings: dict[str, Any] = {"filters": given, "kernel_size": [size, size], "strides": [2, 2], **SAME}
        d.add("Conv2DTranspose", name, **settings, activation="leaky_relu", shapes=shapes)
    return d


def odd() -> Described:
    shapes = {"depthwise_kernel": (3, 3, 2, 2), "pointwise_kernel": (1, 1, 4, 4), "bias": (4,)}
    d = Described(2).add("SeparableConv2D", "s", filters=4, kernel_size=3, depth_multiplier=2, **SAME, shapes=shapes)
    d.add("PReLU", "a", shared_axes=[1, 2], shapes={"alpha": (1, 1, 4)})
    d.add("DepthwiseConv2D", "d", kernel_size=[5, 5], **SAME, shapes={"kernel": (5, 5, 4, 1), "bias": (4,)})
    d.add("ZeroPadding2D", "z", padding=[[1, 2], [2, 1]])
    grouped = {"kernel": (4, 4, 2, 4), "bias": (4,)}
    d.add("Conv2D", "g", filters=4, kernel_size=[4, 4], groups=2, padding="valid", shapes=grouped)
    d.add("AveragePooling2D", "p", pool_size=[3, 3], strides=[2, 2], **SAME)
    d.add("MaxPooling2D", "m", pool_size=[3, 3], strides=[1, 1], **SAME).add("UpSampling2D", "u", size=[2, 2])
    d.add("Cropping2D", "x", cropping=[[1, 1], [1, 1]]).add("ZeroPadding2D", "y", padding=[[1, 1], [1, 1]])
    d.conv("c", 4, 2, 2, activation="hard_sigmoid").add("Average", "v", "c", "i").add("Subtract", "w", "v", "i")
    return d.add("Rescaling", "r", scale=2.0, offset=0.5).add("ReLU", "q", max_value=1.5, negative_slope=0.1)


# mean, standard deviation, first and last value of what Keras 3.15.1 on JAX 0.10 computes of the same files
MODELS: dict[str, tuple[Callable[[], Described], tuple[float, ...]]] = {
    "unet": (unet, (0.354834, 1.0991, 0.730673, 0.577792)),
    "strided": (strided, (1.17708, 1.77119, -0.207886, 0.227861)),
    "odd": (odd, (0.84312, 0.606823, 0.790083, -0.0678082)),
}


def make_image(channels: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1, (1, 16, 24, channels)).astype("f4")


def run(model: Model, image: np.ndarray) -> np.ndarray:
    found: np.ndarray = model.network(torch.from_numpy(image).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    return found


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", MODELS)
def test_network_computes_what_keras_does(tmp_path: Path, name: str, suffix: str) -> None:
    make, expected = MODELS[name]
    described = make()
    model = load_model(write_keras_3(tmp_path / f"model{suffix}", described.layers, described.arrays))
    found = run(model, make_image(model.in_channels))
    measured = (found.mean(), found.std(), found[0, 0, 0, 0], found[0, -1, -1, -1])
    np.testing.assert_allclose(measured, expected, rtol=1e-4, atol=1e-5)
    assert (model.architecture, model.normalization.target) == ("graph", (0.0, 1.0))


@pytest.mark.parametrize("name", MODELS)
def test_saved_again_tiled_and_exported_it_computes_the_same(tmp_path: Path, name: str) -> None:
    described = MODELS[name][0]()
    path = write_keras_3(tmp_path / "model.keras", described.layers, described.arrays)
    model = load_model(path, normalization="identity")
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    image = make_image(model.in_channels)
    np.testing.assert_array_equal(run(again, image), run(model, image))
    if model.in_channels == 1:
        wide = np.random.default_rng(2).uniform(0, 1, (96, 80)).astype("f4")
        whole = denoise(wide, again, tile=False, guard=False, engine="torch")
        np.testing.assert_allclose(denoise(wide, again, tile=32, guard=False, engine="torch"), whole, atol=1e-5)
    for module in ("onnx", "onnxscript"):
        pytest.importorskip(module)
    runtime = pytest.importorskip("onnxruntime")
    from napari_hush.exporters.onnx import to_onnx

    session = runtime.InferenceSession(to_onnx(again), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: image.transpose(0, 3, 1, 2)})
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1), run(model, image), atol=1e-4)


def test_sides_are_those_of_tensorflow() -> None:
    """Windows of 'same' lack one pixel more at the end, where it cannot be halved."""
    layers = [
        {"op": "conv", "out": 1, "kernel": [4, 4], "stride": [2, 2], "bias": False},
        {"op": "up", "factor": [2, 2]},
    ]
    network = Model.create("graph", {"layers": layers}).network
    torch.nn.init.ones_(network.weight1)
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
    torch.testing.assert_close(network(image)[..., ::2, ::2], 16 * torch.nn.functional.avg_pool2d(padded, 4, 2))
    layers[0] |= {"kernel": [3, 3]}
    network = Model.create("graph", {"layers": layers}).network
    torch.nn.init.ones_(network.weight1)
    padded = torch.nn.functional.pad(image, (0, 1, 0, 1))
    torch.testing.assert_close(network(image)[..., ::2, ::2], 9 * torch.nn.functional.avg_pool2d(padded, 3, 2))


def test_what_looks_too_far_is_refused() -> None:
    wide = {"op": "conv", "out": 1, "kernel": [31, 31], "dilation": [130, 130]}
    with pytest.raises(ValueError, match="the reach is 5850"):
        Model.create("graph", {"layers": [wide] * 3})


def test_layer_that_is_used_twice_shares_its_weights(tmp_path: Path) -> None:
    d = Described().conv("a", 1, 1)
    once = write_keras_3(tmp_path / "once.h5", d.layers, d.arrays)
    with h5py.File(once, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        node = json.loads(json.dumps(config["config"]["layers"][1]["inbound_nodes"][0]).replace('["i", 0', '["a", 0'))
        config["config"]["layers"][1]["inbound_nodes"].append(node)
        config["config"]["layers"].append(
            layer("ReLU", "r") | {"inbound_nodes": [json.loads(json.dumps(node).replace('["a", 0', '["a", 1'))]}
        )
        config["config"]["output_layers"] = ["r", 0, 0]
        file.attrs["model_config"] = json.dumps(config)
        file["model_weights"].create_group("r").attrs["weight_names"] = []
    model = load_model(once)
    image = make_image(1)
    kernel = torch.from_numpy(d.arrays["a"]["kernel"].transpose(3, 2, 0, 1).copy())
    x = torch.from_numpy(image.transpose(0, 3, 1, 2))
    for _ in range(2):
        x = torch.nn.functional.conv2d(x, kernel, torch.from_numpy(d.arrays["a"]["bias"]), padding=1)
    np.testing.assert_allclose(run(model, image), x.relu().permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_model_inside_of_a_model_is_read(tmp_path: Path) -> None:
    d = Described(2).conv("a", 2, 2)
    inner = {"class_name": "Sequential", "name": "inner", "config": {"name": "inner", "layers": []}}
    inner["config"]["layers"] = [
        {"class_name": "InputLayer", "config": {"name": "j", "batch_input_shape": [None, None, None, 2]}},
        {key: value for key, value in conv("a", "j", 2, activation="linear").items() if key != "inbound_nodes"},
    ]
    inner["inbound_nodes"] = [[["i", 0, 0, {}]]]
    outer = make_config([layer("InputLayer", "i", batch_input_shape=[None, None, None, 2]), inner])
    with h5py.File(tmp_path / "nested.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(outer)
        group = file.create_group("model_weights/inner")
        group.attrs["weight_names"] = [b"a/kernel:0", b"a/bias:0"]
        group["a/kernel:0"], group["a/bias:0"] = d.arrays["a"]["kernel"], d.arrays["a"]["bias"]
    plain = load_model(write_keras_3(tmp_path / "plain.keras", d.layers, d.arrays))
    image = make_image(2)
    np.testing.assert_array_equal(run(load_model(tmp_path / "nested.h5"), image), run(plain, image))


def test_models_that_multiply_are_refused_at_once(tmp_path: Path) -> None:
    """Each of seven models holds the next one twenty times, and the last one does nothing."""
    entry = {
        "class_name": "InputLayer",
        "name": "i",
        "config": {"name": "i", "batch_input_shape": [None, None, None, 1]},
    }
    model = layer("Dropout", "d", "i")
    for depth in range(7):
        inner = {"name": f"m{depth}", "layers": [entry, model], "input_layers": [["i", 0, 0]]}
        inner["output_layers"] = [[model["config"]["name"], 0, 0]]
        nodes = [[["i", 0, 0, {}]]] * 20
        model = {"class_name": "Functional", "name": f"m{depth}", "config": inner, "inbound_nodes": nodes}
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(make_config([entry, model]))
        file.create_group("model_weights")
    with pytest.raises(ModelFileError, match="more than 2,000 times"):
        load_model(tmp_path / "bomb.h5")


def test_archive_is_recognised_by_what_it_holds(tmp_path: Path) -> None:
    d = unet()
    path = write_keras_3(tmp_path / "model.keras", d.layers, d.arrays).rename(tmp_path / "model.zip")
    assert look(path) == "Keras model"
    assert load_model(path).card.limits[0].startswith("Expects values from 0 to 1")
    assert load_model(path, value_range=(0, 255)).normalization.target == (0.0, 255.0)
    with pytest.raises(InputError, match="its layers say how they upsample; leave out upsampling='nearest'"):
        load_model(path, upsampling="nearest")


def rewritten(path: Path, **members: bytes | None) -> Path:
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (content | members).items():
            if data is not None:
                archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"config.json": b"\xff\xfe"}, "config.json is no text"),
        ({"config.json": b"[" * 100_000}, "grows from .* nothing was unpacked|not the JSON"),
        ({"config.json": b" " * (17 << 20)}, "expected at most 16,777,216; nothing was unpacked"),
        ({"model.weights.h5": bytes(8 << 20)}, "grows from .* nothing was unpacked"),
        ({"model.weights.h5": b"\x89HDF\r\n\x1a\n"}, "truncated or damaged HDF5"),
        ({"../../evil.py": b"import os", "model.weights.h5": b""}, "truncated or damaged HDF5"),
    ],
)
def test_hostile_archive_is_refused(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    d = unet()
    path = rewritten(write_keras_3(tmp_path / "model.keras", d.layers, d.arrays), **members)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_no_layer_explains_are_refused_and_those_of_the_training_are_not(tmp_path: Path) -> None:
    d = unet()
    path = write_keras_3(tmp_path / "model.keras", d.layers, d.arrays)
    with zipfile.ZipFile(path) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights, "r+") as file:
        file["optimizer/vars/0"] = np.zeros(3)
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
    load_model(rewritten(path, **{"model.weights.h5": weights.getvalue()}))
    with h5py.File(weights, "r+") as file:
        file["layers/conv2d/vars/2"] = np.zeros(3)
    with pytest.raises(ModelFileError, match=r"no layer explains.*layers/conv2d/vars/2"):
        load_model(rewritten(path, **{"model.weights.h5": weights.getvalue()}))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"scale": 1 / 255}, (0, 255)),
        ({"scale": 0.003922}, (0, 255)),
        ({"scale": 1 / 127.5, "offset": -1.0}, (0, 255)),
        ({"scale": 1 / 65535, "offset": -0.5}, (0, 65535)),
        ({"scale": 2.0, "offset": 0.5}, (0, 1)),  # nothing that is known maps so
        ({"scale": -1.0}, (0, 1)),
        ({"scale": 0.0}, (0, 1)),
        ({"scale": [1 / 255], "offset": 0.0}, (0, 1)),
    ],
)
def test_rescaling_in_front_says_what_values_are_expected(
    tmp_path: Path, settings: dict[str, Any], expected: tuple[float, float]
) -> None:
    described = Described().add("Dropout", "d", rate=0.1).add("Rescaling", "r", **settings).conv("c", 1, 1)
    path = write_keras_3(tmp_path / "model.keras", described.layers, described.arrays)
    assert load_model(path).normalization.target == pytest.approx(expected)
    assert load_model(path, value_range=(0, 4)).normalization.target == (0, 4)
    image = np.random.default_rng(0).uniform(0, 200, (1, 16, 24, 1)).astype("f4")
    by_hand = torch.from_numpy(settings["scale"] * image + settings.get("offset", 0.0)) if expected[1] > 1 else None
    if by_hand is not None:
        bare = Described().conv("c", 1, 1)
        other = load_model(write_keras_3(tmp_path / "bare.keras", bare.layers, described.arrays))
        np.testing.assert_allclose(run(load_model(path), image), run(other, by_hand.numpy()), rtol=1e-4, atol=1e-5)


def test_rescaling_beside_another_way_of_the_image_says_nothing(tmp_path: Path) -> None:
    described = Described().add("Rescaling", "r", scale=1 / 255).conv("c", 1, 1).add("Add", "sum", "i", "c")
    path = write_keras_3(tmp_path / "model.keras", described.layers, described.arrays)
    assert load_model(path).normalization.target == (0.0, 1.0)
