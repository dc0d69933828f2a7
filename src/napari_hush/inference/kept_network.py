"""What stands for a network whose graph an earlier process has kept: it is loaded where more than that is needed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


@dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """What a run asks of a network beside its result, see `napari_hush.networks`; JSON-able.

    Parameters
    ----------
    in_channels, out_channels, stride, smallest, halo, depth, live_channels : int
        As the network, or the model that holds it, says them.
    n_weights : int
        Number of trained numbers.
    weights_sha256 : str
        SHA-256 of all that computes, as `napari_hush.inference.ledger.weights_sha256` gives it.
    """

    in_channels: int
    out_channels: int
    stride: int
    smallest: int
    halo: int
    depth: int
    live_channels: int
    n_weights: int
    weights_sha256: str


class KeptNetwork:
    """The place of a network in a `Model`, without torch; the facts are its attributes.

    Parameters
    ----------
    facts : NetworkFacts
        What it says of the network.
    key : str
        Begins the names of what is kept of it, see `napari_hush.cache`.
    load : callable
        Gives the network.
    """

    stride: int

    def __init__(self, facts: NetworkFacts, key: str, load: Callable[[], nn.Module]) -> None:
        vars(self).update(asdict(facts))
        self.key, self._load = key, load

    @cached_property
    def whole(self) -> nn.Module:
        """The network itself, loaded once."""
        return self._load()

    def eval(self) -> Self:
        """Nothing: it never trains."""
        return self

    def requires_grad_(self, _wanted: bool) -> Self:
        """Nothing: it never trains."""
        return self


def whole_network(network: nn.Module) -> nn.Module:
    """The network itself, of one or of what stands for it."""
    stands: Any = network
    return stands.whole if isinstance(stands, KeptNetwork) else network


def standing_for(network: KeptNetwork) -> nn.Module:
    """The same, for a field that says it holds a network."""
    return cast("nn.Module", network)
