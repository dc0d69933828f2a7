"""BioImage.IO packages (.zip) that hold one of the networks known here, or ONNX weights of any.

A package describes itself in YAML and brings its weights, and often Python code to build the network with. That code is
never run nor read: the name of its class says which network of ours it is. A network of others is a black box, run from
its ONNX weights. Nothing is unpacked to disk or downloaded.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from pydantic import TypeAdapter

from napari_hush.card import FORMAT_VERSION, HEADER_KEY, Header, ModelCard, first_line
from napari_hush.errors import InputError, ModelFileError
from napari_hush.importers.bioimageio_yaml import (
    check_axes,
    check_postprocessing,
    read_rule,
    read_yaml,
    stated_halo,
    take,
)
from napari_hush.importers.onnx import black_box
from napari_hush.importers.pytorch.pickle_content import show
from napari_hush.importers.pytorch.torch_file import read_torch
from napari_hush.importers.sniff import DESCRIPTIONS
from napari_hush.importers.zip_file import by_name, list_members, read_member
from napari_hush.model import Model
from napari_hush.networks import IMPORTED, NETWORKS
from napari_hush.networks.onnx_network import Session
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

MAX_DESCRIPTION_BYTES = 1 << 19
MAX_WEIGHTS_BYTES = 1 << 31
WHOLE = "get the whole package again"
FOREIGN = (
    "expected a network known here: {}; its own code is not run. Networks of others are read from ONNX weights, which "
    "this package does not have"
)


class _Foreign(ModelFileError):
    """The network of the PyTorch weights is none that is known here."""


def load_bioimageio(path: Path) -> Model:
    """Read a package with PyTorch weights of a network known here, or with ONNX weights of any network.

    Parameters
    ----------
    path : Path
        The file; it is opened read-only.

    Returns
    -------
    Model
        With the card and normalisation that napari-hush wrote into the package; where another program made it, with
        those that follow from its description.

    Raises
    ------
    ModelFileError
        If the file is damaged, unsafe, or holds no weights of a network known here nor any that can be run in tiles.
    """
    try:
        with path.open("rb") as file:
            members = by_name(list_members(file))
            name = next(name for name in DESCRIPTIONS if name in members)
            content = read_yaml(read_member(file, members[name], MAX_DESCRIPTION_BYTES))
            _check_kind(content)
            weights = take(content, "weights", dict)
            try:
                architecture, hyperparameters = _find_architecture(_find_weights(weights))
            except _Foreign:
                if "onnx" not in weights:
                    raise
                return _load_black_box(path, content, _read_weights(file, members, take(weights, "onnx", dict)))
            data = _read_weights(file, members, take(weights, "pytorch_state_dict", dict))
        state = _check_state(read_torch(io.BytesIO(data)))
        header = _read_header(content)
        if header is not None:
            _compare(header, architecture, hyperparameters)
            rule = TypeAdapter(NormalizationRule).validate_python(header.normalization)
            model = Model.from_state(architecture, hyperparameters, state, rule, header.card)
            return replace(model, scale=header.scale, guard=header.guard, companions=header.companions)
        # the network first: where it is another one, the preprocessing does not matter
        card = _make_card(path, content, hashlib.sha256(data).hexdigest())
        try:
            model = Model.from_state(architecture, hyperparameters, state, NormalizationRule(), card)
        except InputError:
            if "onnx" not in weights:
                raise
            with path.open("rb") as file:
                return _load_black_box(path, content, _read_weights(file, members, take(weights, "onnx", dict)))
        return replace(model, normalization=read_rule(content))
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except (ValueError, TypeError) as error:  # what pydantic does not accept
        raise ModelFileError(f"{path}: damaged description: {first_line(error)}; {WHOLE}") from error


def _load_black_box(path: Path, content: dict[str, Any], data: bytes) -> Model:
    """A model around the ONNX weights of a network that is not known here."""
    check_axes(content)
    session = Session(data)
    rule = read_rule(content, channels=session.file.in_channels)
    check_postprocessing(content, rule)
    card = _make_card(path, content, hashlib.sha256(data).hexdigest())
    return black_box(session, rule, card, halo=stated_halo(content))


def _check_kind(content: dict[str, Any]) -> None:
    kind, version = content.get("type"), str(content.get("format_version"))
    if kind != "model":
        raise ModelFileError(f"a BioImage.IO package of type {show(str(kind), 30)!r}, expected 'model'")
    if not version.startswith(("0.4.", "0.5.")):
        raise ModelFileError(
            f"a BioImage.IO model of format {show(version, 20)}, this version reads 0.4 and 0.5; 'bioimageio "
            "update-format' of bioimageio.core converts older ones"
        )


def _find_weights(weights: dict[str, Any]) -> dict[str, Any]:
    if "pytorch_state_dict" not in weights:
        raise _Foreign(
            f"holds no pytorch_state_dict of a network known here ({_known()}), nor ONNX weights: it has "
            f"{show(', '.join(map(str, weights)) or 'no weights', 100)}, which may hold code or another network"
        )
    return take(weights, "pytorch_state_dict", dict)


def _find_architecture(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    architecture = entry.get("architecture")
    if isinstance(architecture, str):  # of format 0.4: the file and the class
        raise _Foreign(f"holds a pytorch_state_dict of {show(architecture, 60)!r}, {FOREIGN.format(_known())}")
    architecture = take(entry, "architecture", dict)
    name, module = take(architecture, "callable", str), architecture.get("import_from")
    names = {network.__name__: key for key, network in _packed().items()}
    if isinstance(module, str) and not module.startswith("napari_hush."):
        raise _Foreign(
            f"holds a pytorch_state_dict of {show(name, 60)!r} of {show(module, 60)}, {FOREIGN.format(_known())}"
        )
    if name not in names:
        raise _Foreign(f"holds a pytorch_state_dict of {show(name, 60)!r}, {FOREIGN.format(_known())}")
    hyperparameters = architecture.get("kwargs") or {}
    if not isinstance(hyperparameters, dict) or not all(isinstance(key, str) for key in hyperparameters):
        raise ModelFileError(f"the arguments of {name} are not named; {WHOLE}")
    return names[name], hyperparameters


def _known() -> str:
    return ", ".join(sorted(network.__name__ for network in _packed().values()))


def _packed() -> dict[str, type[torch.nn.Module]]:
    """The networks whose weights a package can hold as PyTorch's."""
    return {**NETWORKS, "graph": IMPORTED["graph"]}


def _read_weights(file: BinaryIO, members: dict[str, zipfile.ZipInfo], entry: dict[str, Any]) -> bytes:
    source = take(entry, "source", str)
    if "://" in source:
        raise ModelFileError(
            f"its weights lie elsewhere ({show(source, 80)}), and nothing is downloaded; download the whole package"
        )
    if source not in members:
        outside = source.startswith(("/", "\\")) or ".." in source or source[1:2] == ":"
        where = "outside of the package" if outside else "missing in the package"
        raise ModelFileError(f"its weights {show(source, 80)!r} are {where}; {WHOLE}")
    data = read_member(file, members[source], MAX_WEIGHTS_BYTES)
    stated = entry.get("sha256")
    if stated is not None and str(stated).lower() != (came := hashlib.sha256(data).hexdigest()):
        raise ModelFileError(
            f"damaged or tampered with: the weights' SHA-256 is {came[:12]}..., the description says "
            f"{show(str(stated), 12)}...; {WHOLE}"
        )
    return data


def _check_state(content: Any) -> dict[str, torch.Tensor]:
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in content.items()
    ):
        raise ModelFileError("its weights are no plain dict of names and tensors, expected net.state_dict()")
    for name, tensor in content.items():
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise ModelFileError(f"the tensor {show(name)!r} has negative variances; {WHOLE}")
    return {name: tensor.detach() for name, tensor in content.items()}


def _read_header(content: dict[str, Any]) -> Header | None:
    """What napari-hush wrote into the package, where it made it."""
    config = content.get("config") or {}
    raw = config.get(HEADER_KEY) if isinstance(config, dict) else None
    if raw is None:
        return None
    version = raw.get("version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelFileError(
            f"made by a newer napari-hush (model version {version}, this one reads up to {FORMAT_VERSION}): upgrade "
            "with 'pip install -U napari-hush'"
        )
    return Header.model_validate(raw)


def _compare(header: Header, architecture: str, hyperparameters: dict[str, Any]) -> None:
    if (header.architecture, header.hyperparameters) != (architecture, hyperparameters):
        raise ModelFileError(
            f"describes two networks, {architecture} for its weights and {show(header.architecture, 40)} under config, "
            f"or one with two sets of arguments; {WHOLE}"
        )


def _make_card(path: Path, content: dict[str, Any], digest: str) -> ModelCard:
    """A card from the fields that every package has."""
    cited = content.get("cite")
    entries = cited if isinstance(cited, list) else []
    papers = [str(entry["doi"]) for entry in entries if isinstance(entry, dict) and entry.get("doi")]
    licence = content.get("license")
    return ModelCard(
        name=show(str(content.get("name") or path.stem), 200),
        description=show(str(content.get("description") or ""), 1024),
        source=f"{path.name}, weights' SHA-256 {digest}" + "".join(f", doi {show(doi, 60)}" for doi in papers[:10]),
        licence=show(licence, 60) if isinstance(licence, str) else "unknown",
        limits=["Imported from BioImage.IO: what it was trained for stands in the package's documentation."],
    )
