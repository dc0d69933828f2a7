"""Opening a file of ``torch.save`` that may be hostile.

There are two formats: a zip archive with a pickle and one member per tensor, and, before PyTorch 1.6, five pickles
with the tensors' bytes behind them. The container and the pickles are examined first, without running or unpacking
anything; only what is plain weights reaches PyTorch's restricted reader.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any, BinaryIO

import torch

from napari_hush.errors import ModelFileError
from napari_hush.importers.pytorch.pickle_content import Scan, check_scan, show
from napari_hush.importers.pytorch.pickle_scan import scan
from napari_hush.importers.zip_file import DAMAGED_ZIP, NOT_WEIGHTS, ZIP_ERRORS, is_zip, list_members

MAX_FILE_BYTES = 1 << 31
MAX_PICKLE_BYTES = 1 << 21  # a training checkpoint of four networks with their optimizers has a tenth of it
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_torch(file: BinaryIO, *, most_bytes: int = MAX_FILE_BYTES, most_pickle_bytes: int = MAX_PICKLE_BYTES) -> Any:
    """What ``torch.save`` wrote: plain values and tensors, on the CPU.

    Parameters
    ----------
    file : file
        Opened for reading.
    most_bytes, most_pickle_bytes : int
        Of the file, and of what its structure takes.

    Raises
    ------
    ModelFileError
        If there is anything else in the file, or it is damaged; the message lacks the path.
    """
    size = file.seek(0, io.SEEK_END)
    if size > most_bytes:
        raise ModelFileError(f"{size:,} bytes, expected a model of at most {most_bytes:,}; save the weights alone")
    file.seek(0)
    if is_zip(file.read(4)):
        _check_zip(file, size, most_pickle_bytes)
    else:
        _check_legacy(file, size)
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except MemoryError:
        raise
    except Exception:
        # The restricted reader raises whatever a malformed file leads it to, and its messages advise to trust the file.
        raise ModelFileError(
            "PyTorch's restricted reader cannot read it; save the weights again: torch.save(net.state_dict(), path)"
        ) from None


def _check_zip(file: BinaryIO, size: int, most_pickle_bytes: int) -> None:
    members = list_members(file)
    names = [member.filename for member in members]
    root, _, first = names[0].partition("/") if names else ("", "", "")
    records = {member.filename.removeprefix(f"{root}/"): member for member in members}
    for name in records:
        if name == "constants.pkl" or name.startswith("code/"):
            raise ModelFileError(
                f"{NOT_WEIGHTS['code']}; in PyTorch, save the weights alone: torch.save(net.state_dict(), path)"
            )
    if len(records) < len(members):
        raise ModelFileError("a zip archive in which two members have one name; expected a file of torch.save")
    odd = [name for name in names if not name.startswith(f"{root}/") or not _is_plain(name)]
    if odd or not first:
        raise ModelFileError(
            f"a zip archive with a member of an unexpected name ({show(ascii((odd or ['nothing'])[0]), 60)}); expected "
            "a file of torch.save"
        )
    if packed := next((name for name, m in records.items() if m.compress_type != zipfile.ZIP_STORED), None):
        raise ModelFileError(f"a zip archive with compressed members ({show(packed)}), which torch.save never writes")
    spans = sorted((m.header_offset, m.header_offset + 30 + m.compress_size) for m in members)
    if (
        sum(m.file_size for m in members) > size
        or any(m.file_size != m.compress_size for m in members)
        or any(a[1] > b[0] for a, b in zip(spans, [*spans[1:], (size, size)], strict=True))
    ):
        raise ModelFileError(
            "a zip archive whose members overlap or are larger than the file; expected one of torch.save"
        )
    if "data.pkl" not in records:
        raise ModelFileError("a zip archive without data.pkl; expected a file of torch.save")
    if any(records[name].file_size > most_pickle_bytes for name in ("data.pkl", "byteorder") if name in records):
        raise ModelFileError(_too_large())
    with zipfile.ZipFile(file) as archive:
        content = dict.fromkeys(("data.pkl", "byteorder"), b"")
        for name, member in records.items():
            data = _read_member(archive, member, keep=name in content)
            if data is not None:
                content[name] = data
    if content["byteorder"] not in (b"", b"little", b"big"):
        raise ModelFileError(
            f"says that its byte order is {show(ascii(content['byteorder']), 30)}, expected little or big; copy or "
            "download it again"
        )
    found = scan(io.BytesIO(content["data.pkl"]), size)
    check_scan(found)
    for key, storage in found.storages.items():
        record, n_bytes = records.get(f"data/{key}"), storage.n_items * storage.item_bytes
        if record is None or record.file_size != n_bytes:
            came = f"{record.file_size:,}" if record else "none"
            raise ModelFileError(
                f"the weights data/{show(key, 20)} should have {n_bytes:,} bytes, but have {came}; copy or download it "
                "again"
            )


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, keep: bool) -> bytes | None:
    """Read a member to its end, where its checksum is compared: PyTorch does not look at it."""
    try:
        with archive.open(member) as stream:
            if keep:
                return stream.read()
            while stream.read(1 << 20):
                pass
    except ZIP_ERRORS as error:
        raise ModelFileError(DAMAGED_ZIP.format(show(f"{member.filename}: {str(error).lower()}"))) from error
    return None


def _check_legacy(file: BinaryIO, size: int) -> None:
    file.seek(0)
    start = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    parts: list[Scan] = []
    for number in range(5):  # magic number, version, byte order, content, keys of the storages
        found = scan(start, size)
        if found.problem and size > MAX_PICKLE_BYTES and start.tell() >= MAX_PICKLE_BYTES:
            found.problem = _too_large()
        check_scan(found)
        if number == 0 and found.top != LEGACY_MAGIC:
            raise ModelFileError("a Python pickle, but none of torch.save; expected torch.save(net.state_dict(), path)")
        parts.append(found)
    system, storages, keys = parts[2].top, parts[3].storages, parts[4].top
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ModelFileError(
            "does not say that its byte order is little; expected a file of torch.save on this platform"
        )
    named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not named or sorted(keys) != sorted(storages):
        raise ModelFileError("the list of its weights is not that of its tensors; copy or download it again")
    needed = start.tell() + sum(8 + storage.n_items * storage.item_bytes for storage in storages.values())
    if needed > size:
        raise ModelFileError(f"truncated: {size:,} bytes, expected at least {needed:,}; copy or download it again")


def _is_plain(name: str) -> bool:
    parts = name.split("/")[1:]  # the first is the name that the file was saved under
    return all(
        part.strip(".") and part.isascii() and part.replace(".", "").replace("_", "a").isalnum() for part in parts
    )


def _too_large() -> str:
    return f"its structure takes more than {MAX_PICKLE_BYTES:,} bytes, far beyond a model's; save the weights alone"
