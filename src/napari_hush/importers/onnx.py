"""ONNX networks (.onnx) as black boxes: run as they are, in tiles of a halo that is measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from pydantic import TypeAdapter

from napari_hush.card import HEADER_KEY, Header, ModelCard
from napari_hush.errors import InputError, ModelFileError
from napari_hush.files import file_sha256
from napari_hush.importers.onnx_measure import measure
from napari_hush.importers.options import ONNXOptions
from napari_hush.model import Model
from napari_hush.networks.onnx_file import MAX_BYTES, count_live
from napari_hush.networks.onnx_network import Session
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.networks.onnx_file import ONNXFile

DEFAULTS = ONNXOptions()
UNIT_RANGE = (0.0, 1.0)
MOST_GROWTH = 1.5  # of the memory per pixel, where the image has twice the side


def load_onnx(path: Path, options: ONNXOptions = DEFAULTS) -> Model:
    """Read an ONNX network of one image to one image of the same size.

    Parameters
    ----------
    path : Path
        The file; it is opened read-only.
    options : ONNXOptions
        What the file does not say.

    Returns
    -------
    Model
        With the file's name and SHA-256 on its card; normalised as napari-hush wrote into the file, where it made it.

    Raises
    ------
    InputError
        If an option has a value that it cannot have, or what runs ONNX is not installed.
    ModelFileError
        If the file is damaged, unsafe, takes anything but one image, or looks over the whole image.
    """
    rule = _make_rule(options)
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ModelFileError(f"{size:,} bytes, expected an ONNX network of at most {MAX_BYTES:,}")
        content = path.read_bytes()
        session = Session(content)
        if stated := _read_header(session.file):
            rule = TypeAdapter(NormalizationRule).validate_python(stated.normalization) if options == DEFAULTS else rule
        card = ModelCard(
            name=(stated.card.name if stated else path.stem)[:200] or "onnx",
            description=stated.card.description if stated else "ONNX network, imported as a black box.",
            source=f"{path.name}, SHA-256 {file_sha256(path)}",
            licence=stated.card.licence if stated else "unknown",
            limits=[] if stated else [_say_range(rule)],
        )
        return black_box(session, rule, card)
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except (ValueError, TypeError) as error:  # what pydantic does not accept
        raise ModelFileError(f"{path}: {' '.join(str(error).split())[:200]}; get the file again") from error


def black_box(session: Session, rule: NormalizationRule, card: ModelCard, *, halo: int = 0) -> Model:
    """A model around a graph, after measuring what tiling needs to know.

    Parameters
    ----------
    session : Session
        The graph, ready to compute.
    rule, card
        As of the model; what was measured goes to the card's limits.
    halo : int
        What the file states, px; more is taken where more was measured.

    Raises
    ------
    InputError
        If it cannot be run in tiles.
    """
    file = session.file
    live, later = (
        count_live(file.content, (1, n, n, file.in_channels) if file.channels_last else (1, file.in_channels, n, n))
        for n in (64, 128)
    )
    if later > MOST_GROWTH * live:
        raise InputError(
            f"its memory grows faster than the image ({live} values per pixel of 64 x 64 px, {later} of 128 x 128 px), "
            "as with attention over the whole image: it cannot be computed in tiles, and such networks are not imported"
        )
    try:
        found = measure(session, file.in_channels, rule.target)
    except InputError as error:
        fixed = f"; it was exported for {file.sides[0]} x {file.sides[1]} px alone" if all(file.sides) else ""
        advice = ": export it with free sides (dynamic_axes, dynamic_shapes)" if fixed else ""
        raise InputError(f"{error}{fixed}{advice}") from error
    far = -(-max(found.halo, halo) // found.stride) * found.stride
    hyperparameters: dict[str, Any] = {
        "n_bytes": len(file.content),
        "in_channels": file.in_channels,
        "out_channels": found.out_channels,
        "stride": found.stride,
        "halo": far,
        "smallest": found.smallest,
        "live_channels": live,
        "n_weights": file.n_weights,
    }
    state = {"onnx": torch.frombuffer(bytearray(file.content), dtype=torch.uint8)}
    said = f"A black box: that it looks {far} px far, and takes multiples of {found.stride} px, was measured on noise."
    card = card.model_copy(update={"limits": [*card.limits, said]})
    return Model.from_state("onnx", hyperparameters, state, rule, card)


def _make_rule(options: ONNXOptions) -> NormalizationRule:
    try:
        low, high = options.value_range or UNIT_RANGE
        return NormalizationRule(method=options.normalization, low=0.1, high=99.9, target=(float(low), float(high)))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"normalization={options.normalization!r}, value_range={str(options.value_range)[:80]}: {error}"
        ) from error


def _read_header(file: ONNXFile) -> Header | None:
    """What napari-hush wrote into the file, where it made it."""
    text = file.properties.get(HEADER_KEY)
    if text is None:
        return None
    header = Header.model_validate(json.loads(text))
    if header.companions != "none":
        raise InputError(
            "made by napari-hush of a model that takes what other copies of a place look like beside the image: take "
            "the model itself (.safetensors)"
        )
    return header


def _say_range(rule: NormalizationRule) -> str:
    low, high = rule.target
    return f"Expects values from {low:g} to {high:g}, in images like those it was trained on; the file does not say so."
