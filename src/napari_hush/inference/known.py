"""What has been measured on an image, so that the next preview or run of it need not measure it again."""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from napari_hush.inference.tiles.kept_output import KeptOutputs
from napari_hush.progress import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Iterator

E = TypeVar("E")
T = TypeVar("T")

MOST = 64  # measurements: those on single planes would else grow with a stack that somebody looks through


class Known:
    """The measurements of one image, each under what it depends on besides the image; of many the oldest go.

    What was told to the user while something was measured is told again when it is taken from here.

    Attributes
    ----------
    outputs : KeptOutputs
        What the network made of the image, where somebody gives it room.

    Examples
    --------
    >>> known = Known()
    >>> known.get("answer", lambda: 42), known.get("answer", lambda: 0)
    (42, 42)
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, tuple[Any, list[str]]] = {}
        self.outputs = KeptOutputs()

    def __reduce__(self) -> tuple[type[Known], tuple[()]]:
        """Another process measures for itself."""
        return Known, ()

    def get(self, key: Hashable, measure: Callable[[], T]) -> T:
        """What ``measure`` gives, or gave before."""

        def steps() -> Generator[None, None, T]:
            return measure()
            yield

        return drain(self.steps(key, steps))

    def steps(self, key: Hashable, measure: Callable[[], Generator[E, None, T]]) -> Generator[E, None, T]:
        """What the generator that ``measure`` makes gives, or one before gave; left early, nothing is kept."""
        if key in self._found:
            value, words = self._found[key]
            for text in words:
                warnings.warn(text, UserWarning, stacklevel=3)
            return value  # type: ignore[no-any-return]
        words = []
        with _noted(words):
            value = yield from measure()
        while len(self._found) >= MOST:
            del self._found[next(iter(self._found))]
        self._found[key] = value, words
        return value


@contextmanager
def _noted(words: list[str]) -> Iterator[None]:
    """Note what this thread warns users of, on its way to them."""
    mine, before = threading.get_ident(), warnings.showwarning

    def note(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if threading.get_ident() == mine and category is UserWarning:
            words.append(str(message))
        before(message, category, *place, **more)

    warnings.showwarning = note
    try:
        yield
    finally:
        warnings.showwarning = before
