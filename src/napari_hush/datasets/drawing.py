"""One image of a data set: clean, noisy, and the truth behind it, from the settings, a split and a number."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from skimage.transform import resize

from napari_hush.datasets.materials import Materials
from napari_hush.errors import InputError
from napari_hush.filters.resampling import resample, resampled_size
from napari_hush.synthesis import (
    KINDS,
    Compose,
    noise_to_dict,
    published_targets,
    random_scan_noise,
    random_scene,
)
from napari_hush.synthesis.noise.registry import Poisson, SparseAngles
from napari_hush.synthesis.noise.streaks import random_tomograph
from napari_hush.synthesis.pictures.general import random_camera_noise
from napari_hush.synthesis.pictures.instruments import random_detector_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.datasets.settings import SynthesisSettings
    from napari_hush.synthesis import Scene

Split = Literal["train", "trainA", "trainB", "test", "testA", "testB"]
HALF = 64  # of 255: between the published mask's threshold and 0
STREAMS: dict[str, int] = {"train": 0, "trainA": 0, "test": 1, "testA": 1, "trainB": 2, "testB": 3}


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A clean image, its noisy version and the truth behind them; positions are (y, x) in px.

    Parameters
    ----------
    clean, noisy : ndarray, shape (Y, X), (3, Y, X) or with ``slices`` (Z, Y, X)
        Peaks about 1 where the dose counts; noisy in the same unit, unless the noises say another.
    transmission : ndarray, shape (Y, X)
        From 0 (nothing there) to 1; for kind "published" all ones, since its masks are added.
    mask : ndarray of bool, shape (Y, X)
        Where less than 90 % transmits; for kind "published" where the added mask is at least 64, half of its
        threshold.
    positions : ndarray, shape (N, 2)
        Atom columns, also those in dents; none in phantoms.
    species : ndarray of int, shape (N,)
        Index of each column in its cell.
    vacancies : ndarray, shape (M, 2)
        Missing columns.
    period : float
        Lattice period, px; NaN in phantoms.
    kind : str
        What is seen: the lattice's kind or the wide world's structure, "crop" for the user's own, "flat", "texture",
        "atoms", the phantom's name, or for kind "general" one of `SORTS`.
    noise : Compose
        What was done to the clean image, or to ``native``.
    native : ndarray, shape (Y', X'), optional
        With ``rescale_to``: the clean image at the scale at which it got its noise.
    factor : float
        Pixels of all the rest per pixel of ``native``: native (y, x) lies at ``(y + 0.5) * factor - 0.5``.
    """

    clean: NDArray[np.float32]
    noisy: NDArray[np.float32]
    transmission: NDArray[np.float32]
    mask: NDArray[np.bool_]
    positions: NDArray[np.float64]
    species: NDArray[np.intp]
    vacancies: NDArray[np.float64]
    period: float
    kind: str
    noise: Compose
    native: NDArray[np.float32] | None = None
    factor: float = 1.0

    def truth(self) -> dict[str, Any]:
        """Everything but the two images, as arrays, numbers and text (the noise as JSON)."""
        names = ("transmission", "mask", "positions", "species", "vacancies", "period", "kind")
        truth = {name: getattr(self, name) for name in names} | {"noise": json.dumps(noise_to_dict(self.noise))}
        return truth if self.native is None else truth | {"factor": self.factor}


class Drawer:
    """Draws the images of a data set, each from its split and number alone.

    Parameters
    ----------
    settings : SynthesisSettings
        What is drawn.
    materials : Materials, optional
        The user's unit crop and masks.

    Raises
    ------
    InputError
        If the kind does not go with the materials.

    Examples
    --------
    >>> from napari_hush.datasets.settings import SynthesisSettings
    >>> target = Drawer(SynthesisSettings(shape=(64, 64)))("train", 3)
    >>> target.noisy.shape, target.positions.shape[1]
    ((64, 64), 2)
    """

    def __init__(self, settings: SynthesisSettings, materials: Materials | None = None) -> None:
        materials = materials or Materials()
        if settings.kind == "published" and (materials.crop is None or not materials.masks):
            raise InputError(
                "kind published needs a unit crop and at least one noisy image for a mask: give both, --crop and "
                '--dents, in Python with make_materials("published", crop=..., images=...)'
            )
        if materials and not KINDS[settings.kind].from_images:
            raise InputError(f"kind {settings.kind} takes nothing from images: leave out the crop and the dents")
        self.settings, self.materials = settings, materials
        self._cell = materials.cell
        self._masks = materials.masks
        if settings.kind == "published":
            self._masks = tuple(_resized(mask, settings.shape) for mask in materials.masks)
            self._published(np.random.default_rng(0), 0)  # raises now what drawing would raise

    def __call__(self, split: Split, number: int) -> Target:
        """Draw one image.

        Parameters
        ----------
        split : str
            "train" or "test"; for unpaired sets each with "A" or "B".
        number : int
            Which image of the split, from 0.
        """
        rng = np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=(STREAMS[split], number)))
        if self.settings.kind == "lattice":
            return self._lattice(rng)
        if self.settings.kind == "published":
            return self._published(rng, number)
        return self._phantom(rng)

    def _lattice(self, rng: np.random.Generator) -> Target:
        s = self.settings
        shape, period, factor = s.shape, s.period, 1.0
        if s.rescale_to:
            size, wanted = (float(np.exp(rng.uniform(*np.log(ends)))) for ends in (s.period, s.rescale_to))
            factor, period = wanted / size, (size, size)
            shape = (resampled_size(s.shape[0], 1 / factor), resampled_size(s.shape[1], 1 / factor))
        native = random_scene(
            rng,
            shape=shape,
            period=period,
            lattice_share=s.lattice_share,
            dent_share=s.dent_share,
            cell=self._cell,
            masks=self._masks,
            mask_periods=self.materials.mask_periods,
            mask_share=s.mask_share,
            world=s.world,
        )
        noise = self._noise(rng, native.period)
        noisy, scene = noise(native.clean, rng), native
        if s.rescale_to:
            noisy, scene = resample(noisy, factor, shape=s.shape), _rescaled(native, factor, s.shape)
        return Target(
            clean=scene.clean,
            noisy=noisy,
            transmission=scene.transmission,
            mask=scene.mask,
            positions=scene.positions,
            species=scene.species,
            vacancies=scene.vacancies,
            period=scene.period,
            kind=scene.kind,
            noise=noise,
            native=native.clean if s.rescale_to else None,
            factor=factor,
        )

    def _published(self, rng: np.random.Generator, number: int) -> Target:
        assert self._cell is not None
        mask = self._masks[number % len(self._masks)]
        (drawn,) = published_targets(self._cell, [mask], n=1, magnification=self.settings.magnification, rng=rng)
        clean = drawn.image / np.float32(255)
        period = float(np.hypot(*drawn.lattice.vectors.T).min())
        noise = self._noise(rng, period)
        return Target(
            clean=clean,
            noisy=noise(clean, rng),
            transmission=np.ones(self.settings.shape, dtype=np.float32),
            mask=mask >= HALF,
            positions=drawn.lattice.positions,
            species=drawn.lattice.species,
            vacancies=np.empty((0, 2)),
            period=period,
            kind="published",
            noise=noise,
        )

    def _phantom(self, rng: np.random.Generator) -> Target:
        s = self.settings
        if s.slices > 1:
            clean, seen = KINDS[s.kind].neighbours(s.shape, slices=s.slices, rng=rng), ""
            noise = self._noise(rng, np.nan)
            noisy = noise.slab(clean, rng)
        else:
            clean, seen = KINDS[s.kind].picture(s.shape, rng=rng, world=s.world)
            noise = self._noise(rng, np.nan)
            planes = [noise(plane, rng) for plane in clean.reshape(-1, *s.shape)]
            noisy = np.stack(planes).reshape(clean.shape)
        return Target(
            clean=clean,
            noisy=noisy,
            transmission=np.ones(s.shape, dtype=np.float32),
            mask=np.zeros(s.shape, dtype=np.bool_),
            positions=np.empty((0, 2)),
            species=np.empty(0, dtype=np.intp),
            vacancies=np.empty((0, 2)),
            period=np.nan,
            kind=seen or s.kind,
            noise=noise,
        )

    def _noise(self, rng: np.random.Generator, period: float) -> Compose:
        s, kind = self.settings, KINDS[self.settings.kind]
        if s.noises:
            return Compose(noises=s.noises)
        if kind.noise == "scan":
            return random_scan_noise(rng, dose=s.dose, period=period)
        if kind.noise == "camera":
            return random_detector_noise(rng) if s.world == "wide" else random_camera_noise(rng)
        dose = float(np.exp(rng.uniform(*np.log(s.dose))))
        if kind.projected:
            n_angles = round(float(np.exp(rng.uniform(*np.log(s.angles)))))
            # The dose is spread over the projections: what a pixel of the slice gets, its rays got together.
            slices = SparseAngles(n_angles=n_angles, counts=dose * s.shape[1] / n_angles)
            return Compose(noises=(random_tomograph(slices, rng) if kind.noise == "tomographs" else slices,))
        return Compose(noises=(Poisson(dose=dose),))


def _rescaled(scene: Scene, factor: float, shape: tuple[int, int]) -> Scene:
    """A scene with its truth at another scale."""
    last = np.array(shape) - 1
    positions, vacancies = ((points + 0.5) * factor - 0.5 for points in (scene.positions, scene.vacancies))
    here, gone = (((points >= 0) & (points <= last)).all(axis=1) for points in (positions, vacancies))
    return replace(
        scene,
        clean=resample(scene.clean, factor, shape=shape),
        transmission=np.clip(resample(scene.transmission, factor, shape=shape), 0, 1),
        positions=positions[here],
        species=scene.species[here],
        vacancies=vacancies[gone],
        period=scene.period * factor,
        lattice=None,
    )


def _resized(mask: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    if mask.shape == shape:
        return mask
    return np.asarray(resize(mask, shape, order=1, mode="reflect", anti_aliasing=True), dtype=np.float32)  # type: ignore[no-untyped-call]
