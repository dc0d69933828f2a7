"""Keras files of convolutional networks: the HDF5 of Keras 2 and 3 (.h5), and the archives of Keras 3 (.keras).

They are read as data: ``keras.load_model`` can run code that a file brings along. The layers that a file describes say
which arrays of which shapes may be read.
"""

from __future__ import annotations

import json
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

import torch

from napari_hush.card import ModelCard
from napari_hush.errors import InputError, ModelFileError
from napari_hush.files import file_sha256
from napari_hush.importers.hdf5 import get_group, list_datasets, open_hdf5, read_floats, read_texts
from napari_hush.importers.keras_config import short
from napari_hush.importers.keras_graph import Recognised, recognise
from napari_hush.importers.options import KerasOptions
from napari_hush.importers.sniff import KERAS_MEMBERS
from napari_hush.importers.zip_file import by_name, is_zip, list_members, read_member
from napari_hush.model import Model
from napari_hush.networks import find_network
from napari_hush.networks.tomogan import Upsampling
from napari_hush.normalize import Method, NormalizationRule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from napari_hush.importers.keras_layers import Stored

MAX_CONFIG_BYTES = 1 << 24
MAX_WEIGHTS_BYTES = 1 << 30
MAX_OBJECTS = 20_000  # groups and arrays in the weights of an archive
# What the published models were trained on, and how they are called; the files do not say it.
VALUE_RANGES = {"tomogan": (0.0, 255.0)}
UNIT_RANGE = (0.0, 1.0)
DEFAULTS = KerasOptions()
TITLES = {"tomogan": "TomoGAN generator", "cnn": "Plain CNN", "graph": "Convolutional network"}


def load_keras(path: Path, options: KerasOptions = DEFAULTS) -> Model:
    """Read a whole model that Keras saved.

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
    with _open(path) as (text, keras, root, archive):
        try:
            found = recognise(text, keras=keras)
            hyperparameters = _choose_upsampling(found, upsampling)
            with torch.device("meta"):  # gives the shapes, claims no memory
                network = find_network(found.architecture)(**hyperparameters)
        except (InputError, ValueError) as error:
            kind = (
                ModelFileError if isinstance(error, ModelFileError) or not isinstance(error, InputError) else InputError
            )
            raise kind(f"{path}: {error}") from error
        if 2 * sum(p.numel() for p in network.parameters()) > path.stat().st_size:
            raise ModelFileError(f"{path}: the file is smaller than the weights that it describes; get the file again")
        state = _read_weights(path, root, found, archive=archive)
    if found.architecture == "tomogan" and found.upsampling is None and upsampling == "file":
        warnings.warn(
            f"{path.name} does not store how it upsamples: nearest is used, as Keras does, but it was most likely "
            'trained with upsampling="bilinear_tf1" (nearest shifts its result by about half a pixel)',
            UserWarning,
            stacklevel=3,
        )
    target = value_range or found.value_range or VALUE_RANGES.get(found.architecture, UNIT_RANGE)
    card = ModelCard(
        name=path.stem[:200] or "keras",
        description=f"{TITLES[found.architecture]} imported from Keras.",
        source=f"{path.name}, SHA-256 {file_sha256(path)}",
        licence="unknown",
        limits=[f"Expects values from {target[0]:g} to {target[1]:g}, in images like those it was trained on."],
    )
    try:
        return Model.from_state(found.architecture, hyperparameters, state, _make_rule(normalization, target), card)
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error


def _make_rule(method: Method, target: tuple[float, float]) -> NormalizationRule:
    try:
        lowest, highest = target
        return NormalizationRule(method=method, low=0.1, high=99.9, target=(float(lowest), float(highest)))
    except (TypeError, ValueError) as error:
        raise InputError(f"normalization={method!r}, value_range={short(target)}: {error}") from error


@contextmanager
def _open(path: Path) -> Iterator[tuple[str, int, Any, bool]]:
    """The description, Keras' major version, the group of the weights, and whether it is that of an archive."""
    with path.open("rb") as file:
        if not is_zip(file.read(4)):
            with open_hdf5(path) as content:
                text = "".join(read_texts(content, "model_config", max_bytes=MAX_CONFIG_BYTES))
                version = (
                    read_texts(content, "keras_version", max_bytes=100) if "keras_version" in content.attrs else [""]
                )
                yield text, _major("".join(version)), get_group(content, "model_weights"), False
            return
        try:
            members = by_name(list_members(file))
            config, weights = (
                read_member(file, members[name], most)
                for name, most in zip(KERAS_MEMBERS, (MAX_CONFIG_BYTES, MAX_WEIGHTS_BYTES), strict=True)
            )
            text = config.decode("utf-8")
            stated = read_member(file, members["metadata.json"], 1 << 16) if "metadata.json" in members else b"{}"
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error
        except UnicodeDecodeError as error:
            raise ModelFileError(f"{path}: its config.json is no text; copy or download it again") from error
    with open_hdf5(path, weights) as content:
        yield text, _major(_read_version(stated)), content, True


def _read_version(metadata: bytes) -> str:
    """What an archive says of the Keras that wrote it; empty where it says nothing."""
    try:
        found = json.loads(metadata)
    except (ValueError, RecursionError):
        return ""
    return str(found.get("keras_version", "")) if isinstance(found, dict) else ""


def _major(version: str) -> int:
    return 3 if re.match(r"[3-9]", version) else 2


def _choose_upsampling(found: Recognised, upsampling: str) -> dict[str, Any]:
    """The arguments of the network, with the way of upsampling that a person or the file says."""
    if found.architecture == "tomogan":
        mode = (found.upsampling or "nearest") if upsampling == "file" else upsampling
        return {**found.hyperparameters, "upsampling": mode}
    if upsampling != "file":
        what = "a plain CNN does not upsample" if found.architecture == "cnn" else "its layers say how they upsample"
        raise InputError(f"{what}; leave out upsampling={upsampling!r}, which is for TomoGAN")
    return dict(found.hyperparameters)


def _read_weights(path: Path, root: Any, found: Recognised, *, archive: bool) -> dict[str, torch.Tensor]:
    """Read the arrays, and make the weights of the network of them."""
    state: dict[str, torch.Tensor] = {}
    explained: set[str] = set()
    idle = [f"{name}/" for name in found.idle]
    legacy = archive and "layers" not in root and "_layer_checkpoint_dependencies" in root  # of TensorFlow 2.12
    for item in found.stored:
        if archive:
            group = item.group.replace("layers/", "_layer_checkpoint_dependencies/") if legacy else item.group
            places = [f"{group}vars/{number}" for number in range(len(item.arrays))]
        else:
            places = _find_places(path, root, item) if item.arrays else []
        arrays: dict[str, np.ndarray] = {
            name: read_floats(root, place, shape)
            for place, (name, shape) in zip(places, item.arrays.items(), strict=True)
        }
        explained.update(places)
        try:
            made = item.make(arrays)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error
        for name, values in made.items():
            state[name] = torch.from_numpy(values.copy())
    extra = {
        name
        for name in list_datasets(root, **({"most": MAX_OBJECTS} if archive else {})) - explained
        if not name.startswith(("optimizer/", *idle)) and "/seed_generator/" not in name  # of a training, of dropout
    }
    if extra:
        raise ModelFileError(f"{path}: weights that no layer explains: {short(sorted(extra))}; save the model again")
    return state


def _find_places(path: Path, root: Any, item: Stored) -> list[str]:
    """Where the arrays of a layer are in an HDF5 file: the group of the outermost layer lists them."""
    top, layer = item.layers[0], item.layers[-1]
    names = read_texts(get_group(root, top), "weight_names", max_bytes=1 << 16)
    if len(item.layers) > 1:
        names = [name for name in names if name.split("/")[-2:-1] == [layer]]
    # TensorFlow 1 numbers what has one name, and Keras 3 calls all kernels so
    found = [re.sub(r"_\d+$", "", name.rsplit("/")[-1].removesuffix(":0")) for name in names]
    expected = list(item.arrays)
    if found != expected and found != [name.replace("depthwise_kernel", "kernel") for name in expected]:
        words = " and ".join(f"a {name}" for name in expected)
        raise ModelFileError(f"{path}: layer {layer!r}: expected {words}, got {short(names)}")
    return [f"{top}/{name}" for name in names]
