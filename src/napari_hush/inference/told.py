"""What frames that looked together say of each other: the maps, the drift, the changes, and what would not be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.planes import Planes
from napari_hush.series.changes import Change, changes_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.inference.plan import Pass, Plan
    from napari_hush.series.fusion import Fusion
    from napari_hush.series.registration import Registration

    Image = NDArray[np.float32]

COLUMN = 0.18  # periods: standard deviation of a column, of which the record says what change would show
SPOT = 2.0  # px: the same of a spot where there is no lattice


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesResult:
    """What a series says beside its denoised frames.

    Parameters
    ----------
    carried : ndarray or None
        How many frames carry each pixel, float32, shape of the image; None where it was not kept.
    changed : ndarray or None
        By how many standard deviations the frames from here on differ from those before, where it is more than 4.5.
    registration : Registration
        How the frames lie to the first one; of several series in one image (T, Z, Y, X) of the first.
    changes : tuple of Change
        The regions of that map.
    """

    carried: np.ndarray | None
    changed: np.ndarray | None
    registration: Registration
    changes: tuple[Change, ...]


class Told:
    """Kept frame by frame.

    Parameters
    ----------
    plan : Plan
        The run.
    keep : bool
        Whether the maps are kept for the caller.
    """

    def __init__(self, plan: Plan, *, keep: bool) -> None:
        self._spacing = plan.spacing
        shape = tuple(int(n) for n in plan.source.image.shape)
        if plan.plane is not None:
            shape = tuple(1 if axis in plan.source.axes[:-2] else n for axis, n in enumerate(shape))
        self._maps = [Planes(np.zeros(shape, np.float32), plan.source.channel_axis) for _ in range(2)] if keep else None
        self._carried: list[float] = []
        self._changes: list[Change] = []
        self._least: float | None = None
        self._height = 0.0  # of a column, about

    def keep(self, one: Pass, carried: list[Image], changed: list[Image]) -> None:
        """One frame: how many carry each of its pixels, and what changed; an image for each of its channels."""
        self._carried.append(float(np.mean([image.mean() for image in carried])))
        self._changes += changes_in(np.max(changed, axis=0), one.index)
        if self._maps is None:
            return
        for planes, images in zip(self._maps, (carried, changed), strict=True):
            planes.write_plane(one.place, one.group.outputs, np.stack(images))

    def measure(self, fusion: Fusion, unit: float) -> None:
        """What change would just show, by the first frame that has neighbours; ``unit`` is that of the fusion."""
        if self._least is not None:
            return
        width = SPOT if self._spacing is None else COLUMN * self._spacing
        self._least = unit * fusion.least_change(width)
        low, high = np.percentile(fusion.own.denoised, [10, 98])
        self._height = unit * float(high - low)

    def state(self) -> dict[str, Any]:
        """What is told so far, but for the maps: JSON-able."""
        return {
            "carried": list(self._carried),
            "changes": [change.as_dict() for change in self._changes],
            "least": self._least,
            "height": self._height,
        }

    def since(self, before: dict[str, Any]) -> dict[str, Any]:
        """The same, without what was told in an earlier state."""
        state = self.state()
        return state | {name: state[name][len(before[name]) :] for name in ("carried", "changes")}

    def go_on(self, state: dict[str, Any]) -> None:
        """Add what an earlier run has told of a frame."""
        self._carried += state["carried"]
        self._changes += [Change(**change) for change in state["changes"]]
        self._least, self._height = state["least"], state["height"]

    def result(self, registration: Registration) -> SeriesResult:
        """The maps and the drift."""
        carried, changed = (None, None) if self._maps is None else (one.image for one in self._maps)
        return SeriesResult(carried=carried, changed=changed, registration=registration, changes=tuple(self._changes))

    def record(self, registration: Registration) -> dict[str, Any]:
        """JSON-able."""
        return {
            "carried": float(np.mean(self._carried)),
            "registration": registration.as_dict(),
            "changes": [change.as_dict() for change in self._changes],
            "least_change": self._least,
            "words": self._words(registration),
        }

    def _words(self, registration: Registration) -> str:
        words = f"{np.mean(self._carried):.2g} frames carry a pixel on average; {registration.words}"
        if self._changes:
            places = len({change.frame for change in self._changes})
            words += f"; {len(self._changes)} changes seen, before {places} of the frames"
        if self._least is not None:
            words += f"; {self._below()}"
        return words

    def _below(self) -> str:
        """What would not be seen."""
        assert self._least is not None
        if self._spacing is None:
            return f"a spot of {2.355 * SPOT:.2g} px that changes by less than {self._least:.3g} may not show"
        if not self._height > 0:
            return f"a column that changes by less than {self._least:.3g} may not show"
        share = 100 * self._least / self._height
        if share >= 100:
            return "a single column that comes or goes may not show"
        return f"a column that changes by less than {share:.0f} % of its height for three frames may not show"
