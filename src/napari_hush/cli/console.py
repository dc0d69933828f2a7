"""What the commands print: runs and errors in one line, and texts of strangers without control characters."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from napari_hush.cli.words import in_command_words

if TYPE_CHECKING:
    from napari_hush.inference.denoise import Denoised

NOTHING_LEFT = "nothing was left half-written"


def complain(kind: str, text: str) -> None:
    """One line on the error stream."""
    print(f"napari-hush: {kind}: {text}", file=sys.stderr)


def one_line(error: BaseException | str) -> str:
    """An error or a warning in one line."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return printable(f"{where}{error.strerror}")
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); write to a .zarr output, or choose a smaller --tile"
    return printable(in_command_words(" ".join(str(error).split())))


def printable(text: str) -> str:
    """A text without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def size_text(n_bytes: int) -> str:
    """A file's size in decimal units, as file managers show it."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if n_bytes >= 10**power:
            return f"{n_bytes / 10**power:.1f} {unit}"
    return f"{n_bytes} bytes"


def run_with_bar(steps: Any, label: str) -> Denoised:
    """Go through the steps with a progress bar."""
    from napari_hush.inference.denoise import run_steps

    return run_steps(steps, True, label=label)


def run_text(done: Denoised) -> str:
    """How an image was denoised, in one line."""
    p = done.provenance
    tile = f"tiles of {p['tile'][0]} x {p['tile'][1]} px" if p["tile"] else "one pass"
    rate = math.prod(p["shape"]) / 1e6 / max(p["seconds"], 1e-9)
    took = f"{p['seconds']:.1f} s ({rate:.2f} megapixels/s)"
    if p.get("shards"):  # the seconds are those of the last one alone
        took = f"{p['shards']} shards"
    why = f"{p['chosen_because']}, so " if p["chosen_because"] else ""
    share = p["settings"]["strength"]
    took += "" if share == 1 else f", strength {share:g}"
    return f"{why}{p['model']} on {p['device']} with {p['engine']} in {p['precision']}, {tile}, {took}"
