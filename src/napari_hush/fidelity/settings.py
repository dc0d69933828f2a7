"""What a check is told; apart from the checks themselves, which take half a second to load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_hush.declare import Bounds, check_fields


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What the checks cannot find in the images by themselves.

    Parameters
    ----------
    spacing : float or None
        Lattice period, px; measured in each plane if not given.
    dark : bool
        The atom columns are darker than what is between them.
    match : bool
        The truth is in other units: bring it to the noisy image by a line, gain and offset, first.
    """

    spacing: Annotated[float | None, Bounds(2, 1e5)] = None
    dark: bool = False
    match: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
