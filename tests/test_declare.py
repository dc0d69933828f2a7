"""Bounds and choices stand at the field, and registries list names without importing what they stand for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from napari_hush.declare import Bounds, NamesOf, Registry, check_fields, declared, parameter_texts
from napari_hush.errors import InputError

COLOURS: Registry[float] = Registry({"red": 0.7, "root": "math:pi"})


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base.

    Parameters
    ----------
    count : int
        How many.
    """

    count: Annotated[int, Bounds(1, 2**63 - 1)] = 1


@dataclass(frozen=True, kw_only=True)
class Settings(Base):
    """Of everything one.

    Parameters
    ----------
    share, span : float
        From 0 to 1.
    colour : str
        One of ``COLOURS``.
    """

    share: Annotated[float, Bounds(0, 1)] = 0.5
    span: Annotated[tuple[float, float], Bounds(0, 10, rising=True)] = (1.0, 2.0)
    colour: Annotated[str, NamesOf(COLOURS, ("auto",))] = "auto"
    guard: Literal["auto"] | bool = "auto"
    tile: Annotated[int, Bounds(1, 4096)] | Literal[False] | None = None
    kind: Literal["a", "b"] = "a"
    dark: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        check_fields(self)


def test_values_come_out_in_their_own_type():
    made = Settings(count=np.int64(3), share=1, span=[1, 3], tile=False)
    assert (type(made.count), type(made.share), made.span) == (int, float, (1.0, 3.0))
    assert made.tile is False and Settings(tile=512).tile == 512 and Settings().tile is None
    assert Settings(count=2**63 - 1).count == 2**63 - 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"count": 0}, "count must be a whole number from 1 to 9223372036854775807, got 0"),
        ({"count": 1.5}, "whole number"),
        ({"count": True}, "whole number"),
        ({"share": 1.1}, "share must be a number from 0 to 1, got 1.1"),
        ({"share": float("nan")}, "from 0 to 1"),
        ({"share": "x"}, "from 0 to 1"),
        ({"span": (3, 1)}, "the lowest and the highest"),
        ({"span": (1, 2, 3)}, "two numbers"),
        ({"span": (0, 11)}, "from 0 to 10"),
        ({"colour": "blue"}, "colour must be one of auto, red, root, got 'blue'"),
        ({"guard": "on"}, "guard must be True or False or 'auto', got 'on'"),
        ({"tile": True}, "tile must be a whole number from 1 to 4096 or False or None, got True"),
        ({"tile": 0}, "tile must be"),
        ({"kind": "c"}, "one of a, b"),
        ({"dark": 1}, "True or False"),
        ({"name": 3}, "text"),
    ],
)
def test_what_a_field_does_not_take_is_named(given, reason):
    with pytest.raises(InputError, match=reason.replace("(", r"\(")):
        Settings(**given)


def test_a_bound_that_is_infinite_is_none():
    @dataclass(frozen=True)
    class Levels:
        sigma: Annotated[float, Bounds(0, float("inf"))] = 1.0
        offset: Annotated[float, Bounds(float("-inf"), float("inf"))] = 0.0

        def __post_init__(self) -> None:
            check_fields(self, where="Levels")

    assert Levels(sigma=1e300, offset=-1e300).offset == -1e300
    with pytest.raises(InputError, match=r"^Levels: sigma must be a number of at least 0, got -1$"):
        Levels(sigma=-1)
    with pytest.raises(InputError, match=r"^Levels: offset must be a number, got nan$"):
        Levels(offset=float("nan"))


def test_what_is_added_to_a_registry_can_be_chosen(monkeypatch):
    monkeypatch.setitem(COLOURS, "blue", 0.4)
    assert Settings(colour="blue").colour == "blue"
    assert declared(Settings)["colour"].choices == ("auto", "red", "root", "blue")


def test_a_registry_imports_an_entry_when_it_is_asked_for():
    registry: Registry[object] = Registry({"table": "this:d"})
    assert list(registry) == ["table"] and "table" in registry and "this" not in sys.modules
    assert registry["table"]["a"] == "n"
    registry["more"] = 3
    del registry["table"]
    assert dict(registry) == {"more": 3}


def test_texts_come_from_all_classes():
    assert parameter_texts(Settings) == {
        "count": "How many.", "share": "From 0 to 1.", "span": "From 0 to 1.", "colour": "One of COLOURS."
    }  # fmt: skip
    assert declared(Settings)["count"].bounds == Bounds(1, 2**63 - 1)
