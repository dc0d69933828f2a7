"""What a process must not do after a fork, and how both engines tell that memory ran out."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from typing import Any

from napari_hush.errors import InputError


class Process:
    """What a process that was forked from another one must not do.

    A fork takes along what libraries believe of their threads, but not the threads: who waits for them waits for ever.

    Attributes
    ----------
    lock : threading.RLock
        Of what is made once in a process.
    openvino_used, openvino_lost : bool
        Whether OpenVINO has begun to compute in this process, or had in the one that it was forked from.
    forked : bool
        Whether torch may have lost threads, too; it can do with one.
    undying : weakref.WeakSet
        What waits for threads when it is deleted: a forked process never does that, not even at its end.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.openvino_used = self.openvino_lost = self.forked = False
        self.undying: weakref.WeakSet[Any] = weakref.WeakSet()

    def begin_child(self) -> None:
        """Take note of having been forked."""
        self.lock = threading.RLock()  # a thread that stayed behind may hold the old one
        self.forked = True
        if self.openvino_used and not self.openvino_lost:
            self.openvino_lost = True
            for item in self.undying:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(item))

    @property
    def openvino_refusal(self) -> str:
        """Why OpenVINO would hang here; empty where it would not."""
        if not self.openvino_lost:
            return ""
        return (
            "OpenVINO does not work in a process that was forked from one that has used it: start your processes with "
            "multiprocessing.get_context('spawn'), or use engine='torch'"
        )

    def check_openvino(self) -> None:
        """Refuse to compute with OpenVINO where it would hang."""
        if self.openvino_refusal:
            raise InputError(self.openvino_refusal)

    def check_torch(self) -> None:
        """Let torch compute in one thread where more of them would hang."""
        if self.forked:
            import torch

            torch.set_num_threads(1)
            self.forked = False


PROCESS = Process()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=PROCESS.begin_child)


def raise_if_out_of_memory(error: Exception) -> None:
    """Raise `MemoryError` where that is what an engine's error says."""
    text = str(error).lower()
    signs = (
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "bad_alloc",
        "bad alloc",
        "failed to allocate",
    )
    torch = sys.modules.get("torch")  # which raises its own errors only where it is loaded
    if (torch is not None and isinstance(error, torch.OutOfMemoryError)) or any(sign in text for sign in signs):
        raise MemoryError(str(error).splitlines()[0]) from error
