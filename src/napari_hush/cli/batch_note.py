"""Which inputs of a batch are done, so that a batch that was stopped goes on with the next one."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass
class Batch:
    """The inputs that are done, in a hidden file beside the outputs; a line each, written when its output is there.

    Parameters
    ----------
    note : Path or None
        The file; None where there is one input only.
    facts : str
        A checksum of what the batch is made with: what was made otherwise is not done.
    done : dict of str to dict
        Fingerprints of input and output by the name of the output.
    """

    note: Path | None
    facts: str
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """How to go on with what was stopped, for a person."""
        if self.note is None or not self.note.is_file():
            return "nothing was left half-written"
        return "nothing was left half-written; --resume goes on with the inputs that are not done"

    def is_done(self, source: str | Path, target: Path) -> bool:
        """Whether this output was made of this input, and both are as they were."""
        from napari_hush.errors import InputError
        from napari_hush.io.fingerprint import fingerprint

        before = self.done.get(str(target.resolve()))
        if before is None:
            return False
        try:
            return before == {"input": fingerprint(source), "output": fingerprint(target)}
        except (OSError, InputError):  # one of them is gone: it is done again, which says what is wrong
            return False

    def add(self, before: dict[str, Any], target: Path) -> None:
        """Note that an output is there, made of an input with this fingerprint."""
        from napari_hush.io.fingerprint import fingerprint

        if self.note is None:
            return
        line = {"target": str(target.resolve()), "facts": self.facts, "input": before, "output": fingerprint(target)}
        with self.note.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@contextmanager
def opened_batch(
    typed: Sequence[str], targets: Sequence[Path], facts: dict[str, Any], *, resume: bool
) -> Iterator[Batch]:
    """Open the note of a batch; when the block is left without an error it is removed.

    Parameters
    ----------
    typed : sequence of str
        The inputs as they were typed: with the outputs' folder they tell one batch from another.
    targets : sequence of Path
        The outputs.
    facts : dict
        What the batch is made with: JSON-able.
    resume : bool
        Whether to go on with what an earlier run has noted.
    """
    if len(targets) < 2:
        yield Batch(None, "")
        return
    folder = targets[0].parent
    word = _checksum([*typed, str(folder.resolve())])[:8]
    batch = Batch(folder / f".denoise-{word}.batch", _checksum(facts))
    assert batch.note is not None
    if resume and batch.note.is_file():
        batch.done = _read(batch.note, batch.facts)
    else:
        batch.note.unlink(missing_ok=True)
    yield batch
    batch.note.unlink(missing_ok=True)


def _read(note: Path, facts: str) -> dict[str, dict[str, Any]]:
    done = {}
    for text in note.read_text("utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
            if line["facts"] == facts:
                done[line["target"]] = {"input": line["input"], "output": line["output"]}
        except (ValueError, TypeError, KeyError):  # half a line, of a run that was killed
            continue
    return done


def _checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
