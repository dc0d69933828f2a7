"""Simulated sample images with known truth, also as napari layer tuples; no download and no napari import."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.synthesis.dents.shapes import ellipse
from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.lattices.lattice import Lattice, RenderedLattice, render_lattice
from napari_hush.synthesis.noise.registry import Compose, DetectorLag, Poisson, Readout, RowJitter, SparseAngles
from napari_hush.synthesis.pictures.phantoms import cells, foam
from napari_hush.synthesis.series import FrameSeries, cell_series, lattice_series

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A noisy image and the truth behind it; for a unit crop, which is clean, both are the same.

    Parameters
    ----------
    name : str
        Its name in `SAMPLES`.
    description : str
        What it shows.
    noisy, clean : ndarray, shape (..., Y, X)
        Counts per pixel, float32; for foam, which is reconstructed, attenuation from 0 (air) to about 0.8.
    transmission : ndarray, shape (..., Y, X)
        How much of the material is there, from 0 (a hole) to 1; all ones in foam and cells.
    positions : ndarray, shape (N, 2)
        Atom columns (y, x), px, pixel centres at integers; also those in dents. None in foam and cells. Of a series
        that drifts those of the first frame, before the drift.
    vacancies : ndarray, shape (M, 2)
        Missing columns (y, x), px.
    period : float
        Shortest lattice repeat, px; NaN in foam and cells.
    dose : float
        Counts per pixel at the peak of a strong column, or where a cell is brightest; for foam, photons per detector
        pixel in each projection; infinite for the unit crop.
    pixel_size : float
        nm, simulated.
    series : FrameSeries or None
        Of a series that drifts: drift, where each column or spot is, and what happens when.
    """

    name: str
    description: str
    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]
    transmission: NDArray[np.float32]
    positions: NDArray[np.float64]
    vacancies: NDArray[np.float64]
    period: float
    dose: float
    pixel_size: float = 0.03
    series: FrameSeries | None = None


def _scan(dose: float, period: float) -> Compose:
    lag = DetectorLag(correlation=0.25)
    return Compose(
        noises=(
            RowJitter(rms=0.02 * period, correlation=0.5, advance=lag.delay),
            Poisson(dose=dose),
            lag,
            Readout(sigma=0.15 * dose**-0.5),
        )
    )


def _sample(
    name: str,
    lattice: Lattice,
    rendered: RenderedLattice,
    transmission: NDArray[np.float32],
    dose: float,
    rng: np.random.Generator,
) -> Sample:
    """Scan a rendered lattice once per transmission map, (Y, X) or (N, Y, X)."""
    clean = rendered.image * transmission
    scan = _scan(dose, lattice.period)
    noisy = np.stack([scan(frame, rng) for frame in clean.reshape(-1, *clean.shape[-2:])]).reshape(clean.shape)
    return Sample(
        name=name,
        description=SAMPLES[name].description,
        noisy=np.asarray(noisy * np.float32(dose), dtype=np.float32),
        clean=np.asarray(clean * np.float32(dose), dtype=np.float32),
        transmission=transmission,
        positions=rendered.positions,
        vacancies=rendered.vacancies,
        period=lattice.period,
        dose=dose,
    )


def _dented_lattice(rng: np.random.Generator) -> Sample:
    shape = (512, 512)
    lattice = Lattice(
        kind="square", period=12.0, angle=11.0, sigma=0.18, displacement=0.01, vacancies=0.02, background=0.12
    )
    rendered = render_lattice(lattice, shape, rng)
    dent = ellipse(
        shape,
        centre=(228, 290),
        fwhm=(130, 90),
        angle=30,
        depth=0.8,
        edge=10,
        warp=0.12 * smooth_field(shape, 40, rng),
    )
    return _sample("dented-lattice", lattice, rendered, dent, 10.0, rng)


def _hexagonal_low_dose(rng: np.random.Generator) -> Sample:
    shape = (512, 512)
    lattice = Lattice(
        kind="hexagonal", period=14.0, angle=23.0, sigma=0.17, displacement=0.01, vacancies=0.015, background=0.05
    )
    rendered = render_lattice(lattice, shape, rng)
    dent = ellipse(shape, centre=(360, 150), fwhm=(80, 60), angle=-20, depth=1.0, edge=8)
    return _sample("hexagonal-low-dose", lattice, rendered, dent, 2.0, rng)


def _dumbbell(rng: np.random.Generator) -> Sample:
    shape = (512, 512)
    lattice = Lattice(
        kind="dumbbell", period=20.0, angle=-35.0, sigma=0.1, sublattice=0.6, displacement=0.01, background=0.1
    )
    rendered = render_lattice(lattice, shape, rng)
    y, x = np.arange(512, dtype=np.float32)[:, None], np.arange(512, dtype=np.float32)
    beyond = (0.35 * y + x - 520 + 12 * smooth_field(shape, 50, rng)) / 10
    edge = np.asarray(0.5 * (1 - np.tanh(beyond)), dtype=np.float32)
    return _sample("dumbbell", lattice, rendered, edge, 20.0, rng)


def _stack(rng: np.random.Generator) -> Sample:
    shape = (256, 256)
    lattice = Lattice(
        kind="hexagonal", period=12.0, angle=7.0, sigma=0.18, displacement=0.01, vacancies=0.01, background=0.1
    )
    rendered = render_lattice(lattice, shape, rng)
    dents = np.stack(
        [ellipse(shape, centre=(128, 140), fwhm=(size, 0.8 * size), depth=0.9, edge=8) for size in range(20, 116, 12)]
    )
    return _sample("stack", lattice, rendered, dents, 8.0, rng)


def _lattice_series(rng: np.random.Generator) -> Sample:
    period, dose = 12.0, 10.0
    series = lattice_series((256, 256), 8, rng, period=period)
    scan = _scan(dose, period)
    noisy = np.stack([scan(frame, rng) for frame in series.clean])
    return Sample(
        name="lattice-series",
        description=SAMPLES["lattice-series"].description,
        noisy=np.asarray(noisy * np.float32(dose), np.float32),
        clean=series.clean * np.float32(dose),
        transmission=series.transmission,
        positions=series.positions[0],
        vacancies=np.empty((0, 2)),
        period=period,
        dose=dose,
        series=series,
    )


def _moving_spots(rng: np.random.Generator) -> Sample:
    dose = 10.0
    series = cell_series((256, 256), 8, rng)
    noise = Compose(noises=(Poisson(dose=dose), Readout(sigma=0.2 * dose**-0.5)))
    noisy = np.stack([noise(frame, rng) for frame in series.clean])
    made = _phantom("moving-spots", series.clean * np.float32(dose), noisy * np.float32(dose), dose, 250.0)
    return replace(made, positions=series.positions[0], series=series)


def _unit_crop(_: np.random.Generator) -> Sample:
    lattice = Lattice(kind="dumbbell", period=16.0, angle=0.0, sigma=0.11, sublattice=0.6, background=0.1)
    rendered = render_lattice(lattice, (72, 56), 0)  # a perfect crystal: nothing is drawn at random
    return Sample(
        name="unit-crop",
        description=SAMPLES["unit-crop"].description,
        noisy=rendered.image,
        clean=rendered.image,
        transmission=np.ones_like(rendered.image),
        positions=rendered.positions,
        vacancies=rendered.vacancies,
        period=lattice.period,
        dose=np.inf,
    )


def _foam(rng: np.random.Generator) -> Sample:
    clean, photons = foam((256, 256), rng=rng), 2000.0
    noisy = SparseAngles(n_angles=36, counts=photons)(clean, rng)
    return _phantom("foam", clean, noisy, photons, 1300.0)


def _cells(rng: np.random.Generator) -> Sample:
    clean, dose = 8.0 * cells((256, 256), rng=rng), 8.0
    return _phantom("cells", clean, dose * Poisson(dose=dose)(clean / np.float32(dose), rng), dose, 250.0)


def _phantom(
    name: str, clean: NDArray[np.float32], noisy: NDArray[np.float32], dose: float, pixel_size: float
) -> Sample:
    return Sample(
        name=name,
        description=SAMPLES[name].description,
        noisy=np.asarray(noisy, dtype=np.float32),
        clean=np.asarray(clean, dtype=np.float32),
        transmission=np.ones_like(clean),
        positions=np.empty((0, 2)),
        vacancies=np.empty((0, 2)),
        period=np.nan,
        dose=dose,
        pixel_size=pixel_size,
    )


@dataclass(frozen=True)
class _Entry:
    make: Callable[[np.random.Generator], Sample]
    description: str


SAMPLES: dict[str, _Entry] = {
    "dented-lattice": _Entry(_dented_lattice, "Square lattice at 10 counts per pixel, one dent, a few vacancies"),
    "hexagonal-low-dose": _Entry(_hexagonal_low_dose, "Hexagonal lattice at 2 counts per pixel, with one hole"),
    "dumbbell": _Entry(_dumbbell, "Dumbbells of two unlike columns at 20 counts per pixel, up to the specimen's edge"),
    "stack": _Entry(_stack, "Eight scans of one hexagonal lattice at 8 counts per pixel; its dent grows"),
    "lattice-series": _Entry(
        _lattice_series,
        "Eight drifting scans of a lattice at 10 counts per pixel; columns blink, vanish, hop, a dent grows",
    ),
    "moving-spots": _Entry(
        _moving_spots, "Eight drifting frames of fluorescent cells at 10 photons per pixel, with spots that move"
    ),
    "unit-crop": _Entry(_unit_crop, "A few clean cells of a dumbbell lattice, to draw whole crystals from"),
    "foam": _Entry(_foam, "A slice of foam, reconstructed from 36 noisy projections"),
    "cells": _Entry(_cells, "Fluorescent cells at 8 photons per pixel where they are brightest"),
}


def sample(name: str, rng: np.random.Generator | int = 0) -> Sample:
    """Simulate one of the sample images.

    Parameters
    ----------
    name : str
        A key of `SAMPLES`: for example ``"dented-lattice"``, ``"stack"``, ``"unit-crop"`` or ``"foam"``.
    rng : numpy.random.Generator or int
        Source of randomness; the same seed gives the same image.

    Returns
    -------
    Sample
        The noisy image and the truth.

    Raises
    ------
    InputError
        If there is no such sample.

    Examples
    --------
    >>> truth = sample("dented-lattice")
    >>> truth.noisy.shape, truth.period
    ((512, 512), 12.0)
    """
    if name not in SAMPLES:
        raise InputError(f"unknown sample {name!r}: choose one of {', '.join(SAMPLES)}")
    return SAMPLES[name].make(np.random.default_rng(rng))


def layers(truth: Sample) -> list[LayerData]:
    """Return the noisy image of a sample as napari layer tuples, with the truth in the layer's metadata."""
    pixel = truth.pixel_size
    stacked = truth.noisy.ndim - 2
    options = {
        "name": truth.name,
        "scale": (1.0,) * stacked + (pixel, pixel),
        "units": ("pixel",) * stacked + ("nm", "nm"),
        "axis_labels": ("scan",) * stacked + ("y", "x"),
        "contrast_limits": tuple(float(v) for v in np.percentile(truth.noisy, (0.5, 99.5))),
        "metadata": {
            "description": truth.description,
            "simulated": True,
            "period_px": truth.period,
            "dose": truth.dose,
            "clean": truth.clean,
            "transmission": truth.transmission,
            "positions": truth.positions,
            "vacancies": truth.vacancies,
        },
    }
    return [(truth.noisy, options, "image")]


def dented_lattice() -> list[LayerData]:
    """*File > Open Sample*: a square lattice with a dent."""
    return layers(sample("dented-lattice"))


def hexagonal_low_dose() -> list[LayerData]:
    """*File > Open Sample*: a hexagonal lattice at 2 counts per pixel."""
    return layers(sample("hexagonal-low-dose"))


def dumbbell() -> list[LayerData]:
    """*File > Open Sample*: dumbbells up to the specimen's edge."""
    return layers(sample("dumbbell"))


def stack() -> list[LayerData]:
    """*File > Open Sample*: eight scans of one field in which a dent grows."""
    return layers(sample("stack"))


def lattice_series_with_events() -> list[LayerData]:
    """*File > Open Sample*: drifting scans of a lattice in which columns blink, vanish and hop."""
    return layers(sample("lattice-series"))


def moving_spots() -> list[LayerData]:
    """*File > Open Sample*: drifting frames of cells between which spots move."""
    return layers(sample("moving-spots"))


def unit_crop() -> list[LayerData]:
    """*File > Open Sample*: a clean crop to draw crystals from."""
    return layers(sample("unit-crop"))


def foam_slice() -> list[LayerData]:
    """*File > Open Sample*: foam from few projections."""
    return layers(sample("foam"))


def cells_low_light() -> list[LayerData]:
    """*File > Open Sample*: cells at low light."""
    return layers(sample("cells"))
