"""A network that an ONNX graph describes: run as it is by ONNX Runtime or OpenVINO, a black box to everything else.

What tiling needs to know of it cannot be read off its layers; it was measured when the file was imported, see
`napari_hush.importers.onnx_measure`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_hush.errors import InputError
from napari_hush.networks.onnx_file import examine

MAX_NUMBER = 1 << 31


class ONNXNetwork(nn.Module):
    """An ONNX graph with its weights, as the bytes of its file.

    Parameters
    ----------
    n_bytes : int
        Length of the file.
    in_channels, out_channels : int
        Of its images.
    stride : int
        Sizes and tile origins are multiples of it, px.
    halo : int
        How far the network looks, px.
    smallest : int
        Least side that it takes, px.
    live_channels : int
        Full-resolution channels in memory at once.
    n_weights : int
        Trained numbers.
    """

    engine = "onnx"  # the one that runs it

    def __init__(
        self,
        *,
        n_bytes: int = 0,
        in_channels: int = 1,
        out_channels: int = 1,
        stride: int = 1,
        halo: int = 0,
        smallest: int = 1,
        live_channels: int = 2,
        n_weights: int = 0,
    ) -> None:
        super().__init__()
        numbers = (n_bytes, in_channels, out_channels, stride, halo, smallest, live_channels, n_weights)
        if not all(isinstance(number, int) and 0 <= number < MAX_NUMBER for number in numbers):
            raise ValueError(f"an ONNX network is described by whole numbers, got {numbers}")
        if not (in_channels and out_channels and stride and live_channels):
            raise ValueError(f"an ONNX network has channels and a stride of at least 1, got {numbers}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.stride, self.halo, self.smallest = stride, halo, smallest
        self.live_channels, self.n_weights = live_channels, n_weights
        self.register_buffer("onnx", torch.zeros(n_bytes, dtype=torch.uint8))
        self._session: tuple[int, Session] | None = None

    @property
    def content(self) -> bytes:
        """The file."""
        assert isinstance(self.onnx, torch.Tensor)
        return self.onnx.cpu().numpy().tobytes()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X), on the processor."""
        return torch.from_numpy(self.run(x.detach().cpu().float().numpy())).to(x.device)

    def run(self, images: np.ndarray) -> np.ndarray:
        """Map float32 (B, in_channels, Y, X) to (B, out_channels, Y, X)."""
        if self._session is None or self._session[0] != os.getpid():  # a fork does not take the threads along
            self._session = os.getpid(), Session(self.content)
        return self._session[1](images)

    def __getstate__(self) -> dict[str, Any]:
        """Without the session, which each copy makes for itself."""
        return {**self.__dict__, "_session": None}


class Session:
    """A graph that was looked at, ready to compute.

    Parameters
    ----------
    content : bytes
        Of the file.

    Raises
    ------
    InputError
        If the file is unsafe, or neither ONNX Runtime nor OpenVINO is installed.
    """

    def __init__(self, content: bytes) -> None:
        self.file = examine(content)
        make = _with_onnxruntime if _has("onnxruntime") else _with_openvino
        try:
            self._compute = make(self.file.content)
        except InputError:
            raise
        except Exception as error:  # whatever the runtime finds wrong; its errors have no common base
            reason = " ".join(str(error).split())[-200:]
            raise InputError(f"{runtime()} does not take it ({reason})") from error

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X) to float32 (B, C, Y, X), image by image."""
        results = []
        for image in images:
            given = image[None] if not self.file.channels_last else image.transpose(1, 2, 0)[None]
            found = np.asarray(self._compute(np.ascontiguousarray(given, dtype=self.file.dtype)))
            if found.ndim != 4:
                raise InputError(f"its result has {found.ndim} axes, expected images (batch, channels, Y, X)")
            results.append(found.transpose(0, 3, 1, 2) if self.file.channels_last else found)
        return np.concatenate(results).astype(np.float32)


def runtime() -> str:
    """Which program runs ONNX graphs here; empty where there is none."""
    return "ONNX Runtime" if _has("onnxruntime") else "OpenVINO" if _has("openvino") else ""


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _with_onnxruntime(content: bytes) -> Any:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are exceptions
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    weights = {entry.name for entry in session.get_overridable_initializers()}
    name = next(entry.name for entry in session.get_inputs() if entry.name not in weights)
    return lambda images: session.run(None, {name: images})[0]


def _with_openvino(content: bytes) -> Any:
    if not _has("openvino"):
        raise InputError('ONNX networks need a program that runs them: pip install "napari-hush[onnx]"')
    openvino = importlib.import_module("openvino")
    core = openvino.Core()
    threads = torch.get_num_threads()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    compiled = core.compile_model(core.read_model(content, b""), "CPU", options)
    return lambda images: compiled([images])[0]
