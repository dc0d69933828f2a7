"""A BioImage.IO package: one zip with the weights twice (PyTorch and ONNX), test tensors, a cover and documentation.

The PyTorch weights come with the source file of their network, so that the package works without napari-hush.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import re
import sys
import warnings
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
import yaml

from napari_hush.card import HEADER_KEY, first_line, list_models
from napari_hush.errors import InputError
from napari_hush.exporters.describe import find_citations, make_header, write_documentation
from napari_hush.exporters.example import draw_cover, least_side, make_test_tensors, save_array, save_picture
from napari_hush.exporters.onnx import INPUT, OPSET, OUTPUT, require, to_onnx
from napari_hush.exporters.preprocess import apply, to_operations
from napari_hush.files import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_hush.model import Model

FORMAT_VERSION = "0.5.14"
DESCRIPTION = "bioimageio.yaml"
TAGS = ("denoising", "image-restoration", "2d", "pytorch", "onnx", "napari-hush")


def export_bioimageio(
    model: Model,
    path: Path,
    *,
    authors: Sequence[str] | None = None,
    licence: str | None = None,
) -> None:
    """Write a model as a BioImage.IO package; see `docs/export.md` for what the format cannot express.

    Parameters
    ----------
    model : Model
        Any but one whose upper percentile is below 1.
    path : Path
        The ``.zip`` to write.
    authors : sequence of str, optional
        Who made the model; the developers of napari-hush for a bundled one, else "unknown".
    licence : str, optional
        SPDX identifier of the weights' licence, instead of the card's.

    Raises
    ------
    InputError
        If the extra ``bioimageio`` is not installed, the licence is unknown, or the format refuses the content.
    """
    require("bioimageio", "bioimageio.spec", "onnx", "onnxscript")
    if hasattr(model.network, "engine"):
        raise InputError(
            "a BioImage.IO package holds PyTorch weights beside those of ONNX, which an imported ONNX network does not "
            "have: export it as .onnx"
        )
    if authors is None:
        authors = ["napari-hush developers" if model.card in list_models() else "unknown"]
    if isinstance(authors, str) or not authors or not all(isinstance(a, str) and a.strip() for a in authors):
        raise InputError(f"authors must be a list of names, got {authors!r}")
    licence = _check_licence(model, licence)
    header = make_header(model)
    header.card = model.card.model_copy(update={"licence": licence})
    operations = to_operations(model.normalization)
    noisy, denoised = make_test_tensors(model, operations)
    network = type(model.network)
    source = inspect.getsource(sys.modules[network.__module__])
    names = {"architecture": f"{model.architecture}.py", "state": "weights.pt", "onnx": "weights.onnx"}
    files = {
        names["architecture"]: source.encode(),
        names["state"]: _save_state(model),
        names["onnx"]: to_onnx(model),
        "test_input.npy": save_array(noisy),
        "test_output.npy": save_array(denoised),
        "sample_input.tif": save_picture(noisy),
        "sample_output.tif": save_picture(denoised),
        "cover.png": draw_cover(apply(operations, noisy), denoised),
        "README.md": write_documentation(model, licence).encode(),
    }
    refer = {name: {"source": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()}
    inputs, outputs = _describe_tensors(model, operations)
    inputs["test_tensor"], outputs["test_tensor"] = refer["test_input.npy"], refer["test_output.npy"]
    inputs["sample_tensor"], outputs["sample_tensor"] = refer["sample_input.tif"], refer["sample_output.tif"]
    largest = float(denoised.max())
    # the format compares it with the largest value, and so can state none where all are negative
    tolerance = [{"relative_tolerance": 1e-3, "absolute_tolerance": 1e-3 * largest}] if largest > 0 else []
    description = {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": _plain_name(model.card.name),
        "description": (model.card.description or f"Removes noise from images ({network.__name__}).")[:1024],
        "authors": [{"name": author} for author in authors],
        "license": licence,
        "cite": find_citations(model),
        "tags": [*TAGS, model.architecture],
        "documentation": refer["README.md"],
        "covers": [refer["cover.png"]],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [inputs],
        "outputs": [outputs],
        "weights": {
            "pytorch_state_dict": refer[names["state"]]
            | {
                "architecture": refer[names["architecture"]]
                | {"callable": network.__name__, "kwargs": header.hyperparameters},
                "pytorch_version": torch.__version__.partition("+")[0],
            },
            "onnx": refer[names["onnx"]] | {"opset_version": OPSET, "parent": "pytorch_state_dict"},
        },
        "config": {
            "bioimageio": {
                "model_parameter_count": model.n_parameters,
                "reproducibility_tolerance": tolerance,
            },
            HEADER_KEY: header.model_dump(mode="json"),
        },
    }
    text = yaml.dump(description, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)
    with replacing(path) as file:
        _write_zip(file, {DESCRIPTION: text.encode(), **files})
        _validate(file)


class _PlainDumper(yaml.SafeDumper):
    """YAML without aliases, which our importer refuses."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _check_licence(model: Model, licence: str | None) -> str:
    generic = importlib.import_module("bioimageio.spec.generic.v0_3")
    found = licence or model.card.licence
    try:
        generic.LicenseId(found)
    except ValueError as error:
        stated = "the card does not state the weights' licence" if found == "unknown" else f"{found!r} is no licence"
        raise InputError(
            f'{stated} with an SPDX identifier, which a BioImage.IO package needs: pass one, as in licence="CC-BY-4.0"'
        ) from error
    return found


def _describe_tensors(model: Model, operations: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Input and output, without their test tensors."""
    stride = model.stride
    free = {"min": least_side(model), "step": stride}
    # tiles of a network with statistics of the whole image differ, whatever the halo
    tiles = not model.staged
    halo = {"halo": model.halo} if tiles and model.halo else {}
    rule = model.normalization
    limits = rule.source if rule.method == "range" else rule.target if rule.method == "identity" else None

    def axes(channels: int, name: str, space: list[dict[str, Any]], more: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        names = [name] if channels == 1 else [f"{name}{number}" for number in range(channels)]
        names += more
        return [{"type": "batch"}, {"type": "channel", "channel_names": names}, *space]

    inputs = {
        "id": INPUT,
        "description": "intensities in any units",
        "axes": axes(
            model.image_channels,
            "slice" if model.depth > 1 else "intensity",
            [{"type": "space", "id": name, "size": free, "concatenable": tiles} for name in "yx"],
            ("near_copies", "far_copies") if model.companions == "lattice" else (),
        ),
        "data": {"type": "float32"} | ({"range": [float(end) for end in limits]} if limits else {}),
        "preprocessing": operations,
    }
    space = [{"type": "space", "id": n, "size": {"tensor_id": INPUT, "axis_id": n}} | halo for n in "yx"]
    outputs = {
        "id": OUTPUT,
        "description": "denoised, in the normalised units of the network",
        "axes": axes(model.out_channels, "intensity", space),
        "data": {"type": "float32"},
    }
    return inputs, outputs


def _save_state(model: Model) -> bytes:
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu().contiguous() for name, tensor in model.network.state_dict().items()}, buffer)
    return buffer.getvalue()


def _plain_name(name: str) -> str:
    """A name of the letters that the format allows, and at least five of them."""
    plain = re.sub(r"[^A-Za-z0-9_+\- ()]+", "-", name).strip("- ")
    return f"{plain[:110]} (napari-hush)".strip()


def _write_zip(file: BinaryIO, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)  # with a fixed date: the same model gives the same bytes
            member.compress_type = zipfile.ZIP_STORED if name == "weights.pt" else zipfile.ZIP_DEFLATED
            archive.writestr(member, content)


def _validate(file: BinaryIO) -> None:
    """Let bioimageio.spec read the package."""
    spec = importlib.import_module("bioimageio.spec")
    file.seek(0)
    with zipfile.ZipFile(file) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spec.load_description(archive, perform_io_checks=True)
    if isinstance(found, spec.InvalidDescr):
        reason = first_line(ValueError(found.get_reason())).lstrip(": ")
        raise InputError(f"BioImage.IO refuses the package, nothing was written: {reason}")
