"""Models of which an earlier process has kept what a run needs, so that torch is not imported for them.

What is known of a model is kept in the user's cache under a name that tells the content of its file, the version of
this program and that of OpenVINO; its graph lies beside it (`napari_hush.inference.engines.kept_graphs`). Both are made
by the first run of a model from a name or a file, and again whenever one of these changes.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import asdict, replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from napari_hush.cache import cache_folder, keep, read_kept
from napari_hush.card import Header
from napari_hush.errors import InputError
from napari_hush.files import file_sha256
from napari_hush.importers.registry import load_model, model_file
from napari_hush.inference.kept_network import KeptNetwork, NetworkFacts, standing_for
from napari_hush.inference.ledger import weights_sha256
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from torch import nn

OWN = "napari_hush."  # networks of others may change while no version does
PACKAGE = Path(__file__).parents[1]
MAKERS = ("networks", "importers", "inference/engines", "model.py", "normalize.py", "card.py")  # of what is kept


def load_kept(source: str | PathLike[str]) -> Model:
    """Load a model as `load_model` does, without torch where an earlier process has kept enough of it.

    Its network is what stands for one where its graph is or will be kept, see `KeptNetwork`.

    Parameters
    ----------
    source : str or path
        A bundled name or a file.

    Raises
    ------
    InputError, ModelFileError
        As `load_model` does.
    """
    openvino = _version("openvino")
    path = model_file(source)
    if cache_folder() is None or not openvino or not path.is_file():
        return load_model(source)
    sha256 = file_sha256(path)
    key = hashlib.sha256(f"{sha256} {openvino} {_program()}".encode()).hexdigest()[:40]
    kept = _read(key, sha256, partial(_network, path, sha256))
    if kept is not None:
        return kept
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = load_model(source)
    words = [str(one.message) for one in told]
    _tell(words)
    network = model.network
    if model.sha256 != sha256 or model.staged or hasattr(network, "engine"):
        return model
    if not type(network).__module__.startswith(OWN):
        return model
    facts = NetworkFacts(
        in_channels=model.in_channels,
        out_channels=model.out_channels,
        stride=model.stride,
        smallest=model.smallest,
        halo=model.halo,
        depth=model.depth,
        live_channels=int(network.live_channels),  # type: ignore[arg-type]
        n_weights=model.n_parameters,
        weights_sha256=weights_sha256(model),
    )
    record = {"header": model.header({}).model_dump(mode="json"), "facts": asdict(facts), "warnings": words}
    keep(f"{key}.model", json.dumps(record).encode())
    return replace(model, network=standing_for(KeptNetwork(facts, key, lambda: network)))


def _read(key: str, sha256: str, load: Any) -> Model | None:
    """The model of a key; None where nothing, or nothing that makes sense, is kept."""
    data = read_kept(f"{key}.model")
    if data is None:
        return None
    try:
        record = json.loads(data)
        header, facts = Header.model_validate(record["header"]), NetworkFacts(**record["facts"])
        words: list[str] = record["warnings"]
        rule = TypeAdapter(NormalizationRule).validate_python(header.normalization)
        model = Model(
            standing_for(KeptNetwork(facts, key, load)),
            header.architecture,
            header.hyperparameters,
            rule,
            header.card,
            header.scale,
            header.guard,
            header.companions,
            sha256,
        )
    except (ValueError, TypeError, KeyError, InputError):  # of a program that writes otherwise: made again
        return None
    _tell(words)
    return model


def _network(path: Path, sha256: str) -> nn.Module:
    """The network of a file that was looked at before."""
    model = load_model(path)
    if model.sha256 != sha256:
        raise InputError(f"{path}: this model file was changed during the run: run it again")
    return model.network


def _tell(words: Sequence[str]) -> None:
    for one in words:
        warnings.warn(one, UserWarning, stacklevel=3)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@cache
def _program() -> str:
    """Tells one state of this program from another, also while somebody changes its sources."""
    files = [one for name in MAKERS for one in sorted([PACKAGE / name, *(PACKAGE / name).rglob("*.py")])]
    seen = [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files if one.is_file()]
    return f"{_version('napari-hush')} {seen}"
