"""Keras 2 files (.h5) of the two published denoisers, the TomoGAN generator and a plain CNN.

Only h5py reads them: ``keras.load_model`` can run code that a file brings along. The network that the file's layers
describe says which arrays of which shapes may be read.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, get_args

import torch

from napari_hush.card import ModelCard
from napari_hush.errors import InputError, ModelFileError
from napari_hush.files import file_sha256
from napari_hush.importers.hdf5 import get_group, list_datasets, open_hdf5, read_floats, read_texts
from napari_hush.importers.keras_graph import recognise, short
from napari_hush.importers.options import KerasOptions
from napari_hush.model import Model
from napari_hush.networks import NETWORKS
from napari_hush.networks.tomogan import Upsampling
from napari_hush.normalize import Method, NormalizationRule

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

MAX_CONFIG_BYTES = 1 << 24
# What the published models were trained on, and how they are called; the files do not say it.
VALUE_RANGES = {"tomogan": (0.0, 255.0), "cnn": (0.0, 1.0)}
DEFAULTS = KerasOptions()
TITLES = {"tomogan": "TomoGAN generator", "cnn": "Plain CNN"}


def load_keras(path: Path, options: KerasOptions = DEFAULTS) -> Model:
    """Read a whole model that Keras 2 saved as HDF5.

    Parameters
    ----------
    path : Path
        The file; it is opened read-only.
    options : KerasOptions
        What the file does not say.

    Returns
    -------
    Model
        With the file's name and SHA-256 on its card.

    Raises
    ------
    InputError
        If an option has a value that it cannot have.
    ModelFileError
        If the file is truncated, unsafe, or of another network.

    Warns
    -----
    UserWarning
        If the file does not store TomoGAN's upsampling and ``upsampling`` is ``"file"``.
    """
    upsampling, value_range, normalization = options.upsampling, options.value_range, options.normalization
    modes = ("file", *get_args(Upsampling))
    if upsampling not in modes:
        raise InputError(f"upsampling must be one of {', '.join(modes)}, got {upsampling!r}")
    _make_rule(normalization, value_range or (0.0, 1.0))  # a wrong option should not wait for the file
    with open_hdf5(path) as file:
        text = "".join(read_texts(file, "model_config", max_bytes=MAX_CONFIG_BYTES))
        try:
            found = recognise(text)
        except ModelFileError as error:
            known = "this version imports the TomoGAN generator and plain CNNs saved by Keras 2"
            raise ModelFileError(f"{path}: {error}; {known}") from error
        hyperparameters = dict(found.hyperparameters)
        if found.architecture == "tomogan":
            hyperparameters["upsampling"] = (found.upsampling or "nearest") if upsampling == "file" else upsampling
        elif upsampling != "file":
            raise InputError(f"{path}: a plain CNN does not upsample; leave out upsampling={upsampling!r}")
        with torch.device("meta"):  # gives the shapes, claims no memory
            network = NETWORKS[found.architecture](**hyperparameters)
        state = _read_weights(path, file, found.convolutions, network)
    network.load_state_dict(state, assign=True)
    if found.architecture == "tomogan" and found.upsampling is None and upsampling == "file":
        warnings.warn(
            f"{path.name} does not store how it upsamples: nearest is used, as Keras does, but it was most likely "
            'trained with upsampling="bilinear_tf1" (nearest shifts its result by about half a pixel)',
            UserWarning,
            stacklevel=3,
        )
    target = value_range or VALUE_RANGES[found.architecture]
    card = ModelCard(
        name=path.stem[:200] or "keras",
        description=f"{TITLES[found.architecture]} imported from Keras.",
        source=f"{path.name}, SHA-256 {file_sha256(path)}",
        licence="unknown",
        limits=[f"Expects values from {target[0]:g} to {target[1]:g}, in images like those it was trained on."],
    )
    return Model(network, found.architecture, hyperparameters, _make_rule(normalization, target), card)


def _make_rule(method: Method, target: tuple[float, float]) -> NormalizationRule:
    try:
        lowest, highest = target
        return NormalizationRule(method=method, low=0.1, high=99.9, target=(float(lowest), float(highest)))
    except (TypeError, ValueError) as error:
        raise InputError(f"normalization={method!r}, value_range={short(target)}: {error}") from error


def _read_weights(path: Path, file: Any, names: list[str], network: nn.Module) -> dict[str, torch.Tensor]:
    """Read the arrays under the network's names: its k-th convolution is the file's k-th."""
    if 2 * sum(p.numel() for p in network.parameters()) > path.stat().st_size:
        raise ModelFileError(f"{path}: the file is smaller than the weights that it describes; get the file again")
    root = get_group(file, "model_weights")
    tensors = list(network.state_dict().items())
    state, explained = {}, set()
    for layer, (kernel_name, kernel), (bias_name, bias) in zip(names, tensors[::2], tensors[1::2], strict=True):
        weights = read_texts(get_group(root, layer), "weight_names", max_bytes=1 << 16)
        if [weight.rsplit("/")[-1].removesuffix(":0") for weight in weights] != ["kernel", "bias"]:
            raise ModelFileError(f"{path}: layer {layer!r}: expected a kernel and a bias, got {short(weights)}")
        paths = [f"{layer}/{weight}" for weight in weights]
        o, i, h, w = kernel.shape
        values = read_floats(root, paths[0], (h, w, i, o))
        state[kernel_name] = torch.from_numpy(values.transpose(3, 2, 0, 1).copy())  # HWIO -> OIHW
        state[bias_name] = torch.from_numpy(read_floats(root, paths[1], tuple(bias.shape)))
        explained.update(paths)
    if extra := list_datasets(root) - explained:
        raise ModelFileError(f"{path}: weights that no layer explains: {short(sorted(extra))}; save the model again")
    return state
