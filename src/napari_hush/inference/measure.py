"""What is measured on an image before it is denoised: its lattice, the scale for the network, and the guards."""

from __future__ import annotations

import warnings
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.atoms.spacing import find_lattice
from napari_hush.errors import InputError
from napari_hush.inference.guard import Guard, measure_guard
from napari_hush.inference.scaling import ScaledPlane, scale_factor
from napari_hush.inference.strict import StrictGuard, measure_strict
from napari_hush.inference.tiles.runner import filled_block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_hush.inference.channels import Group
    from napari_hush.inference.planes import Planes
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.inference.tiles.runner import Read
    from napari_hush.model import Model

WHOLE = 1536  # px; larger planes are measured in windows
WINDOW = 1024
CERTAIN = 0.8  # of a lattice: no need to look at further windows


class MeasuredLattice:
    """The lattice of an image, measured when somebody asks, and once.

    Parameters
    ----------
    source : Planes
        The noisy image.
    channels : list of int
        Those that are looked at, together.
    """

    def __init__(self, source: Planes, channels: list[int]) -> None:
        self.source, self.channels = source, channels

    @cached_property
    def spacing(self) -> float | None:
        """The lattice period, px; None where there is no lattice."""
        return measure_spacing(self.source, self.channels)


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
        return "general", "no lattice was found"
    return "stem", f"a lattice of {lattice.spacing:.4g} px was found"


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
    if scale is not None or (is_guarded(model, settings) and is_slow_guarded(model, settings)):
        spacing = lattice.spacing
    if settings.rescale is True and spacing is None:
        raise InputError("rescale=True needs an image with a lattice, and none was found: use rescale='auto'")
    if settings.guard == "strict" and spacing is None:
        raise InputError(
            "guard='strict' needs an image with a lattice, whose columns it takes from the noisy image, and no lattice "
            "was found: use guard='auto'"
        )
    if spacing is None and scale is not None:
        warnings.warn(
            f"no lattice was found, and the model {model.card.name!r} was trained for lattices: the image is taken as "
            "it is, and small shapes can come out as atom columns; 'general' is the model for images without a lattice",
            UserWarning,
            stacklevel=2,
        )
    if spacing is not None and scale is not None and not scale.lowest <= spacing <= scale.highest:
        warnings.warn(
            f"the lattice period of {spacing:.1f} px lies outside the {scale.lowest:g} to {scale.highest:g} px that "
            f"the model {model.card.name!r} was trained for: expect a worse result; another magnification "
            "would bring it inside",
            UserWarning,
            stacklevel=2,
        )
    return spacing, ScaledPlane(lattice.source.plane_shape, scale_factor(spacing, period))


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
    same = model.depth > 1 or model.in_channels == model.out_channels
    if settings.guard in (True, "strict") and not same:
        raise InputError(
            f"guard={settings.guard!r} needs a model that gives the channels that it takes; {model.card.name!r} takes "
            f"{model.in_channels} and gives {model.out_channels}: use guard='auto'"
        )
    return same and settings.guard is not False


def measure_guards(
    read: Read, shape: tuple[int, int], model: Model, group: Group, period: float | None, settings: DenoiseSettings
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
    """

    def measured(planes: list[np.ndarray]) -> Guard | StrictGuard:
        guard = measure_guard(planes, period, size=shape[0] * shape[1], slow=is_slow_guarded(model, settings))
        if settings.guard != "strict" or period is None:
            return guard
        return measure_strict(planes, guard, period, dark=settings.dark)

    if model.depth > 1:
        channels = [model.depth // 2]
    else:
        channels = [group.inputs.index(channel) for channel in group.inputs]  # of equal ones the first
    blocks = list(probes(read, shape))
    found = {channel: measured([block[channel] for block in blocks]) for channel in set(channels)}
    return [found[channel] for channel in channels]


def probes(read: Read, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """The plane, or windows of a large one from its middle outwards, (C, Y, X); their places do not depend on tiles.

    Parameters
    ----------
    read : callable
        Gives (C, Y, X) of the plane for two slices.
    shape : (int, int)
        Y, X of the plane, px.
    """
    sides = [size if size <= WHOLE else WINDOW for size in shape]
    shares = [(0.5, 0.5), (0.2, 0.2), (0.8, 0.8), (0.2, 0.8), (0.8, 0.2)]
    for share in shares if tuple(sides) != tuple(shape) else shares[:1]:
        starts = [round(s * (size - side)) for s, size, side in zip(share, shape, sides, strict=True)]
        y, x = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
        block, _ = filled_block(read(y, x), np.nan)
        finite = np.isfinite(block)
        yield block if finite.all() else np.where(finite, block, np.median(block[finite]) if finite.any() else 0)


def measure_spacing(source: Planes, channels: list[int]) -> float | None:
    """The lattice period of an image, px; None where there is no lattice.

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
        for block in probes(partial(source.read, indices[number], channels), source.plane_shape):
            found = find_lattice(block.astype(np.float64).mean(axis=0))
            if found is not None and (best is None or found.lasting > best.lasting):
                best = found
            if best is not None and best.lasting > CERTAIN:
                return best.spacing
    return None if best is None else best.spacing
