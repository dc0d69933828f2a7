"""What a file of a model is, found out without torch from its first bytes; whether it can be loaded shows later."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

from napari_hush.card import read_header
from napari_hush.errors import ModelFileError
from napari_hush.files import explain_wrong_file

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".safetensors", ".h5", ".hdf5", ".pth", ".pt", ".zip")
EXPECTED = "a model file: .safetensors, Keras .h5, PyTorch .pth or BioImage.IO .zip"
TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # pickled, in files from before PyTorch 1.6
LOOKED_AT = 1 << 20  # bytes of an HDF5 file; Keras writes its description before the weights


def look(path: Path) -> str:
    """What a model is for, or which kind of file it is; does not need torch.

    Raises
    ------
    ModelFileError
        If it can be seen at once that the file is no model.
    OSError
        If it cannot be read.
    """
    explain_wrong_file(path, ModelFileError, EXPECTED)
    with path.open("rb") as file:
        head = file.read(64)
        if head.startswith(b"\x89HDF\r\n\x1a\n"):
            # not with h5py: a damaged file can keep the HDF5 library busy forever
            if b"model_config" in head + file.read(LOOKED_AT):
                return "Keras model"
            if not file.read(1):
                raise ModelFileError(f"{path}: an HDF5 file without a Keras model in it; expected {EXPECTED}")
            return "HDF5 file"
    if head.startswith(b"PK"):
        return _look_into_zip(path)
    if head.startswith(b"\x80") and TORCH_MAGIC in head:
        return "PyTorch checkpoint"
    if path.suffix.lower() == ".safetensors" or head[8:9] == b"{":
        return read_header(path)[0].card.description or "napari-hush model"
    raise ModelFileError(f"{path}: contents of another kind; expected {EXPECTED}")


def _look_into_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError, OverflowError, struct.error) as error:
        raise ModelFileError(f"{path}: truncated or damaged zip archive ({error}); get the file again") from error
    last = {name.rpartition("/")[2] for name in names}
    if last & {"rdf.yaml", "bioimageio.yaml"}:
        return "BioImage.IO package"
    if "data.pkl" in last:
        return "PyTorch checkpoint"
    raise ModelFileError(f"{path}: a zip archive without a model in it; expected {EXPECTED}")
