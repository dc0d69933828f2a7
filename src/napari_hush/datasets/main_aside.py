"""New processes without the main script; apart from all that draws, which takes a second to load."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def main_set_aside() -> Iterator[None]:
    """Keep new processes from running the main script once more: it may have no guard, and it may open a viewer."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
