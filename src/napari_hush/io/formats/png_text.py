"""The texts in a PNG: of keys that everybody knows (Title, Description, Creation Time), and of our own."""

from __future__ import annotations

import email.utils
import struct
import zlib
from datetime import datetime

from napari_hush.io.metadata import Metadata
from napari_hush.io.metadata_note import KEY, note_text, parse_note

TITLE, DESCRIPTION, CREATED = b"Title", b"Description", b"Creation Time"


def read_text_chunk(content: bytes, key: bytes) -> bytes:
    """What a PNG says under a key before its pixels, in Latin 1; nothing where it has no such text."""
    return _find(content, b"tEXt", key)


def text_chunk(key: bytes, text: bytes) -> bytes:
    """A chunk with a text in Latin 1."""
    return _chunk(b"tEXt", key + b"\0" + text)


def metadata_chunks(metadata: Metadata) -> bytes:
    """What is known of an image, for other programs and for this one."""
    words = ((TITLE, metadata.name), (DESCRIPTION, metadata.description), (CREATED, metadata.date))
    # of UTF-8: neither packed, nor with a language
    chunks = [_chunk(b"iTXt", key + b"\0\0\0\0\0" + text.encode()) for key, text in words if text]
    note = note_text(metadata)
    return b"".join(chunks) + (text_chunk(KEY.encode(), note.encode()) if note else b"")


def read_metadata(content: bytes) -> Metadata:
    """What the texts of a PNG say, this package's own first."""
    words = Metadata(_word(content, TITLE), _word(content, DESCRIPTION), _iso(_word(content, CREATED)))
    return parse_note(read_text_chunk(content, KEY.encode())).merged(words)


def _word(content: bytes, key: bytes) -> str:
    plain = read_text_chunk(content, key)
    if plain:
        return plain.decode("latin-1")
    body = _find(content, b"iTXt", key)
    if body[:2] != b"\0\0":  # packed: not worth the danger of unpacking
        return ""
    _language, _, rest = body[2:].partition(b"\0")
    return rest.partition(b"\0")[2].decode("utf-8", "replace")


def _iso(text: str) -> str:
    """A date as ISO 8601 has it, or as mails have it, in ISO 8601; empty where it is neither."""
    try:
        return text if datetime.fromisoformat(text) else ""
    except ValueError:
        pass
    try:
        return email.utils.parsedate_to_datetime(text).isoformat()
    except ValueError:
        return ""


def _find(content: bytes, kind: bytes, key: bytes) -> bytes:
    at = 8
    while at + 8 <= len(content):
        length, found = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        if found == kind and body.startswith(key + b"\0"):
            return body[len(key) + 1 :]
        if found == b"IDAT":
            break
        at += 12 + length
    return b""


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
