"""What a ledger keeps of a series, so that a stopped run knows how its frames lie, bit for bit."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.series.pairs import Pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_hush.series.registration import Chain

PairKey = tuple[int, int]


def kept_state(
    places: Mapping[int, Pair], pairs: Mapping[PairKey, Pair], chains: Mapping[int, Chain], known: Mapping[int, Pair]
) -> dict[str, Any]:
    """The state of a series after a frame, JSON-able.

    Parameters
    ----------
    places, pairs, chains
        Of the series.
    known : mapping of int to Pair
        The places that were kept before: only others are kept now.
    """
    states = {way: chain.state() for way, chain in chains.items()}
    return {
        "places": [[number, _packed(pair)] for number, pair in places.items() if known.get(number) is not pair],
        "pairs": [[*key, _packed(pair)] for key, pair in pairs.items()],
        "chains": [[way, {name: _packed_item(item) for name, item in state.items()}] for way, state in states.items()],
    }


def places_of(states: Iterable[Mapping[str, Any]]) -> dict[int, Pair]:
    """All places that were kept, in the order in which they were found."""
    return {number: _pair(pair) for state in states for number, pair in state["places"]}


def pairs_of(state: Mapping[str, Any]) -> dict[PairKey, Pair]:
    """The pairs of frames that look together."""
    return {(first, second): _pair(pair) for first, second, pair in state["pairs"]}


def chains_of(state: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The state of each chain, by its direction, for `Chain.go_on`."""
    return {way: {name: _item(item) for name, item in one.items()} for way, one in state["chains"]}


def _packed_item(item: Any) -> Any:
    return [item[0], _packed(item[1])] if isinstance(item, tuple) else _number(item)


def _item(item: Any) -> Any:
    return (item[0], _pair(item[1])) if isinstance(item, list) else _unpacked(item)


def _packed(pair: Pair) -> dict[str, Any]:
    return {one.name: _number(getattr(pair, one.name)) for one in fields(pair)}


def _pair(values: Mapping[str, Any]) -> Pair:
    return Pair(**{name: _unpacked(value) for name, value in values.items()})


def _number(value: Any) -> Any:
    """With its number type, which decides how the next sums are rounded."""
    return {"dtype": value.dtype.str, "values": value.tolist()} if isinstance(value, np.ndarray | np.generic) else value


def _unpacked(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    made = np.array(value["values"], value["dtype"])
    return made if made.ndim else made[()]
