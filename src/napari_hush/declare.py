"""Registries, and settings whose bounds and choices stand at the field: check, form, command line and file derive."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from inspect import getdoc
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from napari_hush.errors import InputError

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """What there is of one kind, by name; an entry given as ``"module:attribute"`` is imported when it is asked for.

    So the names can be listed, by a form or a command line, without importing what they stand for.

    Parameters
    ----------
    entries : mapping of str to T or str
        The entries, or where they are.

    Examples
    --------
    >>> Registry({"root": "math:sqrt"})["root"](9.0)
    3.0
    """

    def __init__(self, entries: Mapping[str, T | str]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._entries[name] = cast("T", imported(entry))
        return entry

    def __setitem__(self, name: str, entry: T | str) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __repr__(self) -> str:
        return f"Registry({', '.join(self._entries)})"


def imported(place: str) -> Any:
    """What ``"module:attribute"`` stands for; the attribute may be one of a class.

    Examples
    --------
    >>> imported("pathlib:Path.cwd").__name__
    'cwd'
    """
    module, _, attributes = place.partition(":")
    found: Any = import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


@dataclass(frozen=True)
class Bounds:
    """In the annotation of a number, or of a pair of numbers: the smallest and the largest that it takes.

    Parameters
    ----------
    low, high : number
        Both are allowed; an infinite one is no bound.
    rising : bool
        Of a pair, whether the second one must not be below the first.
    """

    low: float
    high: float
    rising: bool = False


@dataclass(frozen=True)
class NamesOf:
    """In the annotation of a text: one of the names of a registry, or one of some words.

    Parameters
    ----------
    registry : mapping
        Asked whenever a value is checked or a list is made, so that what is added counts.
    words : tuple of str
        Further values, such as ``"auto"``.
    """

    registry: Mapping[str, Any]
    words: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All that may be chosen now."""
        return (*self.words, *self.registry)

    def __contains__(self, name: object) -> bool:
        """Whether it may be chosen; a registry may know more names than it lists."""
        return isinstance(name, str) and (name in self.words or name in self.registry)


@dataclass(frozen=True)
class Declared:
    """What a dataclass says of one of its fields.

    Parameters
    ----------
    name : str
        The field.
    kinds : tuple of type
        What its values may be: int, float, bool, str, Path, tuple, Literal alternatives; None is told by ``optional``.
    optional : bool
        Whether it may be None.
    values : tuple
        The values of its Literal parts.
    pair : bool
        Whether it is two numbers.
    bounds : Bounds or None
        Of its numbers.
    names : NamesOf or None
        Of a text that names an entry of a registry.
    text : str
        What the docstring of the class says of it.
    """

    name: str
    kinds: tuple[Any, ...]
    optional: bool
    values: tuple[Any, ...]
    pair: bool
    bounds: Bounds | None
    names: NamesOf | None
    text: str

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values to choose from, where there are so many and no others."""
        if self.names is not None:
            return self.names.names
        return self.values if not self.kinds else ()

    def checked(self, value: object) -> Any:
        """The value in its own type.

        Raises
        ------
        InputError
            If the field does not take it.
        """
        if value is None and self.optional:
            return None
        if any(value is one or (isinstance(one, str) and value == one) for one in self.values):
            return value
        if self.choices:
            if value not in (self.choices if self.names is None else self.names):
                self._refuse(f"one of {', '.join(map(str, self.choices))}", value)
            return value
        if self.pair:
            return self._pair(value)
        if bool in self.kinds:
            return value if isinstance(value, bool) else self._refuse(self._or_words("True or False"), value)
        if int in self.kinds or float in self.kinds:
            return self._number(value)
        if str in self.kinds or Path in self.kinds:
            return value if isinstance(value, str | Path) else self._refuse("text", value)
        return value

    def _pair(self, value: object) -> tuple[Any, Any]:
        if not isinstance(value, list | tuple) or len(value) != 2:
            self._refuse("two numbers", value)
        low, high = (self._number(one) for one in cast("tuple[object, object]", value))
        if self.bounds is not None and self.bounds.rising and low > high:
            raise InputError(f"{self.name} must be the lowest and the highest value, got {low} and {high}")
        return low, high

    def _number(self, value: object) -> Any:
        whole = float not in self.kinds
        low, high = (self.bounds.low, self.bounds.high) if self.bounds is not None else (float("-inf"), float("inf"))
        if (
            isinstance(value, bool) or not isinstance(value, Integral if whole else Real) or not low <= value <= high  # type: ignore[operator]
        ):
            kind = "a whole number" if whole else "a number"
            self._refuse(self._or_words(kind + _span(low, high)), value)
        number: Any = value
        return int(number) if whole else float(number)

    def _or_words(self, expected: str) -> str:
        words = [repr(one) for one in self.values] + (["None"] if self.optional else [])
        return " or ".join([expected, *words])

    def _refuse(self, expected: str, value: object) -> Any:
        raise InputError(f"{self.name} must be {expected}, got {value!r}")


def declared(cls: type) -> dict[str, Declared]:
    """What a dataclass says of its fields, by name.

    Parameters
    ----------
    cls : type
        A dataclass whose numbers carry `Bounds` and whose names of a registry carry `NamesOf`, as ``Annotated``.

    Examples
    --------
    >>> @dataclass
    ... class Settings:
    ...     n: Annotated[int, Bounds(1, 9)] = 1
    >>> declared(Settings)["n"].checked(12)
    Traceback (most recent call last):
    ...
    napari_hush.errors.InputError: n must be a whole number from 1 to 9, got 12
    """
    return _declared_of(cls)


@cache
def _declared_of(cls: type) -> dict[str, Declared]:
    hints, texts = get_type_hints(cls, include_extras=True), parameter_texts(cls)
    return {f.name: _declared(f.name, hints[f.name], texts.get(f.name, "")) for f in fields(cls)}


def check_fields(settings: Any, *, where: str = "") -> None:
    """Check every field of a frozen dataclass by what it declares, and bring lists to tuples and numbers to their type.

    For its ``__post_init__``.

    Parameters
    ----------
    settings : dataclass instance
        What is checked.
    where : str
        What the message begins with, for a dataclass that is one of several in a list.

    Raises
    ------
    InputError
        Naming the field, what it takes and what came.
    """
    for name, one in declared(type(settings)).items():
        try:
            value = one.checked(getattr(settings, name))
        except InputError as error:
            raise InputError(f"{where}: {error}" if where else str(error)) from None
        object.__setattr__(settings, name, value)


def parameter_texts(cls: type) -> dict[str, str]:
    """The text of each parameter in the numpydoc docstrings of a class and of those that it inherits from."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if "__doc__" in vars(base):
            texts |= _texts(getdoc(base) or "")
    return texts


def _texts(docstring: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    names: list[str] = []
    _, _, section = docstring.partition("Parameters\n----------\n")
    for line in section.splitlines():
        if re.match(r"[-=]{3,}$", line):  # the next section
            for name in names:
                texts.pop(name, None)
            break
        if head := re.match(r"([\w, ]+?) : ", line):
            names = head[1].split(", ")
        elif line.startswith("    "):
            for name in names:
                texts[name] = f"{texts.get(name, '')} {line.strip()}".strip().replace("``", "")
        elif line.strip():
            names = [line.strip()]
    return texts


def _declared(name: str, hint: Any, text: str) -> Declared:
    notes: list[Any] = []
    kinds: list[Any] = []
    values: list[Any] = []
    optional = pair = False
    left = [hint]
    while left:
        part = left.pop(0)
        origin = get_origin(part)
        if origin is Annotated:
            part, *more = get_args(part)
            notes += more
            left.insert(0, part)
        elif origin in (Union, UnionType):
            left[:0] = get_args(part)
        elif origin is Literal:
            values += get_args(part)
        elif origin is tuple and len(get_args(part)) == 2 and get_args(part)[1] is not Ellipsis:
            pair = True
            left[:0] = dict.fromkeys(get_args(part))
        elif part is NoneType:
            optional = True
        else:
            kinds.append(part)
    return Declared(
        name=name,
        kinds=tuple(kinds),
        optional=optional,
        values=tuple(values),
        pair=pair,
        bounds=next((one for one in notes if isinstance(one, Bounds)), None),
        names=next((one for one in notes if isinstance(one, NamesOf)), None),
        text=text,
    )


def _span(low: float, high: float) -> str:
    """What lies between two bounds, in words; nothing where there are none."""
    if high == math.inf:
        return "" if low == -math.inf else f" of at least {_shown(low)}"
    return f" up to {_shown(high)}" if low == -math.inf else f" from {_shown(low)} to {_shown(high)}"


def _shown(number: float) -> str:
    """A bound as a person writes it: no digit of a whole number is lost."""
    return str(number) if isinstance(number, int) else f"{number:g}"
