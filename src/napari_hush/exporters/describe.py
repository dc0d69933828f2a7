"""A model in words, for those who get it without napari-hush: how to normalise, what to cite, its documentation."""

from __future__ import annotations

import inspect
import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_hush.card import Header
from napari_hush.inference.companions import FAR

if TYPE_CHECKING:
    from napari_hush.model import Model
    from napari_hush.normalize import NormalizationRule

DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"'<>(),;]*[^\s\"'<>(),;.]")


def make_header(model: Model) -> Header:
    """What the head of a model file holds, for a loss-free way back; without checksums of tensors."""
    return Header(
        architecture=model.architecture,
        hyperparameters=json.loads(json.dumps(model.hyperparameters)),  # no tuples
        normalization=json.loads(json.dumps(asdict(model.normalization))),
        card=model.card,
        scale=model.scale,
        guard=model.guard,
        companions=model.companions,
        sha256={},
    )


def explain_rule(rule: NormalizationRule) -> str:
    """How a person normalises an image for a network, and the result back."""
    low, high = rule.target
    ends = f"{low:g} and {high:g}"
    percentiles = f"map the {rule.low:g} and {rule.high:g} percentiles of the whole image, not of a tile, to {ends}"
    match rule.method:
        case "percentile":
            text = percentiles
        case "match":
            text = f"the network was trained on values from {ends}; for an image of any other range {percentiles}"
        case "identity":
            text = f"the network was trained on values from {ends}; hand them on as they are"
        case "standard":
            text = f"map the mean of the whole image less and plus its standard deviation to {ends}"
        case "range":
            source = rule.source or rule.target
            text = f"map {source[0]:g} and {source[1]:g} to {ends}"
    clip = f", then clip to {ends}" if rule.clip else ""
    return f"{text}{clip}. The result comes in the same units; undo the map to get the image's own."


def explain_companions(model: Model) -> str:
    """How a person makes the channels that the network wants beside the image; empty where it wants none."""
    if model.companions == "none":
        return ""
    return (
        "Channel 0 is the image; channel 1 the mean of its copies shifted by the eight shortest lattice translations; "
        f"channel 2 the mean of all copies up to {FAR:g} periods away, the image itself left out. Sub-pixel "
        "translations are shared linearly between four pixels, places without a copy are left out of the mean, and "
        "where there is no lattice both channels repeat the image. All are normalised by the range of channel 0."
    )


def find_citations(model: Model) -> list[dict[str, str]]:
    """The papers of the network, told at the head of its file, and those that the card names; text and DOI each."""
    module = sys.modules[type(model.network).__module__]
    found: dict[str, str] = {}
    for paragraph in (inspect.getdoc(module) or "").split("\n\n"):
        text = " ".join(paragraph.split())
        if match := DOI.search(text):
            found[match[0]] = text[: match.start()].removesuffix("https://doi.org/").rstrip(" ,")
    for match in DOI.finditer(json.dumps([model.card.source, model.card.description, model.card.training])):
        found.setdefault(match[0].rstrip("\\"), f"{model.card.name}: source of the model")
    return [{"text": text, "doi": doi} for doi, text in found.items()]


def write_documentation(model: Model, licence: str) -> str:
    """The Markdown page of a package."""
    card = model.card
    size = (
        f"Y and X are multiples of {model.stride} px. " if model.stride > 1 else ""
    ) + "Images of any size and in batches of any size."
    if model.staged:
        tiles = (
            "Its instance normalisation takes statistics of all that the network is given: run whole images. Tiles, "
            "each with statistics of their own, differ in brightness and contrast from the whole and from each other."
        )
    else:
        tiles = f"Tiles equal the whole image if each has {model.halo} px of context on every side, cropped afterwards."
    lines = [
        f"# {card.name}",
        card.description or "Removes noise from images.",
        f"Licence of the weights: {licence}. Source: {card.source or 'not stated'}.",
        "## How to use",
        "Intensities come back normalised, in the network's units: the package cannot express the way back.",
        f"Normalisation: {explain_rule(model.normalization)}",
        f"{size} {tiles}",
        f"Lattices must be brought to {model.scale.period:g} px per period first."
        if model.scale is not None and model.scale.period is not None
        else "",
        explain_companions(model),
        "With napari-hush, which normalises, tiles and brings the result back to the image's own units:",
        '```python\nimport napari_hush as hush\n\nresult = hush.denoise(image, "package.zip")\n```',
        "## Training",
        _list(card.training) or "Not stated.",
        "## Validation",
        _figures(card.metrics) or "No measured figures were stated.",
        "Before trusting it on other images, compare with ground truth, or look at what was taken away (noisy minus "
        "denoised): it should hold noise and no structure.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in card.limits) or "Not stated. A network can invent or remove detail.",
        "## Network",
        f"{type(model.network).__name__} ({model.architecture}), {model.n_parameters:,} parameters.",
        "\n".join(f"- {entry['text']}, https://doi.org/{entry['doi']}" for entry in find_citations(model)),
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _list(content: dict[str, Any]) -> str:
    plain = {
        key: value if isinstance(value, str | int | float) else json.dumps(value) for key, value in content.items()
    }
    return "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in plain.items())


def _figures(metrics: dict[str, Any]) -> str:
    """Tables as they are, short figures as a list; the rest is in the package's ``config``."""
    tables = [value for value in metrics.values() if isinstance(value, str) and value.startswith("|")]
    short = {key: v for key, v in metrics.items() if isinstance(v, str | int | float) and v not in tables}
    more = len(metrics) > len(short) + len(tables)
    parts = [_list(short), *tables, "All figures are in `config.napari_hush.card.metrics`." if more else ""]
    return "\n\n".join(part for part in parts if part)
