"""What guards gave back in the course of a run, kept beside its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.guards.strict import StrictGuard
from napari_hush.inference.planes import Planes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hush.inference.guards.guard import Guard
    from napari_hush.inference.plan import Pass, Plan
    from napari_hush.inference.tiles.geometry import Tile

VISIBLE = 0.1  # of the noise: less that was given back is the tail of something


class GivenBack:
    """Keeps what the guard gave back, in an array that is made when it is first needed."""

    def __init__(self, plan: Plan, target: Planes | None, pixels: int = 0) -> None:
        self._plan, self._like = plan, target
        self._planes: Planes | None = None
        self.pixels = pixels  # that were given something, so far

    def store(self, one: Pass, tile: Tile, values: np.ndarray) -> None:
        """Keep one tile (C, Y, X), which also holds what lies around its core."""
        self.pixels += int(np.count_nonzero(values))
        if self._like is None:
            return
        self._plan.store(self._kept(), one, tile, values, given=True)

    def store_plane(self, one: Pass, values: np.ndarray) -> None:
        """Keep a whole plane (C, Y, X)."""
        self.pixels += int(np.count_nonzero(values))
        if self._like is not None:
            self._kept().write_plane(one.place, one.group.outputs, values)

    def _kept(self) -> Planes:
        assert self._like is not None
        if self._planes is None:
            self._planes = Planes(np.zeros(self._like.image.shape, np.float32), self._like.channel_axis)
        return self._planes

    @property
    def image(self) -> Any:
        """All of it; None where nothing was given back, or nobody can keep it."""
        return None if self._planes is None else self._planes.image

    def record(self, guards: Sequence[Guard | StrictGuard]) -> dict[str, Any] | str | bool:
        """The share of the pixels and how strong it was, or why nothing could be given back."""
        if not guards:
            return False
        plain = [one.guard if isinstance(one, StrictGuard) else one for one in guards]
        guard = plain[0]
        if guard.give_back is None and not guard.sites and not guard.withheld:
            return False
        if guard.withheld:
            return f"withheld: {guard.withheld}"
        image = self.image
        if image is None:
            return {"pixels": self.pixels}
        finite = np.where(np.isfinite(image), image, 0).astype(np.float64)
        visible = np.abs(finite) > VISIBLE * max(one.noise for one in plain)
        return {"share": float(np.mean(visible)), "rms": float(np.sqrt(np.mean(finite**2)))}
