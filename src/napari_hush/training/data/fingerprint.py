"""What tells data apart: a line for each file or array, with a checksum over values of all its images and rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import FileFormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_hush.inference.planes import Planes

MOST_BYTES = 128 << 20  # that are read of an array that is not in memory
FEWEST_ROWS = 8  # of a band
COLUMNS = 64  # of each row, whose places count as well
NAMED = 3  # files in a message
LEFT_OUT = "…"  # in place of the lines of further files, in a checkpoint


def checksum(planes: Planes) -> str:
    """A checksum of an image's values: all of those in memory, and bands of rows spread over all planes of others.

    Raises
    ------
    FileFormatError
        If they cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for channel in range(planes.n_channels):
            for block in _bands(planes, channel):
                _add(digest, block)
    except InputError as error:
        raise FileFormatError(str(error)) from error
    return digest.hexdigest()[:16]


def line(name: str, facts: str, values: str) -> str:
    """One line of a fingerprint; see `changes`."""
    return "\t".join([" ".join(name.split()), facts, values])


def changes(old: Sequence[str], new: Sequence[str]) -> str:
    """In what way data differ whose fingerprints have these lines; an empty text where these do not tell.

    Examples
    --------
    >>> changes([line("a.tif", "48 x 48 px", "0123")], [line("a.tif", "48 x 48 px", "4567")])
    'a.tif has other values'
    """
    sides = [_by_name(lines) for lines in (old, new)]
    cut = LEFT_OUT in old or LEFT_OUT in new
    words = []
    both = [name for name in sides[1] if name in sides[0]]
    if not cut:
        words += _named([name for name in sides[0] if name not in sides[1]], "is not among them any more")
        words += _named([name for name in sides[1] if name not in sides[0]], "is new")
    facts = [name for name in both if [f for f, _ in sides[0][name]] != [f for f, _ in sides[1][name]]]
    for name in facts[:NAMED]:
        was, now = (", ".join(f for f, _ in side[name]) for side in sides)
        words.append(f"{name} was {was}, is {now}" if was and now else f"{name} differs")
    values = [name for name in both if name not in facts and sides[0][name] != sides[1][name]]
    words += _named(values, "has other values")
    if not words and list(sides[0]) != list(sides[1]) and not cut:
        words.append("they come in another order")
    return "; ".join(words)


def _by_name(lines: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for text in lines:
        name, _, rest = text.partition("\t")
        facts, _, values = rest.partition("\t")
        if name != LEFT_OUT:
            found.setdefault(name, []).append((facts, values))
    return found


def _named(names: list[str], what: str) -> list[str]:
    further = f" (and {len(names) - NAMED} more)" if len(names) > NAMED else ""
    return [f"{', '.join(names[:NAMED])}{further} {what}"] if names else []


def _bands(planes: Planes, channel: int) -> Iterable[NDArray[np.generic]]:
    """All values of one channel, or bands of whole rows of a large array that is not in memory."""
    (height, width), n_planes = planes.plane_shape, int(np.prod(planes.lead_shape, dtype=np.int64))
    if isinstance(planes.image, np.ndarray) and not isinstance(planes.image, np.memmap):
        whole = slice(0, height), slice(0, width)
        yield from (np.asarray(planes.image[planes.key(index, channel, *whole)]) for index in planes.indices())
        return
    rows = min(max(planes.chunk_shape[0], FEWEST_ROWS), height)
    each = -(-height // rows)  # bands of a plane
    row_bytes = width * np.dtype(planes.image.dtype).itemsize * planes.n_channels
    count = min(max(MOST_BYTES // (rows * row_bytes), 16), n_planes * each)
    for band in np.unique(np.linspace(0, n_planes * each - 1, count).astype(np.int64)):
        plane, k = divmod(int(band), each)
        index = tuple(int(i) for i in np.unravel_index(plane, planes.lead_shape)) if planes.lead_shape else ()
        yield planes.read(index, [channel], slice(k * rows, min((k + 1) * rows, height)), slice(0, width))


def _add(digest: hashlib._Hash, block: NDArray[np.generic]) -> None:
    """Of each row the sum of its bits, in which every value counts, and some values, of which the place counts."""
    block = np.ascontiguousarray(block)
    row_bytes = block.shape[-1] * block.itemsize
    word = next(n for n in (8, 4, 2, 1) if row_bytes % n == 0)
    digest.update(block.view(f"u{word}").sum(axis=-1, dtype=np.uint64).tobytes())
    digest.update(block[..., :: -(-block.shape[-1] // COLUMNS)].tobytes())
