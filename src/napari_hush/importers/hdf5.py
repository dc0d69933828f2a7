"""Reading float arrays and texts out of an HDF5 file that may be hostile.

HDF5 can make a reader open other files (soft, external and user-defined links, external and virtual storage), claim
terabytes, look for filter plug-ins and inflate without limit. Nothing here follows any of it: the members of a group
are reached through hard links only, and a dataset is read when it is plain, complete and of the expected shape.
"""

from __future__ import annotations

import math
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_hush.errors import InputError, ModelFileError
from napari_hush.io.formats import hdf5_open

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_FILE_BYTES = 1 << 30
MAX_CHUNK_BYTES = 1 << 26
MAX_MEMBERS = 1000
PLAIN_LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)


class _Refusal(ModelFileError):
    """A `ModelFileError` without the file's name, which `open_hdf5` adds."""


@contextmanager
def open_hdf5(path: Path, content: bytes | None = None) -> Iterator[Any]:
    """Open read-only; whatever the HDF5 library finds wrong, now or later, becomes a `ModelFileError`.

    The content, where it is given, is that of an HDF5 file inside of the file.
    """
    size = path.stat().st_size if content is None else len(content)
    if size > MAX_FILE_BYTES:
        raise ModelFileError(f"{path}: {size:,} bytes, expected a model of at most {MAX_FILE_BYTES:,}; check the file")
    try:
        with hdf5_open.open_hdf5(path, ModelFileError, content) as file:
            yield file
    except _Refusal as error:
        raise ModelFileError(f"{path}: {error}") from error
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError, struct.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path}: truncated or damaged HDF5 file ({reason}); get the file again") from error


def get_group(parent: Any, name: str) -> Any:
    """Open a group in a group, through a hard link only."""
    found = _get_member(parent, name)
    if not isinstance(found, h5py.Group):
        raise _Refusal(f"{name!r} in {parent.name!r} should be a group, but is none")
    return found


def list_datasets(root: Any, *, most: int = MAX_MEMBERS) -> set[str]:
    """Find the paths of all datasets under a group; refuses links and groups that hold themselves."""
    found: set[str] = set()
    pending = [(root, "")]
    n_members = 0
    while pending:
        group, prefix = pending.pop()
        for name in group:
            n_members += 1
            if n_members > most:  # a cycle of hard links ends here as well
                raise _Refusal(f"more than {most} objects in {root.name!r}; expected a model's weights")
            if not isinstance(name, str):  # as h5py gives it where it is no UTF-8
                raise _Refusal(f"a name in {root.name!r} is no text ({name!r}); copy or download the file again")
            member = _get_member(group, name)
            if isinstance(member, h5py.Group):
                pending.append((member, f"{prefix}{name}/"))
            else:
                found.add(prefix + name)
    return found


def read_floats(root: Any, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read a dataset of exactly this shape as finite float32."""
    *groups, name = path.split("/")
    group = root
    for part in groups:
        group = get_group(group, part)
    dataset = _get_member(group, name)
    where = f"the dataset {path!r}"
    if not isinstance(dataset, h5py.h5d.DatasetID):
        raise _Refusal(f"{path!r} should be a dataset, but is none")
    # the order counts: asking a virtual dataset for its shape already opens its sources
    creation = dataset.get_create_plist()
    if creation.get_layout() not in PLAIN_LAYOUTS or creation.get_external_count():
        raise _Refusal(f"{where} keeps its values in another file; expected them inside this one")
    if creation.get_nfilters():  # Keras writes none, and HDF5 inflates a chunk without limit
        raise _Refusal(f"{where} is compressed; expected plain values ('h5repack -f NONE old.h5 new.h5')")
    kind = dataset.get_type()
    if not (isinstance(kind, h5py.h5t.TypeFloatID) and kind.get_size() in (2, 4, 8)):
        raise _Refusal(f"{where} should hold 16, 32 or 64 bit floats, but does not")
    if dataset.shape != shape:
        raise _Refusal(f"{where} should have the shape {shape}, got {dataset.shape}")
    chunk = creation.get_chunk() if creation.get_layout() == h5py.h5d.CHUNKED else ()
    if math.prod(chunk) * kind.get_size() > MAX_CHUNK_BYTES:
        raise _Refusal(f"{where} has chunks of {chunk}, expected at most {shape}")
    n_bytes = math.prod(shape) * kind.get_size()
    if not n_bytes <= dataset.get_storage_size() <= MAX_FILE_BYTES:  # what was never written reads as zeros
        raise _Refusal(f"{where} holds {dataset.get_storage_size()} bytes, expected {n_bytes}")
    values = np.empty(shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    with np.errstate(over="ignore"):
        result: np.ndarray = values.astype(np.float32)
    if not np.isfinite(result).all():
        raise _Refusal(f"{where} has NaN or infinite weights; expected finite ones (did the training diverge?)")
    return result


def read_texts(group: Any, name: str, *, max_bytes: int) -> list[str]:
    """Read an attribute that holds one text or an array of texts, written as bytes or as unicode."""
    if not h5py.h5a.exists(group.id, name.encode()):
        raise _Refusal(f"no attribute {name!r} on {group.name!r}; expected a model saved whole (model.save)")
    attribute = h5py.h5a.open(group.id, name.encode())
    if not isinstance(attribute.get_type(), h5py.h5t.TypeStringID):
        raise _Refusal(f"the attribute {name!r} on {group.name!r} should be text, but is none")
    if math.prod(attribute.shape) > MAX_MEMBERS or attribute.get_storage_size() > max_bytes:
        raise _Refusal(f"the attribute {name!r} on {group.name!r} has more than {max_bytes:,} bytes")
    texts = [t.decode() if isinstance(t, bytes) else str(t) for t in np.atleast_1d(group.attrs[name]).tolist()]
    if sum(map(len, texts)) > max_bytes:  # texts of variable length show their length only when read
        raise _Refusal(f"the attribute {name!r} on {group.name!r} has more than {max_bytes:,} bytes")
    return texts


def _get_member(parent: Any, name: str) -> Any:
    """Open a member: a `h5py.Group`, or a `h5py.h5d.DatasetID`, which asks less of the file than `h5py.Dataset`."""
    key = name.encode()
    # `in` would follow the link, and so would a path the links on its way
    if name in ("", ".") or "/" in name or not parent.id.links.exists(key):
        raise _Refusal(f"{name!r} is missing in {parent.name!r}; expected a model saved whole (model.save)")
    if parent.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise _Refusal(f"{name!r} in {parent.name!r} is a link to somewhere else; expected the object itself")
    found = h5py.h5o.open(parent.id, key)
    if isinstance(found, h5py.h5g.GroupID):
        return h5py.Group(found)
    if isinstance(found, h5py.h5d.DatasetID):
        return found
    raise _Refusal(f"{name!r} in {parent.name!r} is neither a group nor a dataset")
