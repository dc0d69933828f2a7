"""Denoise the frames of a series together: each with what its neighbours know of it, and nothing that changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.kept_series import chains_of, kept_state, pairs_of, places_of
from napari_hush.inference.planes import Planes
from napari_hush.inference.told import Told
from napari_hush.progress import Progress
from napari_hush.residual.noise import NoiseModel, measure_noise
from napari_hush.series.compared import Frame
from napari_hush.series.fusion import Fusion
from napari_hush.series.pairs import Pair, Shown, refined
from napari_hush.series.registration import Chain, Registration, in_units, scale_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_hush.inference.ledger import Ledger
    from napari_hush.inference.plan import Pass, Plan
    from napari_hush.inference.tiles.runner import TileRunner
    from napari_hush.inference.told import SeriesResult

    Image = NDArray[np.float32]
    Steps = Generator[Progress, None, tuple[np.ndarray, np.ndarray | None]]

ALIKE = 0.5  # of a frame that its neighbour must carry, so that a stack is taken for a series
LIKE = 0.4  # correlation of both, denoised alone: two images of nothing agree as well
NOISE_AGREES = 20.0  # times: a noise model that is further off than this from what was taken away is none
SECOND = 0.7  # of the result is the denoised mean of the noisy frames, the rest the mean of the denoised ones
FEW = 0.5  # of the weight of most pixels: where there is less, the denoised mean is noisier than the rest of it
SPIKY = 3.0  # times the tail of another frame of one field: the noise is not measured there
TRIES = 3  # pairs of neighbours: where none of them proves alike a stack is no series


@dataclass(eq=False)
class _Known:
    """A frame as far as it was looked at."""

    frames: list[Frame]  # of each channel
    shown: Shown
    values: np.ndarray  # (C, Y, X) of the result alone, with its holes
    given: np.ndarray | None


@dataclass(eq=False)
class _Series:
    """What is known of the frames of one series and one group of channels."""

    passes: list[Pass]
    known: dict[int, _Known] = field(default_factory=dict)
    places: dict[int, Pair] = field(default_factory=dict)  # of the frame that was looked at first and each
    chains: dict[int, Chain] = field(default_factory=dict)  # forwards and backwards from it
    pairs: dict[tuple[int, int], Pair] = field(default_factory=dict)
    scale: tuple[float, float] = (0.0, 1.0)
    noise: list[NoiseModel] = field(default_factory=list)
    alike: bool | None = None


class SeriesRun:
    """The frames of an image, one after the other, each with its neighbours.

    Parameters
    ----------
    plan : Plan
        The run.
    runner : TileRunner
        What runs the network over a plane.
    window : int
        Frames that look together.
    first : int
        The frame that is done first; then those after it, then those before.
    sight : callable, optional
        Says which of frames that stand alone is wanted now.
    keep : bool
        Whether the maps are kept for the caller.
    ledger : Ledger, optional
        Of a run that was stopped, or that can be.
    """

    def __init__(
        self,
        plan: Plan,
        runner: TileRunner,
        window: int,
        *,
        first: int = 0,
        sight: Callable[[], int] | None = None,
        keep: bool = True,
        ledger: Ledger | None = None,
    ) -> None:
        self._plan, self._runner, self._window, self._first, self._sight = plan, runner, window, first, sight
        self._tiles = runner.count()
        self._done = 0
        self._all_series = self._split()
        self._total = self._tiles * sum(2 * len(self._wanted(one)) for one in self._all_series)
        self._told = Told(plan, keep=keep)
        self.guards: list[Any] = []
        self._ledger = ledger
        frames = [] if ledger is None else ledger.frames
        count = sum(len(self._wanted(one)) for one in self._all_series)
        frames = frames[: count - 1]  # the last is done anew, if only that: the guards are known by it
        self._before = frames
        self.given_before = sum(one["given"] for one in frames)

    def run(self, store: Callable[[Pass, np.ndarray, np.ndarray | None], int]) -> Generator[Progress, None, None]:
        """Do all frames.

        ``store`` is given each result (C, Y, X) and what the guard gave back of it, and says how many pixels that is.
        """
        for which, series in enumerate(self._all_series):
            before = [one for one in self._before if one["series"] == which]
            wanted = self._wanted(series)
            if before:
                yield from self._go_on(series, before, anything_left=len(before) < len(wanted))
            left = wanted[len(before) :]
            while left:
                number = self._next(series, left)
                left.remove(number)
                told, known = self._told.state(), dict(series.places)
                result, given = yield from self._frame(series, number)
                one = series.passes[number]
                whole = [slice(0, size) for size in self._plan.source.plane_shape]
                result = self._plan.blended(one, result, *whole)
                given = None if given is None else self._plan.weakened(given)
                pixels = store(one, result, given)
                if self._ledger is not None:
                    state = kept_state(series.places, series.pairs, series.chains, known) if series.alike else None
                    told = self._told.since(told)
                    self._ledger.add_frame(
                        {"series": which, "alike": series.alike, "given": pixels, "told": told, "state": state}
                    )
                words = f"frame {number + 1} of {len(series.passes)} is done"
                preview = self._plan.in_image_units(one, result)
                yield Progress(self._done, self._total, words, preview=preview, place=one.index)
            series.known.clear()
            series.pairs.clear()

    def _go_on(
        self, series: _Series, before: list[dict[str, Any]], *, anything_left: bool
    ) -> Generator[Progress, None, None]:
        """Know what an earlier run knew after its last frame; what it denoised alone is denoised again where needed."""
        for one in before:
            self._told.go_on(one["told"])
        series.alike = before[-1]["alike"]
        self._done += len(before) * self._tiles * (2 if series.alike else 1)
        if not series.alike:
            self._total -= self._tiles * len(self._wanted(series))
            return
        yield from self._begin(series, self._wanted(series)[0])
        states = [one["state"] for one in before]
        begin = next(iter(series.places))
        series.places = places_of(states)
        if not anything_left:
            return
        series.pairs = pairs_of(states[-1])
        for way, state in chains_of(states[-1]).items():
            yield from self._look(series, {begin + way * state[name][0] for name in ("good", "key", "last")})
            series.chains[way].go_on(state, lambda k, way=way: series.known[begin + way * k].shown)  # type: ignore[misc]

    @property
    def together(self) -> bool:
        """Whether any frame was carried by others."""
        return any(series.alike for series in self._all_series)

    def result(self) -> SeriesResult | None:
        """The maps and the drift; None where every frame stood alone."""
        return self._told.result(self._registration()) if self.together else None

    def record(self) -> dict[str, Any] | bool:
        """JSON-able; False where every frame stood alone."""
        return {"window": self._window} | self._told.record(self._registration()) if self.together else False

    def _split(self) -> list[_Series]:
        """The passes of each series (all frames, whatever plane is wanted), by the other leading axes and the group."""
        found: dict[tuple[Any, ...], list[Pass]] = {}
        for one in self._plan.passes:
            found.setdefault((one.index[1:], id(one.group)), []).append(one)
        return [_Series(sorted(passes, key=lambda one: one.index)) for passes in found.values()]

    def _wanted(self, series: _Series) -> list[int]:
        """The frames in the order in which they are done."""
        count = len(series.passes)
        if self._plan.plane is not None:
            return [self._plan.plane[0]]
        first = min(max(self._first, 0), count - 1)
        return [*range(first, count), *range(first - 1, -1, -1)]

    def _next(self, series: _Series, left: list[int]) -> int:
        """Which of the frames that are left is done now."""
        if self._sight is None or series.alike is not False or self._ledger is not None:
            return left[0]
        sight = self._sight()
        return min(left, key=lambda number: (number < sight, number))

    def _around(self, series: _Series, number: int) -> range:
        count = len(series.passes)
        window = min(self._window, count)
        start = int(np.clip(number - window // 2, 0, count - window))
        return range(start, start + window)

    def _frame(self, series: _Series, number: int) -> Steps:
        if series.alike is None:
            yield from self._begin(series, number)
            if not series.alike:
                self._total -= self._tiles * len(self._wanted(series))  # no second pass
        if not series.alike:
            yield from self._look(series, {number})
            alone = series.known.pop(number)
            return alone.values, alone.given
        around = self._around(series, number)
        for old in [k for k in series.known if k not in around]:
            del series.known[old]
        series.pairs = {key: one for key, one in series.pairs.items() if all(k in around for k in key)}
        yield from self._look(series, set(around))
        yield from self._place(series, around, number)
        alone = series.known[number]
        pairs = {k: self._pair(series, number, k) for k in around if k != number}
        pairs = {k: pair for k, pair in pairs.items() if pair.alike}
        if not pairs:
            ones = [np.ones(self._plan.source.plane_shape, np.float32)] * len(series.noise)
            self._told.keep(series.passes[number], ones, [np.zeros_like(one) for one in ones])
            return alone.values, alone.given
        made = []
        for channel, noise in enumerate(series.noise):
            frames = {k: series.known[k].frames[channel] for k in (number, *pairs)}
            fusion = Fusion(frames, number, pairs, noise, lattice=self._plan.spacing is not None)
            fused = fusion.whole()
            made.append(fused)
            self._told.measure(fusion, series.scale[1])
            yield Progress(self._done, self._total, f"frame {number + 1}: {self._window} frames together")
        self._told.keep(series.passes[number], [one.carried for one in made], [one.changed for one in made])
        if max(float(one.carried.max()) for one in made) < 1.05:
            return alone.values, alone.given  # nothing belongs to it
        one = series.passes[number]
        middle, spread = series.scale
        noisy = np.stack([fused.noisy for fused in made]).astype(np.float64) * spread + middle
        holes = ~np.isfinite(alone.values)
        second, given = yield from self._plane(self._seeing(one, noisy, holes), number)
        together = np.stack([fused.denoised for fused in made]).astype(np.float64) * spread + middle
        share = np.stack([_share(fused.weight) for fused in made])
        result = np.where(np.isfinite(second), together + share * (second - together), second)
        return np.asarray(result, np.float32), None if given is None else given * share

    def _begin(self, series: _Series, number: int) -> Generator[Progress, None, None]:
        """Begin with two neighbours that are alike; where frames are insisted on two of one field will do, or any."""
        insisted = self._plan.settings.frames != "auto"
        tried = self._tries(series, number)
        for first, second in tried:
            yield from self._look(series, {first, second})
            yield Progress(self._done, self._total, f"frame {number + 1}: how the frames lie to each other")
            self._start(series, first, second)
            if self._pair(series, first, second).alike if insisted else self._is_alike(series, first, second):
                series.alike = True
                return
        if insisted:
            self._start(series, *tried[0])
        series.alike = insisted

    def _tries(self, series: _Series, number: int) -> list[tuple[int, int]]:
        """Neighbours near a frame, itself first."""
        around = self._around(series, number)
        after = [(k, k + 1) for k in range(number, around.stop - 1)]
        before = [(k, k - 1) for k in range(number, around.start, -1)]
        return (after + before)[:TRIES]

    def _start(self, series: _Series, first: int, second: int) -> None:
        """Measure the values' scale and the noise on two frames, and let the places begin with them."""
        series.scale = scale_of(np.asarray(self._native(series.passes[first]), np.float64)[0]) or (0.0, 1.0)
        series.known = {k: self._known(series, k, one.values, one.given) for k, one in series.known.items()}
        chosen = [series.known[k] for k in (first, second)]
        chosen = [one for one in chosen if not one.shown.blank] or chosen
        series.noise = [_noise([one.frames[channel] for one in chosen]) for channel in range(len(chosen[0].frames))]
        series.pairs.clear()
        series.chains = {way: Chain(series.known[first].shown) for way in (1, -1)}
        series.places = {first: series.chains[1].pairs[0]}
        series.places[second] = series.chains[second - first].add(series.known[second].shown)

    def _look(self, series: _Series, numbers: set[int]) -> Generator[Progress, None, None]:
        """Denoise those frames alone that were not yet."""
        for number in sorted(numbers):
            if number not in series.known:
                values, given = yield from self._plane(series.passes[number], number)
                series.known[number] = self._known(series, number, values, given)

    def _known(self, series: _Series, number: int, values: np.ndarray, given: np.ndarray | None) -> _Known:
        noisy = np.asarray(self._native(series.passes[number]), np.float64)[: len(values)]
        frames = [self._scaled(*both, series.scale) for both in zip(noisy, values, strict=True)]
        blank = not np.isfinite(noisy[0]).any()
        shown = Shown(np.zeros_like(frames[0].denoised) if blank else frames[0].denoised)
        return _Known(frames, shown, values, given)

    def _place(self, series: _Series, numbers: range, current: int) -> Generator[Progress, None, None]:
        """Find how frames lie to their neighbours, from those on that were placed before."""
        words = f"frame {current + 1}: how the frames lie to each other"
        for way, order in ((1, numbers), (-1, numbers[::-1])):
            for number in order:
                if number not in series.places and number - way in series.places:
                    chain = series.chains[way]
                    series.places[number] = chain.add(series.known[number].shown)
                    if chain.anew:
                        series.places[number - way] = replace(series.places[number - way], alike=True)
                    yield Progress(self._done, self._total, words)

    @staticmethod
    def _scaled(noisy: np.ndarray, denoised: np.ndarray, scale: tuple[float, float]) -> Frame:
        """A frame without gaps, in units of its contrast; without anything finite all zeros."""
        known = np.isfinite(noisy) & np.isfinite(denoised)
        if not known.any():
            nothing = np.zeros(noisy.shape, np.float32)
            return Frame(nothing, nothing, known)
        images = [in_units(image, ~known, scale).astype(np.float32) for image in (noisy, denoised)]
        return Frame(images[0], images[1], None if known.all() else known)

    def _is_alike(self, series: _Series, number: int, other: int) -> bool:
        pair = self._pair(series, number, other)
        if not pair.alike:
            return False
        frames = {k: series.known[k].frames[0] for k in (number, other)}
        fusion = Fusion(frames, number, {other: pair}, series.noise[0], lattice=self._plan.spacing is not None)
        return fusion.likeness(other) > LIKE and float((fusion.whole().carried - 1).mean()) > ALIKE

    def _pair(self, series: _Series, first: int, second: int) -> Pair:
        if first > second:
            return self._pair(series, second, first).inverse
        if (first, second) not in series.pairs:
            begin, end = series.places[first], series.places[second]
            one, other = series.known[first].shown, series.known[second].shown
            found = begin.inverse.then(end)
            series.pairs[first, second] = refined(one, other, found.matrix, found.margin) if found.alike else found
        return series.pairs[first, second]

    def _plane(self, one: Pass, number: int) -> Steps:
        """Run the network over one plane: the result (C, Y, X) in memory, and what the guard gave back."""
        plan, runner = self._plan.at_full_strength, self._runner  # `run` blends the result, once
        height, width = plan.source.plane_shape
        channels = len(one.group.outputs)
        target = Planes(np.empty((channels, height, width), np.float32), 0)
        local = replace(one, place=(), group=replace(one.group, outputs=list(range(channels))))
        extra: Planes | None = None
        task = plan.task(local)
        self.guards = list(task.guards)
        for finished, count, _left in runner.run(task):
            for tile, values in finished:
                values, given = task.divided(values)
                plan.store(target, local, tile, values)
                if given is not None:
                    extra = extra or Planes(np.zeros_like(target.image), 0)
                    plan.store(extra, local, tile, given, given=True)
            self._done += count
            self._total = max(self._total, self._done)
            yield Progress(self._done, self._total, f"frame {number + 1}: tile {self._done} of {self._total}")
        return target.image, None if extra is None else extra.image

    def _native(self, one: Pass) -> np.ndarray:
        return one.native(*(slice(0, size) for size in self._plan.source.plane_shape))

    def _seeing(self, one: Pass, noisy: np.ndarray, holes: NDArray[np.bool_]) -> Pass:
        """The same pass over another image of the plane."""
        values = np.where(holes, np.float32(np.nan), noisy) if holes.any() else noisy

        def native(y: slice, x: slice) -> np.ndarray:
            return values[:, y, x]

        scaled, fill = self._plan.scaled, one.norm.fill
        return replace(one, native=native, read=lambda y, x: scaled.read(native, fill, y, x))

    def _registration(self) -> Registration:
        """Of all frames of the first series that were looked at, against the first of them."""
        series = next(one for one in self._all_series if one.alike)
        numbers = sorted(series.places)
        begin = series.places[numbers[0]]
        pairs = [replace(begin, matrix=np.eye(3), gain=1.0, offset=0.0, margin=np.inf if begin.alike else 0.0)]
        for number in numbers[1:]:
            place = series.places[number]
            # what was found backwards tells how a frame lies to the one after it
            margin = place.margin if number > next(iter(series.places)) else series.places[number - 1].margin
            pairs.append(replace(begin.inverse.then(place), margin=margin, alike=place.alike, error=place.error))
        one = series.passes[0]
        middle, spread = series.scale
        level = float(self._plan.source.level(one.index, one.group.inputs[0]))
        return Registration.of(self._plan.source.plane_shape, pairs, numbers[0], (middle + level, spread))


def _share(weight: Image) -> Image:
    """What the mean of the noisy frames, denoised, counts at each pixel: less where few carry it: noise stays there."""
    typical = FEW * float(np.median(weight))
    return np.asarray(SECOND * np.minimum(weight / np.float32(typical), 1) ** 0.5, np.float32)


def _noise(frames: list[Frame]) -> NoiseModel:
    """Of a series, by those frames without spikes; where it is not understood, one level for all pixels."""
    tails = [_tail(one) for one in frames]
    frames = [one for one, tail in zip(frames, tails, strict=True) if tail <= SPIKY * min(tails)]
    noisy, denoised = [one.noisy for one in frames], [one.denoised for one in frames]
    found = measure_noise(noisy, denoised)
    rest = np.concatenate([(a - b).ravel() for a, b in zip(noisy, denoised, strict=True)])
    level = float(1.4826 * np.median(np.abs(rest - np.median(rest)))) ** 2
    measured = float(np.mean([found.variance(image).mean() for image in denoised]))
    if level > 0 and 1 / NOISE_AGREES < measured / level < NOISE_AGREES:
        return found
    level = max(level, float(rest.var()), 1e-30)
    low, high = float(min(one.min() for one in denoised)), float(max(one.max() for one in denoised))
    return replace(found, coefficients=(level, 0.0, 0.0), curve=(), zero=low, top=max(high, low + 1e-9), floor=level)


def _tail(frame: Frame) -> float:
    """How much more what was taken from a frame varies than most of it does: a spike in a hundred pixels is enough."""
    rest = frame.noisy - frame.denoised
    most = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    return float(rest.var()) / max(most**2, 1e-30)
