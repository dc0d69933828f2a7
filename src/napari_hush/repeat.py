"""Text that does something again: options of a command, arguments of a call in Python; what is as usual is left out."""

from __future__ import annotations

import textwrap
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDTH = 100  # of a line of Python


def defaults_of(*kinds: type[Any]) -> dict[str, Any]:
    """The fields of dataclasses that need not be given, with what they are then."""
    return {one.name: one.default for kind in kinds for one in fields(kind) if one.default is not MISSING}


def given_of(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not as they are without being given."""
    usual = defaults_of(type(settings))
    return {name: value for name, value in asdict(settings).items() if name not in usual or value != usual[name]}


def options(given: Mapping[str, Any], usual: Mapping[str, Any]) -> Iterator[str]:
    """Words of a command line for what is not as usual; what is not among the usual is no option.

    Examples
    --------
    >>> usual = {"dark": False, "shape": (256, 256), "seed": 0}
    >>> list(options({"dark": True, "shape": (64, 32), "seed": 0}, usual))
    ['--dark', '--shape', '64', '32']
    """
    for name, value in given.items():
        if name not in usual or value == usual[name]:
            continue
        flag = "--" + name.replace("_", "-")
        if isinstance(usual[name], bool):
            yield flag if value else f"--no-{flag[2:]}"
        else:
            yield from (flag, *(map(str, value) if isinstance(value, tuple | list) else (str(value),)))


def call(function: str, *positional: str, **named: Any) -> str:
    """A call in Python, in lines where it is long.

    Parameters
    ----------
    function : str
        Its name.
    *positional : str
        As they stand in the code.
    **named
        Values; a path becomes a text.

    Examples
    --------
    >>> call("hush.denoise", "image.data", "'stem'", frames=4)
    "hush.denoise(image.data, 'stem', frames=4)"
    """
    words = [*positional, *(f"{name}={literal(value)}" for name, value in named.items())]
    line = f"{function}({', '.join(words)})"
    if len(line) <= WIDTH:
        return line
    rows = "".join(f"{word},\n" for word in words)
    return "".join([function, "(\n", textwrap.indent(rows, "    "), ")"])


def literal(value: Any) -> str:
    r"""A value as it stands in Python: a path as a text, a number of numpy as a number.

    Examples
    --------
    >>> import numpy as np
    >>> literal({"dose": (np.float64(2.0), 5), "start": Path("a'b")})
    '{\'dose\': (2.0, 5), \'start\': "a\'b"}'
    """
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_plain(one) for one in value)
    return value.item() if hasattr(value, "item") else value
