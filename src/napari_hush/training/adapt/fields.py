"""What a model is adapted to: two noisy versions of each place, as its network sees them; and what is held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from napari_hush.errors import InputError
from napari_hush.inference.holes import fill_holes
from napari_hush.training.data.patches import Patch
from napari_hush.training.streams import Purpose, stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_hush.card import Scale
    from napari_hush.inference.plan import Pass
    from napari_hush.inference.scaling import ScaledPlane
    from napari_hush.training.adapt.noise import DrawnNoise, OwnNoise
    from napari_hush.training.adapt.settings import AdaptSettings

    Array = NDArray[np.float32]

STRENGTH = (0.5, 0.75)  # of the noise that is added, in units of the image's own
GAP = 8  # px between what is trained on and what is held out: noise is hardly correlated over more rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A plane, or its middle, as the network sees it.

    Parameters
    ----------
    one : Pass
        The plane, its values' range, and how it is read.
    scaled : ScaledPlane
        Its scale.
    part : (int, int, int, int)
        y0, y1, x0, x1 of what is used, px of the image.
    """

    one: Pass
    scaled: ScaledPlane
    part: tuple[int, int, int, int]

    @property
    def region(self) -> tuple[int, int, int, int]:
        """The same, px of what the network sees."""
        return self.scaled.seen_region(self.part)

    def values(self, y: slice, x: slice) -> Array:
        """The noisy image in network units, (1, Y, X); gaps are filled."""
        block = fill_holes(self.one.read(y, x), self.one.norm.fill)
        return self.one.norm.apply(block)

    def limited(self, values: Array) -> Array:
        """What the network would see of such values."""
        return np.clip(values, *self.one.norm.limits)


class Field(Protocol):
    """Two noisy versions of one place, of which the second one's noise is independent of the first one's."""

    @property
    def ways(self) -> Mapping[str, Field]:
        """Where weights are compared: the field itself, and others whose noise was found in other ways, by name."""
        ...

    @property
    def region(self) -> tuple[int, int, int, int]:
        """y0, y1, x0, x1 of what may be used, px of what the network sees."""
        ...

    def pair(self, rng: np.random.Generator, y: slice, x: slice) -> tuple[Array, Array]:
        """What the network is given of a place, and what it should give: (1, Y, X), in network units."""
        ...


@dataclass(frozen=True, eq=False)
class Recorrupted:
    """One plane whose own noise is put on it anew.

    Parameters
    ----------
    seen : Seen
        The plane.
    noise : DrawnNoise or OwnNoise
        Its noise, of the used part.
    strength : (float, float)
        Least and most of the noise that is added, in units of the image's own.
    others : sequence of (str, OwnNoise)
        The same noise found in other ways, for the comparison of weights: what one of them has wrong, another has not.
    """

    seen: Seen
    noise: DrawnNoise | OwnNoise
    strength: tuple[float, float] = STRENGTH
    others: Sequence[tuple[str, OwnNoise]] = ()

    @property
    def ways(self) -> Mapping[str, Field]:
        """As of `Field`."""
        return {"drawn": self} | {name: replace(self, noise=own, strength=(1, 1)) for name, own in self.others}

    @property
    def region(self) -> tuple[int, int, int, int]:
        """As of `Seen`."""
        return self.seen.region

    def pair(self, rng: np.random.Generator, y: slice, x: slice) -> tuple[Array, Array]:
        """The image with more of its noise, and with the opposite of it."""
        values = self.seen.values(y, x)
        strength = float(rng.uniform(*self.strength))
        top, bottom, left, right = self.seen.part

        def draw(rows: slice, columns: slice) -> Array:
            # a resampling looks a few px beyond the part: noise is needed there, of whatever brightness
            inside = [
                np.clip(np.arange(s.start, s.stop) - low, 0, high - low - 1)
                for s, low, high in ((rows, top, bottom), (columns, left, right))
            ]
            found = self.noise.pair(rng, strength, *(slice(int(i[0]), int(i[-1]) + 1) for i in inside))
            return np.stack([one[np.ix_(*(i - i[0] for i in inside))] for one in found])

        drawn = self.seen.scaled.read(draw, 0.0, y, x) / self.seen.one.norm.scale
        first, second = (np.asarray(values + one, np.float32) for one in (drawn[:1], drawn[1:]))
        return self.seen.limited(first), second


@dataclass(frozen=True, eq=False)
class Repeated:
    """Several planes of one field: one frame is predicted from another.

    Parameters
    ----------
    frames : sequence of Seen
        Two or more, of one part.
    drift : sequence of (float, float)
        Gain and offset of each against the first, image units; they are taken out.

    References
    ----------
    J. Lehtinen et al., "Noise2Noise: learning image restoration without clean data", ICML 2018,
    https://doi.org/10.48550/arXiv.1803.04189
    """

    frames: Sequence[Seen]
    drift: Sequence[tuple[float, float]]

    @property
    def ways(self) -> Mapping[str, Field]:
        """As of `Field`."""
        return {"repeats": self}

    @property
    def region(self) -> tuple[int, int, int, int]:
        """As of `Seen`."""
        return self.frames[0].region

    def pair(self, rng: np.random.Generator, y: slice, x: slice) -> tuple[Array, Array]:
        """Two frames by chance."""
        one, other = (self._values(int(k), y, x) for k in rng.choice(len(self.frames), 2, replace=False))
        return one, other

    def _values(self, number: int, y: slice, x: slice) -> Array:
        values, norm = self.frames[number].values(y, x), self.frames[number].one.norm
        gain, offset = self.drift[number]
        # in network units: (norm.invert(values) - offset) / gain
        return np.asarray((values + (norm.offset - offset) / norm.scale) / gain - norm.offset / norm.scale, np.float32)


def room_of(field: Field, settings: AdaptSettings) -> int:
    """The side of the largest patch that fits what is trained on, px of what the network sees."""
    top, _, left, right = field.region
    return max(min(_held_rows(field, settings)[0] - GAP - top, right - left), 0)


def _held_rows(field: Field, settings: AdaptSettings) -> tuple[int, int]:
    top, bottom, _, _ = field.region
    return bottom - max(round(settings.held_share * (bottom - top)), 1), bottom


class Lessons:
    """Patches of all fields, a `PatchSource`; the lowest rows of each are held out.

    Parameters
    ----------
    fields : sequence of Recorrupted or Repeated
        At least one.
    settings : AdaptSettings
        Patch, held share and seed.
    side : int
        Of a patch, px: a multiple of the network's stride.
    scale : Scale or None
        Of the model.
    fingerprint : str
        Changes when the images do.

    Raises
    ------
    InputError
        If a field is too small.
    """

    channels, zoom, exposure = 1, 1.0, None

    def __init__(
        self, fields: Sequence[Field], settings: AdaptSettings, side: int, *, scale: Scale | None, fingerprint: str
    ) -> None:
        self.fields, self.settings, self.side = list(fields), settings, side
        self.relation = "repeats" if settings.repeats is not None else "recorrupted"
        self.scale, self.fingerprint = scale, fingerprint
        self._areas = [self._area(field) for field in self.fields]
        sizes = np.array([(bottom - top) * (right - left) for top, bottom, left, right in self._areas])
        self._share = sizes / sizes.sum()

    def __len__(self) -> int:
        """Number of patches that cover what is trained on once."""
        return max(sum((b - t) * (r - m) for t, b, m, r in self._areas) // self.side**2, 1)

    def draw(self, number: int) -> Patch:
        """Make one training patch, from its number and the seed alone."""
        rng = stream(self.settings.seed, Purpose.PATCH, number)
        chosen = int(rng.choice(len(self.fields), p=self._share))
        top, bottom, left, right = self._areas[chosen]
        y, x = (
            slice(start, start + self.side)
            for start in (int(rng.integers(low, high - self.side + 1)) for low, high in ((top, bottom), (left, right)))
        )
        noisy, target = self.fields[chosen].pair(rng, y, x)
        return Patch(noisy, target, true=False)

    def held_out(self, which: Literal["validation", "test"]) -> list[Patch]:
        """None of a training's own: `HeldOut` compares the weights."""
        return []

    def held_rows(self, number: int) -> tuple[int, int]:
        """First and last but one of the rows of a field that are held out, px of what the network sees."""
        return _held_rows(self.fields[number], self.settings)

    def _area(self, field: Field) -> tuple[int, int, int, int]:
        top, bottom, left, right = field.region
        low = _held_rows(field, self.settings)[0] - GAP
        if room_of(field, self.settings) < self.side:
            raise InputError(
                f"the network sees {bottom - top} x {right - left} px of the image, too few to train on patches of "
                f"{self.side} px and to hold a part out: lower patch, or give a larger image"
            )
        return top, low, left, right
