"""Checkpoints: everything that the next step depends on, written so that a kill leaves the old one or the new one."""

from __future__ import annotations

import hashlib
import io
import platform
from collections import OrderedDict
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from napari_hush.errors import InputError, ModelFileError
from napari_hush.files import atomic_write, explain_wrong_file
from napari_hush.importers.pytorch.torch_file import read_torch
from napari_hush.training.data.fingerprint import LEFT_OUT, changes
from napari_hush.training.keep import refuse_full_disk
from napari_hush.training.settings import FREE

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric

    from napari_hush.training.one_device import OneDevice
    from napari_hush.training.settings import TrainSettings

MOST_LINES = 4096  # of the data's fingerprint that are kept
MOST_BYTES = 1 << 34
MOST_PICKLE_BYTES = 1 << 25  # of the history of a long run
NUMBERS = (int, float)
TYPES: dict[str, tuple[type, ...]] = {
    **{"method": (str,), "settings": (dict,), "fingerprint": (str,), "data": (list,), "processes": (int,)},
    **{"step": (int,), "seconds": NUMBERS, "state": (dict,), "precision": (dict,), "average": (dict, OrderedDict)},
    **{"best": (dict,), "history": (list,), "validations_without_improvement": (int,), "sums": (dict,)},
    "summed": (int,),
}
KIND = b"napari-hush checkpoint "
HEAD = KIND + b"3\n"  # then the SHA-256 of the rest, in hexadecimal, and a line feed


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint in place of an older one.

    Raises
    ------
    InputError
        If the folder does not exist.
    OSError
        If the disk is full or the folder not writable; an older checkpoint is as it was.
    """
    buffer = io.BytesIO()
    buffer.write(HEAD + b"0" * 64 + b"\n")
    torch.save(state, buffer)
    content = buffer.getbuffer()
    digest = hashlib.sha256(content[len(HEAD) + 65 :]).hexdigest()
    content[len(HEAD) : len(HEAD) + 64] = digest.encode()
    if path.parent.is_dir():
        refuse_full_disk(path, len(content))
    atomic_write(path, content)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is run.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or no checkpoint of this version.
    """
    explain_wrong_file(path, ModelFileError, "a checkpoint of napari-hush train")
    with path.open("rb") as file:
        if file.read(len(HEAD)) != HEAD:
            raise ModelFileError(f"{path}: no checkpoint of this version of napari-hush; start anew without it")
        digest, content = file.read(65), file.read()
    if hashlib.sha256(content).hexdigest().encode() != digest.strip():
        raise ModelFileError(f"{path}: a damaged checkpoint, its checksum is wrong; start anew without it")
    try:
        state = read_torch(io.BytesIO(content), most_bytes=MOST_BYTES, most_pickle_bytes=MOST_PICKLE_BYTES)
    except ModelFileError as error:
        raise ModelFileError(
            f"{path}: a checkpoint that napari-hush did not write ({error}); start anew without it"
        ) from error
    if not isinstance(state, dict) or (odd := _odd(state)):
        what = "no table" if not isinstance(state, dict) else f"its {odd!r} is not what it should be"
        raise ModelFileError(f"{path}: a checkpoint that napari-hush did not write ({what}); start anew without it")
    return state


def _odd(state: dict[Any, Any]) -> str:
    """The first entry of a state that is missing or of another type; empty if there is none."""
    for name, kind in TYPES.items():
        if type(state.get(name)) not in kind:
            return name
    tables = (
        ("settings", state["settings"], (str, int, float, bool, list, type(None))),
        ("sums", state["sums"], NUMBERS),
        *(("history", record, NUMBERS) for record in state["history"]),
    )
    for name, table, kinds in tables:
        if not isinstance(table, dict) or not all(type(k) is str and type(v) in kinds for k, v in table.items()):
            return name
    if not all(type(line) is str for line in state["data"]):
        return "data"
    if not all("step" in record for record in state["history"]):
        return "history"
    best = state["best"]
    score, step, weights = (best.get(key) for key in ("score", "step", "weights"))
    if len(best) != 3 or type(score) is not float or type(step) is not int or not _are_tensors(weights):
        return "best"
    return "" if _are_tensors(state["average"]) else "average"


def _are_tensors(table: object) -> bool:
    return isinstance(table, dict) and all(
        type(name) is str and isinstance(tensor, torch.Tensor) for name, tensor in table.items()
    )


def is_checkpoint(path: Path) -> bool:
    """Whether a file begins as the checkpoints of any version do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(KIND)) == KIND


def about(method: str, settings: TrainSettings, data: str, fabric: Fabric | OneDevice) -> dict[str, Any]:
    """What a checkpoint and a model's card say of a run; ``data`` is the fingerprint of a `PatchSource`."""
    lines = data.splitlines()
    return {
        "method": method,
        "settings": {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(settings).items()},
        "fingerprint": hashlib.sha256(data.encode()).hexdigest(),
        "data": lines[:MOST_LINES] + ([LEFT_OUT] if len(lines) > MOST_LINES else []),
        "processes": fabric.world_size,
        "versions": {name: version(name) for name in ("napari-hush", "torch", "numpy")},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else fabric.device.type,
        "threads": torch.get_num_threads(),
    }


def check_resumable(path: Path, state: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with another method, other settings or other data.

    Raises
    ------
    InputError
        Naming what differs.
    """
    if state["method"] != now["method"]:
        raise InputError(f"{path}: is a checkpoint of {state['method']}, not of {now['method']}; give the right one")
    old, new = state["settings"], now["settings"]
    differ = [
        f"{name} was {old.get(name)!r}, is {new[name]!r}"
        for name in new
        if name not in FREE and old.get(name) != new[name]
    ]
    if differ:
        raise InputError(f"{path}: the settings are others ({'; '.join(differ)}); use the old ones, or start anew")
    if state["processes"] != now["processes"]:
        raise InputError(
            f"{path}: was trained by {state['processes']} processes, not by {now['processes']}: each saw its own "
            "patches; use as many, or start anew"
        )
    if state["fingerprint"] != now["fingerprint"]:
        what = changes(state["data"], now["data"])
        raise InputError(
            f"{path}: the data are others than those that it was trained on{f' ({what})' if what else ''}; give the "
            "same, or start anew"
        )
