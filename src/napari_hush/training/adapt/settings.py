"""How a model is adapted to an image, declared once: Python, command line and dock derive from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_hush.declare import Bounds, check_fields
from napari_hush.inference.engines.devices import Device  # noqa: TC001 - the field is read


@dataclass(frozen=True, kw_only=True)
class AdaptSettings:
    """How a model is fine-tuned on noisy images.

    Parameters
    ----------
    minutes : float
        Minutes for everything together: measuring, training and judging.
    steps : int
        Updates of the network at most; 0: as many as the time allows.
    repeats : int or None
        The axis that counts frames of one field, each with noise of its own: one is predicted from another. None: each
        image stands alone, and its own noise is put on it anew.
    dark : bool
        Atom columns are darker than what is around them, as in `DenoiseSettings`.
    learning_rate : float
        Of Adam; all weights are trained.
    patch : int
        Side of a training patch, px of what the network sees; smaller where the image is.
    batch_size : int
        Patches per step.
    held_share : float
        Share of the image, its lowest rows, that is not trained on: there the weights are compared.
    checks : int
        How often the weights are compared.
    seed : int
        Decides about places and noise.
    device : str
        Where to compute: cpu; cuda, the first GPU; cuda:1, the second one; mps, Apple's; ``auto`` takes the fastest.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    minutes: Annotated[float, Bounds(0.05, 600)] = 5.0
    steps: Annotated[int, Bounds(0, 10**6)] = 0
    repeats: Annotated[int, Bounds(-8, 7)] | None = None
    dark: bool = False
    learning_rate: Annotated[float, Bounds(0, 1e-2)] = 1e-4
    patch: Annotated[int, Bounds(16, 1024)] = 128
    batch_size: Annotated[int, Bounds(1, 256)] = 4
    held_share: Annotated[float, Bounds(0.1, 0.5)] = 0.2
    checks: Annotated[int, Bounds(1, 100)] = 6
    seed: Annotated[int, Bounds(0, 2**63 - 1)] = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
