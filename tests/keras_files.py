"""Small files like those that Keras saves: of Keras 2 from our own networks, of Keras 3 from a list of layers."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import h5py

from napari_hush.networks.cnn import CNN
from napari_hush.networks.tomogan import TomoGAN

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import nn


def layer(class_name: str, name: str, *sources: str, **config: Any) -> dict[str, Any]:
    """One entry of a model_config."""
    nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
    return {"class_name": class_name, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


def conv(
    name: str, source: str, filters: int, size: int = 3, activation: str = "relu", **config: Any
) -> dict[str, Any]:
    settings = {
        "filters": filters,
        "kernel_size": [size, size],
        "strides": [1, 1],
        "padding": "valid" if size == 1 else "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "activation": activation,
        "use_bias": True,
    }
    return layer("Conv2D", name, source, **(settings | config))


def make_config(layers: list[dict[str, Any]], class_name: str = "Functional") -> dict[str, Any]:
    ends = {"input_layers": [[layers[0]["name"], 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
    return {"class_name": class_name, "config": {"name": "model", "layers": layers, **ends}}


def cnn_layers(network: CNN) -> list[dict[str, Any]]:
    layers = [layer("InputLayer", "input_1", batch_input_shape=[None, None, None, network.in_channels])]
    for number, module in enumerate(network.convs):
        last = number == len(network.convs) - 1
        activation = "linear" if last else "relu"
        layers.append(conv(f"c{number}", layers[-1]["name"], module.out_channels, module.kernel_size[0], activation))
    return layers


def tomogan_layers(*, in_channels: int = 1, interpolation: str | None = None) -> list[dict[str, Any]]:
    layers = [layer("InputLayer", "input_1", batch_input_shape=[None, None, None, in_channels])]

    def add(new: dict[str, Any]) -> str:
        layers.append(new)
        return str(new["name"])

    def block(source: str, name: str, filters: int, count: int = 2) -> str:
        for number in range(count):
            source = add(conv(f"{name}{number}", source, filters))
        return source

    mode = {"interpolation": interpolation} if interpolation else {}
    x = add(conv("stem", "input_1", 8, 1))
    skips = []
    for level, filters in enumerate((32, 64, 128)):
        skips.append(block(x, f"enc{level}", filters))
        x = add(layer("MaxPooling2D", f"pool{level}", skips[-1], pool_size=[2, 2], strides=[2, 2], padding="same"))
    x = block(x, "bottom", 128, 1)
    for level, filters in ((2, 64), (1, 32), (0, 32)):
        up = add(layer("UpSampling2D", f"up{level}", x, size=[2, 2], data_format="channels_last", **mode))
        x = block(add(layer("Concatenate", f"concat{level}", skips[level], up, axis=-1)), f"dec{level}", filters)
    add(conv("out", add(conv("head", x, 16, 1)), 1, 1, "linear"))
    return layers


def write_keras(path: Path, network: nn.Module, config: dict[str, Any] | str | None = None) -> Path:
    """Write a network's weights in Keras' layout; the given model_config may describe something else."""
    layers = cnn_layers(network) if isinstance(network, CNN) else tomogan_layers(in_channels=network.in_channels)
    assert isinstance(network, CNN | TomoGAN)
    if config is None:
        config = make_config(layers)
    values = list(network.state_dict().values())
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        file.attrs["keras_version"] = "2.4.0"
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [entry["name"].encode() for entry in layers]
        names = [entry["name"] for entry in layers if entry["class_name"] == "Conv2D"]
        for name, kernel, bias in zip(names, values[::2], values[1::2], strict=True):
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"] = kernel.numpy().transpose(2, 3, 1, 0)
            group[f"{name}/bias:0"] = bias.numpy()
    return path


def keras_3_layer(class_name: str, name: str, sources: list[str], config: dict[str, Any]) -> dict[str, Any]:
    """One entry of a description that Keras 3 writes."""
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None], "dtype": "float32", "keras_history": [s, 0, 0]}}
        for s in sources
    ]
    arguments = tensors if len(tensors) == 1 else [tensors]
    nodes = [{"args": arguments, "kwargs": {}}] if sources else []
    full = {"name": name, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}}
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {**full, **config},
        "registered_name": None,
        "name": name,
        "inbound_nodes": nodes,
    }


def write_keras_3(
    path: Path,
    layers: list[tuple[str, str, list[str], dict[str, Any]]],
    arrays: dict[str, dict[str, np.ndarray]],
) -> Path:
    """Write a model in one of Keras 3's two formats, which the path's suffix tells.

    Parameters
    ----------
    path : Path
        It ends in ``.h5`` or ``.keras``.
    layers : list of (class, name, sources, config)
        The first is the input, the last the output.
    arrays : dict
        For each layer that has some, its arrays in Keras' order.
    """
    described = [keras_3_layer(*entry) for entry in layers]
    ends = {"input_layers": [layers[0][1], 0, 0], "output_layers": [layers[-1][1], 0, 0]}
    model = {"class_name": "Functional", "config": {"name": "model", "trainable": True, "layers": described, **ends}}
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.attrs.update({"model_config": json.dumps(model), "keras_version": "3.15.1", "backend": "jax"})
            root = file.create_group("model_weights")
            root.attrs["layer_names"] = [entry[1].encode() for entry in layers]
            for _, name, *_ in layers:
                group, inside = root.create_group(name), arrays.get(name, {})
                group.attrs["weight_names"] = [f"{name}/{key}" for key in inside]
                for key, values in inside.items():
                    group[f"{name}/{key}"] = values
        return path
    model = {"module": "keras.src.models.functional", "registered_name": "Functional", **model}
    weights, counts = io.BytesIO(), Counter[str]()
    with h5py.File(weights, "w") as file:
        file.create_group("vars")
        for class_name, name, *_ in layers:
            plain = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)).lower()
            key = f"{plain}_{counts[plain]}" if counts[plain] else plain
            counts[plain] += 1
            group = file.create_group(f"layers/{key}/vars")
            for number, values in enumerate(arrays.get(name, {}).values()):
                group[str(number)] = values
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", weights.getvalue())
    return path
