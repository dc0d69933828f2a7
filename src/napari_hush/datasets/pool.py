"""Many images in their order, drawn in this process or in several."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar

from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.main_aside import main_set_aside
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from napari_hush.datasets.drawing import Split

    Job = tuple[Split, int]  # which image

    Drawn = Callable[[Callable[[Drawer, Job], Any], Drawer, list[Job]], Generator[tuple[Job, Any], None, None]]

Made = TypeVar("Made")
CHUNK = 8  # most images that a worker makes before it reports, and stops when asked to
CHUNK_PIXELS = 1 << 20  # about how many pixels they have together
_drawer: Drawer | None = None  # of a worker process


@contextmanager
def in_order(
    make: Callable[[Drawer, Job], Made], drawer: Drawer, jobs: list[Job], drawn: Drawn | None = None
) -> Iterator[Iterator[tuple[Job, Made]]]:
    """Open an iterator over (job, what ``make`` made of it), in order; leaving the block stops the workers.

    Parameters
    ----------
    make : callable
        A function of a module, since it goes to other processes.
    drawer : Drawer
        Its settings say how many workers there are; a few images do not start any.
    jobs : list of (str, int)
        Split and number of each image.
    drawn : callable, optional
        Other processes that draw: gives the same of ``make``, ``drawer`` and ``jobs``.
    """
    if drawn is not None:
        with closing(drawn(make, drawer, jobs)) as made:
            yield made
        return
    workers = min(drawer.settings.workers, math.ceil(len(jobs) / 2))
    if workers <= 1:
        yield ((job, make(drawer, job)) for job in jobs)
        return
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),  # a fork of a process with threads of Qt or torch can hang
        initializer=_begin,
        initargs=(drawer.settings, drawer.materials),
    )
    try:
        yield _results(pool, make, jobs, workers, drawer.settings.shape)
    except BrokenProcessPool as error:
        raise InputError(
            f"a worker process ended unexpectedly ({error}); choose workers=1, or fewer if memory ran out"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _results(
    pool: ProcessPoolExecutor,
    make: Callable[[Drawer, Job], Made],
    jobs: list[Job],
    workers: int,
    shape: tuple[int, int],
) -> Iterator[tuple[Job, Made]]:
    chunks = deque(in_chunks(jobs, workers, shape))
    running: deque[Any] = deque()
    while chunks or running:
        while chunks and len(running) < 2 * workers:  # no more results than that wait in memory
            chunk = chunks.popleft()
            with _no_ctrl_c(), main_set_aside():  # this starts the workers
                running.append((chunk, pool.submit(_work, make, chunk)))
        chunk, future = running.popleft()
        yield from zip(chunk, future.result(), strict=True)


def in_chunks(jobs: list[Job], workers: int, shape: tuple[int, int]) -> list[list[Job]]:
    """Jobs in pieces that are worth being sent to a worker."""
    size = max(1, min(CHUNK, CHUNK_PIXELS // math.prod(shape), len(jobs) // (4 * workers)))
    return [jobs[k : k + size] for k in range(0, len(jobs), size)]


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C for later, and for good from the processes that are started in the block."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(*arguments: Any) -> None:
    """Prepare a worker: it draws, leaves Ctrl-C to its parent, and does not outlive it."""
    global _drawer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _drawer = Drawer(*arguments)


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(make: Callable[[Drawer, Job], Made], jobs: list[Job]) -> list[Made]:
    assert _drawer is not None
    return [make(_drawer, job) for job in jobs]
