"""The workers of one job share its GPUs out among themselves: each computes on one of its own."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from napari_hush.cluster.connect import visible_gpus

if TYPE_CHECKING:
    from collections.abc import Sequence


class OwnGpu(WorkerPlugin):  # type: ignore[misc]
    """Leaves a worker one of the GPUs of its job, before it computes."""

    name = "napari-hush-own-gpu"

    def setup(self, worker: Any) -> None:
        """Choose it by the number of the worker."""
        chosen = own_gpu(str(worker.name), visible_gpus())
        if chosen is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = chosen


def own_gpu(name: str, visible: Sequence[str]) -> str | None:
    """The GPU of one of the workers of a job, whose names end in their number; None where there is no choice.

    Examples
    --------
    >>> own_gpu("SLURMCluster-0-3", ["0", "1"]), own_gpu("SLURMCluster-0", ["0"])
    ('1', None)
    """
    found = re.search(r"-(\d+)$", name)
    if len(visible) < 2 or found is None:
        return None
    return visible[int(found[1]) % len(visible)]
