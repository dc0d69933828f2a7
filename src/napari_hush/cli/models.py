"""``napari-hush models``: which models there are, and all that is known of one."""

from __future__ import annotations

import json
import math
import shutil
import textwrap
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from safetensors import safe_open

from napari_hush.card import ASSUMPTIONS, ZOO, read_header
from napari_hush.cli.console import printable, size_text
from napari_hush.cli.importing import ImportOptions, model_path
from napari_hush.cli.options import told_by
from napari_hush.errors import InputError
from napari_hush.files import file_sha256
from napari_hush.importers.registry import expected

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_hush.card import Scale
    from napari_hush.model import Model
    from napari_hush.normalize import NormalizationRule

COMPANION_TEXT = "two more channels, the mean of the nearest and of further copies in the lattice"
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norms: stored, but not trained


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the bundled models, or tell all that is known of one."""

    source: Annotated[
        tyro.conf.Positional[str | None],
        tyro.conf.arg(metavar="[NAME|FILE]", help=f"A bundled model, or {expected()}."),
    ] = None
    json: bool = False
    """Print JSON, for scripts."""
    importing: Annotated[tyro.conf.OmitArgPrefixes[ImportOptions], told_by(ImportOptions)] = field(
        default_factory=ImportOptions
    )

    def run(self) -> int:
        """Run it; the exit code."""
        if self.source is None and self.importing.given:
            given = ", ".join(f"--{name.replace('_', '-')}" for name in self.importing.given)
            raise InputError(f"{given} is for reading a model file: name one")
        found = list_bundled() if self.source is None else describe(self.importing.load(self.source), self.source)
        if self.json:
            print(json.dumps(found, indent=2, ensure_ascii=False))
        else:
            print("\n".join(_table(found) if isinstance(found, list) else _page(found)))
        return 0


def list_bundled() -> list[dict[str, Any]]:
    """What the headers of the bundled models say; needs no torch."""
    return [_read_card(path) for path in sorted(ZOO.glob("*.safetensors"))]


def describe(model: Model, source: str) -> dict[str, Any]:
    """All that is known of a loaded model and of its file."""
    path = model_path(source)
    stages = getattr(model.network, "stages", None)
    return {
        **model.card.model_dump(),
        "architecture": model.architecture,
        "hyperparameters": model.hyperparameters,
        "parameters": model.n_parameters,
        "in_channels": model.in_channels,
        "image_channels": model.image_channels,
        "out_channels": model.out_channels,
        "companions": model.companions,
        "depth": model.depth,
        "stride": model.stride,
        "halo": model.halo,
        "whole_image_statistics": stages is not None and any(stage.measures is not None for stage in stages()),
        "normalization": asdict(model.normalization) | {"words": normalization_text(model.normalization)},
        "guard": model.guard,
        "scale": model.scale and model.scale.model_dump() | {"words": scale_text(model.scale)},
        "file": str(path),
        "file_size": path.stat().st_size,
        "file_sha256": file_sha256(path),
    }


def normalization_text(rule: NormalizationRule) -> str:
    """How an image is normalised, in words."""
    low, high = (f"{end:g}" for end in rule.target)
    if rule.method == "identity":
        return f"none; trained on values from {low} to {high}"
    if rule.method == "standard":
        mapped = "the image's mean less and plus its standard deviation"
    elif rule.source is not None:
        mapped = f"values from {rule.source[0]:g} to {rule.source[1]:g}"
    else:
        mapped = f"the image's {rule.low:g} and {rule.high:g} percentiles"
    mapped = f"{mapped} are mapped to {low} and {high}"
    if rule.clip:
        mapped += " and what lies beyond is clipped"
    if rule.method == "match":
        return f"none for values that suit {low} to {high}; for others {mapped}, with a warning"
    return f"{mapped}; the result is mapped back"


def scale_text(scale: Scale) -> str:
    """For which lattices a model is, in words."""
    brought = "seen as they are" if scale.period is None else f"brought to {scale.period:g} px and back"
    return f"lattices of {scale.lowest:g} to {scale.highest:g} px per period, {brought}"


def _read_card(path: Path) -> dict[str, Any]:
    header, names = read_header(path)
    with safe_open(path, framework="numpy") as file:  # shapes only: no tensor is read
        trained = [name for name in names if not name.endswith(BUFFERS)]
        parameters = sum(math.prod(file.get_slice(name).get_shape()) for name in trained)
    card = header.card
    return {
        "name": card.name,
        "architecture": header.architecture,
        "parameters": parameters,
        "licence": card.licence,
        "description": card.description,
    }


def _table(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return ["no model is bundled with this installation"]
    rows = [["name", "architecture", "parameters", "licence", "description"]]
    rows += [[f"{row[key]:,}" if key == "parameters" else row[key] for key in rows[0]] for row in found]
    a, b, c, d, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = []
    for name, architecture, parameters, licence, description in rows:
        lines += _wrap(f"{name:{a}}  {architecture:{b}}  {parameters:>{c}}  {licence:{d}}  ", description)
    return lines


def _page(found: dict[str, Any]) -> list[str]:
    """One model, a line or a paragraph for each thing."""
    hyperparameters = ", ".join(f"{key}={value!r}" for key, value in found["hyperparameters"].items())
    statistics = " and the whole image's statistics" if found["whole_image_statistics"] else ""
    rows = {
        "description": found["description"],
        "architecture": found["architecture"] + (f" ({hyperparameters})" if hyperparameters else ""),
        "parameters": f"{found['parameters']:,}",
        "channels": f"{found['image_channels']} in, {found['out_channels']} out",
        **(
            {"companions": COMPANION_TEXT, "assumption": ASSUMPTIONS["lattice"]}
            if found["companions"] != "none"
            else {}
        ),
        "depth": "single images" if found["depth"] == 1 else f"{found['depth']} neighbouring slices of a stack",
        "stride": f"{found['stride']} px",
        "receptive radius": f"{found['halo']} px{statistics}",
        "normalisation": found["normalization"]["words"],
        **({"scale": found["scale"]["words"]} if found["scale"] else {}),
        **({} if found["guard"] else {"guard": "off, unless asked for"}),
        "licence": found["licence"],
        "source": found["source"],
        "file": found["file"],
        "size": size_text(found["file_size"]),
        "SHA-256": found["file_sha256"],
    }
    lines = [printable(found["name"])]
    for key, value in rows.items():
        if value:
            lines += _wrap(f"  {key:18}", value)
    for key in ("training", "metrics"):
        if found[key]:
            lines += ["", key, *_tree(found[key])]
    if found["limits"]:
        lines += ["", "limits"]
        for limit in found["limits"]:
            lines += _wrap("  - ", limit)
    return lines


def _tree(values: dict[str, Any]) -> Iterable[str]:
    """The first level of nested values; what lies deeper is for ``--json``."""
    for key, value in values.items():
        name = f"  {printable(key).replace('_', ' ')}"
        inside = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list) and any(isinstance(part, dict | list) for part in inside):
            yield f"{name}: {len(value)} entries, see --json"
        elif isinstance(value, dict):
            yield from _wrap(f"{name}: ", ", ".join(f"{part} {value[part]}" for part in value), indent=4)
        elif isinstance(value, list):
            yield from _wrap(f"{name}: ", ", ".join(map(str, value)), indent=4)
        elif "\n" in str(value):  # a table
            yield f"{name}:"
            yield from (f"    {printable(line)}" for line in str(value).splitlines())
        else:
            yield from _wrap(f"{name}: ", str(value), indent=4)


def _wrap(head: str, text: str, indent: int | None = None) -> list[str]:
    width = max(shutil.get_terminal_size((120, 24)).columns, 60)
    gap = " " * (len(head) if indent is None else indent)
    words = printable(" ".join(text.split()))
    lines = textwrap.wrap(
        words, width, initial_indent=head, subsequent_indent=gap, break_on_hyphens=False, break_long_words=False
    )
    return lines or [head.rstrip()]
