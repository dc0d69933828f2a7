"""Loading a model from whatever holds one: a bundled name, our own file, or a file of another project.

A new format adds its file and one entry to ``IMPORTERS``: `load_model`, the command line and the docks all follow. The
importer is chosen by what a file holds, never by its name's extension. Nothing here imports torch before a model is
loaded.
"""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.card import ZOO
from napari_hush.declare import imported
from napari_hush.errors import InputError, ModelFileError
from napari_hush.files import explain_wrong_file, file_sha256
from napari_hush.importers.options import KerasOptions, ONNXOptions, PyTorchOptions
from napari_hush.importers.sniff import (
    describe_keras,
    describe_pytorch,
    describe_safetensors,
    is_bioimageio,
    is_keras,
    is_onnx,
    is_pytorch,
    is_safetensors,
)
from napari_hush.importers.zip_file import explain_zip, is_zip

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hush.model import Model

HEAD = 64  # bytes of a file that `Importer.matches` gets


@dataclass(frozen=True, kw_only=True)
class Importer:
    """One file format.

    Parameters
    ----------
    kind : str
        What a file of it is, in words: ``"Keras model"``.
    suffixes : tuple of str
        How its files usually end; for dialogs, content alone decides.
    matches : callable
        Whether a file, given by its path and its first 64 bytes, is of the format. It may not trust the file and not
        import torch: docks ask it for any file.
    load : str or callable
        Path, and options where there are any, to model; ``"module:function"`` is imported when it is used.
    options : type, optional
        A dataclass of what a person may say of a file. Its fields are the options of `load_model` and of the command
        line.
    describe : callable, optional
        What the file itself says that its model is for, empty where it says nothing; raises `ModelFileError` where it
        can be seen at once that it is no model. The rules are those of ``matches``.

    Examples
    --------
    >>> IMPORTERS["keras"].kind, IMPORTERS["keras"].option_names
    ('Keras model', ['upsampling', 'value_range', 'normalization'])
    """

    kind: str
    suffixes: tuple[str, ...]
    matches: Callable[[Path, bytes], bool]
    load: str | Callable[..., Model]
    options: type | None = None
    describe: Callable[[Path], str] | None = None

    @property
    def option_names(self) -> list[str]:
        """The names of the options."""
        return [] if self.options is None else [field.name for field in fields(self.options)]

    @property
    def loader(self) -> Callable[..., Model]:
        """What loads."""
        found: Callable[..., Model] = imported(self.load) if isinstance(self.load, str) else self.load
        return found


IMPORTERS: dict[str, Importer] = {
    "safetensors": Importer(
        kind="napari-hush model",
        suffixes=(".safetensors",),
        matches=is_safetensors,
        load="napari_hush.model:Model.load",
        describe=describe_safetensors,
    ),
    "keras": Importer(
        kind="Keras model",
        suffixes=(".h5", ".hdf5", ".keras"),
        matches=is_keras,
        load="napari_hush.importers.keras:load_keras",
        options=KerasOptions,
        describe=describe_keras,
    ),
    "bioimageio": Importer(
        kind="BioImage.IO package",
        suffixes=(".zip",),
        matches=is_bioimageio,
        load="napari_hush.importers.bioimageio:load_bioimageio",
    ),
    "onnx": Importer(
        kind="ONNX network",
        suffixes=(".onnx",),
        matches=is_onnx,
        load="napari_hush.importers.onnx:load_onnx",
        options=ONNXOptions,
    ),
    "pytorch": Importer(
        kind="PyTorch checkpoint",
        suffixes=(".pth", ".pt"),
        matches=is_pytorch,
        load="napari_hush.importers.pytorch.checkpoint:load_pytorch",
        options=PyTorchOptions,
        describe=describe_pytorch,
    ),
}


def suffixes() -> tuple[str, ...]:
    """How files of models usually end."""
    return tuple(dict.fromkeys(suffix for importer in IMPORTERS.values() for suffix in importer.suffixes))


def expected() -> str:
    """Which files can be read, in words."""
    kinds = [f"{importer.kind} ({importer.suffixes[0]})" for importer in IMPORTERS.values()]
    return f"a model file: {', '.join(kinds[:-1])} or {kinds[-1]}"


def look(path: Path) -> str:
    """What a model is for, or which kind of file it is; does not need torch.

    Raises
    ------
    ModelFileError
        If it can be seen at once that the file is no model.
    OSError
        If it cannot be read.
    """
    importer = IMPORTERS[_recognise(path)]
    return (importer.describe(path) if importer.describe is not None else "") or importer.kind


def load_model(source: Model | str | os.PathLike[str], **importer_options: Any) -> Model:
    """Load a model.

    Parameters
    ----------
    source : Model, str or path
        A model (returned as it is), the name of a bundled one, or a file: .safetensors saved by napari-hush, a
        Keras .h5 or .keras of a convolutional network, a PyTorch .pth of a CycleGAN or pix2pix generator, a
        BioImage.IO package (.zip) of one of our networks or with ONNX weights, or an ONNX network (.onnx). A bundled
        name wins over a file of that name: write ``"./name"`` for the file.
    **importer_options
        For Keras files ``upsampling``, ``value_range``, ``normalization``, see
        `napari_hush.importers.options.KerasOptions`; for ONNX networks the last two of these; for PyTorch files
        ``percentiles``, ``value_range``, ``entry``, see `napari_hush.importers.options.PyTorchOptions`.

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
    from napari_hush.model import Model  # not above: it imports torch

    if isinstance(source, Model):
        _check_options("a loaded model", [], importer_options)
        return source
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"a model is a Model, a bundled name or a path, got {type(source).__name__}")
    path = model_file(source)
    name = _recognise(path)
    importer = IMPORTERS[name]
    _check_options(f"the {name} importer", importer.option_names, importer_options)
    loader = importer.loader
    model = loader(path) if importer.options is None else loader(path, importer.options(**importer_options))
    return replace(model, sha256=file_sha256(path))


def _recognise(path: Path) -> str:
    """The name of the importer that takes a file."""
    explain_wrong_file(path, ModelFileError, expected())
    with path.open("rb") as file:
        head = file.read(HEAD)
    for name, importer in IMPORTERS.items():
        if importer.matches(path, head):
            return name
    raise ModelFileError(f"{path}: {_explain(path, head)}; expected {expected()}")


def model_file(source: str | os.PathLike[str]) -> Path:
    """The file that `load_model` reads for a bundled name or a path, whether it is there or not.

    Raises
    ------
    InputError
        If it is a name, and neither a bundled one nor that of a file.
    """
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
