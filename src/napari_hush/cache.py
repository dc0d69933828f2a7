"""What can be made again, kept in the user's cache folder: checked when it is read, bounded in size, never needed.

The environment variable ``NAPARI_HUSH_CACHE`` names another folder, or says ``off``. A cache that cannot be read or
written is as good as none.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from napari_hush.leftovers import beside, sweep

VARIABLE: Final = "NAPARI_HUSH_CACHE"
OFF: Final = ("off", "0", "no", "false")
MOST_BYTES: Final = 512 << 20  # of all that is kept; what was not used for longest goes first
SUFFIX: Final = ".hush_kept"  # nothing else in the folder is touched
DIGEST: Final = hashlib.sha256().digest_size


def cache_folder() -> Path | None:
    """Where things are kept; None where nothing is. It need not exist."""
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen.lower() in OFF:
        return None
    if chosen:
        return Path(os.path.expanduser(chosen))
    from platformdirs import user_cache_path

    return user_cache_path("napari-hush", appauthor=False)


def read_kept(name: str) -> bytes | None:
    """What is kept under a name; None where nothing is, or what is there is damaged.

    Parameters
    ----------
    name : str
        Of a file in the cache; it tells everything that the content depends on.
    """
    folder = cache_folder()
    if folder is None:
        return None
    path = _place(folder, name)
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError:
        return None
    if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
        return None  # whoever asks makes it again, in its place
    with suppress(OSError):  # somebody else's folder, perhaps: then its owner decides what goes first
        os.utime(path)
    return data[DIGEST:]


def is_kept(start: str) -> bool:
    """Whether anything is kept whose name begins like this; whether it is whole shows when it is read."""
    folder = cache_folder()
    return folder is not None and any(folder.glob(f"{start}*{SUFFIX}"))


def keep(name: str, data: bytes) -> bool:
    """Keep something under a name, and throw away what was not used for longest where there is too much.

    Several processes may do it at once: each file is whole, and the last one stays.

    Returns
    -------
    bool
        Whether it is kept. It is not where the cache is off, the disk full or the folder not writable: that is no
        error, since everything can be made again.
    """
    folder = cache_folder()
    if folder is None or len(data) > MOST_BYTES:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(folder)
        path = _place(folder, name)
        temporary = beside(path, ".part")
        try:
            temporary.write_bytes(hashlib.sha256(data).digest() + data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _make_room(folder, path)
    except OSError:
        return False
    return True


def _place(folder: Path, name: str) -> Path:
    return folder / f"{name}{SUFFIX}"


def _make_room(folder: Path, newest: Path) -> None:
    """Remove the oldest files until the rest is small enough."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(OSError):  # another process has just removed it
            seen = path.stat()
            found.append((path == newest, seen.st_mtime_ns, seen.st_size, path))
    total = sum(size for _, _, size, _ in found)
    for _, _, size, path in sorted(found):
        if total <= MOST_BYTES:
            return
        with suppress(OSError):
            path.unlink()
        total -= size
