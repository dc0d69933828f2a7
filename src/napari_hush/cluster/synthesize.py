"""Draw a data set with the workers of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hush.cluster.tasks import Call, results, threads, wait_for_workers
from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.pool import in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from distributed import Client

    from napari_hush.datasets.materials import Materials
    from napari_hush.datasets.pool import Job
    from napari_hush.datasets.settings import SynthesisSettings

_drawer: list[tuple[str, Drawer]] = []  # of this process, the last one


def drawn_on(
    client: Client, make: Callable[[Drawer, Job], Any], drawer: Drawer, jobs: list[Job]
) -> Generator[tuple[Job, Any], None, None]:
    """Give (job, what ``make`` made of it) in order, see `napari_hush.datasets.pool.in_order`."""
    for _ in wait_for_workers(client):
        continue
    key = f"{drawer.settings!r} {drawer.materials.sha256}"
    chunks = in_chunks(jobs, threads(client), drawer.settings.shape)
    calls = [Call(draw, (key, drawer.settings, drawer.materials, make, chunk), at) for at, chunk in enumerate(chunks)]
    early: dict[int, list[Any]] = {}
    wanted = 0
    for ended in results(client, calls):
        if ended is None:
            continue
        call, made = ended
        early[call.about] = made
        while wanted in early:
            yield from zip(chunks[wanted], early.pop(wanted), strict=True)
            wanted += 1


def draw(
    key: str,
    settings: SynthesisSettings,
    materials: Materials,
    make: Callable[[Drawer, Job], Any],
    jobs: list[Job],
) -> list[Any]:
    """Draw a few images on a worker."""
    if not _drawer or _drawer[0][0] != key:
        _drawer[:] = [(key, Drawer(settings, materials))]
    return [make(_drawer[0][1], job) for job in jobs]
