"""What is in a data set, declared once: the form in napari, the command line and the settings file derive from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Annotated, Any, Literal

from napari_hush.declare import Bounds, NamesOf, check_fields
from napari_hush.errors import InputError
from napari_hush.synthesis.kinds import KINDS, World

# What draws is imported where it is used: the help of the command line does not wait for it.

Layout = Literal["paired", "unpaired", "hdf5"]
SIDE = Bounds(16, 16_384)  # of an image, px
PERIOD = Bounds(3.0, 4096.0, rising=True)  # of a lattice, px
SHARE = Bounds(0, 1)
SLICES = Bounds(1, 31)  # neighbouring ones, odd


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """What is in a data set; all but the number of workers decides about its values.

    Parameters
    ----------
    kind : str
        What is seen: "lattice"; "published", lattices with a mask added, to compare with; "general", grey images of
        all sorts with the noise of cameras; or a phantom, of which "tomography" is a mix of such slices.
    n : int
        Number of images, train and test together; of pairs, or for layout "unpaired" of each side.
    shape : (int, int)
        Y, X in px.
    test_share : float
        Share of the images that are set aside for testing, from 0 to under 1.
    dose : (float, float)
        Lowest and highest dose, counts per pixel at image value 1, drawn log-uniformly. Not for kind "general".
    period : (float, float)
        Lowest and highest lattice period, px, drawn log-uniformly. Kind "lattice" only.
    rescale_to : (float, float), optional
        Lowest and highest period, px, to which noisy image and truth are resampled after the noise, drawn
        log-uniformly: each ``period`` is simulated with its noise at its own scale, and the network learns what
        interpolation makes of noise. Kind "lattice" only.
    dent_share : float
        Probability that an image has dents, 0 to 1. Kind "lattice" only.
    mask_share : float
        Probability that a dent is one of your own, 0 to 1, where there are some. Kind "lattice" only.
    lattice_share : float
        Probability of a lattice, 0 to 1; else a texture, single atoms or a flat field. Kind "lattice" only.
    world : {"plain", "wide", "regular"}
        Which lattices: of one or two columns a cell, hardly displaced; or of up to five, some of them faint, displaced
        up to 0.15 periods, with twins, faults, dislocations, interfaces, particles, steps and drift; or the same,
        hardly displaced. Of kind "general": as drawn, or ("wide") in part behind the optics of an instrument, with the
        noise of its detector. Only these two kinds.
    magnification : float
        In millions (MX): 36 x 38 atoms in a field at 20 MX. Kind "published" only.
    angles : (int, int)
        Fewest and most projections, drawn log-uniformly. Kinds "foam", "ellipses" and "tomography" only.
    slices : int
        Neighbouring slices of one body in each image, odd: noisy and clean are then stacks (Z, Y, X), for networks
        that see the neighbours of a slice. Kinds "foam", "ellipses" and "tomography", layout "paired" only.
    seed : int
        Each image depends on this, on its split (train or test) and on its number only.
    layout : {"paired", "unpaired", "hdf5"}
        Folders of TIFF, pair by pair; folders of TIFF as CycleGAN reads them; or one HDF5 as TomoGAN reads it.
    workers : int
        Processes that draw at once.
    noises : tuple of Noise
        The noise of all images, in order, instead of a random one; for example ``fit_noise(image).noise().noises``.
        Left empty, lattices get a `random_scan_noise` each, foam, ellipses and tomography few projections with the
        noise of counting, kind "general" a `random_camera_noise` (`random_detector_noise` in the wide world), other
        phantoms counting alone.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    kind: Annotated[str, NamesOf(KINDS)] = "lattice"
    n: Annotated[int, Bounds(1, 10_000_000)] = 100
    shape: Annotated[tuple[int, int], SIDE] = (256, 256)
    test_share: Annotated[float, SHARE] = 0.1
    dose: Annotated[tuple[float, float], Bounds(1e-3, 1e6, rising=True)] = (2.0, 500.0)
    period: Annotated[tuple[float, float], PERIOD] = (5.5, 42.0)
    rescale_to: Annotated[tuple[float, float], PERIOD] | None = None
    dent_share: Annotated[float, SHARE] = 0.7
    mask_share: Annotated[float, SHARE] = 0.5
    lattice_share: Annotated[float, SHARE] = 0.9
    world: World = "plain"
    magnification: Annotated[float, Bounds(0.1, 1000)] = 20.0
    angles: Annotated[tuple[int, int], Bounds(1, 100_000, rising=True)] = (16, 64)
    slices: Annotated[int, SLICES] = 1
    seed: Annotated[int, Bounds(0, 2**63 - 1)] = 0
    layout: Layout = "paired"
    workers: Annotated[int, Bounds(1, 256)] = 1
    noises: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "noises", _checked_noises(self.noises))
        if self.n_test == self.n:
            raise InputError(f"no image is left to train on: n={self.n}, test_share={self.test_share}; lower it")
        if self.layout == "hdf5" and KINDS[self.kind].colours:
            raise InputError(f"layout hdf5 holds grey images only, {self.kind} has colours; choose paired or unpaired")
        if self.slices > 1:
            self._check_slices()
        if self.rescale_to is not None:
            self._check_rescale_to(*self.rescale_to)

    @property
    def n_test(self) -> int:
        """How many of the images are set aside for testing."""
        return round(self.n * self.test_share)

    def _check_slices(self) -> None:
        if not KINDS[self.kind].slab:
            fit = ", ".join(name for name, kind in KINDS.items() if kind.slab)
            raise InputError(f"neighbouring slices go with the kinds {fit}, not with {self.kind}: choose slices=1")
        if self.slices % 2 == 0:
            raise InputError(f"slices must be odd, so that one lies in the middle; got {self.slices}")
        if self.layout != "paired":
            raise InputError(f"layout {self.layout} holds single images: choose layout paired, or slices=1")

    def _check_rescale_to(self, low: float, high: float) -> None:
        if "rescale_to" not in KINDS[self.kind].settings:
            fit = ", ".join(name for name, kind in KINDS.items() if "rescale_to" in kind.settings)
            raise InputError(f"rescale_to goes with the kind {fit}, not with {self.kind}: leave it out")
        smallest, largest = min(self.shape) * self.period[0] / high, max(self.shape) * self.period[1] / low
        if smallest < SIDE.low or largest > SIDE.high:
            raise InputError(
                f"periods of {self.period} px, resampled to {(low, high)}, need fields of {smallest:.0f} to "
                f"{largest:.0f} px, which must be from {SIDE.low} to {SIDE.high}: choose another shape, period or "
                "rescale_to"
            )


def _checked_noises(noises: object) -> tuple[Any, ...]:
    if not isinstance(noises, list | tuple):
        raise InputError(f"noises must be a list of noises, got {noises!r}")
    if not noises:
        return ()
    from napari_hush.synthesis import noise_from_dict, noise_to_dict

    # There and back: what cannot be written to the settings file is refused now.
    tables = [one if isinstance(one, Mapping) else noise_to_dict(one) for one in noises]
    return tuple(map(noise_from_dict, tables))


def settings_from(table: Mapping[str, Any]) -> SynthesisSettings:
    """Make settings of names and values; those left out take their defaults.

    Raises
    ------
    InputError
        If a name is unknown or a value out of its range.
    """
    known = [field.name for field in fields(SynthesisSettings)]
    for name in table:
        if name not in known:
            raise InputError(f"unknown setting {name!r}: expected {', '.join(known)}")
    return SynthesisSettings(**table)


def settings_to_toml(settings: SynthesisSettings, materials: Mapping[str, Any] | None = None) -> str:
    """Write settings, without ``workers``, as the text of a settings file.

    Parameters
    ----------
    settings : SynthesisSettings
        What to write.
    materials : mapping, optional
        The entries of its table ``[materials]``.

    Examples
    --------
    >>> print(settings_to_toml(SynthesisSettings(n=20)))
    # napari-hush ...
    kind = "lattice"
    n = 20
    shape = [256, 256]
    ...
    """
    lines = [f"# napari-hush {version('napari-hush')}; for the same again: napari-hush synthesize OUT --settings FILE"]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name == "noises" and value:
            from napari_hush.synthesis import noise_to_dict

            value = [noise_to_dict(noise) for noise in value]
        if field.name != "workers" and value is not None:
            lines.append(f"{field.name} = {_toml(value)}")
    if materials:
        lines += ["", "[materials]", *(f"{name} = {_toml(value)}" for name, value in materials.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return one value as TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items() if one is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
