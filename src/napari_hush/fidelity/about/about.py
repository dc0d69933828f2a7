"""What is my image? All that can be measured on it alone, in words and figures, and what fits it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.fidelity.about.advice import Advice, advise
from napari_hush.fidelity.about.noise import Noise, about_noise
from napari_hush.fidelity.about.order import Order, measure_order
from napari_hush.fidelity.about.values import Values, measure_values, rows_of_bar
from napari_hush.inference.known import Known
from napari_hush.inference.measure import MeasuredLattice
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io.image import ImageData
from napari_hush.io.labels import looks_like_labels
from napari_hush.memory import free_memory
from napari_hush.progress import Progress, drain
from napari_hush.residual.noise import measure_noise

if TYPE_CHECKING:
    from collections.abc import Generator

MOST = 4  # channels that are measured each
STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of what is told: its name, and words."""

    name: str
    words: str


@dataclass(frozen=True, kw_only=True)
class About:
    """What an image is.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    axes : str
        One letter each, where they are known.
    planes, channels : int
        How many there are.
    dtype : str
        Number type.
    pixel_size : (float, float) or None
        Along Y and X, nm.
    size, free : int
        Bytes that the image takes, and that are free.
    values : tuple of Values
        Of the first channels.
    noise : tuple of Noise
        Of the same.
    lattice : Order or None
        None where there is none.
    bar : int
        Rows of text at the bottom.
    advice : Advice
        What fits.
    """

    shape: tuple[int, ...]
    axes: str
    planes: int
    channels: int
    dtype: str
    pixel_size: tuple[float, float] | None
    size: int
    free: int
    values: tuple[Values, ...]
    noise: tuple[Noise, ...]
    lattice: Order | None
    bar: int
    advice: Advice

    @property
    def lines(self) -> tuple[Line, ...]:
        """All of it for a person."""
        several = self.channels > 1
        found = [
            ("image", self._image_words),
            ("pixel size", _pixel_words(self.pixel_size)),
            ("lattice", "not found: nothing repeats" if self.lattice is None else self.lattice.words),
            ("noise", _each([one.words for one in self.noise], several)),
            ("rows", _each([one.rows_words for one in self.noise], several)),
            ("range", _each([one.range_words for one in self.values], several)),
            ("ends", _each([one.ends_words for one in self.values], several)),
            ("holes", _each([one.holes_words for one in self.values], several)),
            ("memory", self._memory_words),
        ]
        if self.bar:
            found.append(
                ("text", f"the lowest {self.bar} rows are a bar of text, left out of range and ends: crop them before")
            )
        found += [("model", self.advice.words), ("training", self.advice.training_words)]
        return tuple(Line(name=name, words=words) for name, words in found)

    @property
    def words(self) -> str:
        """All of it as a text."""
        return "\n".join(f"{line.name}: {line.words}" for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @property
    def _image_words(self) -> str:
        sides = " x ".join(map(str, self.shape)) + (f" ({self.axes})" if self.axes else "")
        planes = f", {self.planes} planes" if self.planes > 1 else ""
        channels = f", {self.channels} channels" if self.channels > 1 else ""
        return f"{sides}, {self.dtype}{planes}{channels}"

    @property
    def _memory_words(self) -> str:
        result = math.prod(self.shape) * 4
        words = f"{_bytes(self.size)}, its result {_bytes(result)}, and {_bytes(self.free)} are free"
        return words + ("; keep the result in a file" if result > self.free else "")


def describe(
    image: Any,
    *,
    channel_axis: int | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    axes: str = "",
    source: str = "",
) -> About:
    """Say what an image is: lattice, noise, range, holes, and the model and the training that fit.

    Parameters
    ----------
    image : array_like, shape (..., Y, X), or ImageData
        Anything with shape, dtype and slicing; one from `napari_hush.io.read_image` brings its axes and pixel size.
    channel_axis : int, optional
        The axis of colours.
    pixel_size : float or (float, float), optional
        Nm, along Y and X.
    axes : str, optional
        One letter for each dimension, for the words alone.
    source : str, optional
        The name of its file, by which labels are recognised sooner.

    Returns
    -------
    About
        Its ``words`` are for a person, ``as_dict()`` is JSON-able. What cannot be measured is told as not found, with
        the reason.

    Raises
    ------
    InputError
        If this is no image.

    See Also
    --------
    napari_hush.inference.measure.fitting_model : The choice of ``model="auto"``, which this one repeats.

    Examples
    --------
    >>> import napari_hush as hush
    >>> found = hush.describe(hush.sample("dented-lattice").noisy)
    >>> found.advice.model, round(found.lattice.period)
    ('stem', 12)
    """
    steps = describe_steps(image, channel_axis=channel_axis, pixel_size=pixel_size, axes=axes, source=source)
    return drain(steps)


def describe_steps(
    image: Any,
    *,
    channel_axis: int | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    axes: str = "",
    source: str = "",
    known: Known | None = None,
) -> Generator[Progress, None, About]:
    """As `describe`, step by step; ``known`` is what was measured on this image before, and then what is now."""
    if isinstance(image, ImageData):
        channel_axis = image.channel_axis if channel_axis is None else channel_axis
        pixel_size = image.pixel_size_in("nm") if pixel_size is None else pixel_size
        axes, source, image = axes or image.axes, source or image.source, image.data
    sides = (pixel_size, pixel_size) if isinstance(pixel_size, (int, float)) else pixel_size
    planes = Planes(image, channel_axis)
    yield Progress(0, STEPS, "measuring the noise…")
    known = known or Known()
    seen = yield from planes.lowered_steps(each=DenoiseSettings().normalize == "plane", known=known)
    measured = []
    for channel in range(min(planes.n_channels, MOST)):
        middle = MeasuredLattice(seen, [channel], kept=known).middle
        measured.append((measure_noise([middle]), middle))
    noise = [about_noise(model, middle) for model, middle in measured]
    yield Progress(1, STEPS, "looking at the values…")
    bar = rows_of_bar(_middle_plane(planes))
    values = [measure_values(planes, channel, bar=bar) for channel in range(len(measured))]
    nothing = _nothing(values, looks_like_labels(planes.image, source))
    yield Progress(2, STEPS, "looking for a lattice…")
    lattice = MeasuredLattice(seen, [0], kept=known)
    order = None if nothing else measure_order(lattice, sides)
    yield Progress(3, STEPS, "choosing a model…")
    dtype = np.dtype(planes.image.dtype)
    shape = tuple(int(n) for n in planes.image.shape)
    return About(
        shape=shape,
        axes=axes,
        planes=math.prod(planes.lead_shape),
        channels=planes.n_channels,
        dtype=str(dtype.newbyteorder("=")),
        pixel_size=sides,
        size=math.prod(shape) * dtype.itemsize,
        free=free_memory("cpu"),
        values=tuple(values),
        noise=tuple(noise),
        lattice=order,
        bar=bar,
        advice=advise(lattice, order, noise[0], nothing),
    )


def _nothing(values: list[Values], labels: str) -> str:
    """Why there is nothing to denoise."""
    if all(one.low is None for one in values):
        return "no pixel has a value"
    if all(one.low is None or one.constant for one in values):
        return "all pixels have the same value"
    return f"it looks like {labels}, not like an image" if labels else ""


def _middle_plane(planes: Planes) -> np.ndarray:
    indices, (height, width) = list(planes.indices()), planes.plane_shape
    part: np.ndarray = planes.read(indices[len(indices) // 2], [0], slice(0, height), slice(0, min(width, 1024)))[0]
    return part


def _each(words: list[str], several: bool) -> str:
    """Of each channel where they differ, of all together where they do not."""
    if not several:
        return words[0]
    if len(set(words)) == 1:
        return f"{words[0]} (each of {len(words)} channels)"
    return "; ".join(f"channel {number}: {one}" for number, one in enumerate(words))


def _pixel_words(pixel_size: tuple[float, float] | None) -> str:
    if pixel_size is None:
        return "not found: the file or layer does not say it as a length"
    y, x = pixel_size
    return f"{x:.4g} nm" if abs(y / x - 1) < 1e-6 else f"{y:.4g} nm along Y, {x:.4g} nm along X"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 2**30), ("MB", 2**20)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 2**10:.3g} kB"
