"""What is measured on an image before it is denoised: its lattice, the scale for the network, and the guards."""

from __future__ import annotations

import warnings
from functools import cached_property, partial
from itertools import islice, product
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.atoms.spacing import find_lattice
from napari_hush.errors import InputError
from napari_hush.inference.guards.guard import Guard, measure_guard
from napari_hush.inference.guards.strict import StrictGuard, measure_strict
from napari_hush.inference.holes import fill_holes
from napari_hush.inference.known import Known
from napari_hush.inference.planes import middle_part
from napari_hush.inference.scaling import ScaledPlane, scale_factor
from napari_hush.inference.streaks import count_projections, kept_away
from napari_hush.progress import MEASURING, Progress, drain
from napari_hush.residual.noise import measure_noise
from napari_hush.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_hush.atoms.autocorrelation import LatticeFit
    from napari_hush.inference.channels import Group
    from napari_hush.inference.planes import Planes
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.inference.tiles.runner import Read
    from napari_hush.model import Model
    from napari_hush.residual.noise import NoiseModel

    Stored = Callable[[slice, slice], bool]

WHOLE = 1536  # px; larger planes are measured in windows
WINDOW = 1024
NOISE_WINDOW = 640
COUNTED = 0.5  # share of the variance that must be that of counts, so that a dose is told
EDGES = 1.3  # both ends of the noise's spectrum, multiplied: more, and edges of the image are in it
UNEVEN = 3.0  # times what the noise of the pixels explains: row levels that are told
TURNING = -0.3  # correlation of second differences of row levels, at most
CERTAIN = 0.8  # of a lattice: no need to look at further windows


class MeasuredLattice:
    """The lattice of an image and its noise, measured when somebody asks, and once.

    Parameters
    ----------
    source : Planes
        The noisy image.
    channels : list of int
        Those that are looked at, together.
    known : sequence of float or None
        The lattice period of these channels, if somebody has measured it before, as the only entry.
    kept : Known, optional
        What was measured on this image before.
    """

    def __init__(
        self, source: Planes, channels: list[int], known: Sequence[float | None] = (), kept: Known | None = None
    ) -> None:
        self.source, self.channels = source, channels
        self._kept = kept or Known()
        if known:
            self.spacing = known[0]

    @property
    def found(self) -> list[float | None]:
        """The period for ``known``, if it was measured."""
        return [self.spacing] if "spacing" in self.__dict__ else []

    def steps(self) -> Generator[Progress, None, None]:
        """Find the lattice period, and yield on the way."""
        if "spacing" not in self.__dict__:
            find = partial(spacing_steps, self.source, self.channels)
            self.spacing = yield from self._kept.steps(self._key("spacing"), find)

    def _key(self, name: str) -> tuple[object, ...]:
        return name, tuple(self.channels), self.source.channel_axis, self.source.levels

    @cached_property
    def spacing(self) -> float | None:
        """The lattice period, px; None where there is no lattice."""
        return self._kept.get(self._key("spacing"), partial(measure_spacing, self.source, self.channels))

    @cached_property
    def middle(self) -> np.ndarray:
        """The middle plane, or the middle of a large one, (Y, X)."""
        indices = list(self.source.indices())
        read = partial(self.source.read, indices[len(indices) // 2], self.channels)
        stored = partial(_stored, self.source, indices[len(indices) // 2])
        return np.asarray(next(probes(read, self.source.plane_shape, stored)).astype(np.float64).mean(axis=0))

    @cached_property
    def projections(self) -> int | None:
        """From how many directions a slice with streaks was reconstructed; None for any other image."""
        return self._kept.get(self._key("projections"), lambda: count_projections(self.middle))

    @property
    def noise_words(self) -> str:
        """What stands out of its noise, for a person: the dose, and rows on levels of their own; empty if nothing."""
        return self._kept.get(self._key("noise"), self._noise_words)

    def _noise_words(self) -> str:
        noise = measure_noise([self.middle])
        if not noise.calibrated:
            return ""
        dose = counts_per_pixel(noise, self.middle)
        words = [] if dose is None else [f"about {_one_digit(dose)} counts per pixel"]
        rows = has_uneven_rows(noise, self.middle)
        return ", ".join([*words, *(["rows on levels of their own"] if rows else [])])


def has_uneven_rows(noise: NoiseModel, image: NDArray[np.floating]) -> bool:
    """Whether the rows of an image (Y, X) lie on levels of their own, by more than their noise and the image explain.

    Second differences of levels that know nothing of each other turn their sign, -2/3 as a correlation; those of a
    lattice along the rows, or of edges, do not.
    """
    own = 1.5 * float(noise.variance(image).mean()) * noise.bands[0] / image.shape[1]
    if not noise.row_levels or noise.row_variance <= UNEVEN * own:  # of the median of means over each row
        return False
    levels = np.diff(np.median([part.mean(axis=1) for part in np.array_split(image, 8, axis=1)], axis=0), 2)
    power = float(levels @ levels)
    return power > 0 and float(levels[1:] @ levels[:-1]) < TURNING * power


def counts_per_pixel(noise: NoiseModel, image: NDArray[np.floating]) -> float | None:
    """Estimate the mean number of counts (electrons, photons) per pixel from the noise.

    Parameters
    ----------
    noise : NoiseModel
        Of the image.
    image : ndarray, shape (Y, X)
        As measured.

    Returns
    -------
    float or None
        To a factor of two; None where the noise does not grow as that of counts does, or edges are mistaken for it.

    Notes
    -----
    One count adds ``c1`` to an image whose variance is ``c0 + c1 m``. A slow detector shares a count among neighbours
    along X: with the means ``b`` of the spectrum at either end, of a first-order lag ``b[0] b[-1] = 1``; edges, which
    are stronger at the slow end, are seen by that.
    """
    c0, c1, c2 = noise.coefficients
    above = float(np.clip(image - noise.zero, 0, noise.top - noise.zero).mean())
    counted, rest = c1 * above, c2 * above**2
    if noise.falling or not counted > 0 or counted < COUNTED * (c0 + counted + rest) or shows_edges(noise):
        return None
    return (above + c0 / c1) / (c1 * noise.bands[0])


def shows_edges(noise: NoiseModel) -> bool:
    """Whether edges of the image are mistaken for noise, see `counts_per_pixel`."""
    return noise.bands[0] * float(np.mean(noise.bands[-4:])) > EDGES


def _one_digit(number: float) -> str:
    return f"{float(f'{number:.1g}'):,.10g}"


def fitting_model(lattice: MeasuredLattice) -> tuple[str, str]:
    """Choose the bundled model for an image.

    Parameters
    ----------
    lattice : MeasuredLattice
        Of the noisy image.

    Returns
    -------
    name, reason : str
        For `load_model`, and for a person.
    """
    if lattice.spacing is None:
        if (projections := lattice.projections) is not None:
            return "tomo", f"no lattice was found but the streaks of {projections} projections"
        name, reason = "general", "no lattice was found"
    else:
        name, reason = "stem", f"a lattice of {lattice.spacing:.4g} px was found"
    return name, f"{reason} ({words})" if (words := lattice.noise_words) else reason


def wrong_model(lattice: MeasuredLattice, model: Model) -> str:
    """Say why a model that somebody chose does not suit an image; empty where it does.

    Parameters
    ----------
    lattice : MeasuredLattice
        Of the noisy image.
    model : Model
        As chosen.
    """
    name = model.card.name
    if model.scale is not None and lattice.spacing is None:
        return (
            f"no lattice was found, and the model {name!r} was trained for lattices: the image is taken as it is, and "
            "small shapes can come out as atom columns; 'general' is the model for images without a lattice"
        )
    if name == "general" and lattice.spacing is not None:
        return f"a lattice of {lattice.spacing:.4g} px was found: 'stem' is the model for lattices, {name!r} knows none"
    return ""


def measure_scale(
    lattice: MeasuredLattice, model: Model, settings: DenoiseSettings
) -> tuple[float | None, ScaledPlane]:
    """Measure the lattice period, where it is needed, and find the scale at which the network is to see the image.

    Parameters
    ----------
    lattice : MeasuredLattice
        Of the noisy image.
    model, settings
        What is run, and how.

    Returns
    -------
    spacing : float or None
        Px of the image; None where there is no lattice, or nobody asks.
    scaled : ScaledPlane

    Raises
    ------
    InputError
        If a rescaling or the strict guard is insisted on where it makes no sense.

    Warns
    -----
    UserWarning
        If the model was not trained for this period, or for lattices only and there is none.
    """
    scale = model.scale
    period = scale.period if scale is not None and settings.rescale is not False else None
    if settings.rescale is True and period is None:
        raise InputError(
            f"rescale=True needs a model that works at one lattice period, and {model.card.name!r} takes images as "
            "they are: use rescale='auto', or choose another model"
        )
    spacing = None
    if looks_for_lattice(model, settings):
        spacing = lattice.spacing
    if settings.rescale is True and spacing is None:
        raise InputError("rescale=True needs an image with a lattice, and none was found: use rescale='auto'")
    if settings.guard == "strict" and spacing is None:
        raise InputError(
            "guard='strict' needs an image with a lattice, whose columns it takes from the noisy image, and no lattice "
            "was found: use guard='auto'"
        )
    if spacing is None and scale is not None:
        warnings.warn(wrong_model(lattice, model), UserWarning, stacklevel=2)
    if spacing is not None and scale is not None and not scale.lowest <= spacing <= scale.highest:
        warnings.warn(
            f"the lattice period of {spacing:.1f} px lies outside the {scale.lowest:g} to {scale.highest:g} px that "
            f"the model {model.card.name!r} was trained for: expect a worse result; another magnification "
            "would bring it inside",
            UserWarning,
            stacklevel=2,
        )
    return spacing, ScaledPlane(lattice.source.plane_shape, scale_factor(spacing, period), model.stride)


def looks_for_lattice(model: Model, settings: DenoiseSettings) -> bool:
    """Whether a run needs the lattice period: for its scale, or for what slow contrast is."""
    return model.scale is not None or (is_guarded(model, settings) and is_slow_guarded(model, settings))


def is_slow_guarded(model: Model, settings: DenoiseSettings) -> bool:
    """Whether slow contrast comes from the noisy image: where a guarded model does not say that it must not."""
    return settings.guard in (True, "strict") or model.guard


def is_guarded(model: Model, settings: DenoiseSettings) -> bool:
    """Whether a run is guarded: wherever the model gives what it takes.

    Parameters
    ----------
    model : Model
        To be run.
    settings : DenoiseSettings
        ``guard`` in it.

    Raises
    ------
    InputError
        If the guard is insisted on where it makes no sense.
    """
    same = model.depth > 1 or model.image_channels == model.out_channels
    if settings.guard in (True, "strict") and not same:
        raise InputError(
            f"guard={settings.guard!r} needs a model that gives the channels that it takes; {model.card.name!r} takes "
            f"{model.image_channels} and gives {model.out_channels}: use guard='auto'"
        )
    return same and settings.guard is not False


def measure_guards(
    read: Read,
    shape: tuple[int, int],
    model: Model,
    group: Group,
    period: float | None,
    settings: DenoiseSettings,
    streaks: int | None = None,
    stored: Stored | None = None,
) -> list[Guard | StrictGuard]:
    """Measure one guard for each channel that the network gives for a plane.

    Parameters
    ----------
    read : callable
        Gives (C, Y, X) of what the network sees for two slices.
    shape : (int, int)
        Y, X of what the network sees, px.
    model, group
        What is run, on which channels.
    period : float or None
        Of the lattice as the network sees it, px.
    settings : DenoiseSettings
        ``guard`` and ``dark`` in it.
    streaks : int, optional
        From how many directions a slice was reconstructed whose streaks the model is to take away.
    stored : callable, optional
        As of `probes`.
    """

    def measured(planes: list[np.ndarray]) -> Guard | StrictGuard:
        slow = is_slow_guarded(model, settings)
        if streaks is not None and not slow:
            return Guard(low_pass=0.0, noise=0.0, withheld=kept_away(streaks))
        guard = measure_guard(planes, period, size=shape[0] * shape[1], slow=slow)
        if settings.guard != "strict" or period is None:
            return guard
        return measure_strict(planes, guard, period, dark=settings.dark)

    if model.depth > 1:
        channels = [model.depth // 2]
    else:
        channels = [group.inputs.index(channel) for channel in group.inputs]  # of equal ones the first
    blocks = list(probes(read, shape, stored))
    if len(blocks) > 1 and period is None:  # noise is known of fewer pixels than a lattice
        blocks = [block[(..., *middle_part(block.shape[-2:], NOISE_WINDOW))].copy() for block in blocks]
    found = {channel: measured([block[channel] for block in blocks]) for channel in set(channels)}
    return [found[channel] for channel in channels]


def probes(read: Read, shape: tuple[int, int], stored: Stored | None = None) -> Iterator[np.ndarray]:
    """The plane, or windows of a large one from its middle outwards, (C, Y, X); their places do not depend on tiles.

    Of a sparse plane, windows of which something was stored; where there is none, the windows are empty.

    Parameters
    ----------
    read : callable
        Gives (C, Y, X) of the plane for two slices.
    shape : (int, int)
        Y, X of the plane, px.
    stored : callable, optional
        Says for two slices whether anything was ever stored there.
    """
    sides = [size if size <= WHOLE else WINDOW for size in shape]
    shares = [(0.5, 0.5), (0.2, 0.2), (0.8, 0.8), (0.2, 0.8), (0.8, 0.2)]
    places: list[tuple[slice, slice]] = []
    for share in shares if tuple(sides) != tuple(shape) else shares[:1]:
        top, left = (round(s * (size - side)) for s, size, side in zip(share, shape, sides, strict=True))
        places.append((slice(top, top + sides[0]), slice(left, left + sides[1])))
    if stored is not None and len(places) > 1:
        places = [place for place in places if stored(*place)] or _where_stored(shape, sides, stored) or places
    for y, x in places:
        block = fill_holes(read(y, x), np.nan)
        finite = np.isfinite(block)
        yield block if finite.all() else np.where(finite, block, np.median(block[finite]) if finite.any() else 0)


def _where_stored(shape: tuple[int, int], sides: Sequence[int], stored: Stored) -> list[tuple[slice, slice]]:
    """A few of all windows side by side of which something was stored, from one end of them to the other."""
    starts = [[*range(0, size - side, side), size - side] for size, side in zip(shape, sides, strict=True)]
    windows = ((slice(y, y + sides[0]), slice(x, x + sides[1])) for y, x in product(*starts))
    found = [window for window in windows if stored(*window)]
    return [found[number] for number in np.unique(np.linspace(0, len(found) - 1, 5).astype(int))] if found else []


def _stored(source: Planes, index: tuple[int, ...], y: slice, x: slice) -> bool:
    return not source.is_empty(index, 0, y, x)


def measure_spacing(source: Planes, channels: list[int]) -> float | None:
    """The lattice period of an image, see `spacing_steps`."""
    return drain(spacing_steps(source, channels))


def spacing_steps(source: Planes, channels: list[int]) -> Generator[Progress, None, float | None]:
    """The lattice period of an image, px; None where there is no lattice. Yields after each part read.

    Parameters
    ----------
    source : Planes
        Of a stack the middle, the first and the last plane are looked at.
    channels : list of int
        Which channels to take together.
    """
    indices = list(source.indices())
    best = None
    for number in dict.fromkeys((len(indices) // 2, 0, len(indices) - 1)):
        read, stored = partial(source.read, indices[number], channels), partial(_stored, source, indices[number])
        blocks = probes(read, source.plane_shape, stored)
        for count in (1, None):  # the middle alone is mostly enough
            some = []
            for block in islice(blocks, count):
                some.append(block)
                yield Progress(0, 1, MEASURING)
            for found in in_threads(_lattice, some):
                if found is not None and (best is None or found.lasting > best.lasting):
                    best = found
                if best is not None and best.lasting > CERTAIN:
                    return best.spacing
            yield Progress(0, 1, MEASURING)
    return None if best is None else best.spacing


def _lattice(block: np.ndarray) -> LatticeFit | None:
    return find_lattice(block.astype(np.float64).mean(axis=0))
