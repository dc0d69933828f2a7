"""BioImage.IO packages (.zip) that hold one of the networks known here.

A package describes itself in YAML and brings its weights, and often Python code to build the network with. That code is
never run nor read: the name of its class says which network of ours it is. Nothing is unpacked to disk or downloaded.
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
from napari_hush.importers.bioimageio_yaml import read_rule, read_yaml, take
from napari_hush.importers.pytorch.pickle_content import show
from napari_hush.importers.pytorch.torch_file import read_torch
from napari_hush.importers.sniff import DESCRIPTIONS
from napari_hush.importers.zip_file import by_name, list_members, read_member
from napari_hush.model import Model
from napari_hush.networks import IMPORTED, NETWORKS
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

MAX_DESCRIPTION_BYTES = 1 << 19
MAX_WEIGHTS_BYTES = 1 << 31
WHOLE = "get the whole package again"


def load_bioimageio(path: Path) -> Model:
    """Read a package of format 0.5 with PyTorch weights.

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
        If the file is damaged, unsafe, or holds no weights of a network known here.
    """
    try:
        with path.open("rb") as file:
            members = by_name(list_members(file))
            name = next(name for name in DESCRIPTIONS if name in members)
            content = read_yaml(read_member(file, members[name], MAX_DESCRIPTION_BYTES))
            _check_kind(content)
            entry = _find_weights(content)
            architecture, hyperparameters = _find_architecture(entry)
            data = _read_weights(file, members, entry)
        state = _check_state(read_torch(io.BytesIO(data)))
        header = _read_header(content)
        if header is None:
            digest = hashlib.sha256(data).hexdigest()
            rule, card = read_rule(content), _make_card(path, content, digest)
        else:
            _compare(header, architecture, hyperparameters)
            rule = TypeAdapter(NormalizationRule).validate_python(header.normalization)
            card = header.card
        model = Model.from_state(architecture, hyperparameters, state, rule, card)
        return (
            model
            if header is None
            else replace(model, scale=header.scale, guard=header.guard, companions=header.companions)
        )
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except (ValueError, TypeError) as error:  # what pydantic does not accept
        raise ModelFileError(f"{path}: damaged description: {first_line(error)}; {WHOLE}") from error


def _check_kind(content: dict[str, Any]) -> None:
    kind, version = content.get("type"), str(content.get("format_version"))
    if kind != "model":
        raise ModelFileError(f"a BioImage.IO package of type {show(str(kind), 30)!r}, expected 'model'")
    if not version.startswith("0.5."):
        raise ModelFileError(
            f"a BioImage.IO model of format {show(version, 20)}, this version reads 0.5; 'bioimageio update-format' of "
            "bioimageio.core converts older ones"
        )


def _find_weights(content: dict[str, Any]) -> dict[str, Any]:
    weights = take(content, "weights", dict)
    if "pytorch_state_dict" not in weights:
        raise ModelFileError(
            f"holds no pytorch_state_dict of a network known here ({_known()}): it has "
            f"{show(', '.join(map(str, weights)) or 'no weights', 100)}, which may hold code or another network"
        )
    return take(weights, "pytorch_state_dict", dict)


def _find_architecture(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    architecture = take(entry, "architecture", dict)
    name = take(architecture, "callable", str)
    names = {network.__name__: key for key, network in (*NETWORKS.items(), *IMPORTED.items())}
    if name not in names:
        raise ModelFileError(
            f"holds a pytorch_state_dict of {show(name, 60)!r}, expected a network known here: {_known()}; its own "
            "code is not run"
        )
    hyperparameters = architecture.get("kwargs") or {}
    if not isinstance(hyperparameters, dict) or not all(isinstance(key, str) for key in hyperparameters):
        raise ModelFileError(f"the arguments of {name} are not named; {WHOLE}")
    return names[name], hyperparameters


def _known() -> str:
    return ", ".join(sorted(network.__name__ for network in NETWORKS.values()))


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
