"""Float32 on NVIDIA's GPUs as everywhere else: not rounded to the ten bits of TF32, which is torch's default there."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Users:
    """How many blocks want it now, and what was set before the first one began."""

    def __init__(self) -> None:
        self.lock, self.count, self.before = threading.Lock(), 0, ("", "")


_USERS = _Users()


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute without TF32 inside the block; then what the program had set is set again.

    The setting is one of the whole process: of several threads the first one sets it, and the last one puts it back.
    """
    with _USERS.lock:
        if not _USERS.count:
            _USERS.before = _set("ieee", "ieee")
        _USERS.count += 1
    try:
        yield
    finally:
        with _USERS.lock:
            _USERS.count -= 1
            if not _USERS.count:
                _set(*_USERS.before)


def _set(convolution: str, product: str) -> tuple[str, str]:
    """Set the precision of convolutions and of products of matrices; returns what they were."""
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    products: Any = torch.backends.cuda.matmul
    before = convolutions.fp32_precision, products.fp32_precision
    convolutions.fp32_precision, products.fp32_precision = convolution, product
    return before
