"""What the user's own layers give to a data set: a crystal, dents, a noise; and how each was understood, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from napari_hush.declare import Bounds, check_fields
from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.synthesis.dents.published_mask import MaskRecipe, checked_image, mask_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_hush.datasets.drawing import Drawer
    from napari_hush.datasets.settings import SynthesisSettings
    from napari_hush.synthesis import FittedNoise, UnitLattice

# What measures and draws takes a second to load: it is imported in the thread.

AROUND = 256  # px to each side of a crop that are looked at where its own noise hides its lattice
ACROSS = 4  # periods of the crop that then takes its place
DOUBTFUL = 0.6  # of the crop's standard deviation is not periodic
VARIANTS: dict[str, MaskRecipe] = {
    "published": MaskRecipe(),
    "mask (not smoothed)": MaskRecipe(smoothing="none"),
    "mask_2 (minimum, 7 x 7)": MaskRecipe(smoothing="minimum", distance=3),
    "mask_3_average (mean, 11 x 11)": MaskRecipe(smoothing="mean", distance=5),
}


@dataclass(frozen=True, kw_only=True)
class DentSettings:
    """How a transmission is measured.

    Parameters
    ----------
    spacing : float or None
        Lattice period of the image, px; None measures it.
    dark : float or None
        Level where there is nothing, in the image's unit, such as that of vacuum; None estimates it from the noise.
    """

    spacing: Annotated[float, Bounds(1.0, 16_384.0)] | None = None
    dark: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """One grey plane of an image layer at one moment.

    Parameters
    ----------
    data : array_like, shape (Y, X)
        Perhaps not read yet.
    name : str
        The layer's name.
    index : tuple
        What was taken: the leading indices and the region.
    around : array_like, optional
        The region and what lies around it.
    """

    data: Any
    name: str
    index: tuple[Any, ...]
    around: Any = None

    @classmethod
    def of(cls, layer: Image, plane: tuple[int, ...], region: tuple[int, int, int, int] | None = None) -> Plane:
        """Take a plane, or a region y0, y1, x0, x1 of it.

        Raises
        ------
        InputError
            If the layer has colours.
        """
        if layer.rgb:
            raise InputError(f"{layer.name} has colours: choose a grey image")
        data = layer.data[0] if layer.multiscale else layer.data
        y0, y1, x0, x1 = region or (0, data.shape[-2], 0, data.shape[-1])
        y, x = slice(max(y0 - AROUND, 0), y1 + AROUND), slice(max(x0 - AROUND, 0), x1 + AROUND)
        around = None if region is None else data[(*plane, y, x)]
        part = data[(*plane, slice(y0, y1), slice(x0, x1))]
        return cls(data=part, name=layer.name, index=(plane, region), around=around)

    def read(self) -> NDArray[Any]:
        """The pixels."""
        return np.array(self.data)


@dataclass(frozen=True, kw_only=True, eq=False)
class Crop:
    """A unit crop that was understood."""

    image: NDArray[Any]
    words: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Dents:
    """A mask, the last of ``steps``, and the lattice period of its image, px."""

    steps: dict[str, NDArray[Any]]
    period: float
    words: str


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseLike:
    """The noise of an image, for clean images with peaks of 1."""

    noises: tuple[Any, ...]
    fitted: FittedNoise
    words: str


Measured = Crop | Dents | NoiseLike | InputError
ToMeasure = dict[str, "Callable[[], Measured]"]


def measure_crop(plane: Plane) -> Crop:
    """Find the lattice of a unit crop; where its noise hides it, that of what lies around it is taken."""
    from napari_hush.atoms.spacing import find_lattice
    from napari_hush.synthesis import average_cell, measure_lattice
    from napari_hush.synthesis.lattices.unit_cell import render_cell

    image, hidden = plane.read(), ""
    try:
        lattice = measure_lattice(image)
    except InputError:
        around = None if plane.around is None else find_lattice(np.asarray(plane.around))
        if around is None:
            raise
        cell = average_cell(image, vectors=around.vectors)
        side = ACROSS * int(np.ceil(np.hypot(*around.vectors.T).max()))
        image = render_cell(cell, (side, side)).image
        lattice = measure_lattice(image)
        hidden = ". Too noisy to tell its lattice, which is that of what lies around it: its averaged cell is taken"
    columns = len(average_cell(image, vectors=lattice.vectors).columns)
    height, width = image.shape
    words = (
        f"{width} x {height} px: {describe_lattice(lattice)}, {columns} column{'s' * (columns > 1)} per cell{hidden}"
    )
    if lattice.residual > DOUBTFUL:
        words += f". Looks like noise or texture, not a lattice: {lattice.residual:.0%} of it is not periodic"
    return Crop(image=image, words=words)


def describe_lattice(lattice: UnitLattice) -> str:
    """Name a lattice as crystallographers would, with its periods."""
    first, second = lattice.periods
    angle = abs((lattice.angles[1] - lattice.angles[0] + 180) % 360 - 180)
    alike = second < 1.03 * first
    if abs(angle - 90) < 2:
        kind = "square" if alike else "rectangular"
    elif alike:
        kind = "hexagonal" if min(abs(angle - 60), abs(angle - 120)) < 2 else "rhombic"
    else:
        kind = "oblique"
    return f"{kind}-like lattice, periods {first:.1f} and {second:.1f} px at {angle:.0f}°"


def measure_transmission(plane: Plane, settings: DentSettings) -> Dents:
    """Measure where the specimen is thinner."""
    from napari_hush.atoms.spacing import require_spacing
    from napari_hush.synthesis import dent_from_image

    image = checked_image(plane.read())
    if min(image.shape) < 16:
        raise InputError(f"expected an image of at least 16 x 16 px; got {image.shape[1]} x {image.shape[0]} px")
    # measure_lattice is for clean crops: on a whole noisy image it takes many seconds and may find nothing
    spacing = require_spacing(image) if settings.spacing is None else settings.spacing
    mask = dent_from_image(image, spacing, dark=settings.dark)
    words = f"period {spacing:.1f} px; {np.mean(mask < 0.9):.0%} of the area is dented, down to {mask.min():.0%}"
    return Dents(steps={"transmission": mask}, period=spacing, words=words)


def measure_mask(plane: Plane, recipe: MaskRecipe) -> Dents:
    """Go through the steps of the published recipe."""
    steps: dict[str, NDArray[Any]] = {
        name: step.astype(np.float32) for name, step in mask_steps(plane.read(), recipe).items()
    }
    share = np.mean(steps["thresholded"] > 0)
    return Dents(steps=steps, period=1.0, words=f"{share:.0%} of the area reaches the threshold")


def measure_noise(plane: Plane) -> NoiseLike:
    """Measure gain, dose, row correlation and jitter of an image."""
    from napari_hush.synthesis.noise.fit.noise import fit_noise

    fitted = fit_noise(plane.read())
    noises = fitted.noise().noises
    jitter = "no jitter seen" if not fitted.jitter else f"jitter {fitted.jitter:.2g} px"
    words = (
        f"gain {fitted.gain:.3g} per count, {fitted.dose:.3g} counts per px at the peaks, "
        f"row correlation {fitted.row_correlation:.2f}, {jitter}"
    )
    if fitted.notes:
        words += f". Note: {'; '.join(fitted.notes)}"
    return NoiseLike(noises=noises, fitted=fitted, words=words)


def measure_steps(to_measure: ToMeasure) -> Generator[Progress, None, dict[str, Measured]]:
    """Measure one after the other; what cannot be measured gives the `InputError` that says why."""
    found: dict[str, Measured] = {}
    for name, measure in to_measure.items():
        yield Progress(0, 0, f"measuring the {name}…")
        try:
            found[name] = measure()
        except InputError as error:
            found[name] = InputError(str(error))  # the one that was raised holds images and widgets in its traceback
    return found


def make_drawer(settings: SynthesisSettings, found: Mapping[str, Measured]) -> Drawer:
    """Put settings and materials together.

    Raises
    ------
    InputError
        If something was asked for that could not be measured.
    """
    from napari_hush.datasets.drawing import Drawer
    from napari_hush.datasets.materials import Materials

    for name, measured in found.items():
        if isinstance(measured, InputError):
            raise InputError(f"{name}: {measured}")
    crop, dents, noise = (found.get(name) for name in ("unit crop", "dents", "noise"))
    if isinstance(noise, NoiseLike):
        settings = replace(settings, noises=noise.noises)
    masks = (list(dents.steps.values())[-1],) if isinstance(dents, Dents) else ()
    periods = (dents.period,) if isinstance(dents, Dents) else ()
    image = crop.image if isinstance(crop, Crop) else None
    return Drawer(settings, Materials(crop=image, masks=masks, mask_periods=periods))
