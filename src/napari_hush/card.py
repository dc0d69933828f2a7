"""What is known of a model without loading it: its card, in the header of its file; needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from safetensors import SafetensorError, safe_open

from napari_hush.errors import ModelFileError
from napari_hush.files import explain_wrong_file

FORMAT_VERSION: Final = 2
HEADER_KEY = "napari_hush"
Companions = Literal["none", "lattice"]
COMPANIONS: Final[dict[str, int]] = {"none": 0, "lattice": 2}  # how many channels they add to a network's input
ASSUMPTIONS: Final[dict[str, str]] = {  # what a network with companions takes for granted, for a person
    "none": "",
    "lattice": "assumes a regular crystal: what single columns have of their own, above all displacements, comes out "
    "too small",
}
ZOO = Path(__file__).parent / "zoo"


class ModelCard(BaseModel):
    """What a person should know before trusting a model.

    Parameters
    ----------
    name : str
        Short name; the one that ``load_model`` takes for a bundled model.
    description : str
        What it is for, one or two sentences.
    source : str
        Where the weights come from: a training script, a paper with DOI, an imported file.
    licence : str
        SPDX identifier of the weights' licence, or ``"unknown"``.
    training : dict
        Data, recipe, steps, duration, hardware.
    metrics : dict
        Measured figures, with the command that made them.
    limits : list of str
        What it was not trained for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    source: str = ""
    licence: str = "unknown"
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    limits: list[str] = Field(default_factory=list)


class Scale(BaseModel):
    """At which scale a model of lattices works.

    Parameters
    ----------
    lowest, highest : float
        Lattice periods of the images that it was trained for, px.
    period : float, optional
        The period to which an image is brought before the network sees it, px; None for a network that takes images
        as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lowest: float = Field(gt=0, le=1e4)
    highest: float = Field(gt=0, le=1e4)
    period: float | None = Field(default=None, ge=4, le=1e3)

    @model_validator(mode="after")
    def _rising(self) -> Scale:
        if not self.lowest <= self.highest:
            raise ValueError(f"the lowest period must not be above the highest, got {self.lowest} and {self.highest}")
        return self


class Header(BaseModel):
    """The JSON in a model file's header.

    Parameters
    ----------
    guard : bool
        Whether ``guard="auto"`` guards this model; all other fields are those of `Model`.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["napari-hush model"] = "napari-hush model"
    version: Literal[1, 2] = 1
    architecture: str
    hyperparameters: dict[str, Any]
    normalization: dict[str, Any]
    card: ModelCard
    scale: Scale | None = None
    guard: bool = True
    companions: Companions = "none"
    sha256: dict[str, str]

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without companions as version 1, which does not name them: older programs read that."""
        written: dict[str, Any] = handler(self)
        if self.companions == "none":
            del written["companions"]
        return written | {"version": 1 if self.companions == "none" else FORMAT_VERSION}


def list_models() -> list[ModelCard]:
    """The cards of the bundled models, sorted by name."""
    return [read_header(path)[0].card for path in sorted(ZOO.glob("*.safetensors"))]


def read_header(path: Path) -> tuple[Header, list[str]]:
    """The checked header of a model file, and its tensors' names.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, of another project, or of a newer version.
    """
    explain_wrong_file(path, ModelFileError, "a napari-hush model (.safetensors)")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
            names = list(file.keys())
    except SafetensorError as error:
        raise ModelFileError(f"{path}: truncated or damaged model file ({error}); get the file again") from error
    if text is None:
        raise ModelFileError(
            f"{path}: a safetensors file of another project (no {HEADER_KEY!r} in its header); expected a model saved "
            "by napari-hush"
        )
    try:
        raw = json.loads(text)
        version = raw.get("version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ModelFileError(
                f"{path}: model file version {version}, this napari-hush reads up to {FORMAT_VERSION}: upgrade with "
                "'pip install -U napari-hush'"
            )
        return Header.model_validate(raw), names
    except ModelFileError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: not JSON, not our fields, or a number too long to read
        raise ModelFileError(f"{path}: damaged model header ({first_line(error)}); get the file again") from error


def first_line(error: Exception) -> str:
    """An error's message in one short line."""
    return " ".join(str(error).split())[:200]
