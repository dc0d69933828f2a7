"""Patches: where they are taken from, how they are turned, and in which order images are visited."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from skimage.transform import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.card import Scale
    from napari_hush.training.data.exposure import Exposure
    from napari_hush.training.data.images import ImageSet

    Array = NDArray[np.float32]
    Window = tuple[NDArray[np.intp], NDArray[np.intp]]

ROUNDS = 6  # of the permutation


@dataclass(frozen=True, eq=False)
class Patch:
    """A noisy patch and its clean one, in network units.

    Parameters
    ----------
    noisy : ndarray, shape (C, Y, X)
        What the denoiser sees.
    clean : ndarray, shape (C, Y, X), optional
        What it should give; None where that is not known.
    true : bool
        Whether ``clean`` is the truth, and not another noisy image of the field.
    before : int
        Channels of ``noisy`` in front of those that ``clean`` shows: neighbouring slices.
    """

    noisy: Array
    clean: Array | None
    true: bool = True
    before: int = 0

    def shown(self, channels: int) -> Array:
        """The noisy image itself, without its neighbours and companions: (channels, Y, X)."""
        return self.noisy[self.before : self.before + channels]


class PatchSource(Protocol):
    """What a training asks of its data."""

    @property
    def relation(self) -> str:
        """How the images belong together, see `TrainingData`."""
        ...

    @property
    def channels(self) -> int:
        """Of every patch."""
        ...

    @property
    def zoom(self) -> float:
        """By how much clean images were resampled."""
        ...

    @property
    def scale(self) -> Scale | None:
        """The lattice periods that a model trained on them is for, where they are known."""
        ...

    @property
    def exposure(self) -> Exposure | None:
        """How the values of targets followed from those of inputs, where they were brought to one scale."""
        ...

    @property
    def fingerprint(self) -> str:
        """A text that changes when the data do, a line for each part of them."""
        ...

    def __len__(self) -> int:
        """Number of patches that cover the training images once."""
        ...

    def draw(self, number: int) -> Patch:
        """Make one training patch, from its number and the seed alone."""
        ...

    def held_out(self, which: Literal["validation", "test"]) -> list[Patch]:
        """Make the fixed patches to validate or to test by."""
        ...


def mirrored(places: NDArray[np.intp], low: int, high: int) -> NDArray[np.intp]:
    """Places on a line that is mirrored at its first and last pixel, ``low`` and ``high - 1``, as often as needed."""
    period = max(2 * (high - 1 - low), 1)
    inside = (places - low) % period
    return low + np.minimum(inside, period - inside)


def read_window(images: ImageSet, number: int, window: Window) -> NDArray[Any]:
    """Read the pixels of some rows and columns, which lie close together: (C, Y, X) in the image's own units."""
    y, x = window
    top, left = int(y.min()), int(x.min())
    block = images.read(number, slice(top, int(y.max()) + 1), slice(left, int(x.max()) + 1))
    return np.ascontiguousarray(block[:, y - top][:, :, x - left])


def finite(values: NDArray[Any]) -> NDArray[Any]:
    """Put the median where a value is NaN or infinite."""
    good = np.isfinite(values)
    return values if good.all() else np.where(good, values, np.median(values[good]) if good.any() else 0.0)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How an image is flipped along Y and X, and whether these then change places."""

    up: bool = False
    over: bool = False
    turn: bool = False

    @classmethod
    def drawn(cls, augment: str, rng: np.random.Generator) -> Turn:
        """One of those that an augmentation allows."""
        if augment == "none":
            return cls()
        up, over = rng.random(2) < 0.5
        return cls(up=bool(up), over=bool(over), turn=augment == "all" and bool(rng.random() < 0.5))

    def __call__(self, image: Array) -> Array:
        """Turn (C, Y, X)."""
        image = image[:, ::-1] if self.up else image
        image = image[:, :, ::-1] if self.over else image
        return np.ascontiguousarray(image.swapaxes(1, 2) if self.turn else image)


def turned(patch: Patch, augment: str, rng: np.random.Generator) -> Patch:
    """Turn and flip both images alike; neighbouring slices also change their order."""
    move = Turn.drawn(augment, rng)
    noisy = move(patch.noisy)
    if patch.before:
        noisy = upside_down(noisy, augment, rng)
    return replace(patch, noisy=noisy, clean=None if patch.clean is None else move(patch.clean))


def upside_down(slices: Array, augment: str, rng: np.random.Generator) -> Array:
    """Mirror the order of neighbouring slices (D, Y, X) in half of the cases, where an augmentation is asked for."""
    return np.ascontiguousarray(slices[::-1]) if augment != "none" and rng.random() < 0.5 else slices


def shuffled(place: int, count: int, key: int) -> int:
    """Look up one entry of a permutation of ``range(count)`` that is never in memory as a whole.

    M. Luby, C. Rackoff, "How to construct pseudorandom permutations from pseudorandom functions", SIAM J. Comput. 17,
    373 (1988), https://doi.org/10.1137/0217022

    Examples
    --------
    >>> sorted(shuffled(place, 10, 7) for place in range(10))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    half = max((count - 1).bit_length() + 1, 2) // 2  # bits
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for number in range(ROUNDS):
            left, right = right, left ^ (_mixed(right + (number << 40) + (key << 44)) & mask)
        place = left << half | right
        if place < count:  # otherwise an entry of a larger permutation: follow its cycle
            return place


def _mixed(value: int) -> int:
    """The finaliser of splitmix64 over a number of any size."""
    mixed = 0
    while value:
        mixed = (mixed ^ value) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
        value >>= 64
    return mixed


def scaled(patch: NDArray[Any], side: int) -> Array:
    """Resample a patch (C, Y, X) to another side, px, without aliasing."""
    order = 3 if patch.shape[1] < side else 1
    shape = (len(patch), side, side)
    return np.asarray(resize(patch.astype(np.float32), shape, order=order, mode="reflect", anti_aliasing=True))  # type: ignore[no-untyped-call]
