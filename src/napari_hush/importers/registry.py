"""Loading a model from whatever holds one: a bundled name, our own file, or a file of another project.

A new format adds its file and one line to ``IMPORTERS``. The importer is chosen by what a file holds, never by its
name's extension.
"""

from __future__ import annotations

import codecs
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.card import ZOO
from napari_hush.errors import InputError, ModelFileError
from napari_hush.files import explain_wrong_file
from napari_hush.importers.bioimageio import is_bioimageio, load_bioimageio
from napari_hush.importers.keras import is_hdf5, load_keras
from napari_hush.importers.pytorch.checkpoint import is_pytorch, load_pytorch
from napari_hush.importers.pytorch.torch_file import explain_zip, is_zip
from napari_hush.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable

EXPECTED = "a napari-hush model (.safetensors), a Keras .h5, a CycleGAN .pth or a BioImage.IO .zip"


@dataclass(frozen=True)
class Importer:
    """One file format.

    Parameters
    ----------
    matches : callable
        Whether a file, given by its path and its first 64 bytes, is of the format.
    load : callable
        Path to model; its keyword-only arguments are the options that `load_model` takes.
    """

    matches: Callable[[Path, bytes], bool]
    load: Callable[..., Model]

    @property
    def options(self) -> list[str]:
        """The names of the options."""
        parameters = inspect.signature(self.load).parameters.values()
        return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def is_safetensors(_path: Path, head: bytes) -> bool:
    """Whether a file begins like safetensors: the header's length in 8 bytes, then JSON."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000


IMPORTERS: dict[str, Importer] = {
    "safetensors": Importer(is_safetensors, Model.load),
    "keras": Importer(is_hdf5, load_keras),
    "bioimageio": Importer(is_bioimageio, load_bioimageio),
    "pytorch": Importer(is_pytorch, load_pytorch),
}


def load_model(source: Model | str | os.PathLike[str], **importer_options: Any) -> Model:
    """Load a model.

    Parameters
    ----------
    source : Model, str or path
        A model (returned as it is), the name of a bundled one, or a file: .safetensors saved by napari-hush, a
        Keras .h5 of the TomoGAN generator or of a plain CNN, a PyTorch .pth of a CycleGAN or pix2pix generator, or a
        BioImage.IO package (.zip) of one of our networks. A bundled name wins over a file of that name: write
        ``"./name"`` for the file.
    **importer_options
        For Keras files ``upsampling``, ``value_range``, ``normalization``, see
        `napari_hush.importers.keras.load_keras`; for PyTorch files ``percentiles``, ``value_range``, ``entry``, see
        `napari_hush.importers.pytorch.checkpoint.load_pytorch`.

    Returns
    -------
    Model
        Ready to denoise.

    Raises
    ------
    InputError
        If there is no such bundled model, or an option is unknown to the importer.
    ModelFileError
        If the file is missing, damaged, unsafe, or of a kind that is not read.
    """
    if isinstance(source, Model):
        _check_options("a loaded model", [], importer_options)
        return source
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"a model is a Model, a bundled name or a path, got {type(source).__name__}")
    path = _find(source)
    explain_wrong_file(path, ModelFileError, EXPECTED)
    with path.open("rb") as file:
        head = file.read(64)
    for name, importer in IMPORTERS.items():
        if importer.matches(path, head):
            _check_options(f"the {name} importer", importer.options, importer_options)
            return importer.load(path, **importer_options)
    raise ModelFileError(f"{path}: {_explain(path, head)}; expected {EXPECTED}")


def _find(source: str | os.PathLike[str]) -> Path:
    bundled = sorted(p.stem for p in ZOO.glob("*.safetensors"))
    if isinstance(source, str) and source in bundled:
        return ZOO / f"{source}.safetensors"
    path = Path(source).expanduser()
    if isinstance(source, str) and path.name == source.strip() and not path.exists():
        names = ", ".join(bundled) or "none in this installation"
        raise InputError(f"no bundled model {source!r} and no file of that name; bundled: {names}; or give a path")
    return path


def _check_options(who: str, accepted: list[str], given: dict[str, Any]) -> None:
    if unknown := sorted(given.keys() - set(accepted)):
        takes = f"takes {', '.join(accepted)}" if accepted else "takes no options"
        raise InputError(f"{who} {takes}; got {', '.join(unknown)}")


def _explain(path: Path, head: bytes) -> str:
    if is_zip(head):
        return explain_zip(path)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut
    except UnicodeDecodeError:
        text = "\0"
    if all(letter.isprintable() or letter.isspace() for letter in text):
        return f"text that begins with {text[:30]!r}"
    return f"unknown contents that begin with {head[:8]!r}"
