"""Whether a JPEG is complete: its decoder fills what is missing with grey and says nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import FileFormatError

if TYPE_CHECKING:
    from collections.abc import Callable

# no Huffman code makes more of a byte: 8 blocks of 64 px, a bit each
PIXELS_PER_BYTE = 1024
HUFFMAN = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
SOS, EOI, DRI = 0xDA, 0xD9, 0xDD
# ends no stretch of codes that is complete, and continues one that is not
MORE = bytes(np.random.default_rng(0).integers(0, 255, 64, dtype=np.uint8))


@dataclass
class Stream:
    """What stands where in a JPEG.

    Parameters
    ----------
    frame : int
        The code of its kind, 0 where none was found.
    height, width : int
        Px.
    components : dict
        Sampling (horizontal, vertical) of each colour.
    stretches : list of int
        Where each stretch of codes ends.
    missing : int
        How many restarts are not there.
    end : int
        Behind the last byte; 0 where the end is missing.
    """

    frame: int = 0
    height: int = 0
    width: int = 0
    components: dict[int, tuple[int, int]] = field(default_factory=dict)
    stretches: list[int] = field(default_factory=list)
    missing: int = 0
    end: int = 0


def check_jpeg(content: bytes, source: str) -> Stream:
    """Refuse a JPEG without an end, or that claims more pixels than its bytes can hold.

    Parameters
    ----------
    content : bytes
        From its first byte on; what follows its end counts for nothing.
    source : str
        For messages.

    Raises
    ------
    FileFormatError
        If it does.
    """
    stream = read_stream(content)
    if not stream.end:
        raise FileFormatError(f"{source}: a truncated JPEG, its end is missing; copy or download it again")
    pixels = stream.height * stream.width * max(len(stream.components), 1)
    if pixels > 1 << 20 and pixels > PIXELS_PER_BYTE * len(content):
        raise FileFormatError(
            f"{source}: claims {stream.width} x {stream.height} px in {len(content)} bytes; it is damaged or made up"
        )
    return stream


def check_decoded(
    content: bytes, stream: Stream, decoded: np.ndarray, decode: Callable[[bytes], np.ndarray], source: str
) -> None:
    """Refuse a JPEG whose codes end early: more of them, put behind each stretch, would then change the image.

    Raises
    ------
    FileFormatError
        If they do.
    """
    if stream.frame not in HUFFMAN:
        return
    whole = stream.missing == 0
    if whole:
        starts = [0, *stream.stretches]
        ends = [*stream.stretches, stream.end]
        longer = MORE.join(content[start:end] for start, end in zip(starts, ends, strict=True))
        try:
            whole = np.array_equal(decode(longer), decoded)
        except RuntimeError:  # only codes that are decoded can be wrong
            whole = False
    if not whole:
        raise FileFormatError(
            f"{source}: a truncated JPEG, a part of its image is missing before its end; copy or download it again"
        )


def read_stream(content: bytes) -> Stream:
    """Walk from marker to marker, up to the end of the image or to where they stop."""
    stream, at, interval = Stream(), 2, 0
    while at + 2 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # filler
            at += 1
            continue
        if marker == EOI:
            stream.end = at + 2
            break
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        body = content[at + 4 : at + 2 + length]
        if marker in HUFFMAN or (0xC3 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            _read_frame(stream, marker, body)
        elif marker == DRI:
            interval = int.from_bytes(body[:2], "big")
        at += 2 + length
        if marker == SOS:
            at, restarts = _skip_codes(content, at, stream)
            if interval:
                stream.missing += max(-(-_units(stream, body) // interval) - 1 - restarts, 0)
    return stream


def _read_frame(stream: Stream, marker: int, body: bytes) -> None:
    if len(body) < 6 + 3 * body[5]:
        return
    stream.frame = marker
    stream.height, stream.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    for k in range(6, 6 + 3 * body[5], 3):
        stream.components[body[k]] = (max(body[k + 1] >> 4, 1), max(body[k + 1] & 15, 1))


def _skip_codes(content: bytes, at: int, stream: Stream) -> tuple[int, int]:
    """Where the next marker is that is no restart, and how many of these came before it."""
    restarts = 0
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        code = content[at + 1]
        if code in (0, 0xFF):
            at += 2 if code == 0 else 1
            continue
        stream.stretches.append(at)
        if not 0xD0 <= code <= 0xD7:
            return at, restarts
        restarts += 1
        at += 2
    return len(content), restarts


def _units(stream: Stream, scan: bytes) -> int:
    """How many coded units (MCU) a scan has."""
    if not stream.components or not scan or not stream.height:
        return 0
    most_x, most_y = (max(one[k] for one in stream.components.values()) for k in (0, 1))
    if scan[0] != 1:
        return ceil(stream.width / (8 * most_x)) * ceil(stream.height / (8 * most_y))
    x, y = stream.components.get(scan[1], (1, 1))
    return ceil(ceil(stream.width * x / most_x) / 8) * ceil(ceil(stream.height * y / most_y) / 8)
