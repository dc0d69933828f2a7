"""Writing a model for other programs: the format is chosen by the file's suffix.

A new format adds its file and one entry to ``EXPORTERS``: `export` and the command line follow.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.declare import imported
from napari_hush.errors import InputError
from napari_hush.importers.registry import load_model

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from napari_hush.model import Model


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """One file format.

    Parameters
    ----------
    kind : str
        What a file of it is, in words: ``"ONNX model"``.
    write : str or callable
        Called with the model and the path; its keyword-only arguments are the options of `export`.
        ``"module:function"`` is imported when it is used.
    extra : str
        The extra of napari-hush that has to be installed; empty where none is needed.

    Examples
    --------
    >>> EXPORTERS[".zip"].options
    ['authors', 'licence']
    """

    kind: str
    write: str | Callable[..., None]
    extra: str = ""

    @property
    def function(self) -> Callable[..., None]:
        """What writes."""
        found: Callable[..., None] = imported(self.write) if isinstance(self.write, str) else self.write
        return found

    @property
    def options(self) -> list[str]:
        """The names of the options."""
        parameters = inspect.signature(self.function).parameters.values()
        return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


EXPORTERS: dict[str, Exporter] = {
    ".safetensors": Exporter(kind="napari-hush model", write="napari_hush.model:Model.save"),
    ".onnx": Exporter(kind="ONNX model", write="napari_hush.exporters.onnx:export_onnx", extra="onnx"),
    ".zip": Exporter(
        kind="BioImage.IO package",
        write="napari_hush.exporters.bioimageio:export_bioimageio",
        extra="bioimageio",
    ),
}


def expected() -> str:
    """Which files can be written, in words."""
    return ", ".join(f"{suffix} ({exporter.kind})" for suffix, exporter in EXPORTERS.items())


def export(model: Model | str | os.PathLike[str], path: str | os.PathLike[str], **exporter_options: Any) -> Path:
    """Write a model to a file that others can read; a failure leaves an older file as it was.

    Parameters
    ----------
    model : Model, str or path
        What `load_model` takes.
    path : str or path
        Its suffix, one of `EXPORTERS`, says what is written: ``.safetensors``, a model file of napari-hush; ``.onnx``,
        an ONNX model; ``.zip``, a BioImage.IO package.
    **exporter_options
        For packages ``authors`` and ``licence``, see `napari_hush.exporters.bioimageio.export_bioimageio`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the suffix or an option is unknown, the folder is missing, an extra is not installed, or the format cannot
        express the model.
    OSError
        If the disk is full or the folder not writable.

    Examples
    --------
    >>> export("stem", "stem.safetensors").name
    'stem.safetensors'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in EXPORTERS:
        raise InputError(f"{path.name!r} ends in none of {', '.join(EXPORTERS)}: choose one of these suffixes")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another")
    exporter = EXPORTERS[suffix]
    if unknown := sorted(exporter_options.keys() - set(exporter.options)):
        takes = f"takes {', '.join(exporter.options)}" if exporter.options else "takes no options"
        raise InputError(f"the {suffix} exporter {takes}; got {', '.join(unknown)}")
    exporter.function(load_model(model), path, **exporter_options)
    return path
