"""Series in which something is wrong and their truth: turned, out of focus, spikes, lost lines, doses, others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_hush.synthesis import Compose
from napari_hush.synthesis.noise.registry import Noise, Poisson, Readout, RowOffsets
from napari_hush.synthesis.series import cell_series, drift_walk, lattice_series

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Images = NDArray[np.float32]

MARGIN = 24  # px around a field, so that frames may turn and drift
DRIFT = 3.0  # px over a series
SPIKE = 20.0  # times the brightest of the field
LINES = 10  # rows that are lost


@dataclass(eq=False)
class Scene:
    """Frames as they are made: what is wrong changes any of it.

    Parameters
    ----------
    fields : ndarray, shape (N, Y, X)
        What each frame looks at, with `MARGIN` px around it, about 0 to 1.
    angles : ndarray, shape (N,)
        How far each is turned, degrees.
    starts : ndarray, shape (N, Y, 2)
        By how much each row of each frame is displaced (y, x), px.
    doses : ndarray, shape (N,)
        Counts per pixel where a field is 1.
    extra : tuple
        More noise, in units of the field.
    """

    fields: Images
    angles: NDArray[np.float64]
    starts: NDArray[np.float64]
    doses: NDArray[np.float64]
    extra: tuple[Noise, ...] = ()

    def clean(self) -> Images:
        """The frames without noise, counts."""
        frames = []
        for field, angle, starts, dose in zip(
            self.fields, np.radians(self.angles), self.starts, self.doses, strict=True
        ):
            height, width = (size - 2 * MARGIN for size in field.shape)
            y, x = np.mgrid[:height, :width].astype(np.float64)
            y, x = y + starts[:, :1] - height / 2, x + starts[:, 1:] - width / 2
            turned = np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
            at = np.stack([turned[0] + height / 2 + MARGIN, turned[1] + width / 2 + MARGIN])
            frames.append(np.maximum(ndimage.map_coordinates(field, at, order=5, mode="reflect"), 0) * dose)
        return np.asarray(frames, np.float32)

    def noisy(self, clean: Images, rng: np.random.Generator) -> Images:
        """The frames as measured, counts."""
        made = []
        for frame, dose in zip(clean, self.doses, strict=True):
            noise = Compose(noises=(Poisson(dose=dose), Readout(sigma=0.15 * dose**-0.5), *self.extra))
            made.append(noise(frame / np.float32(dose), rng) * np.float32(dose))
        return np.stack(made)


@dataclass(frozen=True)
class Situation:
    """What is wrong with a series.

    Parameters
    ----------
    change : callable
        Takes the scene and a source of randomness before frames are drawn.
    spoil : callable
        Takes the noisy frames, and changes them in place.
    harmed : callable
        Of the number of frames: which ones are harmed; their neighbours are looked at by themselves.
    kinds : tuple of str
        Of what it is drawn.
    frames : int or None
        Their number, if it matters.
    truth : bool
        Whether a harmed frame still shows what its truth says.
    """

    change: Callable[[Scene, np.random.Generator], None] = lambda scene, rng: None
    spoil: Callable[[Images, np.random.Generator], None] = lambda noisy, rng: None
    harmed: Callable[[int], list[int]] = lambda frames: []
    kinds: tuple[str, ...] = ("lattice", "cells")
    frames: int | None = None
    truth: bool = True


def field_of(kind: str, side: int, rng: np.random.Generator) -> Images:
    """A lattice with a dent, or cells, with room around it."""
    shape = (side + 2 * MARGIN, side + 2 * MARGIN)
    if kind == "cells":
        return cell_series(shape, 1, rng, drift=0.0).clean[0]
    return lattice_series(shape, 1, rng, drift=0.0, events=False).clean[0]


def scene_of(kind: str, frames: int, side: int, rng: np.random.Generator) -> Scene:
    """Frames of one field that drift between and inside frames."""
    drift = drift_walk(frames, rng, DRIFT)
    share = (np.arange(side)[:, None] + 0.5) / side
    starts = np.stack([begin + (end - begin) * share for begin, end in pairwise(drift)])
    fields = np.repeat(field_of(kind, side, rng)[None], frames, axis=0)
    return Scene(fields, np.zeros(frames), starts, np.full(frames, 10.0))


def middle(frames: int) -> list[int]:
    return [frames // 2]


def first(frames: int) -> list[int]:
    return [0]


def turned(scene: Scene, rng: np.random.Generator, *, degrees: float) -> None:
    scene.angles[1::2] = degrees


def turning(scene: Scene, rng: np.random.Generator) -> None:
    scene.angles[:] = np.linspace(0, 10, len(scene.angles))


def focus(scene: Scene, rng: np.random.Generator) -> None:
    for field, sigma in zip(scene.fields, np.linspace(0, 2, len(scene.fields)), strict=True):
        field[:] = ndimage.gaussian_filter(field, sigma)


def one_out_of_focus(scene: Scene, rng: np.random.Generator) -> None:
    field = scene.fields[middle(len(scene.fields))[0]]
    field[:] = ndimage.gaussian_filter(field, 2.0)


def rows(scene: Scene, rng: np.random.Generator) -> None:
    scene.extra = (RowOffsets(sigma=0.1),)


def walk(scene: Scene, rng: np.random.Generator, *, reach: float) -> None:
    """Rows start where a random walk has got to; at the end of a frame it is ``reach`` px away, rms."""
    count, height, _ = scene.starts.shape
    scene.starts += np.cumsum(rng.normal(0, reach / height**0.5, (count, height, 2)), axis=1)


def bleached(scene: Scene, rng: np.random.Generator) -> None:
    scene.doses *= 0.5 ** (np.arange(len(scene.doses)) / (len(scene.doses) - 1))


def other_doses(scene: Scene, rng: np.random.Generator) -> None:
    scene.doses[::2] *= 5


def faint(scene: Scene, rng: np.random.Generator) -> None:
    scene.doses[middle(len(scene.doses))] *= 0.1


def other_field(scene: Scene, rng: np.random.Generator, *, which: Callable[[int], list[int]]) -> None:
    """Cells among cells are others; a lattice among lattices would be alike, so there it is cells, too."""
    for number in which(len(scene.fields)):
        scene.fields[number] = field_of("cells", scene.fields.shape[1] - 2 * MARGIN, rng)


def spikes(
    noisy: Images,
    rng: np.random.Generator,
    *,
    share: float,
    which: Callable[[int], list[int]] = lambda n: list(range(n)),
) -> None:
    top = float(np.percentile(noisy, 99))
    for number in which(len(noisy)):
        noisy[number][rng.random(noisy[number].shape) < share] += SPIKE * top


def hot(noisy: Images, rng: np.random.Generator) -> None:
    """The same pixels in all frames."""
    noisy[:, rng.random(noisy.shape[1:]) < 0.001] += SPIKE * float(np.percentile(noisy, 99))


def lost_lines(noisy: Images, rng: np.random.Generator, *, value: float) -> None:
    begin = rng.integers(20, noisy.shape[1] - 20 - LINES)
    noisy[middle(len(noisy))[0], begin : begin + LINES] = value


def black(noisy: Images, rng: np.random.Generator) -> None:
    noisy[0] = 0


SITUATIONS = {
    "nothing wrong": Situation(),
    "turned by 1°": Situation(partial(turned, degrees=1.0)),
    "turned by 3°": Situation(partial(turned, degrees=3.0)),
    "turned by 10°": Situation(partial(turned, degrees=10.0)),
    "turning by 10° over the series": Situation(turning),
    "focus, 0 to 2 px": Situation(focus),
    "one frame out of focus": Situation(one_out_of_focus, harmed=middle),
    "row offsets": Situation(rows),
    "spikes, 0.1 % in one": Situation(spoil=partial(spikes, share=0.001, which=middle), harmed=middle),
    "spikes, 1 % in one": Situation(spoil=partial(spikes, share=0.01, which=middle), harmed=middle),
    "spikes, 0.1 % in all": Situation(spoil=partial(spikes, share=0.001)),
    "spikes, 1 % in all": Situation(spoil=partial(spikes, share=0.01)),
    "hot pixels": Situation(spoil=hot),
    "lines zero in one": Situation(spoil=partial(lost_lines, value=0.0), harmed=middle),
    "lines missing in one": Situation(spoil=partial(lost_lines, value=float("nan")), harmed=middle),
    "each other frame 5 times the dose": Situation(other_doses),
    "one frame a tenth of the dose": Situation(faint, harmed=middle),
    "16 frames": Situation(frames=16),
    "40 frames": Situation(frames=40, kinds=("lattice",)),
    "rows walk by 1 px": Situation(partial(walk, reach=1.0)),
    "rows walk by 2 px": Situation(partial(walk, reach=2.0)),
    "bleached by half": Situation(bleached),
    "another field in the middle": Situation(partial(other_field, which=middle), harmed=middle),
    "first frame black": Situation(spoil=black, harmed=first, truth=False),
    "first frame another field": Situation(partial(other_field, which=first), harmed=first),
    "first frame with spikes": Situation(spoil=partial(spikes, share=0.01, which=first), harmed=first),
}


def draw(name: str, kind: str, seed: int, frames: int, side: int) -> tuple[Images, Images]:
    """The clean and the noisy frames of one situation, counts."""
    rng, situation = np.random.default_rng([21, seed]), SITUATIONS[name]
    scene = scene_of(kind, situation.frames or frames, side, rng)
    situation.change(scene, rng)
    clean = scene.clean()
    noisy = scene.noisy(clean, rng)
    situation.spoil(noisy, rng)
    return clean, noisy
