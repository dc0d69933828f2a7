"""A frame of a series judged by all frames around it: noise averages out, what is missing in all of them does not.

What was taken from each frame is brought onto the one that is judged, to the nearest pixel, so that its noise stays
white, and averaged. If nothing is lost this mean is noise, whatever changes between the frames and wherever they lie:
with a third of the amplitude that it has in one of eight frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.fidelity.evaluate import judge
from napari_hush.fidelity.findings import badness
from napari_hush.filters.gaps import filled
from napari_hush.filters.smoothing import gaussian
from napari_hush.inference.together import WINDOW
from napari_hush.residual.noise import measure_noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hush.fidelity.verdict import Evidence
    from napari_hush.residual.noise import NoiseModel
    from napari_hush.series.pairs import Pair
    from napari_hush.series.registration import Chain

    Floats = NDArray[np.float64]
    Part = tuple[slice, slice]

SMOOTH = 2.0  # px: at which frames are compared with what all have lost
FEW = 3  # a third of the further frames may have lost what the others have not
KEPT = ("position_transfer", "height_transfer", "displacement_lost")  # one frame alone tells them too small


@dataclass(frozen=True, eq=False)
class Further:
    """What all frames around one say of it.

    Parameters
    ----------
    taken : ndarray, shape (Y, X)
        The mean of what was taken from each of them, in the frame's place and unit: of one variance everywhere; NaN
        where no frame shows anything.
    without : ndarray, shape (Y, X), or None
        The same without those further frames, a third of them, that weigh most in it: what a few have lost is no more
        in it, what all have lost is. None where that leaves the frame alone.
    frames : int
        How many there are, the frame among them.
    """

    taken: Floats
    without: Floats | None
    frames: int


class FramesAround:
    """The frames of a series around the one that is judged; a window of them is in memory.

    Parameters
    ----------
    read : callable
        Gives the noisy and the denoised frame of a number, (Y, X), float64.
    count : int
        How many frames there are.
    window : int
        How many of them are judged together.
    """

    def __init__(self, read: Callable[[int], tuple[Floats, Floats]], count: int, window: int = WINDOW) -> None:
        self._read, self._count, self._window = read, count, min(window, count)
        self._known: dict[int, _Seen] = {}
        self._begin = 0
        self._chain: Chain | None = None
        self._scale: tuple[float, float] | None = None

    def around(self, number: int) -> Further | None:
        """What the frames around one say of it; None where no other shows its field."""
        self.follow(number)
        here = self._known[number]
        part = slice(0, here.taken.shape[0]), slice(0, here.taken.shape[1])
        level = np.sqrt(here.noise.variance(here.denoised))
        own: list[_Part] = []
        further: list[_Part] = []
        for seen in self._known.values():
            pair = here.pair.inverse.then(seen.pair)
            if seen is not here and not pair.alike:
                continue
            values, shown, inside = seen.nearest(pair, part)
            values *= level / np.sqrt(here.noise.variance(shown))  # as noisy as the frame is there, whatever changed
            if not inside.any():
                continue
            precision = 1 / max(float((values[inside] ** 2).mean()), 1e-300)
            (own if seen is here else further).append(_Part(precision * values, precision * inside, precision))
        if not own or not further:
            return None
        taken = _mean(own + further)
        smooth = gaussian(np.nan_to_num(taken), SMOOTH)
        further.sort(key=lambda one: float((gaussian(one.taken, SMOOTH) * smooth).sum()))
        rest = further[: len(further) - max(len(further) // FEW, 1)]
        return Further(taken, _mean(own + rest) if rest else None, 1 + len(further))

    def follow(self, number: int) -> None:
        """Look at the window of a frame, as it is done before that is judged: places are told from frame to frame."""
        start = int(np.clip(number - self._window // 2, 0, self._count - self._window))
        if self._chain is None or not self._begin <= start <= self._begin + len(self._chain.pairs):
            self._known, self._chain, self._begin = {}, None, start
        for old in [one for one in self._known if one < start]:
            del self._known[old]
        for one in range(start, start + self._window):
            self._look(one)

    def _look(self, number: int) -> None:
        """Read a frame and find its place; each follows the one before."""
        if number in self._known:
            return
        from napari_hush.series.registration import Chain, scale_of, shown_of  # not needed for single images

        noisy, denoised = self._read(number)
        self._scale = self._scale or scale_of(denoised)
        scale = self._scale or (0.0, 1.0)
        shown = shown_of(denoised, scale)
        if self._chain is None:
            self._chain = Chain(shown)
            pair = self._chain.pairs[0]
        else:
            pair = self._chain.add(shown)
        whole = filled(denoised, ~np.isfinite(denoised))
        self._known[number] = _Seen(noisy - denoised, whole, pair.in_image_units(*scale))


@dataclass(frozen=True, eq=False)
class _Part:
    taken: NDArray[np.floating]  # times the weight
    weight: NDArray[np.floating]
    precision: float


def _mean(parts: list[_Part]) -> Floats:
    """Of one variance everywhere, also where some frames show nothing."""
    weight = np.sum([one.weight for one in parts], axis=0)
    weight[weight == 0] = np.nan
    return np.asarray(
        np.sum([one.taken for one in parts], axis=0) / np.sqrt(weight * sum(one.precision for one in parts))
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    taken: Floats  # NaN where nothing was measured
    denoised: Floats  # without gaps
    pair: Pair  # of the first frame that was looked at and this one

    @cached_property
    def noise(self) -> NoiseModel:
        """Of the frame, by its brightness."""
        return measure_noise([self.denoised + np.nan_to_num(self.taken)], [self.denoised])

    def nearest(self, pair: Pair, part: Part) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """What was taken away and what was left, at the pixels nearest to another frame's, in its unit; where it is."""
        from napari_hush.series.affine import places_of_part

        # not rint, which takes every second pixel twice at half a pixel
        y, x = (np.floor(at + 0.5).astype(np.intp) for at in places_of_part(pair.matrix, part))
        height, width = self.taken.shape
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
        values = self.taken[y, x] / pair.gain
        inside &= np.isfinite(values)
        return np.where(inside, values, 0), (self.denoised[y, x] - pair.offset) / pair.gain, inside


def judge_frame(noisy: Floats, denoised: Floats, further: Further | None, **options: Any) -> Evidence:
    """Judge a frame by itself and by what all frames around it say; gives what says more.

    Parameters
    ----------
    noisy, denoised : ndarray, shape (Y, X)
        The frame.
    further : Further or None
        From `FramesAround`; None: only the frame itself is judged.
    **options
        Of `judge`.

    Returns
    -------
    Evidence
        By all frames where that says worse, or where both are in order; else of the frame.

    Notes
    -----
    ``denoised + further.taken`` takes the place of the noisy image: had the frame been measured as long as all of them,
    it would look like that. What an output keeps of displacements and heights is told from it without bias, if it was
    made of all frames: then that image is their mean. If each was denoised alone, it is told somewhat too large.
    """
    alone = judge(noisy, denoised, **options)
    if further is None or options.get("truth") is not None:
        return alone
    whole = replace(judge(denoised + further.taken, denoised, **options), frames=further.frames)
    kept = {found.name: found for found in whole.findings if found.name in KEPT}
    findings = tuple(kept.get(found.name, found) for found in alone.findings)
    alone = replace(alone, findings=findings, transfer=whole.transfer)
    if whole.passed and alone.passed:
        return whole
    if badness(whole.findings) <= badness(alone.findings) or whole.status == "open" or further.without is None:
        return alone
    most = judge(denoised + further.without, denoised, **options)  # or a few frames lost it, and not this one
    return whole if most.status in ("warn", "fail") else alone
