"""What an unfinished run has done, line by line beside its unfinished array, so that a stopped run goes on.

The folder ``.NAME.part`` beside the output ``NAME`` holds the array and ``ledger.jsonl``: a head that says what is
made of what, then a line for each batch of tiles, or frame of a series, whose chunks are on the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from napari_hush.errors import InputError
from napari_hush.inference.owners import signature, writer_of
from napari_hush.io.fingerprint import Watched, changes
from napari_hush.io.formats.zarr_write import ARRAY
from napari_hush.leftovers import remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_hush.inference.tiles.runner import TileRunner
    from napari_hush.model import Model

NAME = "ledger.jsonl"
SHARDS = "shard-*.jsonl"
FORMAT = 3
WAYS_ON = "go on with it (resume=True) or throw it away (resume=False)"

Core = tuple[int, int, int, int]
Side = tuple[int, int] | None


@dataclass(frozen=True)
class Restart:
    """What is done about an unfinished run to the same output.

    Parameters
    ----------
    target : Path
        The output.
    resume : bool or None
        True goes on with one, False throws it away, None refuses where there is one.
    keep : bool
        Whether this run is kept where it is stopped.
    facts : dict
        What must be the same in the run that goes on: JSON-able.
    sharded : bool
        Whether this run ends what shards have done, and holds their lock: else it waits for those that still write.
    """

    target: Path
    resume: bool | None = None
    keep: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    sharded: bool = False

    @property
    def folder(self) -> Path:
        """Where what is unfinished lies."""
        return self.target.with_name(f".{self.target.name}.part")


@dataclass(frozen=True)
class Step:
    """Tiles of a plane that were done together.

    Parameters
    ----------
    sides : tuple of (int, int) or None
        Sides of a tile with which the plane was begun, and those after each lack of memory; None is the whole plane.
    batch : int
        Tiles that were computed at once.
    cores : tuple of (int, int, int, int)
        What was done: y0, y1, x0, x1 of each.
    network : (int, int) or None
        Side of what one pass of the network gave.
    """

    sides: tuple[Side, ...]
    batch: int
    cores: tuple[Core, ...]
    network: Side


@dataclass
class Ledger:
    """An open ledger.

    Parameters
    ----------
    folder : Path
        Where it lies, with the array.
    file : BinaryIO
        To which lines are appended.
    head : dict
        What is made of what.
    measured : dict
        What was measured on the whole image.
    steps : dict of int to list of Step
        What is done of each pass.
    complete : set of int
        Passes of which everything is done.
    given : int
        Pixels that the guards gave back so far.
    frames : list of dict
        What was kept of each frame of a series that is done.
    """

    folder: Path
    file: BinaryIO
    head: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    steps: dict[int, list[Step]] = field(default_factory=dict)
    complete: set[int] = field(default_factory=set)
    given: int = 0
    frames: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost with it."""
        return not (self.steps or self.complete or self.frames)

    @property
    def has_begun(self) -> bool:
        """Whether an earlier run has decided how it cuts planes."""
        return "batch" in self.head

    @property
    def begun(self) -> Side:
        """Side of a tile with which the earlier run began; None where it took whole planes, or there was none."""
        return _side(self.head.get("side"))

    @property
    def begun_network(self) -> Side:
        """The same of what one pass of the network gives."""
        return _side(self.head.get("network"))

    def go_on(self, runner: TileRunner) -> None:
        """Let a runner go on with the tiles and the batch that the earlier run had at its end, or note its own."""
        if not self.has_begun:
            self.settle(side=runner.side, network=runner.network_side, batch=runner.batch)
            return
        steps = [step for some in self.steps.values() for step in some]
        if steps:
            runner.cut_as(steps[-1].sides[-1], steps[-1].network, steps[-1].batch)
        else:
            runner.cut_as(self.begun, self.begun_network, self.head["batch"])

    def settle(self, **facts: Any) -> None:
        """Note facts about the run, or compare with those of the earlier run.

        Raises
        ------
        InputError
            If one of them is another, with what changed.
        """
        facts = json.loads(json.dumps(facts))
        other = [
            line for name, new in facts.items() if name in self.head for line in _differences(name, self.head, new)
        ]
        if other:
            raise InputError(
                f"{self.folder}: the unfinished run there cannot go on, because this is not the same run: "
                f"{'; '.join(other)}; give it what it had, or throw it away (resume=False)"
            )
        if new := {name: value for name, value in facts.items() if name not in self.head}:
            self._append({"head": new})
            self.head |= new

    def keep_measured(self, values: dict[str, Any]) -> None:
        """Note what was measured on the whole image."""
        if new := {name: value for name, value in values.items() if name not in self.measured}:
            self._append({"measured": new})
            self.measured |= new

    def add(self, number: int, step: Step, given: int) -> None:
        """Note tiles of a pass whose chunks are on the disk."""
        line = {"pass": number, "sides": step.sides, "batch": step.batch, "network": step.network}
        self._append(line | {"cores": step.cores, "given": given})
        self.steps.setdefault(number, []).append(step)

    def finish(self, number: int, given: int = 0) -> None:
        """Note that everything of a pass is on the disk."""
        self._append({"complete": number, "given": given})
        self.complete.add(number)

    def add_frame(self, frame: dict[str, Any]) -> None:
        """Note a frame of a series that is on the disk, and what the next one needs."""
        self._append({"frame": frame})
        self.frames.append(frame)

    def sign(self, owner: dict[str, Any] | None) -> None:
        """Note which process writes; None where nobody does any more."""
        self._append({"owner": owner})

    def _append(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line).encode() + b"\n")
        self.file.flush()

    def read(self) -> None:
        """Take in what is there; half a line at the end, of a run that was killed, is cut off."""
        self.file.seek(0)
        good = 0
        for line in self.file.read().splitlines(keepends=True):
            try:
                self._take(json.loads(line) if line.endswith(b"\n") else None)
            except (ValueError, TypeError, KeyError, AttributeError):
                break
            good += len(line)
        self.file.truncate(good)
        self.file.seek(good)

    def read_shards(self) -> None:
        """Take in what shards have done, each in a ledger of its own; the line that one writes now is left out."""
        for path in sorted(self.folder.glob(SHARDS)):
            for line in path.read_bytes().splitlines(keepends=True):
                try:
                    self._take(json.loads(line) if line.endswith(b"\n") else None)
                except (ValueError, TypeError, KeyError, AttributeError):
                    break

    def _take(self, line: dict[str, Any] | None) -> None:
        if line is None:
            raise ValueError("half a line")
        self.head |= line.get("head", {})
        self.measured |= line.get("measured", {})
        self.given += line.get("given", 0)
        if "pass" in line:
            cores = tuple((y0, y1, x0, x1) for y0, y1, x0, x1 in line["cores"])
            step = Step(tuple(_side(side) for side in line["sides"]), int(line["batch"]), cores, _side(line["network"]))
            self.steps.setdefault(int(line["pass"]), []).append(step)
        if "complete" in line:
            self.complete.add(int(line["complete"]))
        if "frame" in line:
            self.frames.append(line["frame"])


@contextmanager
def opened(restart: Restart, watched: Watched, **facts: Any) -> Iterator[Ledger]:
    """Open the ledger of a run, an old one where one goes on; when the block is left without an error it is removed.

    Parameters
    ----------
    restart : Restart
        What is done about an unfinished run.
    watched : Watched
        The input.
    **facts
        What else must be the same in the run that goes on: JSON-able.

    Raises
    ------
    InputError
        If another run is writing the same output, or there is an unfinished run and nothing was said of it, or it is
        one of another input, or had other settings.
    """
    folder = restart.folder
    folder.mkdir(exist_ok=True)
    with (folder / NAME).open("a+b") as file:
        ledger = _locked(restart, file)
        done = False
        try:
            ledger.settle(format=FORMAT, version=version("napari-hush"), input=watched.before, **restart.facts, **facts)
            ledger.sign(signature())
            yield ledger
            done = True
        finally:
            lost = done or not restart.keep or ledger.is_empty or not (folder / NAME).is_file()
            if lost:
                remove(folder)
            else:
                ledger.sign(None)
    if lost and sys.platform == "win32":  # which does not remove open files
        remove(folder)


def clear(restart: Restart) -> None:
    """Refuse or throw away an unfinished run, as ``restart`` says.

    Raises
    ------
    InputError
        See `opened`.
    """
    if (restart.folder / NAME).is_file():
        with (restart.folder / NAME).open("a+b") as file:
            _locked(restart, file)
        remove(restart.folder)


def peek(target: Path) -> Ledger | None:
    """What an unfinished run to an output has done, to look at; None where there is none that could go on."""
    folder = Restart(target).folder
    try:
        content = (folder / NAME).read_bytes()
    except OSError:
        return None
    ledger = Ledger(folder, BytesIO(content))
    ledger.read()
    return None if ledger.is_empty or not (folder / ARRAY).is_dir() else ledger


def tidy(target: Path) -> None:
    """Remove what a run left that was killed when its result had its name already."""
    restart = Restart(target)
    if (restart.folder / NAME).is_file() and not (restart.folder / ARRAY).exists():
        with suppress(InputError):  # another run begins
            clear(restart)


def _locked(restart: Restart, file: BinaryIO) -> Ledger:
    """Read a ledger that nobody else writes to; emptied unless its run goes on."""
    _lock(file, restart)
    ledger = Ledger(restart.folder, file)
    ledger.read()
    if not restart.sharded:
        _refuse_live_shards(restart)
    ledger.read_shards()
    worthless = ledger.is_empty or not (restart.folder / ARRAY).is_dir()
    if restart.resume is None and not worthless:
        raise InputError(f"{restart.target}: there is an unfinished run to this output in {restart.folder}: {WAYS_ON}")
    if not worthless and restart.resume:
        return ledger
    for path in restart.folder.iterdir():
        if path.name != NAME:
            remove(path)
    file.truncate(0)
    return Ledger(restart.folder, file)


def unfinished(target: Path) -> str:
    """How to go on with what was stopped, for a person; empty where nothing was left."""
    folder = Restart(target).folder
    if not (folder / NAME).is_file():
        return ""
    return f"what is done is kept in {folder}: {WAYS_ON}"


def weights_sha256(model: Model) -> str:
    """The SHA-256 of all that computes: architecture, arguments and weights of a model's network."""
    if known := getattr(model.network, "weights_sha256", ""):  # what stands for a network says it
        return str(known)
    digest = hashlib.sha256(json.dumps([model.architecture, model.hyperparameters], sort_keys=True).encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()


def _lock(file: BinaryIO, restart: Restart) -> None:
    """Keep a second run from an output; a dead one keeps nobody."""
    busy = ""
    if sys.platform != "win32":  # where a lock would keep readers off, too
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), (restart.folder / NAME).stat()):
                busy = "another run"  # which removed this ledger and has begun a new one
        except (BlockingIOError, FileNotFoundError):
            busy = "another run"
        except OSError:  # some network file systems have no locks
            pass
    busy = writer_of(file) or busy
    if busy:
        raise InputError(
            f"{restart.target}: {busy} is writing this output (its ledger is in {restart.folder}); wait until that has "
            "finished, or choose another name"
        )


def _refuse_live_shards(restart: Restart) -> None:
    for path in sorted(restart.folder.glob(SHARDS)):
        with path.open("rb") as file:
            if writer := writer_of(file):
                raise InputError(
                    f"{restart.target}: {path.stem} of this output is still being done by {writer}; wait until that "
                    "has ended"
                )


def _differences(name: str, head: dict[str, Any], new: Any) -> list[str]:
    """What differs of one fact, each with old and new."""
    old = head[name]
    if old == new:
        return []
    if name == "input":
        return [f"the input's {words}" for words in changes(old, new)]
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
        return [f"{key} {_short(old.get(key))} -> {_short(new.get(key))}" for key in keys]
    return [f"{name} {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else str(value)


def _side(side: Sequence[int] | None) -> Side:
    return None if side is None else (int(side[0]), int(side[1]))
