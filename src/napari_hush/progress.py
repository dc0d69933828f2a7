"""One event of a long job; every long job is a generator of these."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import numpy as np

E = TypeVar("E")
T = TypeVar("T")

MEASURING = "measuring the image"  # what jobs say before the first of their own steps


@dataclass(frozen=True)
class Progress:
    """What a long job has done so far.

    Parameters
    ----------
    step, total : int
        Work done and work planned, in the job's own units (tiles, training steps). ``total`` may grow when
        a job has to split its work, for example after running out of memory.
    message : str
        One line for a person.
    losses : dict of str to float
        Named losses of a training step; empty elsewhere.
    preview : ndarray, shape (Y, X), optional
        A picture of the state of the work; of a plane that is done (C, Y, X), as it comes out.
    place : tuple of int, optional
        Which plane the preview is, along the leading axes; None where it is none that is done.
    """

    step: int
    total: int
    message: str = ""
    losses: dict[str, float] = field(default_factory=dict)
    preview: np.ndarray | None = None
    place: tuple[int, ...] | None = None

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        return self.step / self.total if self.total else 1.0


def drain(steps: Generator[E, None, T], report: Callable[[E], object] | None = None) -> T:
    """Go through a job to its end, and give what it returns.

    Parameters
    ----------
    steps : generator of events, such as Progress
        The job; it is closed also where the report raises, so that it can clean up.
    report : callable, optional
        Called with each event.

    Examples
    --------
    >>> def job():
    ...     yield Progress(1, 1)
    ...     return "done"
    >>> drain(job())
    'done'
    """
    result: T

    def whole() -> Generator[E, None, None]:
        nonlocal result
        result = yield from steps

    with closing(steps):
        for event in whole():
            if report is not None:
                report(event)
    return result


def drain_with_bar(
    steps: Generator[Progress, None, T],
    progress: Callable[[Progress], object] | bool | None,
    *,
    label: str,
    unit: str,
    words: bool = False,
) -> T:
    """Go through a job as `drain` does, with what users give as ``progress``.

    Parameters
    ----------
    steps : generator of Progress
        The job.
    progress : callable or bool, optional
        Called with each event; True shows a bar.
    label, unit : str
        What the bar is called, and what a step is.
    words : bool
        Whether the bar shows each event's message.
    """
    if progress is not True:
        return drain(steps, progress if callable(progress) else None)
    from tqdm.auto import tqdm

    with tqdm(desc=label, unit=unit, leave=False) as bar:

        def report(event: Progress) -> None:
            bar.total = event.total
            if words:
                bar.set_postfix_str(event.message, refresh=False)
            bar.update(event.step - bar.n)

        return drain(steps, report)


def within(steps: Generator[E, None, T], change: Callable[[E], Progress]) -> Generator[Progress, None, T]:
    """A job as a part of a larger one: each of its events becomes one of the larger one's.

    Parameters
    ----------
    steps : generator
        The part; it is closed when the larger job ends early.
    change : callable
        Makes the larger job's event of one of the part.
    """
    with closing(steps):
        while True:
            try:
                event = next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            yield change(event)
