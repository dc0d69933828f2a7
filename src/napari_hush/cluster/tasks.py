"""Calls of functions on workers: so many at a time as keep them busy, and again where a worker was lost."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from distributed import Client, Future

AHEAD = 3  # calls per thread of the workers that are handed over, so that none waits for the next
IDLE = 1.0  # s without a result after which the caller has a turn
RETRIES = 2  # of a call that ended in an error which may go by, such as one of a network file system
LOSSES = 10  # workers that a call may lose: it may be the one that they die of


@dataclass(frozen=True, eq=False)
class Call:
    """A function of a module and its arguments; futures among them are waited for."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    about: Any = None


def results(client: Client, calls: Iterable[Call]) -> Generator[tuple[Call, Any] | None, None, None]:
    """Make the calls; closing the generator takes back those that have not ended.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    calls : iterable of Call
        Asked for the next one when there is somebody to do it.

    Yields
    ------
    (Call, result) or None
        As they end, in whatever order; None where nothing has ended for a while.

    Raises
    ------
    InputError
        If the scheduler is gone, or a call loses one worker after the other.
    Exception
        What a call raised.
    """
    ended: SimpleQueue[Future] = SimpleQueue()
    running: dict[str, tuple[Call, Future]] = {}
    losses: Counter[int] = Counter()
    again: deque[Call] = deque()
    waiting = iter(calls)

    def begin(call: Call) -> None:
        future = client.submit(call.function, *call.arguments, pure=False, retries=RETRIES)
        running[future.key] = call, future
        future.add_done_callback(ended.put)

    try:
        while True:
            while len(running) < AHEAD * max(threads(client), 1):
                call = again.popleft() if again else next(waiting, None)
                if call is None:
                    break
                begin(call)
            if not running:
                return
            try:
                future = ended.get(timeout=IDLE)
            except Empty:
                check_scheduler(client)
                yield None
                continue
            if future.key not in running:
                continue
            call, future = running.pop(future.key)
            if future.status == "finished":
                yield call, future.result()
                continue
            error = future.exception() if future.status == "error" else None
            if error is not None and type(error).__name__ != "KilledWorker":
                raise error
            check_scheduler(client)
            losses[id(call)] += 1
            if losses[id(call)] > LOSSES:
                raise InputError(
                    "a piece of the work lost its worker again and again, which may have run out of memory: look at "
                    "the logs of the workers, give them more memory or choose a smaller --tile"
                ) from error
            again.append(call)
    finally:
        for _, future in running.values():
            future.cancel()


def result_of(client: Client, call: Call) -> Generator[None, None, Any]:
    """Make one call; yields now and then while it is waited for, and returns what it gives."""
    for one in results(client, [call]):
        if one is not None:
            return one[1]
        yield
    raise AssertionError("a call without a result")


def threads(client: Client) -> int:
    """How many calls the workers can do at the same time."""
    return sum(map(int, client.nthreads().values()))


def workers(client: Client) -> int:
    """How many workers there are."""
    return len(client.nthreads())


def wait_for_workers(client: Client) -> Iterator[float]:
    """Wait for the first worker: yields the seconds that have passed, every now and then."""
    begin = time.monotonic()
    while not workers(client):
        check_scheduler(client)
        yield time.monotonic() - begin
        time.sleep(0.2)


def check_scheduler(client: Client) -> None:
    """Refuse to wait for a scheduler that is gone."""
    if client.status not in ("running", "connecting"):
        raise InputError(f"the scheduler at {client.scheduler.address} is gone: start it again, then go on")
