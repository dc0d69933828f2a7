"""The devices that this machine may have, for lists: a GPU that is not there is no choice."""

from __future__ import annotations

import sys

from napari_hush.inference.engines.devices import DEVICES
from napari_hush.inference.engines.probe import may_have_gpu


def devices_here() -> list[str]:
    """Names of devices, without loading torch.

    Examples
    --------
    >>> devices_here()[:2]
    ['auto', 'cpu']
    """
    apple = sys.platform == "darwin"
    here = {"mps": apple, "cpu": True}
    return ["auto", *(name for name in DEVICES if here.get(name, may_have_gpu() and not apple))]
