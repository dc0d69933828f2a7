"""Whether a machine may have a GPU for torch, seen without loading torch."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

DRIVERS = (  # what NVIDIA's, AMD's and WSL's drivers put there
    "/dev/nvidiactl",
    "/dev/nvidia0",
    "/dev/nvhost-ctrl-gpu",
    "/dev/kfd",
    "/usr/lib/wsl/lib/libcuda.so.1",
    "/proc/driver/nvidia/version",
)


def may_have_gpu() -> bool:
    """Whether it is worth asking torch for a GPU: False only where torch would find none."""
    if sys.platform == "darwin":
        return True
    if os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip() in ("", "-1"):
        return False
    try:
        if importlib.metadata.version("torch").endswith("+cpu"):
            return False
    except importlib.metadata.PackageNotFoundError:  # built from its sources, perhaps
        pass
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").exists()
    return any(Path(driver).exists() for driver in DRIVERS)
