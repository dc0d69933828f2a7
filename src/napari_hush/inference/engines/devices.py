"""Devices by name: the CPU, each GPU with its number, Apple's; torch is not imported before one is asked for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from napari_hush.declare import NamesOf
from napari_hush.errors import InputError
from napari_hush.inference.engines.probe import may_have_gpu

GPUS = Path("/proc/driver/nvidia/gpus")  # where Linux shows them, without any library


class Devices(Mapping[str, str]):
    """The names that a device can have, with what they stand for; every number of a GPU is a name.

    Listed are those of several GPUs alone that are seen without loading torch.

    Examples
    --------
    >>> "cuda:1" in DEVICES, "cuda:x" in DEVICES
    (True, False)
    """

    _plain = ("cpu", "cuda", "mps")

    def __getitem__(self, name: str) -> str:
        if name not in self:
            raise KeyError(name)
        return {"cpu": "the processor", "mps": "Apple's GPU"}.get(name, "an NVIDIA or AMD GPU")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._plain or re.fullmatch(r"cuda:\d{1,3}", name) is not None)

    def __iter__(self) -> Iterator[str]:
        yield from self._plain
        if (count := count_gpus()) > 1:
            yield from (f"cuda:{number}" for number in range(count))

    def __len__(self) -> int:
        return len(list(iter(self)))


DEVICES = Devices()
Device = Annotated[str, NamesOf(DEVICES, ("auto",))]


def count_gpus() -> int:
    """How many GPUs CUDA would use, as far as that is known without loading torch; CUDA_VISIBLE_DEVICES is heeded."""
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    if hasattr(cuda, "device_count"):
        return int(cuda.device_count())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = len(list(GPUS.iterdir())) if GPUS.is_dir() else 0
    if visible is None:
        return there
    named = [one.strip() for one in visible.split(",")]
    return min(there, next((n for n, one in enumerate(named) if one in ("", "-1")), len(named)))


def available_devices() -> list[str]:
    """The devices of this machine, fastest first: ``cuda:0``, ``cuda:1``, ..., ``mps``, ``cpu``."""
    if "torch" not in sys.modules and not may_have_gpu():
        return ["cpu"]
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = [f"cuda:{number}" for number in range(cuda)]
    return [*devices, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def chosen_device(device: str) -> str:
    """The device that a name stands for: ``auto`` for the fastest, ``cuda`` for the first GPU.

    Raises
    ------
    InputError
        If it is not there.
    """
    here = available_devices()
    name = {"auto": here[0], "cuda": "cuda:0"}.get(device, device)
    if name not in here:
        raise InputError(f"device {device!r} is not available: this machine and this torch offer {', '.join(here)}")
    return name


def is_cuda(device: str) -> bool:
    """Whether a name stands for a GPU of CUDA."""
    return device.partition(":")[0] == "cuda"
