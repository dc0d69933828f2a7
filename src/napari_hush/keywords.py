"""Settings in messages, which are written for Python (``guard='auto'``), in the words of whoever reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_SWITCHES = ("frames", "rescale", "guard")  # True or False are values beside others
QUOTES = "\"'"
FILES = ("upsampling", "value_range", "normalization", "entry")  # what a foreign model file needs to be told
_CONVERT = "'napari-hush convert FILE OUT.safetensors {}'"
_VALUE = r"\"[^\"]*\"|'[^']*'|\([^)]*\)|-?\d+(?:\.\d+)?(?:e-?\d+)?|[A-Za-z_]\w*"
_GIVEN = re.compile(rf"(?<![\w/.-])(\w+)=({_VALUE})?(?![\w/\\]|\.\w)")
# the keys of a settings file are as they are
_NAMED = re.compile(r"(?<![\w/.-])(?<!\.toml: )([a-z]+(?:_[a-z]+)+|[a-z]+)(?= must be )")


def reworded(text: str, say: Callable[[str, str | None], str | None]) -> str:
    """A message with each setting said otherwise.

    Parameters
    ----------
    text : str
        Such as "no lattice was found: use guard='auto'".
    say : callable
        Given a setting's name and its value without quotes, None where none is told: what is to stand there; None
        leaves it as it is. Anything can look like a setting, as a part of a file's name does, so it must know the name.

    Examples
    --------
    >>> reworded("use guard='auto', or out=", lambda name, value: f"{name} {value}" if value else None)
    'use guard auto, or out='
    """

    def one(found: re.Match[str]) -> str:
        said = say(found[1], None if found.re is _NAMED or found[2] is None else found[2].strip(QUOTES))
        return found[0] if said is None else said

    return _NAMED.sub(one, _GIVEN.sub(one, text))


def converting(text: str) -> str:
    """The command that tells of a model file what a message says of it; an empty text where it says nothing."""
    told = [option(one[1], (one[2] or "").strip(QUOTES)) for one in _GIVEN.finditer(text) if one[1] in FILES and one[2]]
    return _CONVERT.format(" ".join(told)) if told else ""


def option(name: str, value: str | None = None) -> str:
    """A setting as an option of a command; `frames` takes words and numbers.

    Examples
    --------
    >>> option("channel_axis", "0"), option("resume", "False"), option("value_range", "(-1, 1)"), option("dark")
    ('--channel-axis 0', '--no-resume', '--value-range -1 1', '--dark')
    """
    flag = name.replace("_", "-")
    if value in ("True", "False") and name not in _NO_SWITCHES:
        return f"--{flag}" if value == "True" else f"--no-{flag}"
    return f"--{flag} {value.strip('()').replace(',', '')}" if value else f"--{flag}"
