"""How a file of a model is recognised by its first bytes, without torch and without trusting it.

Whether it can be loaded shows later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.card import read_header
from napari_hush.errors import ModelFileError
from napari_hush.importers.zip_file import is_zip, list_members

if TYPE_CHECKING:
    from pathlib import Path

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # pickled, in files from before PyTorch 1.6
LOOKED_AT = 1 << 20  # bytes of an HDF5 file; Keras writes its description before the weights
KERAS_MEMBERS = ("config.json", "model.weights.h5")
ONNX_FIELDS = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)  # tags of what may follow the version
DESCRIPTIONS = ("bioimageio.yaml", "rdf.yaml")


def is_safetensors(_path: Path, head: bytes) -> bool:
    """Whether a file begins like safetensors: the header's length in 8 bytes, then JSON."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000


def is_hdf5(_path: Path, head: bytes) -> bool:
    """Whether a file begins like HDF5."""
    return head.startswith(HDF5_MAGIC)


def is_keras(path: Path, head: bytes) -> bool:
    """Whether a file is HDF5, or a zip archive with what Keras 3 puts into its own."""
    return is_hdf5(path, head) or (is_zip(head) and {*KERAS_MEMBERS} <= set(_members(path)))


def is_bioimageio(path: Path, head: bytes) -> bool:
    """Whether a file is a zip archive with a description of BioImage.IO."""
    return is_zip(head) and any(name in DESCRIPTIONS for name in _members(path))


def is_onnx(_path: Path, head: bytes) -> bool:
    """Whether a file begins like ONNX: the version of its format, then another field of its first message."""
    return len(head) > 16 and head[0] == 0x08 and 0 < head[1] < 32 and head[2] in ONNX_FIELDS


def is_pytorch(path: Path, head: bytes) -> bool:
    """Whether a file is of one of PyTorch's two formats, or a binary pickle at least."""
    if is_zip(head):
        return any(name.endswith("/data.pkl") and name.count("/") == 1 for name in _members(path))
    return len(head) > 1 and head[:1] == b"\x80" and 1 <= head[1] <= 5


def describe_safetensors(path: Path) -> str:
    """What the card in the file's header says; empty where it says nothing.

    Raises
    ------
    ModelFileError
        If the header is none of napari-hush, or damaged.
    """
    return read_header(path)[0].card.description


def describe_keras(path: Path) -> str:
    """Nothing, or that it is not certain whether an HDF5 file holds a Keras model.

    Raises
    ------
    ModelFileError
        If it certainly holds none.
    """
    with path.open("rb") as file:
        if is_zip(file.read(4)):
            return ""
    with path.open("rb") as file:  # not with h5py: a damaged file can keep the HDF5 library busy forever
        if b"model_config" in file.read(LOOKED_AT):
            return ""
        if not file.read(1):
            raise ModelFileError(
                f"{path}: an HDF5 file without a Keras model in it; save it with model.save('name.h5')"
            )
    return "HDF5 file"


def describe_pytorch(path: Path) -> str:
    """Nothing.

    Raises
    ------
    ModelFileError
        If it is a pickle that ``torch.save`` did not write.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not is_zip(head) and TORCH_MAGIC not in head:
        raise ModelFileError(f"{path}: a Python pickle, but none of torch.save; save the weights: torch.save(...)")
    return ""


def _members(path: Path) -> list[str]:
    """The names in a zip archive; none where it is damaged."""
    try:
        with path.open("rb") as file:
            return [member.filename for member in list_members(file)]
    except ModelFileError:
        return []
