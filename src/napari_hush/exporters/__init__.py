"""Writing a model for other programs: the format is chosen by the file's suffix.

A new format adds its file and one line to ``EXPORTERS``.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError
from napari_hush.exporters.bioimageio import export_bioimageio
from napari_hush.exporters.onnx import export_onnx
from napari_hush.importers.registry import load_model
from napari_hush.model import Model

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

EXPORTERS: dict[str, Callable[..., None]] = {
    ".safetensors": Model.save,
    ".onnx": export_onnx,
    ".zip": export_bioimageio,
}


def export(model: Model | str | os.PathLike[str], path: str | os.PathLike[str], **exporter_options: Any) -> Path:
    """Write a model to a file that others can read; a failure leaves an older file as it was.

    Parameters
    ----------
    model : Model, str or path
        What `load_model` takes.
    path : str or path
        Its suffix says what is written: ``.safetensors``, a model file of napari-hush; ``.onnx``, an ONNX model;
        ``.zip``, a BioImage.IO package.
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
    parameters = inspect.signature(EXPORTERS[suffix]).parameters.values()
    accepted = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if unknown := sorted(exporter_options.keys() - set(accepted)):
        takes = f"takes {', '.join(accepted)}" if accepted else "takes no options"
        raise InputError(f"the {suffix} exporter {takes}; got {', '.join(unknown)}")
    EXPORTERS[suffix](load_model(model), path, **exporter_options)
    return path
