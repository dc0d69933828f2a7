"""What is in a data set, declared once: the form in napari, the command line and the settings file derive from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from numbers import Integral, Real
from typing import Any, Literal, get_args

from napari_hush.errors import InputError

# synthesis is imported where it is used: the help of the command line does not wait for it.

Kind = Literal[
    "lattice",
    "published",
    "foam",
    "ellipses",
    "tomography",
    "filaments",
    "cells",
    "dead-leaves",
    "dead-leaves-rgb",
    "tissue",
    "general",
]
Layout = Literal["paired", "unpaired", "hdf5"]
IN_COLOUR = ("dead-leaves-rgb", "tissue")
TOMOGRAPHY = ("foam", "ellipses", "tomography")


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """What is in a data set; all but ``workers`` decides about its values.

    Parameters
    ----------
    kind : str
        "lattice"; "published", lattices with a mask added, to compare with; or a phantom: "foam", "ellipses",
        "tomography" (a mix of such slices), "filaments", "cells", "dead-leaves", "dead-leaves-rgb" or "tissue"; or
        "general", grey images of all sorts with the noise of cameras.
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
    magnification : float
        In millions (MX): 36 x 38 atoms in a field at 20 MX. Kind "published" only.
    angles : (int, int)
        Fewest and most projections, drawn log-uniformly. Kinds "foam", "ellipses" and "tomography" only.
    seed : int
        Each image depends on this, on its split (train or test) and on its number only.
    layout : {"paired", "unpaired", "hdf5"}
        Folders of TIFF, pair by pair; folders of TIFF as CycleGAN reads them; or one HDF5 as TomoGAN reads it.
    workers : int
        Processes that draw at once.
    noises : tuple of Noise
        The noise of all images, in order, instead of a random one; for example ``fit_noise(image).noise().noises``.
        Left empty, lattices get a `random_scan_noise` each, foam, ellipses and tomography few projections with the
        noise of counting, kind "general" a `random_camera_noise`, other phantoms counting alone.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    kind: Kind = "lattice"
    n: int = 100
    shape: tuple[int, int] = (256, 256)
    test_share: float = 0.1
    dose: tuple[float, float] = (2.0, 500.0)
    period: tuple[float, float] = (5.5, 42.0)
    rescale_to: tuple[float, float] | None = None
    dent_share: float = 0.7
    mask_share: float = 0.5
    lattice_share: float = 0.9
    magnification: float = 20.0
    angles: tuple[int, int] = (16, 64)
    seed: int = 0
    layout: Layout = "paired"
    workers: int = 1
    noises: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in (("kind", Kind), ("layout", Layout)):
            if getattr(self, name) not in get_args(choices):
                raise InputError(f"{name} must be one of {', '.join(get_args(choices))}, got {getattr(self, name)!r}")
        for name, low, high in (("n", 1, 10_000_000), ("seed", 0, 2**63 - 1), ("workers", 1, 256)):
            self._set(name, _whole(name, getattr(self, name), low, high))
        self._set("shape", tuple(_whole("shape", side, 16, 16_384) for side in _pair("shape", self.shape)))
        for name in ("test_share", "dent_share", "mask_share", "lattice_share"):
            self._set(name, _number(name, getattr(self, name), 0, 1))
        self._set("magnification", _number("magnification", self.magnification, 0.1, 1000))
        for name, least, most in (("dose", 1e-3, 1e6), ("period", 3.0, 4096.0)):
            self._set(name, _rising(name, [_number(name, v, least, most) for v in _pair(name, getattr(self, name))]))
        if self.rescale_to is not None:
            self._set_rescale_to()
        self._set("angles", _rising("angles", [_whole("angles", v, 1, 100_000) for v in _pair("angles", self.angles)]))
        self._set("noises", _checked_noises(self.noises))
        if self.n_test == self.n:
            raise InputError(f"no image is left to train on: n={self.n}, test_share={self.test_share}; lower it")
        if self.layout == "hdf5" and self.kind in IN_COLOUR:
            raise InputError(f"layout hdf5 holds grey images only, {self.kind} has colours; choose paired or unpaired")

    @property
    def n_test(self) -> int:
        """How many of the images are set aside for testing."""
        return round(self.n * self.test_share)

    def _set_rescale_to(self) -> None:
        ends = _pair("rescale_to", self.rescale_to)
        low, high = _rising("rescale_to", [_number("rescale_to", value, 3.0, 4096.0) for value in ends])
        if self.kind != "lattice":
            raise InputError(f"rescale_to goes with the kind lattice, not with {self.kind}: leave it out")
        smallest, largest = min(self.shape) * self.period[0] / high, max(self.shape) * self.period[1] / low
        if smallest < 16 or largest > 16_384:
            raise InputError(
                f"periods of {self.period} px, resampled to {(low, high)}, need fields of {smallest:.0f} to "
                f"{largest:.0f} px, which must be from 16 to 16384: choose another shape, period or rescale_to"
            )
        self._set("rescale_to", (low, high))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    return int(value)


def _number(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
        raise InputError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def _pair(name: str, values: object) -> tuple[object, object]:
    if not isinstance(values, list | tuple) or len(values) != 2:
        raise InputError(f"{name} must be two numbers, got {values!r}")
    return values[0], values[1]


def _rising(name: str, ends: list[Any]) -> tuple[Any, Any]:
    if ends[0] > ends[1]:
        raise InputError(f"{name} must be the lowest and the highest value, got {ends[0]} and {ends[1]}")
    return ends[0], ends[1]


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
